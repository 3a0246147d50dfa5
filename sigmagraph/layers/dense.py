"""The layer in which every output depends on every input."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.errors import ShapeError
from sigmagraph.layers.activation import activate, canonical, check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, check_floats, known, making
from sigmagraph.layers.flatten import flat
from sigmagraph.tensor.functions import dense
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Dense(Layer):
    """``activation(x @ weights + biases)``: [batch, ...] -> [batch, size], or [..., inputs] -> [..., size].

    Parameters, of x's dtype: ``weights`` [inputs, size], ``biases`` [size].

    Args:
        size: number of outputs.
        activation: what they go through, by name.
        bias: whether there are biases.
        flatten: whether all axes but the first count as inputs, or only the last one.

    Raises:
        AttributeValueError: the size is not positive, or there is no such activation.
    """

    size: int
    activation: str = "none"
    name: str = "#-dense"
    bias: bool = True
    flatten: bool = True

    def __post_init__(self) -> None:
        with making(self.name):
            check_count(self.size, "size")
        check_activation(self.activation, self.name)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        rows = flat(x) if self.flatten else x
        if not rows.ndim:
            raise ShapeError("a scalar has no inputs", expected="[..., inputs]", got=x.type)
        inputs = known(rows.shape[-1], "the number of inputs of its weights")
        weights = site.parameter("weights", (inputs, self.size), x.dtype)
        if not self.bias:
            return activate(rows @ weights, self.activation)
        biases = site.parameter("biases", (self.size,), x.dtype, initial=0)
        return dense(rows, weights, biases, canonical(self.activation))
