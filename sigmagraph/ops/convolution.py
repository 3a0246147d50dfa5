"""Convolutions over any number of spatial axes and their derivatives, as composites of windows and contractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as every
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
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
from sigmagraph.ops.contraction import contracted
from sigmagraph.ops.geometry import GEOMETRY, Geometry, exchanged, grouped, merged, window_counts, windows
from sigmagraph.ops.phases import by_phases, has_phases
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, normal


def _check_operands(context: Inference) -> None:
    a, b = context.types
    if not a.dtype.is_float or a.dtype is not b.dtype:
        got = f"{a.dtype}, {b.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    if a.rank != b.rank or a.rank < 3:
        got = f"{a.rank} and {b.rank}"
        raise context.error("the ranks of the operands do not fit", expected="two equal ones of at least 3", got=got)


def _kernel_sizes(context: Inference, sizes: Sequence[Size]) -> tuple[int, ...]:
    out = tuple(size for size in sizes if isinstance(size, int))
    if len(out) != len(sizes):
        raise context.error("the size of the window is not known", expected="numbers", got=tuple(map(str, sizes)))
    return out


def _group_width(context: Inference, channels: Size, what: str) -> Size:
    groups: int = context.attrs["groups"]
    if isinstance(channels, int) and channels % groups:
        raise context.error(
            f"the {what} channels do not divide into groups", expected=f"a multiple of {groups}", got=channels
        )
    return channels // groups


# ---- what both ops are made of


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of all axes for a number of spatial axes."""

    count: int

    @property
    def windows(self) -> tuple[int, ...]:
        """Of all windows: [n, o1, k1, o2, k2, ..., g, c]."""
        return (0, *range(1, 2 * self.count + 1), 2 * self.count + 1, 2 * self.count + 2)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Of the kernel: [k1, k2, ..., c, g, o]."""
        last = 2 * self.count
        return (*range(2, last + 1, 2), last + 2, last + 1, last + 3)

    @property
    def result(self) -> tuple[int, ...]:
        """Of the result: [n, o1, o2, ..., g, o]."""
        last = 2 * self.count
        return (0, *range(1, last, 2), last + 1, last + 3)


def _input_cotangent(c: NodeBuilder, g: Value, w: Value, lengths: Sequence[Size], geometry: Geometry) -> Value:
    """The cotangent of the operand: a convolution of the result's, spread by the strides."""
    back = geometry.transposed(lengths, c.type(g).shape[1:-1], c.type(w).shape[:-2])
    return c.emit("convolution", g, exchanged(c, w, geometry.groups), **back.attrs)


# ---- convolution


def _infer(context: Inference) -> tuple[TensorType, ...]:
    _check_operands(context)
    x, w = context.types
    *kernel, inner, outer = w.shape
    counts = window_counts(context, x.shape[1:-1], _kernel_sizes(context, kernel))
    context.same(_group_width(context, x.shape[-1], "input"), inner, "the input channels of a group")
    _group_width(context, outer, "output")
    return (TensorType(x.dtype, (x.shape[0], *counts, outer)),)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    """One place of the window at a time."""
    x, w = map(exact, inputs)
    geometry = Geometry.of(attrs)
    out = np.zeros(types[0].shape, x.dtype)  # type: ignore[type-var]
    counts = np.shape(out)[1:-1]
    for at, part in _shifted(x, w.shape[:-2], counts, geometry):
        for group in range(geometry.groups):
            into, outof = (_channels(size, geometry.groups, group) for size in (x.shape[-1], w.shape[-1]))
            with np.errstate(all="ignore"):
                out[..., outof] += part[..., into] @ w[at][:, outof]
    return (out.astype(types[0].dtype.numpy),)


def _channels(count: int, groups: int, group: int) -> slice:
    width = count // groups
    return slice(group * width, (group + 1) * width)


def _shifted(
    x: NDArray, kernel: Sequence[int], counts: Sequence[int], geometry: Geometry
) -> Iterator[tuple[tuple[int, ...], NDArray]]:
    """For each place of the window what all windows see there: [n, *counts, c]."""
    spread = np.zeros(
        (x.shape[0], *((n - 1) * k + 1 for n, k in zip(x.shape[1:-1], geometry.spread, strict=True)), x.shape[-1])
    )
    spread[(slice(None), *(slice(None, None, k) for k in geometry.spread))] = x
    for axis, (low, high) in enumerate(zip(geometry.low, geometry.high, strict=True), 1):
        assert isinstance(low, int)  # dims have numbers by now
        assert isinstance(high, int)
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(low, 0), max(high, 0))
        spread = np.pad(spread, widths)
        spread = np.take(spread, range(max(-low, 0), spread.shape[axis] - max(-high, 0)), axis)
    for at in every(*map(range, kernel)):
        starts = [k * d for k, d in zip(at, geometry.dilation, strict=True)]
        cut = [slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, counts, geometry.strides, strict=True)]
        yield at, spread[(slice(None), *cut)]


def _vjp(c: VjpContext) -> Sequence[Value]:
    (x, w), (g,), geometry = c.inputs, c.cotangents, Geometry.of(c.attrs)
    kernel = c.type(w).shape[:-2]
    return (
        _input_cotangent(c, g, w, c.type(x).shape[1:-1], geometry),
        c.emit("convolution_weights", x, g, kernel=kernel, **geometry.attrs),
    )


def _decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x, w), geometry = inputs, Geometry.of(attrs)
    kernel = b.type(w).shape[:-2]
    if has_phases(geometry, kernel):
        return by_phases(b, x, w, geometry)
    labels = _Labels(len(kernel))
    y = contracted(
        b,
        windows(b, x, kernel, geometry),
        labels.windows,
        grouped(b, w, geometry.groups),
        labels.kernel,
        labels.result,
    )
    return merged(b, y)


_Axis: TypeAlias = "tuple[int, Size, Size, int, int]"


def _geometry(axes: Sequence[_Axis], groups: int = 1) -> dict[str, Any]:
    """Attributes from (stride, low, high, dilation, spread) of each spatial axis."""
    strides, low, high, dilation, spread = zip(*axes, strict=True)
    return dict(Geometry(strides, low, high, dilation, spread, groups).attrs)


_PLAIN, _SAME = (1, 0, 0, 1, 1), (1, 1, 1, 1, 1)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(x: tuple[int, ...], w: tuple[int, ...], *axes: _Axis, groups: int = 1, **other: Any) -> Sample:
        return Sample((normal(rng, *x), normal(rng, *w)), _geometry(axes, groups), **other)

    yield sample((2, 7, 3), (4, 3, 5), _PLAIN)
    yield sample((2, 6, 4), (2, 4, 5), (2, 1, 0, 2, 1))
    yield sample((2, 5, 3), (4, 3, 6), (1, 2, 2, 1, 2))
    yield sample((2, 9, 4), (2, 4, 5), (2, -1, -2, 1, 1))
    yield sample((2, 5, 3), (2, 3, 4), (1, -1, 2, 1, 2))
    yield sample((2, 5, 7, 3), (4, 2, 3, 5), _SAME, (1, 0, 1, 1, 1))
    yield sample((2, 5, 7, 6), (3, 4, 2, 9), (2, 1, 1, 1, 1), (1, 1, 2, 2, 1), groups=3)
    yield sample((2, 7, 5, 4), (3, 2, 1, 8), _SAME, (1, 0, 1, 1, 1), groups=4)
    yield sample((2, 3, 4, 5, 6), (2, 1, 3, 6, 7), (1, 1, 3, 1, 1), _PLAIN, _SAME)
    yield sample((1, 7, 17, 5), (3, 4, 5, 18), _SAME, _PLAIN)
    yield sample((0, 6, 3), (2, 3, 4), _PLAIN)
    yield sample((6, 8, 3), (2, 3, 4), (2, 1, 1, 1, 1), shapes=((N, 8, 3), (2, 3, 4)))
    yield sample((3, 8, 6, 4), (3, 2, 4, 7), _SAME, _PLAIN, shapes=((N, M, 6, 4), (3, 2, 4, 7)))
    yield sample((2, 9, 4), (3, 4, 5), _SAME)


# ---- its derivative by the weights


def _infer_weights(context: Inference) -> tuple[TensorType, ...]:
    _check_operands(context)
    x, g = context.types
    kernel = context.attrs["kernel"]
    if len(kernel) != x.rank - 2:
        raise context.error("'kernel' does not have one number for each spatial axis", expected=x.rank - 2, got=kernel)
    counts = window_counts(context, x.shape[1:-1], kernel)
    context.same_shape((x.shape[0], *counts), g.shape[:-1], "the windows and the cotangent")
    _group_width(context, g.shape[-1], "output")
    return (TensorType(x.dtype, (*kernel, _group_width(context, x.shape[-1], "input"), g.shape[-1])),)


def _reference_weights(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, g = map(exact, inputs)
    geometry = Geometry.of(attrs)
    out = np.zeros((*attrs["kernel"], x.shape[-1] // geometry.groups, g.shape[-1]), x.dtype)
    axes = list(range(g.ndim - 1))
    for at, part in _shifted(x, attrs["kernel"], g.shape[1:-1], geometry):
        for group in range(geometry.groups):
            into, outof = (_channels(size, geometry.groups, group) for size in (x.shape[-1], g.shape[-1]))
            with np.errstate(all="ignore"):
                out[at][:, outof] = np.tensordot(part[..., into], g[..., outof], (axes, axes))
    return (out.astype(types[0].dtype.numpy),)


def _vjp_weights(c: VjpContext) -> Sequence[Value]:
    (x, g), (w,), geometry = c.inputs, c.cotangents, Geometry.of(c.attrs)
    return (
        _input_cotangent(c, g, w, c.type(x).shape[1:-1], geometry),
        c.emit("convolution", x, w, **geometry.attrs),
    )


def _decompose_weights(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x, g), geometry = inputs, Geometry.of(attrs)
    labels = _Labels(len(attrs["kernel"]))
    w = contracted(
        b,
        windows(b, x, attrs["kernel"], geometry),
        labels.windows,
        grouped(b, g, geometry.groups),
        labels.result,
        labels.kernel,
    )
    return merged(b, w)


def _weights_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        x: tuple[int, ...],
        g: tuple[int, ...],
        kernel: tuple[int, ...],
        *axes: _Axis,
        groups: int = 1,
        **other: Any,
    ) -> Sample:
        return Sample((normal(rng, *x), normal(rng, *g)), _geometry(axes, groups) | {"kernel": kernel}, **other)

    yield sample((2, 7, 3), (2, 4, 5), (4,), _PLAIN)
    yield sample((2, 9, 3), (2, 4, 5), (2,), (2, 1, -1, 2, 1))
    yield sample((2, 5, 7, 6), (2, 3, 4, 9), (3, 4), (2, 1, 1, 1, 1), (1, 1, 2, 2, 1), groups=3)
    yield sample((2, 5, 13, 6), (2, 5, 12, 7), (3, 2), _SAME, _PLAIN)
    yield sample((0, 6, 3), (0, 5, 4), (2,), _PLAIN, kinks=True)
    yield sample((5, 8, 3), (5, 7, 4), (2,), _PLAIN, shapes=((N, 8, 3), (N, 7, 4)))
    yield sample((2, 9, 4), (2, 9, 5), (3,), _SAME)


_X, _W = TensorType(F32, (2, 7, 3)), TensorType(F32, (4, 3, 5))
_ONE = _geometry((_PLAIN,))

OPS = (
    OpDef(
        name="convolution",
        doc="The sum of products of a kernel with every window of an operand, channels last: x[n, *spatial, c], "
        "w[*kernel, c / groups, o] -> [n, *counts, o]. As in all networks the kernel is not reversed.",
        kind=OpKind.COMPOSITE,
        arity=2,
        attrs=GEOMETRY,
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        decompose=_decompose,
        samples=_samples,
        errors=(
            ErrorSample((_X, TensorType(F64, (4, 3, 5))), _ONE, DTypeError, "element types do not fit"),
            ErrorSample((TensorType(I32, (2, 7, 3)),) * 2, _ONE, DTypeError, "element types do not fit"),
            ErrorSample((_X, TensorType(F32, (4, 4, 3, 5))), _ONE, ShapeError, "ranks of the operands"),
            ErrorSample((_X, TensorType(F32, (4, 2, 5))), _ONE, ShapeError, "input channels of a group differ"),
            ErrorSample((_X, TensorType(F32, (8, 3, 5))), _ONE, ShapeError, "window is longer than the axis"),
            ErrorSample((_X, TensorType(F32, (N, 3, 5))), _ONE, ShapeError, "size of the window is not known"),
            ErrorSample((_X, _W), _ONE | {"groups": 2}, ShapeError, "input channels do not divide"),
            ErrorSample((_X, TensorType(F32, (4, 1, 5))), _ONE | {"groups": 3}, ShapeError, "output channels do not"),
            ErrorSample((_X, _W), _ONE | {"strides": (0,)}, AttributeValueError, "stride of a window is not positive"),
            ErrorSample((_X, _W), _ONE | {"spread": (0,)}, AttributeValueError, "a number is not positive"),
            ErrorSample((_X, _W), _ONE | {"low": (1, 1)}, ShapeError, "'low' does not have one number"),
            ErrorSample((TensorType(F32, (2, 0, 3)), _W), _ONE | {"low": (9,)}, ShapeError, "axis 0 of the operand is"),
        ),
    ),
    OpDef(
        name="convolution_weights",
        doc="The derivative of `convolution` by its kernel, for x[n, *spatial, c] and the cotangent g[n, *counts, o]: "
        "[*kernel, c / groups, o].",
        kind=OpKind.COMPOSITE,
        arity=2,
        attrs=(AttrSpec("kernel", "ints", "the spatial sizes of the kernel"), *GEOMETRY),
        infer=_infer_weights,
        reference=_reference_weights,
        vjp=_vjp_weights,
        decompose=_decompose_weights,
        samples=_weights_samples,
        errors=(
            ErrorSample((_X, TensorType(F32, (2, 4, 5))), _ONE | {"kernel": (3,)}, ShapeError, "windows and the cotan"),
            ErrorSample((_X, TensorType(F32, (2, 4, 5))), _ONE | {"kernel": (3, 1)}, ShapeError, "'kernel' does not"),
            ErrorSample((_X, TensorType(F64, (2, 4, 5))), _ONE | {"kernel": (4,)}, DTypeError, "element types do not"),
        ),
    ),
)
