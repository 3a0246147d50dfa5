"""Lion: steps of one length, in the direction of a running mean's sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.math import sign
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class Lion(Optimiser):
    """``w - learning_rate * sign(beta1 * m + (1 - beta1) * g)``, ``m' = beta2 * m + (1 - beta2) * g``; m starts at 0.

    Weight decay is decoupled. Every weight moves by the learning rate, so that a third to a tenth of Adam's is enough.

    Source: X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or a beta not in [0, 1).
    """

    learning_rate: Number = 0.0001
    beta1: Number = 0.9
    beta2: Number = 0.99

    decoupled: ClassVar[bool] = True

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (
            specify("learning_rate", self.learning_rate),
            specify("beta1", self.beta1, 1),
            specify("beta2", self.beta2, 1),
        )

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        beta1, beta2 = graph.scalar("beta1"), graph.scalar("beta2")
        for w, g in pairs.items():
            mean = graph.remember_like(w, "mean")
            graph.set(w, w - graph.rate(w) * sign(beta1 * mean + (1 - beta1) * g))
            graph.set(mean, beta2 * mean + (1 - beta2) * g)
