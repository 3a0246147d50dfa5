"""The type of a value: element type and shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sigmagraph.dims import Dim, Size, product
from sigmagraph.dtypes import DType
from sigmagraph.errors import ShapeError


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a value; sizes are ints or Dim expressions."""

    dtype: DType
    shape: tuple[Size, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """Number of elements."""
        return _elements(self.shape)

    @property
    def bytes(self) -> Size:
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@lru_cache(maxsize=1 << 12)
def _elements(shape: tuple[Size, ...]) -> Size:
    return product(shape)


def as_shape(sizes: Iterable[Size] | Size) -> tuple[Size, ...]:
    """A shape from an int, a Dim or an iterable of them.

    Raises:
        ShapeError: a size is negative or neither an int nor a Dim.
    """
    if isinstance(sizes, (int, Dim)):
        sizes = (sizes,)
    out: list[Size] = []
    for size in sizes:
        if isinstance(size, bool) or not (isinstance(size, Dim) or hasattr(size, "__index__")):
            raise ShapeError("a size is neither an int nor a Dim", expected="int or Dim", got=repr(size))
        size = size if isinstance(size, Dim) else size.__index__()
        if isinstance(size, int) and size < 0:
            raise ShapeError("a size is negative", expected="at least 0", got=size)
        out.append(size)
    return tuple(out)
