"""Workers with parameters of their own, each with other batches, that are brought together from time to time.

Source: S. Stich, "Local SGD converges fast and communicates little", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from sigmagraph.data.dataset import Batch
from sigmagraph.driver import compile
from sigmagraph.layers.assembly import RNG
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.training.feed import rows
from sigmagraph.training.graphs import SHARES, ForwardGraph, TrainGraph, train_graph
from sigmagraph.training.operators.crew import Crew, Outcome, Task, combined
from sigmagraph.training.operators.worker import Memory, Worker, copies, renamed
from sigmagraph.training.steps import Fetch


class Local(Crew):
    """Several workers, each with its own state; what they have learnt is merged every so many iterations.

    Between merges the network has the values of the last one. The optimiser's memory is merged like the parameters.

    Args:
        task: what they do.
        size: how many workers.
        every: iterations between merges; None merges when an epoch ends.
    """

    def __init__(self, task: Task, size: int, every: int | None) -> None:
        super().__init__(task)
        self.size = self.takes = size
        self._every = every
        self._seen = [0] * size  # records, since the last merge
        self._iterations = 0
        network = task.network
        self._workers = [
            Worker(
                network,
                self._graph,
                copies(network, number, task.seeds, whole=True),
                f"{network.name}.train",
                task.target,
                task.step_options,
            )
            for number in range(size)
        ]
        self._memory = _blank(self._workers[0].memory)
        self.hyperparameters = self._workers[0].hyperparameters
        task.rules.check([*network.identifiers, *self._memory])
        self._merger = self._compile()

    def _graph(self, forward: ForwardGraph, memory: Memory) -> TrainGraph:
        return train_graph(forward, self.task.optimiser, self.task.network.frozen, memory)

    def _compile(self) -> CompiledFunction:
        """The program that makes one state of those of all workers, and gives it to all of them."""
        shares = placeholder(SHARES, (self.size,))
        weights = [shares[number] for number in range(self.size)]
        own = [renamed(self._all(worker), number) for number, worker in enumerate(self._workers)]
        kept = {name: p.variable for name, p in self._memory.items()}
        updates: dict[Tensor, Tensor] = {}
        for name, variable in (_without_key(self.task.network.variables) | kept).items():
            if name in self.task.network.frozen:  # a mean of equal numbers is not always that number
                continue
            copies_ = [Parameter(variables[name], trainable=False) for variables in own]
            merged = self.task.rules(name, copies_, weights)
            for target in (Parameter(variable, trainable=False), *copies_):
                updates[target] = merged
        name = f"{self.task.network.name}.merge"
        return compile([shares], {}, updates, self.task.target, name=name, options=self.task.options)

    def _all(self, worker: Worker) -> dict[str, Variable]:
        return _without_key(worker.variables) | {name: p.variable for name, p in worker.memory.items()}

    @property
    def memory(self) -> dict[str, Parameter]:
        return self._memory

    @property
    def identifiers(self) -> frozenset[str]:
        return self._workers[0].identifiers

    @property
    def program(self) -> CompiledFunction:
        return self._workers[0].step().program

    def own(self, number: int) -> Mapping[str, Variable]:
        return self._workers[number].variables

    def prepare(self, fetch: Fetch) -> None:
        for worker in self._workers:
            worker.step(fetch)

    def run(self, batches: Sequence[Batch], fetch: Fetch) -> Outcome:
        counts = [rows(batch) for batch in batches]
        steps = [worker.step(fetch) for worker, _ in zip(self._workers, batches, strict=False)]
        results = self.together(
            [partial(step, batch, self.hyperparameters) for step, batch in zip(steps, batches, strict=True)]
        )
        for number, count in enumerate(counts):
            self._seen[number] += count
        self._iterations += 1
        if self._iterations == self._every:
            self.settle()
        return Outcome(combined(results, counts, steps[0].by_row), dict(enumerate(results)))

    def settle(self) -> None:
        total = sum(self._seen)
        if total:
            self._merger(np.array(self._seen, np.float64) / total)
            self._seen, self._iterations = [0] * self.size, 0

    def spread(self) -> None:
        network = _without_key(self.task.network.variables)
        kept = {name: p.variable for name, p in self._memory.items()}
        for worker in self._workers:
            for name, variable in self._all(worker).items():
                variable.assign((network | kept)[name].value)

    def restart(self, *, keep: bool) -> None:
        self.settle()
        for worker in self._workers:
            worker.restart(worker.memory if keep else None)
        known = self._memory if keep else {}
        self._memory = {name: known.get(name, p) for name, p in _blank(self._workers[0].memory).items()}
        self._merger = self._compile()

    def more(self) -> dict[str, Variable]:
        return {
            f"worker.{number}/{name}": variable
            for number, worker in enumerate(self._workers)
            for name, variable in (self._all(worker) | {k: v for k, v in worker.variables.items() if k == RNG}).items()
        }

    def counts(self) -> list[int]:
        return [self._iterations, *self._seen]

    def count_from(self, numbers: Sequence[int]) -> None:
        self._iterations, *self._seen = numbers


def _without_key(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    return {name: variable for name, variable in variables.items() if name != RNG}


def _blank(memory: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Memory like another one, with the same values, and nobody's but its own."""
    made = {}
    for name, parameter in memory.items():
        v = parameter.variable
        made[name] = Parameter(Variable(v.name, v.dtype, v.shape, v.value), trainable=False)
    return made
