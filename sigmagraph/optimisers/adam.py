"""Adam and AdamW: steps from running means of gradients and of their squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sigmagraph.dtypes import F32
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.functions import sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class Adam(Optimiser):
    """``m' = b1 * m + (1 - b1) * g``, ``v' = b2 * v + (1 - b2) * g * g``, ``w - rate * M / (sqrt(V) + epsilon)``.

    ``M = m' / (1 - b1**t)`` and ``V = v' / (1 - b2**t)`` undo the bias of the means, which start at 0. The powers are
    kept as products, so that they stay right when the betas are changed on the way. What is the same for all weights is
    divided once: each of them costs one division and one root.

    Source: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), a beta not in [0, 1), or epsilon not in (0, inf).
    """

    learning_rate: Number = 0.001
    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: Number = 1e-8

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (
            specify("learning_rate", self.learning_rate),
            specify("beta1", self.beta1, 1),
            specify("beta2", self.beta2, 1),
            specify("epsilon", self.epsilon, positive=True),
        )

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        epsilon = graph.scalar("epsilon")
        beta1, beta2 = graph.scalar("beta1"), graph.scalar("beta2")
        correction = _correction(graph, "beta1")
        spread = 1 / sqrt(_correction(graph, "beta2"))
        for w, g in pairs.items():
            mean, squares = graph.remember_like(w, "mean"), graph.remember_like(w, "squares")
            m = graph.set(mean, beta1 * mean + (1 - beta1) * g)
            v = graph.set(squares, beta2 * squares + (1 - beta2) * (g * g))
            graph.set(w, w - (graph.rate(w) / correction) * m / (sqrt(v) * spread + epsilon))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: ``learning_rate * weight_decay * w`` is taken away besides Adam's step.

    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2; the decay is
    multiplied with the learning rate, as is usual.

    Raises:
        AttributeValueError: as for Adam, or the decay is not in [0, inf).
    """

    weight_decay: Number | None = field(default=0.01, kw_only=True)

    decoupled: ClassVar[bool] = True


def _correction(graph: OptimiserGraph, beta: str) -> Tensor:
    """``1 - beta ** t``, with t the number of steps including this one."""
    power = graph.remember(f"{beta}_power", F32, initial=1.0)
    return 1 - graph.set(power, power * graph.scalar(beta))
