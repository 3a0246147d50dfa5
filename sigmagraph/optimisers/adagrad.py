"""Adagrad: a step for each weight that shrinks with its past gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.functions import sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class Adagrad(Optimiser):
    """``s' = s + g * g``, ``w - learning_rate * g / (sqrt(s') + epsilon)``; s starts at 0.

    Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011), figure 1 with diagonal matrices.
    Epsilon keeps a weight without gradients where it is.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or epsilon not in (0, inf).
    """

    learning_rate: Number = 0.01
    epsilon: Number = 1e-10

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return specify("learning_rate", self.learning_rate), specify("epsilon", self.epsilon, positive=True)

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        epsilon = graph.scalar("epsilon")
        for w, g in pairs.items():
            squares = graph.remember_like(w, "squares")
            total = graph.set(squares, squares + g * g)
            graph.set(w, w - graph.rate(w) * g / self.root(total, epsilon))

    def root(self, squares: Tensor, epsilon: Tensor) -> Tensor:
        """What the gradient is divided by."""
        return sqrt(squares) + epsilon


@dataclass(frozen=True)
class SigmaAdagrad(Adagrad):
    """Adagrad as in Sigma.Core, for runs that are to be like its own: ``w - learning_rate * g / sqrt(s' + epsilon)``.

    Epsilon stands under the root, and is 1e-6 unless it is given.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or epsilon not in (0, inf).
    """

    epsilon: Number = 1e-6

    def root(self, squares: Tensor, epsilon: Tensor) -> Tensor:
        """What the gradient is divided by."""
        return sqrt(squares + epsilon)
