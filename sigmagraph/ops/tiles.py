"""Ops that multiply windows by a matrix along each spatial axis, and lay what they became apart by its place in them.

They are what algorithms with fewer multiplications do before and after their products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmagraph.dims import Dim, Size, ceildiv, product
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
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, Let, LoopKind, Store
from sigmagraph.ops.loops import each, load, nest, scratch, store
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.rules import flatten
from sigmagraph.ops.samples import N, normal

_LANES = 16
_KEPT = 1 << 15  # numbers that a task keeps between two axes


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


def _line(
    matrix: NDArray, dtype: DType, read: Callable[[int], Expr], write: Callable[[int, Expr], Store], lanes: int
) -> Block:
    """The matrix times what is read, in vectors of channels ``%j``."""
    rows, columns = matrix.shape
    loads = [Let(f"%x{k}", read(k)) for k in range(columns)]
    values = [Var(let.name, dtype) for let in loads]
    stores = [write(k, _combination(matrix[k], values, dtype)) for k in range(rows)]
    return (For("%j", lanes, LoopKind.VECTORIZED, (*loads, *stores)),)


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


@dataclass(frozen=True, slots=True)
class _Channels:
    """How channels are cut into parts, which are tasks, and these into vectors.

    The longer the vectors lie side by side, the longer the runs in which memory is read and written.
    """

    channels: Size
    parts: Size
    vectors: int
    lanes: int

    @staticmethod
    def of(channels: Size, kept: Size) -> _Channels:
        """Of so many channels, where a task keeps ``kept`` numbers of each."""
        if not isinstance(channels, int) or not isinstance(kept, int):
            return _Channels(channels, ceildiv(channels, _LANES), 1, _LANES)
        lanes = max(1, min(channels, _LANES))
        vectors = -(-channels // lanes)
        parts = -(-vectors // max(1, _KEPT // max(1, kept * lanes)))
        return _Channels(channels, parts, -(-vectors // max(1, parts)), lanes)

    @property
    def shape(self) -> tuple[int, int]:
        """Of a part: vectors, lanes."""
        return self.vectors, self.lanes

    def place(self, part: Size, vector: Size) -> tuple[Size, tuple[Size, ...]]:
        """The channel of lane ``%j``, and its guard."""
        channel = (part * self.vectors + vector) * self.lanes + Dim("%j")
        whole = self.parts * self.vectors * self.lanes == self.channels
        return channel, () if whole else (self.channels - 1 - channel,)


def _transform_loops(frame: Frame) -> Block:
    """One axis after the other: a task has a row of windows of some channels, and what is between stays in cache."""
    (x,), (out,) = frame.reads, frame.writes
    matrix, stride, low = frame.attrs["matrix"].numpy, frame.attrs["stride"], frame.attrs["low"]
    (rows, columns), axes = matrix.shape, len(low)
    counts, wide = out.shape[2:-1], accumulator(x.dtype)
    reach = [(count - 1) * stride + columns for count in counts]
    channels = _Channels.of(x.shape[-1], rows * product(reach[1:]))

    def body(task: tuple[Size, ...]) -> Block:
        n, first, part = task

        def given(place: Sequence[Size], vector: Size) -> Expr:
            channel, guard = channels.place(part, vector)
            at = [i - before for i, before in zip(place, low, strict=True)]
            inside = [side for i, size in zip(at, x.shape[1:-1], strict=True) for side in (i, size - 1 - i)]
            return cast_expr(load(x, (n, *at, channel), (*inside, *guard)), wide)

        def stage(axis: int, source: Buffer | None) -> Block:
            last = axis == axes - 1
            shape = (*(rows,) * (axis + 1), *counts[1 : axis + 1], *reach[axis + 1 :], *channels.shape)
            alloc, target = scratch(f"%s{axis}", wide, shape)

            def step(index: tuple[Size, ...]) -> Block:
                done, tiles, rest, vector = index[:axis], index[axis : 2 * axis], index[2 * axis : -1], index[-1]
                start = (tiles[-1] if axis else first) * stride

                def read(k: int) -> Expr:
                    if source is None:
                        return given((start + k, *rest), vector)
                    return load(source, (*done, *tiles[:-1], start + k, *rest, vector, Dim("%j")))

                def write(k: int, value: Expr) -> Store:
                    if not last:
                        return store(target, (*done, k, *tiles, *rest, vector, Dim("%j")), value)
                    place = flatten((*done, k), (rows,) * axes)
                    channel, guard = channels.place(part, vector)
                    return store(out, (place, n, first, *tiles, channel), cast_expr(value, out.dtype), guard)

                return _line(matrix, wide, read, write, channels.lanes)

            space = (*(rows,) * axis, *counts[1 : axis + 1], *reach[axis + 1 :], channels.vectors)
            block = nest(f"%r{axis}_", space, step)
            return block if last else (alloc, *block, *stage(axis + 1, target))

        return stage(0, None)

    return each((out.shape[1], counts[0], channels.parts), body)


def _assemble_loops(frame: Frame) -> Block:
    """One axis after the other: a task has a row of tiles of some channels, and what is between stays in cache."""
    (x,), (out,) = frame.reads, frame.writes
    matrix = frame.attrs["matrix"].numpy
    (rows, columns), axes = matrix.shape, len(frame.attrs["lengths"])
    counts, wide = x.shape[2:-1], accumulator(x.dtype)
    channels = _Channels.of(x.shape[-1], rows * columns ** (axes - 1) * product(counts[1:]))

    def body(task: tuple[Size, ...]) -> Block:
        n, first, part = task

        def put(tiles: Sequence[Size], places: Sequence[Size], vector: Size, value: Expr) -> Store:
            channel, guard = channels.place(part, vector)
            at = [t * rows + k for t, k in zip(tiles, places, strict=True)]
            ends = zip(at, out.shape[1:-1], counts, strict=True)
            inside = [size - 1 - i for i, size, count in ends if size != count * rows]
            return store(out, (n, *at, channel), cast_expr(value, out.dtype), (*inside, *guard))

        def stage(axis: int, source: Buffer | None) -> Block:
            last = axis == axes - 1
            shape = (*(rows,) * (axis + 1), *(columns,) * (axes - 1 - axis), *counts[1:], *channels.shape)
            alloc, target = scratch(f"%s{axis}", wide, shape)

            def step(index: tuple[Size, ...]) -> Block:
                done, rest, tiles, vector = index[:axis], index[axis : axes - 1], index[axes - 1 : -1], index[-1]

                def read(k: int) -> Expr:
                    if source is not None:
                        return load(source, (*done, k, *rest, *tiles, vector, Dim("%j")))
                    place = flatten((k, *rest), (columns,) * axes)
                    channel, guard = channels.place(part, vector)
                    return cast_expr(load(x, (place, n, first, *tiles, channel), guard), wide)

                def write(k: int, value: Expr) -> Store:
                    if last:
                        return put((first, *tiles), (*done, k), vector, value)
                    return store(target, (*done, k, *rest, *tiles, vector, Dim("%j")), value)

                return _line(matrix, wide, read, write, channels.lanes)

            space = (*(rows,) * axis, *(columns,) * (axes - 1 - axis), *counts[1:], channels.vectors)
            block = nest(f"%r{axis}_", space, step)
            return block if last else (alloc, *block, *stage(axis + 1, target))

        return stage(0, None)

    return each((x.shape[1], counts[0], channels.parts), body)


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
