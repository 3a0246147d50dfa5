"""One worker, which trains the network itself: the whole step is one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sigmagraph.data.dataset import Batch
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.graphs import ForwardGraph, TrainGraph, train_graph
from sigmagraph.training.operators.crew import Crew, Outcome, Task
from sigmagraph.training.operators.worker import Memory, Worker
from sigmagraph.training.steps import Fetch


class Solo(Crew):
    """One worker."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        name = f"{task.network.name}.train"
        self._worker = Worker(task.network, self._graph, {}, name, task.target, task.step_options)
        self.hyperparameters = self._worker.hyperparameters

    def _graph(self, forward: ForwardGraph, memory: Memory) -> TrainGraph:
        return train_graph(forward, self.task.optimiser, self.task.network.frozen, memory)

    @property
    def memory(self) -> dict[str, Parameter]:
        return self._worker.memory

    @property
    def identifiers(self) -> frozenset[str]:
        return self._worker.identifiers

    @property
    def program(self) -> CompiledFunction:
        return self._worker.step().program

    def prepare(self, fetch: Fetch) -> None:
        self._worker.step(fetch)

    def run(self, batches: Sequence[Batch], fetch: Fetch) -> Outcome:
        values = self._worker.run(batches[0], self.hyperparameters, fetch)
        return Outcome(values, {0: values})

    def call(self, batch: Batch) -> tuple[CompiledFunction, dict[str, Any]]:
        step = self._worker.step()
        return step.program, step.arguments(batch, self.hyperparameters)

    def restart(self, *, keep: bool) -> None:
        self._worker.restart(self.memory if keep else None)
