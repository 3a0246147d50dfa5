"""Maxima and means of windows over any number of spatial axes, as composites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product as every
from typing import Any

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, I32, I64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import ErrorSample, Inference, NDArray, NodeBuilder, OpDef, OpKind, Sample
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, cast, size_value
from sigmagraph.ops.reduction import accumulator, exact, extreme_value
from sigmagraph.ops.rules import infer_float, infer_number
from sigmagraph.ops.samples import M, N, distinct, integers, normal
from sigmagraph.ops.window import span, window_count

_ATTRS = (
    AttrSpec("window", "ints", "the size of the window along each spatial axis"),
    AttrSpec("strides", "ints", "how far apart windows start, for each spatial axis"),
    AttrSpec("low", "shape", "number of elements put before each spatial axis"),
    AttrSpec("high", "shape", "number of elements put behind each spatial axis"),
)
_DILATION = AttrSpec("dilation", "ints", "how far apart the elements of a window are, for each spatial axis")


def _dilation(attrs: Attrs) -> tuple[int, ...]:
    return attrs["dilation"] if "dilation" in attrs else (1,) * len(attrs["window"])


def _infer(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    spatial = x.shape[1:-1]
    if x.rank < 3:
        raise context.error("the operand has no spatial axis", expected="[n, *spatial, c]", got=x.rank)
    dilations = _dilation(context.attrs)
    plan = {spec.name: context.attrs[spec.name] for spec in _ATTRS} | {"dilation": dilations}
    for name, given in plan.items():
        if len(given) != len(spatial):
            problem = f"'{name}' does not have one number for each spatial axis"
            raise context.error(problem, expected=len(spatial), got=given)
    counts = []
    for length, size, stride, low, high, dilation in zip(spatial, *plan.values(), strict=True):
        counts.append(window_count(context, low + length + high, size, stride, dilation))
        context.at_least(length, 1, "a spatial axis of the operand is empty")
        for width in (low, high):
            context.at_least(width, 0, "a padding is negative")
            context.at_least(span(size, dilation) - 1, width, "a window sees nothing but padding")
    return (TensorType(x.dtype, (x.shape[0], *counts, x.shape[-1])),)


def _infer_max(context: Inference) -> tuple[TensorType, ...]:
    infer_number(context)
    return _infer(context)


def _infer_average(context: Inference) -> tuple[TensorType, ...]:
    infer_float(context)
    return _infer(context)


def _windows(b: NodeBuilder, x: Value, attrs: Attrs, value: float) -> Value:
    """All windows of [n, *spatial, c], padded with a number: [n, o1, k1, o2, k2, ..., c]."""
    low, high = (0, *attrs["low"], 0), (0, *attrs["high"], 0)
    if any(width != 0 for width in (*low, *high)):
        x = b.emit("pad", x, low=low, high=high, interior=(0,) * len(low), value=value)
    for i, (size, stride, dilation) in reversed(
        list(enumerate(zip(attrs["window"], attrs["strides"], _dilation(attrs), strict=True)))
    ):
        x = b.emit("unfold", x, axis=1 + i, size=size, stride=stride, dilation=dilation)
    return x


def _window_axes(attrs: Attrs) -> tuple[int, ...]:
    return tuple(range(2, 2 * len(attrs["window"]) + 1, 2))


def _parts(x: NDArray, attrs: Attrs, counts: Sequence[int], value: float) -> NDArray:
    """What windows see, one place of the window after the other: [places, n, *counts, c]."""
    widths = [(0, 0), *zip(attrs["low"], attrs["high"], strict=True), (0, 0)]
    x = np.pad(x, widths, constant_values=value)
    parts = []
    for at in every(*map(range, attrs["window"])):
        starts = (k * d for k, d in zip(at, _dilation(attrs), strict=True))
        cuts = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, counts, attrs["strides"], strict=True))
        parts.append(x[(slice(None), *cuts)])
    return np.stack(parts)


# ---- max_pool


def _reference_max(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    least = extreme_value(types[0].dtype, greatest=False)
    counts = [size for size in types[0].shape[1:-1] if isinstance(size, int)]
    with np.errstate(all="ignore"):
        return (np.max(_parts(inputs[0], attrs, counts, least), 0),)


def _decompose_max(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    least = extreme_value(b.type(inputs[0]).dtype, greatest=False)
    return b.emit("reduce_max", _windows(b, inputs[0], attrs, float(least)), axes=_window_axes(attrs))


# ---- average_pool


def _reference_average(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x = exact(inputs[0])
    counts = [size for size in types[0].shape[1:-1] if isinstance(size, int)]
    seen = np.full_like(x[:1, ..., :1], 1.0) if not attrs["count_padding"] else None
    with np.errstate(all="ignore"):
        total = np.sum(_parts(x, attrs, counts, 0.0), 0)
        number = np.prod(attrs["window"]) if seen is None else np.sum(_parts(seen, attrs, counts, 0.0), 0)
        return (np.asarray(total / number).astype(types[0].dtype.numpy),)


def _decompose_average(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x,) = inputs
    dtype = b.type(x).dtype
    wide = cast(b, x, accumulator(dtype))  # half precision can hold a mean whose sum it cannot
    total = b.emit("reduce_sum", _windows(b, wide, attrs, 0.0), axes=_window_axes(attrs))
    type = b.type(total)
    if attrs["count_padding"]:
        number = b.full(float(np.prod(attrs["window"])), type)
    else:
        number = cast(b, _numbers_seen(b, b.type(x).shape[1:-1], attrs, type.shape), type.dtype)
    return cast(b, b.emit("div", total, number), dtype)


def _numbers_seen(b: NodeBuilder, lengths: Sequence[Size], attrs: Attrs, shape: tuple[Size, ...]) -> Value:
    """How many elements of the operand each window sees."""
    out: Value | None = None

    def number(size: Size) -> Value:
        return broadcast(b, size_value(b, size, I64), shape)

    for i, length in enumerate(lengths):
        window = b.emit("iota", axis=1 + i, shape=shape, dtype=I64)
        start = b.emit("sub", b.emit("mul", window, number(attrs["strides"][i])), number(attrs["low"][i]))
        end = b.emit("minimum", b.emit("add", start, number(attrs["window"][i])), number(length))
        seen = b.emit("sub", end, b.emit("maximum", start, number(0)))
        out = seen if out is None else b.emit("mul", out, seen)
    assert out is not None  # infer demands a spatial axis
    return out


# ---- samples


def _plan(*axes: tuple[int, int, Size, Size], **other: Any) -> dict[str, Any]:
    """Attributes from (window, stride, low, high) of each spatial axis."""
    return dict(zip((spec.name for spec in _ATTRS), zip(*axes, strict=True), strict=True)) | other


def _samples(draw: Callable[..., NDArray], rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((draw(rng, 2, 7, 4),), _plan((2, 2, 0, 0)))
    yield Sample((draw(rng, 2, 9, 3),), _plan((3, 2, 1, 2)))
    yield Sample((draw(rng, 3, 9, 8, 2),), _plan((3, 2, 1, 1), (2, 1, 0, 0)))
    yield Sample((draw(rng, 5, 3, 4, 8, 7),), _plan((2, 1, 1, 1), (2, 3, 1, 1), (1, 1, 0, 0)))
    yield Sample((draw(rng, 0, 7, 3),), _plan((3, 1, 0, 0)))
    yield Sample((draw(rng, 5, 7, 4),), _plan((3, 2, 1, 0)), shapes=((N, 7, 4),))
    yield Sample((draw(rng, 2, 7, 4),), _plan((3, 1, 0, 0)), shapes=((N, M, 4),))
    odd = np.array([1.0, np.nan, 2.0, np.inf, 1.0, 0.0]).reshape(1, 6, 1)
    yield Sample((odd,), _plan((2, 1, 0, 0)), kinks=True)


_X = TensorType(F32, (2, 7, 3))
_ONE = _plan((3, 2, 1, 1))
_ERRORS = (
    ErrorSample((TensorType(F32, (2, 7)),), _ONE, ShapeError, "no spatial axis"),
    ErrorSample((_X,), _ONE | {"window": (3, 3)}, ShapeError, "'window' does not have one number"),
    ErrorSample((_X,), _ONE | {"window": (12,)}, ShapeError, "longer than the axis"),
    ErrorSample((_X,), _ONE | {"low": (3,)}, ShapeError, "nothing but padding"),
    ErrorSample((_X,), _ONE | {"high": (-1,)}, ShapeError, "padding is negative"),
    ErrorSample((_X,), _ONE | {"strides": (0,)}, AttributeValueError, "stride of a window is not positive"),
)

OPS = (
    OpDef(
        name="max_pool",
        doc="The greatest element of every window, for [n, *spatial, c]; what is put around the operand is less than "
        "all others. NaN if any is. Equal maxima of a window share its gradient.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(*_ATTRS, _DILATION),
        infer=_infer_max,
        reference=_reference_max,
        decompose=_decompose_max,
        samples=lambda rng: (
            *(
                replace(s, attrs={**s.attrs, "dilation": (1,) * (s.inputs[0].ndim - 2)})
                for s in _samples(distinct, rng)
            ),
            Sample((distinct(rng, 2, 9, 3),), _ONE | {"dilation": (2,)}),
            Sample((integers(rng, 2, 7, 3),), _ONE | {"dilation": (1,)}, exact=True),
        ),
        errors=(
            *(replace(e, attrs={**e.attrs, "dilation": (1,)}) for e in _ERRORS),
            ErrorSample((TensorType(BOOL, (2, 7, 3)),), _ONE | {"dilation": (1,)}, DTypeError, "not numbers"),
        ),
    ),
    OpDef(
        name="average_pool",
        doc="The mean of every window, for [n, *spatial, c]. Zeros around the operand count as elements if "
        "`count_padding` says so.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(*_ATTRS, AttrSpec("count_padding", "bool", "whether zeros around the operand count as elements", True)),
        infer=_infer_average,
        reference=_reference_average,
        decompose=_decompose_average,
        samples=lambda rng: (
            *_samples(normal, rng),
            Sample((normal(rng, 3, 9, 8, 2),), _plan((3, 2, 1, 1), (2, 1, 0, 1), count_padding=False)),
            Sample((normal(rng, 2, 7, 3),), _plan((3, 2, 1, 1), count_padding=False), shapes=((N, M, 3),)),
        ),
        errors=(*_ERRORS, ErrorSample((TensorType(I32, (2, 7, 3)),), _ONE, DTypeError, "element type does not fit")),
    ),
)
