"""The layer that looks rows of a table up."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dtypes import F32, DType, as_dtype
from sigmagraph.errors import AttributeValueError, DTypeError
from sigmagraph.initialisers import Normal
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, making
from sigmagraph.tensor.functions import equal, take, where
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Embedding(Layer):
    """A row of learnt numbers for each index: integers [batch, ...] -> [batch, ..., size].

    Parameter: ``weights`` [count, size], drawn from the normal distribution with standard deviation 1. A program that
    gets an index outside 0 .. count - 1 refuses the call.

    Args:
        count: number of rows.
        size: of a row.
        padding_index: an index that stands for nothing: its row is 0 and learns nothing.
        dtype: of the weights.
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range.
        DTypeError: the dtype is none of floats.
    """

    count: int
    size: int
    padding_index: int | None = None
    dtype: object = F32
    name: str = "#-embedding"

    def __post_init__(self) -> None:
        with making(self.name):
            check_count(self.count, "count")
            check_count(self.size, "size")
            self._floats()
            if self.padding_index is not None and self.padding_index not in range(self.count):
                raise AttributeValueError(
                    "'padding_index' is out of range",
                    expected=f"an index from 0 to {self.count - 1}",
                    got=repr(self.padding_index),
                )

    def _floats(self) -> DType:
        dtype = as_dtype(self.dtype)
        if not dtype.is_float:
            raise DTypeError("rows are floats", expected="a float type", got=dtype)
        return dtype

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if not x.dtype.is_integer:
            raise DTypeError("it takes indices", expected="an integer type", got=x.dtype)
        weights = site.parameter("weights", (self.count, self.size), self._floats(), Normal(1.0))
        rows = take(weights, x)
        return rows if self.padding_index is None else where(equal(x, self.padding_index)[..., None], 0.0, rows)
