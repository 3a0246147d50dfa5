"""Gradient descent: plain, and with momentum in two forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class SGD(Optimiser):
    """Stochastic gradient descent: ``w - learning_rate * g``.

    Source: H. Robbins, S. Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22 (1951).

    Raises:
        AttributeValueError: the learning rate is not in [0, inf).
    """

    learning_rate: Number = 0.01

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (specify("learning_rate", self.learning_rate),)

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        for w, g in pairs.items():
            graph.set(w, w - graph.rate(w) * g)


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Gradient descent with momentum: ``v' = momentum * v - learning_rate * g``, ``w + v'``; v starts at 0.

    Source: B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964), in the form of I.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, equations 1 and 2.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or the momentum not in [0, 1).
    """

    learning_rate: Number = 0.01
    momentum: Number = 0.9

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return specify("learning_rate", self.learning_rate), specify("momentum", self.momentum, 1)

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        momentum = graph.scalar("momentum")
        for w, g in pairs.items():
            velocity = graph.remember_like(w, "velocity")
            graph.set(w, w + graph.set(velocity, momentum * velocity - graph.rate(w) * g))


@dataclass(frozen=True)
class Nesterov(Momentum):
    """Nesterov's momentum: ``v' = momentum * v - learning_rate * g``, ``w + momentum * v' - learning_rate * g``.

    The parameters that gradients are taken at are those after the look-ahead, so that ``w`` is the point
    ``x + momentum * v`` of the original, and one gradient a step suffices; v starts at 0.

    Source: Y. Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k^2)" (1983), in
    the form of Y. Bengio et al., "Advances in optimizing recurrent networks", ICASSP 2013, equations 6 and 7.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or the momentum not in [0, 1).
    """

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        momentum = graph.scalar("momentum")
        for w, g in pairs.items():
            velocity, slope = graph.remember_like(w, "velocity"), graph.rate(w) * g
            graph.set(w, w + momentum * graph.set(velocity, momentum * velocity - slope) - slope)
