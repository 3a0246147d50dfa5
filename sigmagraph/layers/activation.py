"""The layer that applies a function to every element."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.ops.dense import ACTIVATIONS
from sigmagraph.tensor.tensor import Tensor, emit


@dataclass(frozen=True)
class Activation(Layer):
    """A function by name: ``none``, ``relu``, ``sigmoid``, ``tanh``; along the last axis ``softmax``, ``log_softmax``.

    Raises:
        AttributeValueError: there is no such function.
    """

    function: str
    name: str = "#-activation"

    def __post_init__(self) -> None:
        check_activation(self.function, self.name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        return x if self.function == "none" else emit(self.function, x)


def check_activation(function: str, layer: str) -> None:
    """Raise AttributeValueError unless there is an activation of that name."""
    if function not in ACTIVATIONS:
        raise AttributeValueError(
            f"the layer '{layer}' has no such activation", expected=", ".join(ACTIVATIONS), got=repr(function)
        )
