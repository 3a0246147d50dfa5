"""RMSprop: steps divided by a running root mean square of the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import PREFIX, OptimiserGraph, specify
from sigmagraph.tensor.functions import maximum, sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """``s' = decay * s + (1 - decay) * g * g``, ``w - learning_rate * g / (sqrt(s') + epsilon)``; s starts at 0.

    With ``centred`` the square of a running mean ``m' = decay * m + (1 - decay) * g`` is taken away from ``s'`` under
    the root, which leaves the variance. With a ``momentum``, ``v' = momentum * v + g / (sqrt(s') + epsilon)`` is what
    the learning rate is multiplied with. m and v start at 0.

    Source: T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5 (2012); centred and with
    momentum: A. Graves, "Generating sequences with recurrent neural networks", arXiv 1308.0850 (2013), equations 38 to
    41, here with epsilon outside of the root.

    Raises:
        AttributeValueError: the learning rate is not in [0, inf), the decay or the momentum not in [0, 1), epsilon not
            in (0, inf), or ``centred`` neither true nor false.
    """

    learning_rate: Number = 0.01
    decay: Number = 0.99
    epsilon: Number = 1e-8
    momentum: Number | None = None
    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.centred, bool):
            raise AttributeValueError(
                f"'{PREFIX}.centred' makes no sense", expected="True or False", got=repr(self.centred)
            )

    def specifications(self) -> tuple[Hyperparameter, ...]:
        known = (
            specify("learning_rate", self.learning_rate),
            specify("decay", self.decay, 1),
            specify("epsilon", self.epsilon, positive=True),
        )
        return known if self.momentum is None else (*known, specify("momentum", self.momentum, 1))

    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        decay, epsilon = graph.scalar("decay"), graph.scalar("epsilon")
        for w, g in pairs.items():
            squares = graph.remember_like(w, "squares")
            s = graph.set(squares, decay * squares + (1 - decay) * (g * g))
            if self.centred:
                mean = graph.remember_like(w, "mean")
                m = graph.set(mean, decay * mean + (1 - decay) * g)
                s = maximum(s - m * m, 0)  # rounding may leave less than nothing of a variance
            change = g / (sqrt(s) + epsilon)
            if self.momentum is not None:
                velocity = graph.remember_like(w, "velocity")
                change = graph.set(velocity, graph.scalar("momentum") * velocity + change)
            graph.set(w, w - graph.rate(w) * change)
