"""What carries out iterations: one worker or several, seen as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from sigmagraph.data.dataset import Batch
from sigmagraph.errors import TrainingStateError
from sigmagraph.layers.ports import BATCH
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.network import Network
from sigmagraph.training.operators.mergers import Rules
from sigmagraph.training.steps import Fetch

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Results: TypeAlias = dict[str, NDArray]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """What a crew is to do.

    Attributes:
        network, optimiser: what is trained, and how.
        target: what code is made for, with the number of threads of each worker.
        options: what else changes the code.
        seeds: the seed of the random numbers of each worker but the first, which has the network's own.
        rules: how workers' values become one.
        batch: how many records a step usually has.
    """

    network: Network
    optimiser: Optimiser
    target: Target | str
    options: CompileOptions | None
    seeds: Callable[[int], int]
    rules: Rules = field(default_factory=Rules)
    batch: int | None = None

    @property
    def step_options(self) -> CompileOptions:
        """Options of programs that run on batches: they are made for as many records as these have."""
        options = self.options or CompileOptions()
        if self.batch is None:
            return options
        return replace(options, hints=tuple({str(BATCH): self.batch, **dict(options.hints)}.items()))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of an iteration.

    Attributes:
        values: ``cost``, the outputs of the step, and what was to be handed out, for all workers together.
        workers: the same for each worker, by its number.
    """

    values: Results
    workers: Mapping[int, Results]


class Crew(ABC):
    """One worker or several that train a network together.

    Attributes:
        task: what they do.
        hyperparameters: run-time scalars, read at every iteration.
        size: how many workers there are.
        takes: how many batches they take at a time.
        ahead: how many batches can be sent to them while they work.
    """

    size: int = 1
    takes: int = 1
    ahead: int = 0
    hyperparameters: Hyperparameters

    def __init__(self, task: Task) -> None:
        self.task = task
        self._frozen = task.network.frozen
        self._threads: ThreadPoolExecutor | None = None

    @property
    @abstractmethod
    def memory(self) -> dict[str, Parameter]:
        """What the optimiser keeps from step to step, by name."""

    @property
    @abstractmethod
    def identifiers(self) -> frozenset[str]:
        """What can be handed out besides costs."""

    @property
    @abstractmethod
    def program(self) -> CompiledFunction:
        """The program that takes most of the time."""

    @abstractmethod
    def prepare(self, fetch: Fetch) -> None:
        """Compile what an iteration needs that hands out certain values, unless that was done before.

        Raises:
            SigmaError: the step cannot be compiled.
        """

    @abstractmethod
    def run(self, batches: Sequence[Batch], fetch: Fetch) -> Outcome:
        """One iteration.

        Args:
            batches: at least one, at most ``takes``.
            fetch: identifiers of what is to be handed out.

        Raises:
            InputError: a batch is not what the network takes; nothing was changed by its worker.
        """

    def begin(self, batches: Sequence[Batch], fetch: Fetch) -> Callable[[], Outcome]:
        """Begin an iteration, and give what waits for its end; arguments and errors are those of :meth:`run`."""
        outcome = self.run(batches, fetch)
        return lambda: outcome

    def send(self, batch: Batch) -> None:  # noqa: B027
        """Bring a batch to where it will be needed, while an iteration goes on.

        Raises:
            InputError: it is not what the network takes.
        """

    def call(self, batch: Batch) -> tuple[CompiledFunction, dict[str, Any]]:
        """The program that an iteration over a batch runs, and what it takes; only where it is but one.

        Raises:
            TrainingStateError: there are several workers.
        """
        _ = batch
        raise TrainingStateError("an iteration is several programs", got=f"{self.size} workers")

    @abstractmethod
    def restart(self, *, keep: bool) -> None:
        """Make other programs, for the parameters that are frozen now; the optimiser goes on, or begins anew."""

    def settle(self) -> None:  # noqa: B027
        """Bring all workers to one state, as at the end of an epoch."""

    def spread(self) -> None:  # noqa: B027
        """Let all workers have the values of the network, which were changed from outside."""

    def own(self, number: int) -> Mapping[str, Variable]:
        """The parameters and states that a worker has for itself, by identifier."""
        _ = number
        return self.task.network.variables

    def more(self) -> dict[str, Variable]:
        """What a checkpoint needs besides the network's variables and :attr:`memory`, by name."""
        return {}

    def counts(self) -> list[int]:
        """Numbers that a checkpoint needs, such as how much workers have seen since they were brought together."""
        return []

    def count_from(self, numbers: Sequence[int]) -> None:  # noqa: B027
        """Go on from the numbers of a checkpoint."""

    def refresh(self) -> bool:
        """Take notice of parameters that were frozen, or are not any more; whether there are such.

        Parameters that stay in training keep what the optimiser remembers of them. When further ones join them, the
        optimiser starts anew, because its running means are measured by the number of steps since its start.

        Raises:
            GraphError: all parameters are frozen.
        """
        frozen = self.task.network.frozen
        if frozen != self._frozen:
            self.restart(keep=not any(name not in frozen for name in self._frozen))
            self._frozen = frozen
            return True
        return False

    def close(self) -> None:
        """End the threads; they come back when they are needed."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    def together(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Do several things at the same time, each in a thread of its own, and wait for all of them.

        Raises:
            Exception: the first that one of them ended with.
        """
        if len(tasks) == 1:
            return [tasks[0]()]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.size - 1, "sigmagraph-worker")
        others = [self._threads.submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()
        finally:
            for other in others:
                other.exception()  # nobody works on when this returns
        return [first, *(other.result() for other in others)]


def combined(results: Sequence[Results], records: Sequence[int], by_row: Collection[str]) -> Results:
    """What several workers hand out, as one.

    Args:
        results: of each worker that had records.
        records: how many each of them had.
        by_row: names of values with a row for each record, which come one behind the other; of others the mean over all
            records is taken.
    """
    if len(results) == 1:
        return dict(results[0])
    total = sum(records)
    out = {}
    for name in results[0]:
        arrays = [result[name] for result in results]
        if name in by_row:
            out[name] = np.concatenate(arrays)
        else:
            mean = sum(a.astype(np.float64) * (n / total) for a, n in zip(arrays, records, strict=True))
            out[name] = np.asarray(mean, arrays[0].dtype)
    return out
