"""Ops that cut an axis into windows, and that add windows up again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.rules import all_nonnegative, infer_number
from sigmagraph.ops.samples import M, N, booleans, integers, normal


def span(size: Size, dilation: int) -> Size:
    """How many elements lie between the first and the last of a window, both included."""
    return (size - 1) * dilation + 1


def window_count(context: Inference, length: Size, size: Size, stride: int, dilation: int) -> Size:
    """How many windows of ``size`` elements, ``dilation`` apart, fit into an axis, ``stride`` apart.

    Raises:
        AttributeValueError: one of the numbers is not positive.
        ShapeError: not even one fits.
    """
    for name, number in (("size", size), ("stride", stride), ("dilation", dilation)):
        if isinstance(number, int) and number < 1:
            raise context.error(
                f"the {name} of a window is not positive", expected="at least 1", got=number, kind=AttributeValueError
            )
    context.at_least(length, span(size, dilation), "the window is longer than the axis")
    return (length - span(size, dilation)) // stride + 1


# ---- unfold


def _infer_unfold(context: Inference) -> tuple[TensorType, ...]:
    (x,), attrs = context.types, context.attrs
    axis = context.axis(attrs["axis"], x.rank)
    size = attrs["size"]
    count = window_count(context, x.shape[axis], size, attrs["stride"], attrs["dilation"])
    return (TensorType(x.dtype, (*x.shape[:axis], count, size, *x.shape[axis + 1 :])),)


def _reference_unfold(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    (x,) = inputs
    axis, dilation = attrs["axis"] % x.ndim, attrs["dilation"]
    every = np.lib.stride_tricks.sliding_window_view(x, (attrs["size"] - 1) * dilation + 1, axis)
    some = np.moveaxis(every[..., ::dilation], axis, 0)[:: attrs["stride"]]
    return (np.moveaxis(some, (0, -1), (axis, axis + 1)),)


def _vjp_unfold(c: VjpContext) -> Sequence[Value]:
    shape = c.type(c.inputs[0]).shape
    axis = c.attrs["axis"] % len(shape)
    stride, dilation = c.attrs["stride"], c.attrs["dilation"]
    return (c.emit("fold", c.cotangents[0], axis=axis, length=(shape[axis],), stride=stride, dilation=dilation),)


def _lower_unfold(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    attrs = context.attrs
    axis = attrs["axis"] % len(context.types[0].shape)
    window = index[axis] if context.result.shape[axis] != 1 else 0
    element = index[axis + 1] if attrs["size"] != 1 else 0
    place = window * attrs["stride"] + element * attrs["dilation"]
    return context.operand(0, (*index[:axis], place, *index[axis + 2 :]))


def _unfold_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 7, 4),), {"axis": 1, "size": 3})
    yield Sample((normal(rng, 11, 5),), {"axis": 0, "size": 3, "stride": 2, "dilation": 2})
    yield Sample((normal(rng, 3, 17),), {"axis": -1, "size": 2, "stride": 4})
    yield Sample((normal(rng, 5),), {"axis": 0, "size": 1, "stride": 3})
    yield Sample((normal(rng, 0, 4),), {"axis": 1, "size": 2})
    yield Sample((normal(rng, 9, 5),), {"axis": 0, "size": 3, "stride": 2}, shapes=((N, M),))
    yield Sample((booleans(rng, 8, 2),), {"axis": 0, "size": 3}, exact=True)


# ---- fold


def _infer_fold(context: Inference) -> tuple[TensorType, ...]:
    (x,), attrs = infer_number(context), context.attrs
    if len(attrs["length"]) != 1:
        raise context.error("'length' is not one size", expected="one size", got=attrs["length"])
    (length,) = attrs["length"]
    axis = context.axis(attrs["axis"], x.rank - 1)
    count = window_count(context, length, x.shape[axis + 1], attrs["stride"], attrs["dilation"])
    context.same(count, x.shape[axis], "the number of windows that fit into the result and that of the operand")
    return (TensorType(x.dtype, (*x.shape[:axis], length, *x.shape[axis + 2 :])),)


def _reference_fold(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x = exact(inputs[0])
    axis = attrs["axis"] % (x.ndim - 1)
    windows, elements = (np.arange(size) for size in x.shape[axis : axis + 2])
    places = windows[:, None] * attrs["stride"] + elements * attrs["dilation"]
    out = np.zeros(types[0].shape, x.dtype)  # type: ignore[type-var]
    with np.errstate(all="ignore"):
        np.add.at(np.moveaxis(out, axis, 0), places, np.moveaxis(x, (axis, axis + 1), (0, 1)))
    return (out.astype(types[0].dtype.numpy),)


def _vjp_fold(c: VjpContext) -> Sequence[Value]:
    shape = c.type(c.inputs[0]).shape
    axis = c.attrs["axis"] % (len(shape) - 1)
    attrs = {"size": shape[axis + 1], "stride": c.attrs["stride"], "dilation": c.attrs["dilation"]}
    return (c.emit("unfold", c.cotangents[0], axis=axis, **attrs),)


def _lower_fold(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    attrs, shape = context.attrs, context.types[0].shape
    axis = attrs["axis"] % len(index)
    stride = attrs["stride"]
    wide = accumulator(context.result.dtype)

    def body(inner: tuple[Size, ...]) -> Expr:
        start = index[axis] - (inner[0] if shape[axis + 1] != 1 else 0) * attrs["dilation"]
        window = start // stride
        conditions = [start, shape[axis] - 1 - window]
        if stride > 1:
            conditions.append(window * stride - start)  # 0 where a window starts, negative between
        value = context.operand(0, (*index[:axis], window, *inner, *index[axis + 1 :]), conditions)
        zero = Const(0.0 if wide.is_float else 0, wide)
        return apply("select", all_nonnegative(conditions), cast_expr(value, wide), zero)

    return cast_expr(context.reduce("add", (shape[axis + 1],), body), context.result.dtype)


def _fold_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 5, 3, 4),), {"axis": 1, "length": (7,)})
    yield Sample((normal(rng, 4, 3, 5),), {"axis": 0, "length": (12,), "stride": 2, "dilation": 2})
    yield Sample((normal(rng, 2, 4, 3),), {"axis": -1, "length": (16,), "stride": 4})
    yield Sample((normal(rng, 2, 1),), {"axis": 0, "length": (5,), "stride": 3})
    yield Sample((normal(rng, 0, 3, 2),), {"axis": 1, "length": (4,)})
    yield Sample((normal(rng, 5, 3, 2),), {"axis": 0, "length": (N,)}, shapes=((N - 2, 3, M),))
    yield Sample((integers(rng, 4, 3),), {"axis": 0, "length": (6,)}, exact=True)


_MATRIX = TensorType(F32, (4, 7))
_WINDOWS = TensorType(F64, (2, 5, 3))
_STRIDE = AttrSpec("stride", "int", "how far apart the windows start", 1)
_DILATION = AttrSpec("dilation", "int", "how far apart the elements of a window are", 1)

OPS = (
    OpDef(
        name="unfold",
        doc="The windows of an axis: [..., n, ...] -> [..., count, size, ...], element `o * stride + k * dilation` at "
        "(o, k), as many windows as fit.",
        kind=OpKind.MOVEMENT,
        arity=1,
        attrs=(
            AttrSpec("axis", "axis", "the axis that is cut into windows"),
            AttrSpec("size", "int", "the number of elements of a window"),
            _STRIDE,
            _DILATION,
        ),
        infer=_infer_unfold,
        reference=_reference_unfold,
        vjp=_vjp_unfold,
        lower=_lower_unfold,
        samples=_unfold_samples,
        traits=frozenset({Trait.TRANSPARENT}),
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2, "size": 1}, ShapeError, "no such axis"),
            ErrorSample((_MATRIX,), {"axis": 0, "size": 5}, ShapeError, "longer than the axis"),
            ErrorSample((_MATRIX,), {"axis": 1, "size": 3, "dilation": 4}, ShapeError, "longer than the axis"),
            ErrorSample((_MATRIX,), {"axis": 1, "size": 0}, AttributeValueError, "size of a window is not positive"),
            ErrorSample((_MATRIX,), {"axis": 1, "size": 1, "stride": 0}, AttributeValueError, "stride of a window"),
        ),
    ),
    OpDef(
        name="fold",
        doc="Windows added up where they overlap: [..., count, size, ...] -> [..., length, ...], at i the sum of the "
        "elements (o, k) with `o * stride + k * dilation` = i, 0 where there is none. `length` has room for `count` "
        "windows and no more.",
        kind=OpKind.REDUCTION,
        arity=1,
        attrs=(
            AttrSpec("axis", "axis", "the axis of the result that the windows lie on"),
            AttrSpec("length", "shape", "its size"),
            _STRIDE,
            _DILATION,
        ),
        infer=_infer_fold,
        reference=_reference_fold,
        vjp=_vjp_fold,
        lower=_lower_fold,
        samples=_fold_samples,
        errors=(
            ErrorSample((_WINDOWS,), {"axis": 1, "length": (9,)}, ShapeError, "number of windows"),
            ErrorSample((_WINDOWS,), {"axis": 0, "length": (2,)}, ShapeError, "longer than the axis"),
            ErrorSample((_WINDOWS,), {"axis": 2, "length": (7,)}, ShapeError, "no such axis"),
            ErrorSample((_WINDOWS,), {"axis": 1, "length": (7, 2)}, ShapeError, "not one size"),
            ErrorSample((TensorType(BOOL, (5, 3)),), {"axis": 0, "length": (7,)}, DTypeError, "not numbers"),
        ),
    ),
)
