"""The layers at a network's ends: what comes in and what goes out."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, DType, as_dtype
from sigmagraph.errors import GraphError, ShapeError
from sigmagraph.ir.graph.types import as_shape
from sigmagraph.layers.assembly import Site, current
from sigmagraph.layers.base import Layer
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.shapes import text
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.workspace import here

BATCH = Dim("batch")


@dataclass(frozen=True, init=False)
class Input(Layer):
    """Records of a shape, any number of them at a call: the first layer of a chain.

    A network with several inputs calls each without operands in a function: ``x = L.Input(64, alias="image")()``.

    Args:
        shape: of one record, without the batch.
        alias: name of the network's input.
        dtype: element type.

    Raises:
        ShapeError: a size is negative or no size.
    """

    shape: tuple[Size, ...]
    alias: str
    dtype: DType
    name: str

    def __init__(self, *shape: Size, alias: str = "inputs", dtype: object = F32, name: str = "#-input") -> None:
        object.__setattr__(self, "shape", as_shape(shape))
        object.__setattr__(self, "alias", alias)
        object.__setattr__(self, "dtype", as_dtype(dtype))
        object.__setattr__(self, "name", name)

    def __call__(self, *operands: Tensor, **named: Tensor) -> Tensor:
        assembly = current(self)
        if operands:
            return assembly.apply(self, operands, named)
        if self.alias in assembly.inputs:
            raise GraphError(
                f"two inputs are called '{self.alias}'",
                expected="each alias once",
                location=here(),
                hint="L.Input(..., alias='another')",
            )
        given = assembly.given.get(self.alias)
        x = placeholder(self.alias, (BATCH, *self.shape), self.dtype) if given is None else given
        assembly.inputs[self.alias] = x
        return assembly.apply(self, [x], named)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if x is not site.assembly.inputs.get(self.alias):
            raise GraphError("an input can only stand first", expected="no operand", got=x.type)
        return x


@dataclass(frozen=True, init=False)
class Output(Layer):
    """Gives what it takes, says that the network gives it too, and makes sure of the promised shape.

    A network without one gives its last result.

    Args:
        shape: of one record, without the batch; any when left out.
        alias: name of the network's output.

    Raises:
        ShapeError: a size is negative or no size.
    """

    shape: tuple[Size, ...] | None
    alias: str
    name: str

    def __init__(self, *shape: Size, alias: str = "prediction", name: str = "#-output") -> None:
        object.__setattr__(self, "shape", as_shape(shape) if shape else None)
        object.__setattr__(self, "alias", alias)
        object.__setattr__(self, "name", name)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if self.shape is not None and x.shape[1:] != self.shape:
            raise ShapeError("the shape is not the promised one", expected=text(self.shape), got=text(x.shape[1:]))
        outputs = site.assembly.outputs
        if self.alias in outputs:
            raise GraphError(
                f"two outputs are called '{self.alias}'", expected="each alias once", hint="L.Output(alias='another')"
            )
        outputs[self.alias] = x
        return x
