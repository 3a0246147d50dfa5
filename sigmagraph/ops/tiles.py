"""Ops that multiply windows by a matrix along each spatial axis, and lay what they became apart by its place in them.

They are what algorithms with fewer multiplications do before and after their products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product as every
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Dim, Size, ceildiv
from sigmagraph.dtypes import F32, I32, DType
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Array, Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Frame,
    Inference,
    NDArray,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.expr import Const, Expr, Var, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ir.kernel.kernel import Block, For, Let, LoopKind, Stmt
from sigmagraph.ops.loops import each, load, serial, store
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.samples import N, normal

Place: TypeAlias = "tuple[int, ...]"
_LANES = 16


def _matrix(context: Inference) -> tuple[int, int]:
    """Rows and columns of the matrix."""
    array: Array = context.attrs["matrix"]
    if len(array.shape) != 2 or 0 in array.shape or not array.dtype.is_float:
        raise context.error("'matrix' is no matrix of floats", expected="two axes", got=array.shape)
    return array.shape[0], array.shape[1]


def _floats(context: Inference, axes: int) -> TensorType:
    (x,) = context.types
    if not x.dtype.is_float:
        raise context.error("the element type does not fit", expected="a float type", got=x.dtype, kind=DTypeError)
    if x.rank < axes:
        raise context.error("the operand has no spatial axis", expected=f"at least {axes} axes", got=x.rank)
    return x


# ---- loops


def _along_axes(
    rows: Mapping[Place, Expr], matrix: NDArray, dtype: DType, name: Callable[[str], str]
) -> tuple[list[Stmt], dict[Place, Expr]]:
    """Lets that multiply by the matrix along each axis of the places, and what they lead to."""
    lets: list[Stmt] = []
    values = dict(rows)
    for axis in reversed(range(len(next(iter(values))))):
        new: dict[Place, Expr] = {}
        for place in sorted({(*p[:axis], *p[axis + 1 :]) for p in values}):
            line = [values[*place[:axis], k, *place[axis:]] for k in range(matrix.shape[1])]
            for row, factors in enumerate(matrix):
                at = (*place[:axis], row, *place[axis:])
                let = Let(name(f"{axis}_" + "_".join(map(str, at))), _combination(factors, line, dtype))
                lets.append(let)
                new[at] = Var(let.name, dtype)
        values = new
    return lets, values


def _combination(factors: NDArray, values: Sequence[Expr], dtype: DType) -> Expr:
    """The sum of products; a factor of nothing leaves its value out."""
    total: Expr | None = None
    for factor, value in zip(map(float, factors), values, strict=True):
        if factor == 0:
            continue
        if total is None:
            total = value if factor == 1 else apply("mul", Const(factor, dtype), value)
        elif abs(factor) == 1:
            total = apply("add" if factor == 1 else "sub", total, value)
        else:
            total = apply("fma", Const(factor, dtype), value, total)
    return Const(0.0, dtype) if total is None else total


def _vectors(channels: Size, body: Callable[[Size, tuple[Size, ...]], Block]) -> Block:
    """``body`` for every channel and its guard, in vectors."""
    lanes = min(channels, _LANES) if isinstance(channels, int) else _LANES
    if lanes < 1:
        return ()

    def vector(number: Size) -> Block:
        channel = number * lanes + Dim("%j")
        whole = isinstance(channels, int) and channels % lanes == 0
        return (For("%j", lanes, LoopKind.VECTORIZED, body(channel, () if whole else (channels - 1 - channel,))),)

    return (serial("%q", ceildiv(channels, lanes), vector),)


def _transform_loops(frame: Frame) -> Block:
    (x,), (out,) = frame.reads, frame.writes
    matrix = frame.attrs["matrix"].numpy
    stride, low = frame.attrs["stride"], frame.attrs["low"]
    wide, places = accumulator(x.dtype), len(low)

    def body(task: tuple[Size, ...]) -> Block:
        n, *numbers = task

        def windows(channel: Size, guard: tuple[Size, ...]) -> Block:
            loads: list[Stmt] = []
            rows: dict[Place, Expr] = {}
            for place in every(range(matrix.shape[1]), repeat=places):
                at = [t * stride + k - before for t, k, before in zip(numbers, place, low, strict=True)]
                inside = [side for i, size in zip(at, x.shape[1:-1], strict=True) for side in (i, size - 1 - i)]
                let = Let(
                    "%x_" + "_".join(map(str, place)), cast_expr(load(x, (n, *at, channel), (*inside, *guard)), wide)
                )
                loads.append(let)
                rows[place] = Var(let.name, wide)
            lets, values = _along_axes(rows, matrix, wide, lambda place: f"%v{place}")
            stores = [
                store(out, (k, n, *numbers, channel), cast_expr(value, out.dtype), guard)
                for k, value in enumerate(values[place] for place in sorted(values))
            ]
            return (*loads, *lets, *stores)

        return _vectors(x.shape[-1], windows)

    return each(out.shape[1:-1], body)


def _assemble_loops(frame: Frame) -> Block:
    (x,), (out,) = frame.reads, frame.writes
    matrix = frame.attrs["matrix"].numpy
    wide, places = accumulator(x.dtype), len(frame.attrs["lengths"])
    step = matrix.shape[0]

    def body(task: tuple[Size, ...]) -> Block:
        n, *numbers = task

        def tiles(channel: Size, guard: tuple[Size, ...]) -> Block:
            loads: list[Stmt] = []
            rows: dict[Place, Expr] = {}
            for k, place in enumerate(every(range(matrix.shape[1]), repeat=places)):
                let = Let("%x_" + "_".join(map(str, place)), cast_expr(load(x, (k, n, *numbers, channel), guard), wide))
                loads.append(let)
                rows[place] = Var(let.name, wide)
            lets, values = _along_axes(rows, matrix, wide, lambda place: f"%v{place}")
            stores = []
            for place, value in values.items():
                at = [t * step + k for t, k in zip(numbers, place, strict=True)]
                inside = [
                    size - 1 - i
                    for i, size, count in zip(at, out.shape[1:-1], x.shape[2:-1], strict=True)
                    if size != count * step
                ]
                stores.append(store(out, (n, *at, channel), cast_expr(value, out.dtype), (*inside, *guard)))
            return (*loads, *lets, *stores)

        return _vectors(x.shape[-1], tiles)

    return each(x.shape[1:-1], body)


# ---- transform_windows


def _infer_transform(context: Inference) -> tuple[TensorType, ...]:
    x = _floats(context, 3)
    attrs, places = context.attrs, x.rank - 2
    rows, _ = _matrix(context)
    if attrs["stride"] < 1:
        raise context.error(
            "the stride of a window is not positive",
            expected="at least 1",
            got=attrs["stride"],
            kind=AttributeValueError,
        )
    for name in ("low", "counts"):
        if len(attrs[name]) != places:
            got = attrs[name]
            raise context.error(f"'{name}' does not have one number for each spatial axis", expected=places, got=got)
    for count in attrs["counts"]:
        context.at_least(count, 0, "a number of windows is negative")
    return (TensorType(x.dtype, (rows**places, x.shape[0], *attrs["counts"], x.shape[-1])),)


def _reference_transform(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, matrix = exact(inputs[0]), attrs["matrix"].numpy
    places = x.ndim - 2
    for axis, (low, count) in enumerate(zip(attrs["low"], attrs["counts"], strict=True), 1):
        size = x.shape[axis]
        around = np.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)])
        at = np.arange(count)[:, None] * attrs["stride"] + np.arange(matrix.shape[1]) - low
        x = np.tensordot(np.take(around, np.clip(at, -1, size) + 1, axis), matrix, (axis + 1, 1))
    x = np.moveaxis(x, range(-places, 0), range(places))
    return (x.reshape(matrix.shape[0] ** places, *x.shape[places:]).astype(types[0].dtype.numpy),)


def _some_matrix(rng: np.random.Generator, rows: int, columns: int) -> Array:
    return Array.of(np.round(rng.standard_normal((rows, columns)) * 2) / 2)


def _transform_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(shape: tuple[int, ...], rows: int, columns: int, **attrs: Any) -> Sample:
        symbols = attrs.pop("shapes", None)
        return Sample((normal(rng, *shape),), {"matrix": _some_matrix(rng, rows, columns), **attrs}, shapes=symbols)

    yield sample((2, 5, 6, 7), 2, 4, stride=2, low=(1, 0), counts=(3, 1))
    yield sample((1, 7, 20), 2, 3, stride=3, low=(0,), counts=(3,))
    yield sample((2, 3, 4, 5, 16), 2, 2, stride=1, low=(1, 0, 1), counts=(4, 3, 5))
    yield sample((3, 4, 33), 5, 1, stride=1, low=(0,), counts=(4,))
    yield sample((0, 4, 5, 3), 3, 2, stride=2, low=(0, 0), counts=(2, 1))
    yield sample((3, 5, 4, 6), 4, 4, stride=2, low=(1, 1), counts=(5, 2), shapes=((N, 5, 4, 6),))


# ---- assemble_tiles


def _infer_assemble(context: Inference) -> tuple[TensorType, ...]:
    x = _floats(context, 4)
    rows, columns = _matrix(context)
    places = x.rank - 3
    if len(context.attrs["lengths"]) != places:
        got = context.attrs["lengths"]
        raise context.error("'lengths' does not have one number for each spatial axis", expected=places, got=got)
    context.same(x.shape[0], columns**places, "the places of the operand and of the matrix")
    for length, count in zip(context.attrs["lengths"], x.shape[2:-1], strict=True):
        context.at_least(length, 0, "a length is negative")
        context.at_least(count * rows - length, 0, "the tiles do not cover a length")
    return (TensorType(x.dtype, (x.shape[1], *context.attrs["lengths"], x.shape[-1])),)


def _reference_assemble(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, matrix, lengths = exact(inputs[0]), attrs["matrix"].numpy, attrs["lengths"]
    places = len(lengths)
    x = x.reshape(*(matrix.shape[1],) * places, *x.shape[1:])
    for _ in lengths:
        x = np.tensordot(x, matrix, (0, 1))  # the place goes from the front to the end
    pairs = [axis for tile in range(1, places + 1) for axis in (tile, places + 1 + tile)]
    x = x.transpose(0, *pairs, places + 1)
    shape = [count * matrix.shape[0] for count in x.shape[1:-1:2]]
    x = x.reshape(x.shape[0], *shape, x.shape[-1])[(slice(None), *map(slice, lengths))]
    return (x.astype(types[0].dtype.numpy),)


def _assemble_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(shape: tuple[int, ...], rows: int, columns: int, *lengths: int, **other: Any) -> Sample:
        attrs = {"matrix": _some_matrix(rng, rows, columns), "lengths": lengths}
        return Sample((normal(rng, *shape),), attrs, **other)

    yield sample((9, 2, 5, 4, 7), 2, 3, 10, 8)
    yield sample((3, 1, 4, 20), 3, 3, 11)
    yield sample((8, 3, 1, 5, 4, 16), 2, 2, 2, 9, 7)
    yield sample((4, 0, 2, 5, 3), 2, 2, 4, 9)
    yield sample((4, 3, 2, 5, 6), 3, 2, 5, 14, shapes=((4, N, 2, 5, 6),))


_IMAGES, _TILES = TensorType(F32, (2, 5, 6, 3)), TensorType(F32, (16, 2, 3, 2, 3))
_TWO = Array.of(np.eye(4)[:2])
_WINDOWS: dict[str, Any] = {"matrix": Array.of(np.eye(4)), "stride": 2, "low": (1, 1), "counts": (3, 2)}
_MADE_BY_A_PASS = NotDifferentiable(
    "it is made of convolutions by a pass, when their gradients are in the graph already"
)
_MATRIX = AttrSpec("matrix", "array", "what each spatial axis of a window is multiplied by")

OPS = (
    OpDef(
        name="transform_windows",
        doc="Windows of each spatial axis, `stride` apart and the first `low` elements before the operand, times "
        "`matrix`[q, size] along each axis, by their places: x[n, *spatial, c] -> [places, n, *counts, c]. Outside the "
        "operand there are zeros.",
        kind=OpKind.OPAQUE,
        arity=1,
        attrs=(
            _MATRIX,
            AttrSpec("stride", "int", "how far apart the windows start"),
            AttrSpec("low", "shape", "how far before each spatial axis the first window starts"),
            AttrSpec("counts", "shape", "the number of windows along each spatial axis"),
        ),
        infer=_infer_transform,
        reference=_reference_transform,
        vjp=_MADE_BY_A_PASS,
        loops=_transform_loops,
        samples=_transform_samples,
        errors=(
            ErrorSample((TensorType(I32, (2, 5, 6, 3)),), _WINDOWS, DTypeError, "element type does not fit"),
            ErrorSample((TensorType(F32, (2, 5)),), _WINDOWS, ShapeError, "no spatial axis"),
            ErrorSample((_IMAGES,), _WINDOWS | {"matrix": Array.of(np.zeros(3))}, ShapeError, "no matrix of floats"),
            ErrorSample((_IMAGES,), _WINDOWS | {"stride": 0}, AttributeValueError, "stride of a window"),
            ErrorSample((_IMAGES,), _WINDOWS | {"low": (1,)}, ShapeError, "'low' does not have one number"),
            ErrorSample((_IMAGES,), _WINDOWS | {"counts": (-1, 2)}, ShapeError, "number of windows is negative"),
        ),
    ),
    OpDef(
        name="assemble_tiles",
        doc="What lies apart by its places, times `matrix`[size, q] along each axis, as tiles that lie side by side: "
        "x[places, n, *counts, c] -> [n, *lengths, c]. What of the last tiles is beyond `lengths` is left out.",
        kind=OpKind.OPAQUE,
        arity=1,
        attrs=(_MATRIX, AttrSpec("lengths", "shape", "the sizes of the spatial axes")),
        infer=_infer_assemble,
        reference=_reference_assemble,
        vjp=_MADE_BY_A_PASS,
        loops=_assemble_loops,
        samples=_assemble_samples,
        errors=(
            ErrorSample(
                (TensorType(I32, (4, 2, 3, 3)),), {"matrix": _TWO, "lengths": (5,)}, DTypeError, "element type"
            ),
            ErrorSample((TensorType(F32, (4, 2, 3)),), {"matrix": _TWO, "lengths": ()}, ShapeError, "no spatial axis"),
            ErrorSample((_TILES,), {"matrix": _TWO, "lengths": (5,)}, ShapeError, "'lengths' does not have one"),
            ErrorSample((_TILES,), {"matrix": Array.of(np.eye(3)), "lengths": (5, 4)}, ShapeError, "the places of the"),
            ErrorSample((_TILES,), {"matrix": _TWO, "lengths": (7, 4)}, ShapeError, "do not cover"),
        ),
    ),
)
