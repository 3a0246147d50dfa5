"""The layer that gives every input a weight of its own."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.layers.activation import activate, check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_floats, known, making
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Elementwise(Layer):
    """``activation(x * weights + biases)`` by element: [..., features] -> [..., features].

    Sigma.Core's layer of this name forgets the activation and has one bias for all elements: its network is that of
    ``Elementwise("none", bias="scalar")``. Parameters, of x's dtype: ``weights`` [features], at first 1, and ``biases``
    [features] or [].

    Args:
        activation: what the elements go through, by name.
        bias: ``vector`` for one of each element, ``scalar`` for one of all, ``none``.

    Raises:
        AttributeValueError: there is no such activation or bias.
    """

    activation: str = "tanh"
    _: KW_ONLY
    bias: str = "vector"
    name: str = "#-elementwise"

    def __post_init__(self) -> None:
        check_activation(self.activation, self.name)
        with making(self.name):
            if self.bias not in ("vector", "scalar", "none"):
                raise AttributeValueError("there is no such bias", expected="vector, scalar, none", got=repr(self.bias))

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        if not x.ndim:
            raise ShapeError("a scalar has no features", expected="[..., features]", got=x.type)
        features = known(x.shape[-1], "the number of features")
        y = x * site.parameter("weights", (features,), x.dtype, initial=1)
        if self.bias != "none":
            y = y + site.parameter("biases", (features,) if self.bias == "vector" else (), x.dtype, initial=0)
        return activate(y, self.activation)
