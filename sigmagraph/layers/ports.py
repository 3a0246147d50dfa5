"""The layers at a network's ends: what comes in and what goes out."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, DType, as_dtype
from sigmagraph.errors import GraphError, ShapeError
from sigmagraph.ir.graph.types import as_shape
from sigmagraph.layers.base import Layer, Site
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.shapes import text
from sigmagraph.tensor.tensor import Tensor

BATCH = Dim("batch")


@dataclass(frozen=True, init=False)
class Input(Layer):
    """Records of a shape, any number of them at a call; the first layer of every network.

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

    def placeholder(self) -> Tensor:
        """The tensor [batch, ...] that a call hands in."""
        return placeholder(self.alias, (BATCH, *self.shape), self.dtype)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if site.number > 0:
            raise GraphError("an input can only stand first")
        return x


@dataclass(frozen=True, init=False)
class Output(Layer):
    """Gives what it takes, and makes sure that it has the shape that the network promises.

    Args:
        shape: of one record, without the batch; any when left out.

    Raises:
        ShapeError: a size is negative or no size.
    """

    shape: tuple[Size, ...] | None
    name: str

    def __init__(self, *shape: Size, name: str = "#-output") -> None:
        object.__setattr__(self, "shape", as_shape(shape) if shape else None)
        object.__setattr__(self, "name", name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        if self.shape is not None and x.shape[1:] != self.shape:
            raise ShapeError("the shape is not the promised one", expected=text(self.shape), got=text(x.shape[1:]))
        return x
