"""Adadelta: steps in the units of the weights, without a rate that has to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.functions import sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class Adadelta(Optimiser):
    """``w - learning_rate * d`` with ``d = sqrt(u + epsilon) / sqrt(s' + epsilon) * g``.

    ``s' = decay * s + (1 - decay) * g * g`` and ``u' = decay * u + (1 - decay) * d * d`` are running means, which start
    at 0.

    Source: M. D. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv 1212.5701 (2012), algorithm 1, where the
    learning rate is 1.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), the decay not in [0, 1), or epsilon not in (0, inf).
    """

    learning_rate: Number = 1.0
    decay: Number = 0.9
    epsilon: Number = 1e-6

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (
            specify("learning_rate", self.learning_rate),
            specify("decay", self.decay, 1),
            specify("epsilon", self.epsilon, positive=True),
        )

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        decay, epsilon = graph.scalar("decay"), graph.scalar("epsilon")
        for w, g in pairs.items():
            squares, steps = graph.remember_like(w, "squares"), graph.remember_like(w, "steps")
            s = graph.set(squares, decay * squares + (1 - decay) * (g * g))
            change = sqrt(steps + epsilon) / sqrt(s + epsilon) * g
            graph.set(steps, decay * steps + (1 - decay) * (change * change))
            graph.set(w, w - graph.rate(w) * change)
