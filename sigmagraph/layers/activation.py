"""The activations by name, and the layer that applies one to every element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sigmagraph.errors import AttributeValueError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.ops.dense import ACTIVATIONS
from sigmagraph.tensor.tensor import Tensor, emit

# Other names that activations go by; "rel" is Sigma.Core's.
ALIASES: Mapping[str, str] = MappingProxyType({"rel": "relu", "linear": "none", "swish": "silu"})


@dataclass(frozen=True)
class Activation(Layer):
    """A function by name, such as ``relu``, ``gelu``, ``tanh``; ``softmax`` and ``log_softmax`` go along the last axis.

    ``none`` gives x itself. Functions with numbers to choose are functions of tensors, which stand in a network as they
    are: ``L.Dense(8) + (lambda x: sg.leaky_relu(x, 0.2))``.

    Raises:
        AttributeValueError: there is no such function.
    """

    function: str
    name: str = "#-activation"

    def __post_init__(self) -> None:
        check_activation(self.function, self.name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        return activate(x, self.function)


def check_activation(function: str, layer: str) -> None:
    """Raise AttributeValueError unless there is an activation of that name."""
    if not isinstance(function, str) or canonical(function) not in ACTIVATIONS:
        raise AttributeValueError(
            f"the layer '{layer}' has no such activation",
            expected=", ".join([*ACTIVATIONS, *ALIASES]),
            got=repr(function),
        )


def canonical(function: str) -> str:
    """The name of an activation that goes by another one."""
    return ALIASES.get(function, function)


def activate(x: Tensor, function: str) -> Tensor:
    """The activation of that name of a tensor."""
    known = canonical(function)
    return x if known == "none" else emit(known, x)
