"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.optimisers.base import Optimiser, OptimiserGraph, specify
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class SGD(Optimiser):
    """Stochastic gradient descent: ``w - learning_rate * g``.

    Source: H. Robbins, S. Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22 (1951).

    Raises:
        AttributeValueError: the learning rate is not in [0, inf).
    """

    learning_rate: float = 0.01

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (specify("learning_rate", self.learning_rate),)

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        rate = graph.scalar("learning_rate")
        for w, g in pairs.items():
            graph.set(w, w - rate * g)


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Gradient descent with momentum: ``v' = momentum * v - learning_rate * g``, ``w + v'``; v starts at 0.

    Source: B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964), in the form of I.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, equations 1 and 2.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), or the momentum not in [0, 1).
    """

    learning_rate: float = 0.01
    momentum: float = 0.9

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return specify("learning_rate", self.learning_rate), specify("momentum", self.momentum, 1)

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        rate, momentum = graph.scalar("learning_rate"), graph.scalar("momentum")
        for w, g in pairs.items():
            velocity = graph.remember_like(w, "velocity")
            graph.set(w, w + graph.set(velocity, momentum * velocity - rate * g))
