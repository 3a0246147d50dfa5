"""Tensors that are made of numbers and positions alone: zeros, ones, sequences, identities, triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, F64, I64, DType, as_dtype
from sigmagraph.errors import ShapeError
from sigmagraph.ir.graph.types import as_shape
from sigmagraph.tensor.tensor import (
    Tensor,
    TensorLike,
    as_tensor,
    broadcast_to,
    elementwise,
    emit,
    floating,
    located,
    promoted,
)
from sigmagraph.tensor.workspace import here

# ---- one number everywhere


def full(shape: Sequence[Size] | Size, fill_value: TensorLike, dtype: object = None) -> Tensor:
    """A shape filled with a number, or with a tensor that is broadcast to it.

    Without a dtype a tensor or NumPy array keeps its own; other floats become f32, other ints i64.

    Raises:
        ShapeError: the value cannot be broadcast to the shape.
        DTypeError: the value does not fit the dtype.
    """
    return broadcast_to(as_tensor(fill_value, _wanted(dtype)), located(as_shape, shape))


def zeros(shape: Sequence[Size] | Size, dtype: object = "float32") -> Tensor:
    """A shape filled with 0."""
    return full(shape, False, dtype)


def ones(shape: Sequence[Size] | Size, dtype: object = "float32") -> Tensor:
    """A shape filled with 1."""
    return full(shape, True, dtype)


def full_like(x: TensorLike, fill_value: TensorLike, dtype: object = None) -> Tensor:
    """A number in the shape, and if no other is given in the dtype, of a tensor."""
    x = as_tensor(x)
    return full(x.shape, fill_value, x.dtype if dtype is None else dtype)


def zeros_like(x: TensorLike, dtype: object = None) -> Tensor:
    """0 in the shape, and if no other is given in the dtype, of a tensor."""
    return full_like(x, False, dtype)


def ones_like(x: TensorLike, dtype: object = None) -> Tensor:
    """1 in the shape, and if no other is given in the dtype, of a tensor."""
    return full_like(x, True, dtype)


# ---- sequences


def arange(
    start: Size | float, stop: Size | float | None = None, step: int | float = 1, dtype: object = None
) -> Tensor:
    """The numbers from ``start`` (0 if only one is given) up to but without ``stop``, each ``step`` after the last.

    Dims may stand for start and stop; they and the step are then not negative. Without a dtype the numbers are i64, or
    f32 if one of the three is a float.

    Raises:
        ShapeError: the step is 0, or a sequence with Dims goes downwards or has floats.
    """
    if stop is None:
        start, stop = 0, start
    floats = any(isinstance(v, (float, np.floating)) for v in (start, stop, step))
    wanted = _wanted(dtype) or (F32 if floats else I64)
    if step == 0 or not all(isinstance(v, (int, float, np.integer, np.floating, Dim)) for v in (start, stop, step)):
        raise ShapeError(
            "arange: these are no bounds and no step",
            expected="numbers or Dims, and a step other than 0",
            got=(start, stop, step),
            location=here(),
        )
    if isinstance(start, Dim) or isinstance(stop, Dim):
        return _counted(start, stop, step, wanted)
    count = max(0, int(np.ceil((stop - start) / step)))
    numbers = emit("iota", axis=0, shape=(count,), dtype=F64 if floats else I64)
    if step != 1:
        numbers = numbers * step
    return (numbers if start == 0 else numbers + start).astype(wanted)


def _counted(start: Size | float, stop: Size | float, step: int | float, dtype: DType) -> Tensor:
    """A sequence whose length only a call can tell: every step-th of the numbers below ``stop``."""
    if isinstance(start, float) or isinstance(stop, float) or not isinstance(step, int) or step < 0:
        raise ShapeError(
            "arange: a sequence with Dims goes upwards in whole steps",
            expected="ints and Dims, and a step of 1 or more",
            got=(start, stop, step),
            location=here(),
        )
    return emit("iota", axis=0, shape=(stop,), dtype=I64)[start::step].astype(dtype)


def linspace(start: TensorLike, stop: TensorLike, num: int = 50, endpoint: bool = True, dtype: object = None) -> Tensor:
    """``num`` numbers at equal distances from ``start`` to ``stop``, which is the last unless ``endpoint`` is False.

    Start and stop are numbers or scalar tensors. Without a dtype the numbers have theirs if it is a float type.

    Raises:
        ShapeError: ``num`` is negative, or start or stop is no scalar.
    """
    if not isinstance(num, (int, np.integer)) or num < 0:
        raise ShapeError("linspace: no number of numbers", expected="an int of at least 0", got=num, location=here())
    wanted = _wanted(dtype)
    first, last = (floating(value) for value in promoted(start, stop))
    for end in (first, last):
        if end.ndim:
            raise ShapeError("linspace: an end is no number", expected="a scalar", got=end.type, location=here())
    ways = np.linspace(0, 1, num, endpoint)
    # From both ends, so that both are met exactly.
    near, far = (as_tensor(way.astype(first.dtype.numpy)) for way in (1 - ways, ways))
    numbers = first * near + last * far
    return numbers if wanted is None else numbers.astype(wanted)


# ---- matrices of positions


def eye(N: Size, M: Size | None = None, k: int = 0, dtype: object = "float32") -> Tensor:  # noqa: N803
    """``N`` rows and ``M`` columns (as many as rows by default) with 1 on the k-th diagonal and 0 elsewhere."""
    return _compared("eq", N, M, k).astype(dtype)


def tri(N: Size, M: Size | None = None, k: int = 0, dtype: object = "float32") -> Tensor:  # noqa: N803
    """``N`` rows and ``M`` columns (as many as rows by default) with 1 on and below the k-th diagonal, 0 above it."""
    return _compared("le", N, M, k).astype(dtype)


def _compared(op: str, rows: Size, columns: Size | None, k: int) -> Tensor:
    """How the number of the column compares with that of the row, counted from the k-th diagonal."""
    shape = located(as_shape, (rows, rows if columns is None else columns))
    across, down = (emit("iota", axis=axis, shape=shape, dtype=I64) for axis in (1, 0))
    return elementwise(op, across, down + k if k else down)


def _wanted(dtype: object) -> DType | None:
    return None if dtype is None else located(as_dtype, dtype)
