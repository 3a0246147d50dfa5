"""Trains a network: one compiled step for every batch, a verdict after every epoch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sigmagraph.data.dataset import Batches, Dataset
from sigmagraph.driver import compile
from sigmagraph.errors import AttributeValueError
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.evaluation import Evaluation, Evaluator
from sigmagraph.training.feed import feed
from sigmagraph.training.graphs import TrainGraph
from sigmagraph.training.network import Network
from sigmagraph.training.progress import Progress


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of training.

    Attributes:
        number: from 1.
        cost: mean over the epoch's batches of what training makes small, while the network changed.
        validation: the verdict on held-out records at its end; None without any.
        step_seconds: what each step took, without the time to gather its batch.
    """

    number: int
    cost: float
    validation: Evaluation | None
    step_seconds: tuple[float, ...]

    def __str__(self) -> str:
        parts = [f"epoch {self.number:3}", f"cost {self.cost:.4f}"]
        if self.validation is not None:
            parts.append(f"held-out cost {self.validation.cost:.4f}")
            if self.validation.accuracy is not None:
                parts.append(f"accuracy {100 * self.validation.accuracy:.2f} %")
        return "  ".join([*parts, f"{sum(self.step_seconds):.2f} s"])


@dataclass(slots=True)
class History:
    """What happened in training."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def costs(self) -> list[float]:
        """Mean cost of each epoch."""
        return [epoch.cost for epoch in self.epochs]

    @property
    def accuracies(self) -> list[float | None]:
        """Held-out accuracy after each epoch."""
        return [epoch.validation.accuracy if epoch.validation else None for epoch in self.epochs]

    @property
    def step_seconds(self) -> float:
        """Median seconds of a step; 0 before the first one."""
        steps = [seconds for epoch in self.epochs for seconds in epoch.step_seconds]
        return statistics.median(steps) if steps else 0.0


class Trainer:
    """Trains a network on batches of a dataset.

    The step (forward, backward, optimiser) is compiled here, once, and again only when other parameters of the network
    are frozen. What it computes is a function of the network's seed and parameters, the batches' seed and the
    hyperparameters.

    Args:
        network: with a cost layer; its parameters are changed.
        optimiser: how they are changed.
        data: what is learnt from.
        validation: records that are held out, to judge the network by after every epoch.
        seed: if given, the network's parameters are drawn anew with it.
        target: what code is made for, such as ``cpu`` or ``cpu:1``.
        options: what else changes the code, such as ``CompileOptions(fast=True)``.

    Attributes:
        hyperparameters: run-time scalars by name, such as ``optimiser.learning_rate``; they are read at every step and
            may be set at any time, to numbers or to schedules.
        memory: what the optimiser keeps from step to step, by name.
        history: all epochs so far.
        steps: number of all steps so far.

    Raises:
        AttributeValueError: ``data`` is a dataset that is not in batches, or the seed is out of range.
        GraphError: the network has no cost layer, or no parameters that are not frozen.
        IdentifierError: a pattern of the optimiser names no parameter.
    """

    def __init__(
        self,
        network: Network,
        optimiser: Optimiser,
        data: Batches,
        validation: Dataset | None = None,
        seed: int | None = None,
        target: str = "cpu",
        options: CompileOptions | None = None,
    ) -> None:
        if not isinstance(data, Batches):
            raise AttributeValueError(
                "a trainer takes batches", expected="dataset.batches(size)", got=type(data).__name__
            )
        if not isinstance(optimiser, Optimiser):
            raise AttributeValueError(
                "a trainer takes an optimiser", expected="one of sg.optimisers", got=type(optimiser).__name__
            )
        if seed is not None:
            network.reset(seed)
        self.network = network
        self.optimiser = optimiser
        self.data = data
        self.validation = validation
        self.history = History()
        self.steps = 0
        self._target = target
        self._options = options
        self.hyperparameters = self._compile({}).hyperparameters

    @property
    def step(self) -> CompiledFunction:
        """The compiled step; another one as soon as other parameters of the network are frozen.

        Parameters that stay in training keep what the optimiser remembers of them. When further ones join them, the
        optimiser starts anew, because its running means are measured by the number of steps since its start.

        Raises:
            GraphError: all parameters are frozen.
        """
        if self.network.frozen != self._frozen:
            joined = [name for name in self._frozen if name not in self.network.frozen]
            self._compile({} if joined else self.memory)
        return self._step

    def _compile(self, memory: Mapping[str, Parameter]) -> TrainGraph:
        """Make the step for the parameters that are not frozen now; the optimiser goes on from its memory."""
        frozen, graph = self.network.frozen, self.network.train_graph(self.optimiser, memory)
        name = f"{self.network.name}.train"
        self._step = compile(graph.inputs, graph.outputs, graph.updates, self._target, name=name, options=self._options)
        self._records, self._targets = graph.records, graph.targets
        self._frozen, self.memory = frozen, graph.memory
        return graph

    def run(self, epochs: int, *, bar: bool | None = None, lines: bool = True) -> History:
        """Train for some more epochs.

        Args:
            epochs: how many.
            bar: whether a progress bar moves on stderr; None draws one if stderr is a terminal.
            lines: whether a line is printed after every epoch.

        Returns:
            All epochs so far, those of earlier runs included.

        Raises:
            AttributeValueError: the number of epochs is not a natural number, or a schedule gives a number that makes
                no sense.
            InputError: the data is not what the network takes.
            GraphError: all parameters are frozen.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
            raise AttributeValueError("training takes a number of epochs", expected="0, 1, 2, ...", got=repr(epochs))
        with Progress(epochs, len(self.data), bar=bar, lines=lines) as progress:
            for _ in range(epochs):
                epoch = self._epoch(len(self.history.epochs) + 1, progress)
                self.history.epochs.append(epoch)
                progress.line(str(epoch))
        return self.history

    def evaluate(self, dataset: Dataset) -> Evaluation:
        """Judge the network as it is now on a dataset.

        Raises:
            AttributeValueError: the dataset is empty.
            InputError: its arrays are not what the network takes.
        """
        scalars = self._evaluator.hyperparameters
        scalars.update((name, self.hyperparameters[name]) for name in scalars)
        return self._evaluator(dataset)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.network, self._target, self._options)

    def _epoch(self, number: int, progress: Progress) -> Epoch:
        costs, seconds = [], []
        for place, batch in enumerate(self.data.epoch(number - 1)):
            step = self.step
            arrays = feed(batch, self._records, self._targets)
            self.hyperparameters.advance(self.steps, number - 1 + place / len(self.data))
            start = time.perf_counter()
            cost = float(step(**arrays, **self.hyperparameters)["cost"])
            seconds.append(time.perf_counter() - start)
            self.steps += 1
            costs.append(cost)
            progress.step(number, cost)
        validation = None if self.validation is None else self.evaluate(self.validation)
        return Epoch(number, statistics.fmean(costs), validation, tuple(seconds))
