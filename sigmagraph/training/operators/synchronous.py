"""Workers that share the parameters: each takes a part of the batch, their gradients make one update.

The parameters exist once. A worker reads them and writes its gradients to memory of its own; then one program merges
the gradients and lets the optimiser change the parameters, so that merging costs no pass over memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from sigmagraph.data.dataset import Arrays, Batch
from sigmagraph.dims import evaluate
from sigmagraph.layers.assembly import RNG
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.training.feed import rows
from sigmagraph.training.graphs import SHARES, ForwardGraph, TrainGraph, gradient_graph, update_graph
from sigmagraph.training.operators.crew import Crew, Outcome, Task, combined
from sigmagraph.training.operators.worker import Memory, Worker, copies, renamed
from sigmagraph.training.steps import Fetch

_NOTHING = Batch({}, {})


class Synchronous(Crew):
    """Several workers with one state; an iteration is the same as that of one worker, but for rounding and dropout.

    Args:
        task: what they do. Code for updates is made for all threads, as only one program runs then.
        size: how many workers.
        update_target: what code for updates is made for.
    """

    def __init__(self, task: Task, size: int, update_target: str) -> None:
        super().__init__(task)
        self.size = size
        self._results: list[dict[str, Variable]] = [{} for _ in range(size)]
        network, name = task.network, task.network.name
        self._workers = [
            Worker(
                network,
                partial(self._gradients, number),
                copies(network, number, task.seeds, whole=False) if number else {},
                f"{name}.gradients",
                task.target,
                task.step_options,
            )
            for number in range(size)
        ]
        self._updater = Worker(network, self._updates, {}, f"{name}.update", update_target, task.options)
        values = [self._workers[0].hyperparameters, self._updater.hyperparameters]
        self.hyperparameters = Hyperparameters.joined(values)
        merged = [n.partition(".")[2] for n in self._results[0]]
        task.rules.check(merged)

    def _gradients(self, number: int, forward: ForwardGraph, _: Memory) -> TrainGraph:
        return gradient_graph(forward, self.task.network.frozen, partial(self._own, number))

    def _own(self, number: int, name: str, like: Tensor) -> Variable:
        known = self._results[number]
        if name not in known:
            known[name] = Variable(name, like.dtype, tuple(evaluate(size, {}) for size in like.shape))
        return known[name]

    def _updates(self, forward: ForwardGraph, memory: Memory) -> TrainGraph:
        task = self.task
        results = [renamed(variables, number) for number, variables in enumerate(self._results)]
        return update_graph(forward, task.optimiser, task.network.frozen, memory, results, self._merge)

    def _merge(self, name: str, values: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
        return self.task.rules(name.partition(".")[2], values, shares)

    @property
    def memory(self) -> dict[str, Parameter]:
        return self._updater.memory

    @property
    def identifiers(self) -> frozenset[str]:
        return self._workers[0].identifiers | self._updater.identifiers

    @property
    def program(self) -> CompiledFunction:
        return self._workers[0].step().program

    def prepare(self, fetch: Fetch) -> None:
        for worker in (*self._workers, self._updater):
            worker.step(fetch)

    def run(self, batches: Sequence[Batch], fetch: Fetch) -> Outcome:
        parts = shards(batches[0], self.size)
        counts = [rows(part) for part in parts]
        busy = [number for number, count in enumerate(counts) if count]
        steps = [self._workers[number].step(fetch) for number in busy]
        results = self.together([partial(s, parts[n], self.hyperparameters) for s, n in zip(steps, busy, strict=True)])
        for number, count in enumerate(counts):
            if not count:
                self._clear(number)
        shares = np.array(counts, np.float32) / np.float32(sum(counts))
        update = self._updater.run(_NOTHING, self.hyperparameters, fetch, **{SHARES: shares})
        values = combined(results, [counts[n] for n in busy], steps[0].by_row) | update
        return Outcome(values, dict(zip(busy, results, strict=True)))

    def _clear(self, number: int) -> None:
        """Let nothing be left of what a worker without records found at the last iteration."""
        for name, variable in self._results[number].items():
            kind, _, identifier = name.partition(".")
            variable.assign(0 if kind == "gradient" else self.task.network.variables[identifier].value)

    def restart(self, *, keep: bool) -> None:
        memory = self.memory if keep else None
        for results in self._results:
            results.clear()
        for worker in self._workers:
            worker.restart()
        self._updater.restart(memory)

    def more(self) -> dict[str, Variable]:
        return {
            f"worker.{number}/{RNG}": worker.variables[RNG]
            for number, worker in enumerate(self._workers)
            if RNG in worker.variables
        }


def shards(batch: Batch, count: int) -> list[Batch]:
    """A batch in as many parts of about equal length; the last ones are empty if there are too few records."""
    ends = [-(-rows(batch) * (number + 1) // count) for number in range(count)]
    return [
        Batch(_cut(batch.inputs, start, end), _cut(batch.targets, start, end))
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def _cut(arrays: Arrays, start: int, end: int) -> Any:
    if isinstance(arrays, Mapping):
        return {name: array[start:end] for name, array in arrays.items()}
    return arrays[start:end]
