"""Where a training stands, and what happened so far."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.training.evaluation import Evaluation

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of training.

    Attributes:
        number: from 1.
        cost: mean over the epoch's iterations of what training makes small, while the network changed.
        validation: the verdict on held-out records at its end; None without any.
        step_seconds: what each iteration took, without the time to gather its batch.
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


@dataclass(slots=True)
class Course:
    """Where a training stands.

    Attributes:
        batch: batches of the current epoch that are done.
        iteration: iterations that are done, of all epochs.
        seconds: that training took, without pauses.
        costs: of the iterations of the current epoch.
        step_seconds: what they took.
        history: the epochs that are done.
    """

    batch: int = 0
    iteration: int = 0
    seconds: float = 0.0
    costs: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.history.epochs)

    def step(self, batches: int, cost: float, seconds: float) -> None:
        """An iteration over some batches is done."""
        self.batch += batches
        self.iteration += 1
        self.costs.append(cost)
        self.step_seconds.append(seconds)

    def close(self, validation: Evaluation | None) -> Epoch:
        """The epoch is done."""
        cost = statistics.fmean(self.costs) if self.costs else float("nan")
        epoch = Epoch(self.epoch + 1, cost, validation, tuple(self.step_seconds))
        self.history.epochs.append(epoch)
        self.batch = 0
        self.costs, self.step_seconds = [], []
        return epoch

    def document(self) -> dict[str, Any]:
        """All but the times of single iterations in plain values."""
        return {
            "batch": self.batch,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "costs": list(self.costs),
            "epochs": [
                {
                    "cost": e.cost,
                    "steps": len(e.step_seconds),
                    "validation": [e.validation.cost, e.validation.accuracy] if e.validation else None,
                }
                for e in self.history.epochs
            ],
        }

    def times(self) -> NDArray:
        """f64[iterations], the seconds of all iterations."""
        past = [seconds for epoch in self.history.epochs for seconds in epoch.step_seconds]
        return np.array([*past, *self.step_seconds], np.float64)

    @classmethod
    def of(cls, document: Mapping[str, Any], times: NDArray) -> Course:
        """The course that a document and times tell of."""
        left = [float(seconds) for seconds in times]
        history = History()
        for number, epoch in enumerate(document["epochs"], 1):
            seconds, left = tuple(left[: epoch["steps"]]), left[epoch["steps"] :]
            verdict = epoch["validation"] and Evaluation(*epoch["validation"])
            history.epochs.append(Epoch(number, epoch["cost"], verdict, seconds))
        return cls(
            document["batch"], document["iteration"], document["seconds"], list(document["costs"]), left, history
        )
