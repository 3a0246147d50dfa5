"""The layer in which every output depends on every input."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.layers.activation import check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.flatten import flat
from sigmagraph.tensor.functions import dense
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Dense(Layer):
    """``activation(x @ weights + biases)``: [batch, ...] -> [batch, size].

    All axes of x but the first are flattened. Parameters, of x's dtype: ``weights`` [inputs, size], ``biases`` [size].

    Raises:
        AttributeValueError: the size is not positive, or there is no such activation.
    """

    size: int
    activation: str = "none"
    name: str = "#-dense"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise AttributeValueError(
                f"the layer '{self.name}' cannot have this size", expected="an int of 1 or more", got=repr(self.size)
            )
        check_activation(self.activation, self.name)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if not x.dtype.is_float:
            raise DTypeError("it multiplies floats", expected="a float type", got=x.dtype)
        rows = flat(x)
        inputs = rows.shape[1]
        if isinstance(inputs, Dim):
            raise ShapeError("its weights need a known number of inputs", expected="a number", got=inputs)
        weights = site.parameter("weights", (inputs, self.size), x.dtype)
        biases = site.parameter("biases", (self.size,), x.dtype, initial=0)
        return dense(rows, weights, biases, self.activation)
