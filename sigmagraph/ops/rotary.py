"""The rotation of queries and keys by their position, as a composite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, collapse
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, normal

_X, _ANGLES = TensorType(F32, (5, 4)), TensorType(F32, (5, 2))


def _infer(context: Inference) -> tuple[TensorType, ...]:
    x, angles = context.types
    if not x.dtype.is_float or angles.dtype is not x.dtype:
        got = f"{x.dtype}, {angles.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    if x.rank < 2 or angles.rank != 2:
        raise context.error("the ranks do not fit", expected="x[...,t,d], angles[t,d/2]", got=f"{x}, {angles}")
    context.same(x.shape[-2], angles.shape[0], "the numbers of places and of rows of angles")
    context.same(x.shape[-1], angles.shape[1] * 2, "the size of x and twice the number of angles")
    return (x,)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, angles = map(exact, inputs)
    half = angles.shape[1]
    places = (slice(0, None, 2), slice(1, None, 2)) if attrs["interleaved"] else (slice(0, half), slice(half, None))
    a, b = (x[..., place] for place in places)
    out = np.empty(x.shape)
    with np.errstate(all="ignore"):
        cos, sin = np.cos(angles), np.sin(angles)
        out[..., places[0]] = a * cos - b * sin
        out[..., places[1]] = a * sin + b * cos
    return (out.astype(types[0].dtype.numpy),)


def _pairs(b: NodeBuilder, x: Value, interleaved: bool) -> tuple[Value, Value]:
    """The first and the second number of each pair, [..., d/2]."""
    shape = b.type(x).shape
    half = b.type(x).shape[-1] // 2
    split = b.emit("reshape", x, shape=(*shape[:-1], half, 2) if interleaved else (*shape[:-1], 2, half))
    wide = b.type(split).shape
    axis = len(wide) - (1 if interleaved else 2)

    def part(number: int) -> Value:
        start = tuple(number if i == axis else 0 for i in range(len(wide)))
        stop = tuple(number + 1 if i == axis else size for i, size in enumerate(wide))
        chosen = b.emit("slice", split, start=start, stop=stop, step=(1,) * len(wide))
        return b.emit("reshape", chosen, shape=(*shape[:-1], half))

    return part(0), part(1)


def _joined(b: NodeBuilder, first: Value, second: Value, interleaved: bool) -> Value:
    """The pairs put together again, [..., d]."""
    *lead, half = b.type(first).shape
    if not interleaved:
        return b.emit("concatenate", first, second, axis=len(lead))
    parts = (b.emit("reshape", value, shape=(*lead, half, 1)) for value in (first, second))
    return b.emit("reshape", b.emit("concatenate", *parts, axis=len(lead) + 1), shape=(*lead, half * 2))


def _decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x, angles = inputs
    first, second = _pairs(b, x, attrs["interleaved"])
    shape = b.type(first).shape
    cos, sin = (broadcast(b, b.emit(op, angles), shape) for op in ("cos", "sin"))
    turned = b.emit("sub", b.emit("mul", first, cos), b.emit("mul", second, sin))
    other = b.emit("add", b.emit("mul", first, sin), b.emit("mul", second, cos))
    return _joined(b, turned, other, attrs["interleaved"])


def _vjp(c: VjpContext) -> Sequence[Value]:
    """X gets the cotangent turned back; an angle moves each pair (a, b) of the result by (-b, a)."""
    (_, angles), (y,), (g,), interleaved = c.inputs, c.outputs, c.cotangents, c.attrs["interleaved"]
    back = c.emit("rotary", g, c.emit("neg", angles), interleaved=interleaved)
    (a, b), (u, v) = _pairs(c, y, interleaved), _pairs(c, g, interleaved)
    across = c.emit("sub", c.emit("mul", v, a), c.emit("mul", u, b))
    return (back, collapse(c, across, c.type(angles).shape))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for interleaved in (False, True):
        attrs = {"interleaved": interleaved}
        yield Sample((normal(rng, 3, 4), normal(rng, 3, 2)), attrs)
        yield Sample((normal(rng, 2, 3, 5, 6), normal(rng, 5, 3)), attrs)
        yield Sample((normal(rng, 0, 5, 4), normal(rng, 5, 2)), attrs)
        yield Sample((normal(rng, 2, 5, 4), normal(rng, 5, 2)), attrs, shapes=((M, N, 4), (N, 2)))


OPS = (
    OpDef(
        name="rotary",
        doc="Pairs of numbers in the last axis turned by angles: (a, b) becomes (a cos - b sin, a sin + b cos). "
        "x[...,t,d], angles[t,d/2]; pair i is made of the numbers i and i + d/2, or 2i and 2i + 1 if `interleaved`. "
        "Source: J. Su et al., RoFormer (2021).",
        kind=OpKind.COMPOSITE,
        arity=2,
        attrs=(AttrSpec("interleaved", "bool", "whether the numbers of a pair are neighbours", False),),
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        decompose=_decompose,
        samples=_samples,
        errors=(
            ErrorSample((_X,), {}, GraphError, "wrong number of operands"),
            ErrorSample((_X, TensorType(F32, (4, 2))), {}, ShapeError, "rows of angles"),
            ErrorSample((_X, TensorType(F32, (5, 4))), {}, ShapeError, "twice the number of angles"),
            ErrorSample((TensorType(F32, (5, 3)), _ANGLES), {}, ShapeError, "twice the number of angles"),
            ErrorSample((_X, TensorType(F32, (2,))), {}, ShapeError, "ranks do not fit"),
            ErrorSample((_X, TensorType(F64, (5, 2))), {}, DTypeError, "element types do not fit"),
            ErrorSample((TensorType(I32, (5, 4)), _ANGLES), {}, DTypeError, "element types do not fit"),
        ),
    ),
)
