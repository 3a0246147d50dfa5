"""The layers that give networks their structure: ways around, branches that meet again, other shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from sigmagraph.dims import Dim, Size, product
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.ir.graph.types import as_shape
from sigmagraph.layers.base import Composable, Layer, Site, chain
from sigmagraph.tensor.functions import concatenate
from sigmagraph.tensor.shapes import reshaped, text
from sigmagraph.tensor.tensor import Tensor, located

# ---- where branches meet


@dataclass(frozen=True)
class Add(Layer):
    """The sum of all operands, which have equal shapes: ``L.Add()(a, b, c)``."""

    name: str = "#-add"

    def forward(self, x: Tensor, _site: Site, /, *others: Tensor) -> Tensor:
        return _folded(lambda a, b: a + b, x, *others)


@dataclass(frozen=True)
class Multiply(Layer):
    """The product of all operands by element, which have equal shapes: ``L.Multiply()(a, b, c)``."""

    name: str = "#-multiply"

    def forward(self, x: Tensor, _site: Site, /, *others: Tensor) -> Tensor:
        return _folded(lambda a, b: a * b, x, *others)


@dataclass(frozen=True)
class Concat(Layer):
    """All operands one after the other along an axis, the last one by default: ``L.Concat()(a, b, c)``."""

    axis: int = -1
    name: str = "#-concat"

    def forward(self, x: Tensor, _site: Site, /, *others: Tensor) -> Tensor:
        return concatenate([x, *others], self.axis)


def _folded(join: Callable[[Tensor, Tensor], Tensor], *operands: Tensor) -> Tensor:
    first = operands[0]
    for other in operands[1:]:
        if not _alike(first, other):
            raise ShapeError("its operands have different shapes", expected=text(first.shape), got=text(other.shape))
    return reduce(join, operands)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two shapes are equal, or may turn out to be."""
    if a.ndim != b.ndim:
        return False
    return all(not isinstance(m - n, int) or m == n for m, n in zip(a.shape, b.shape, strict=True))


# ---- ways around and beside


@dataclass(frozen=True)
class Residual(Layer):
    """``x + inner(x)``, for an inner part that keeps the shape. Source: K. He et al., "Deep residual learning" (2015).

    Raises:
        AttributeValueError: the inner part is neither a layer nor a function.
    """

    inner: Composable
    name: str = "#-residual"

    def __post_init__(self) -> None:
        chain(self.inner)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        y = chain(self.inner)(x)
        if not _alike(x, y):
            raise ShapeError("its inner part gives another shape", expected=text(x.shape), got=text(y.shape))
        return x + y


@dataclass(frozen=True, init=False)
class Parallel(Layer):
    """Several parts side by side on one operand, and what they give joined: ``L.Parallel(a, b, merge=L.Concat())``.

    Args:
        branches: layers, chains or functions.
        merge: takes as many operands as there are branches.

    Raises:
        AttributeValueError: there are no branches, or one is neither a layer nor a function.
    """

    branches: tuple[Composable, ...]
    merge: Composable
    name: str

    def __init__(self, *branches: Composable, merge: Composable | None = None, name: str = "#-parallel") -> None:
        if not branches:
            raise AttributeValueError(f"the layer '{name}' has no branches", expected="one or more", got="none")
        joined = Concat() if merge is None else merge
        for part in (*branches, joined):
            chain(part)
        object.__setattr__(self, "branches", branches)
        object.__setattr__(self, "merge", joined)
        object.__setattr__(self, "name", name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        return chain(self.merge)(*[chain(branch)(x) for branch in self.branches])


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """A part that is applied to every step: [batch, time, ...] -> [batch, time, ...] with one set of parameters.

    For the inner part the steps are further records of the batch.

    Raises:
        AttributeValueError: the inner part is neither a layer nor a function.
    """

    inner: Composable
    name: str = "#-timedistributed"

    def __post_init__(self) -> None:
        chain(self.inner)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        if x.ndim < 2:
            raise ShapeError("there are no steps", expected="[batch, time, ...]", got=x.type)
        steps = x.shape[:2]
        rows = x.reshape(product(steps), *x.shape[2:])
        y = chain(self.inner)(rows)
        if not y.ndim or y.shape[0] != rows.shape[0]:
            raise ShapeError("its inner part changes the batch", expected=rows.shape[0], got=text(y.shape))
        return y.reshape(*steps, *y.shape[1:])


# ---- other shapes


@dataclass(frozen=True, init=False)
class Reshape(Layer):
    """The elements of each record in row-major order with other sizes: [batch, ...] -> [batch, *shape].

    Args:
        shape: of one record; one size may be -1: what is left.

    Raises:
        ShapeError: a size makes no sense.
    """

    shape: tuple[Size, ...]
    name: str

    def __init__(self, *shape: Size, name: str = "#-reshape") -> None:
        as_shape([size for size in shape if isinstance(size, Dim) or size != -1])
        if shape.count(-1) > 1:
            raise ShapeError(f"the layer '{name}' leaves two sizes open", expected="one -1", got=text(shape))
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "name", name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        if not x.ndim:
            raise ShapeError("there are no records", expected="[batch, ...]", got=x.type)
        shape = located(reshaped, x.shape[1:], self.shape)
        more = product(shape) - product(x.shape[1:])
        if isinstance(more, int) and more:  # the product with the batch may be equal, for an empty one
            raise ShapeError("its records have other numbers of elements", expected=text(shape), got=text(x.shape[1:]))
        return x.reshape(x.shape[0], *shape)


@dataclass(frozen=True, init=False)
class Permute(Layer):
    """The axes of each record in another order: ``L.Permute(2, 1)`` makes [batch, b, a] of [batch, a, b].

    Args:
        axes: the axes of a record, counted from 1, in their new order.

    Raises:
        AttributeValueError: not each axis is named once.
    """

    axes: tuple[int, ...]
    name: str

    def __init__(self, *axes: int, name: str = "#-permute") -> None:
        if sorted(axes) != list(range(1, len(axes) + 1)):
            raise AttributeValueError(
                f"the layer '{name}' has no such order of axes", expected="each of 1, 2, ... once", got=axes
            )
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "name", name)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        return x.transpose(0, *self.axes)
