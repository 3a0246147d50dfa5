"""Ops that are written in terms of other ops: powers, one-hot rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import BOOL, F32, F64, I32
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    NDArray,
    NodeBuilder,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import cast, class_hits, full_like
from sigmagraph.ops.rules import infer_number
from sigmagraph.ops.samples import N, fractional, integers, normal, one_operand, special

_MATRIX = TensorType(F32, (2, 3))


# ---- powers


def _exponent(attrs: Attrs) -> int:
    exponent = attrs.get("exponent", 2)
    assert isinstance(exponent, int)
    return exponent


def _infer_power(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_number(context)
    exponent, least = _exponent(context.attrs), -(2**31) if x.dtype.is_float else 0
    if not least <= exponent < 2**31:
        expected = f"{least} .. {2**31 - 1}"
        raise context.error("the exponent is out of range", expected=expected, got=exponent, kind=AttributeValueError)
    return (x,)


def _reference_power(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, dtype = inputs[0], types[0].dtype
    wide = x.astype(np.float64 if dtype.is_float else np.int64)  # what wraps there wraps alike in narrower integers
    with np.errstate(all="ignore"):
        return (np.asarray(np.power(wide, np.array(_exponent(attrs), wide.dtype))).astype(dtype.numpy),)


def _vjp_square(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    return (c.emit("mul", g, c.emit("add", x, x)),)


def _decompose_square(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("mul", inputs[0], inputs[0])


def _vjp_power(c: VjpContext) -> Sequence[Value | None]:
    (x,), (g,), n = c.inputs, c.cotangents, c.attrs["exponent"]
    if n == 0:
        return (None,)
    if n == 1:
        return (g,)
    return (c.emit("mul", c.emit("mul", g, full_like(c, n, g)), c.emit("integer_power", x, exponent=n - 1)),)


def _decompose_power(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    """Repeated squaring: about 2 log2(exponent) multiplications."""
    base, rest = inputs[0], abs(attrs["exponent"])
    out = base if rest & 1 else None
    while rest := rest >> 1:
        base = b.emit("mul", base, base)
        if rest & 1:
            out = base if out is None else b.emit("mul", out, base)
    one = full_like(b, 1.0, inputs[0])
    if out is None:
        return one
    return b.emit("div", one, out) if attrs["exponent"] < 0 else out


def _power_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for exponent in (-3, -1, 0, 1, 2, 3, 10):
        yield Sample((fractional(rng, 3, 4),), {"exponent": exponent})
    yield Sample((normal(rng, 5, 0),), {"exponent": 5})
    yield Sample((normal(rng, 5, 2),), {"exponent": 3}, shapes=((N, 2),))
    yield Sample((integers(rng, 3, 4),), {"exponent": 7}, exact=True)
    yield Sample((np.array([1, 2, 3, 255], np.uint8),), {"exponent": 300}, exact=True)


# ---- one_hot


def _infer_one_hot(context: Inference) -> tuple[TensorType, ...]:
    (indices,) = context.types
    if not indices.dtype.is_integer:
        raise context.error(
            "the indices are no integers", expected="an integer type", got=indices.dtype, kind=DTypeError
        )
    context.at_least(context.attrs["depth"], 0, "'depth' is negative")
    return (TensorType(context.attrs["dtype"], (*indices.shape, context.attrs["depth"])),)


def _reference_one_hot(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return ((inputs[0][..., None] == np.arange(attrs["depth"])).astype(types[0].dtype.numpy),)


def _decompose_one_hot(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    return cast(b, class_hits(b, inputs[0], attrs["depth"]), attrs["dtype"])


def _one_hot_samples(_rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((np.array([0, 3, 4, -1, 5], np.int32),), {"depth": 4}, exact=True)
    yield Sample((np.array([[0, 3], [4, 1], [2, 2]], np.int64),), {"depth": 5, "dtype": F64}, exact=True)
    yield Sample((np.array([0, 3, 255], np.uint8),), {"depth": 300, "dtype": BOOL}, exact=True)
    yield Sample((np.array([2, 1, 0], np.int32),), {"depth": 2, "dtype": I32}, shapes=((N,),), exact=True)
    yield Sample((np.zeros(0, np.int32),), {"depth": 3}, exact=True)


OPS = (
    OpDef(
        name="square",
        doc="The operand times itself; integers wrap.",
        kind=OpKind.COMPOSITE,
        arity=1,
        infer=_infer_power,
        reference=_reference_power,
        vjp=_vjp_square,
        decompose=_decompose_square,
        samples=lambda rng: (*one_operand(normal)(rng), special(1), Sample((integers(rng, 3, 4),), exact=True)),
        errors=(ErrorSample((TensorType(BOOL, (2,)),), {}, DTypeError, "not numbers"),),
    ),
    OpDef(
        name="integer_power",
        doc="The operand to the power of the whole number `exponent`; 1 for the exponent 0. Integers wrap.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AttrSpec("exponent", "int", "a whole number, for floats perhaps negative"),),
        infer=_infer_power,
        reference=_reference_power,
        vjp=_vjp_power,
        decompose=_decompose_power,
        samples=_power_samples,
        errors=(
            ErrorSample((TensorType(I32, (2,)),), {"exponent": -1}, AttributeValueError, "exponent is out of range"),
            ErrorSample((_MATRIX,), {"exponent": 2**31}, AttributeValueError, "exponent is out of range"),
            ErrorSample((_MATRIX,), {"exponent": 0.5}, AttributeValueError, "'exponent'"),
            ErrorSample((TensorType(BOOL, (2,)),), {"exponent": 2}, DTypeError, "not numbers"),
        ),
    ),
    OpDef(
        name="one_hot",
        doc="[...] of integers -> [..., depth]: 1 where the last index equals the integer, 0 elsewhere; a row of zeros "
        "for an integer outside 0 .. depth-1.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(
            AttrSpec("depth", "int", "the size of the new last axis"),
            AttrSpec("dtype", "dtype", "the element type of the result", F32),
        ),
        infer=_infer_one_hot,
        reference=_reference_one_hot,
        vjp=NotDifferentiable("its operand is of integers"),
        decompose=_decompose_one_hot,
        samples=_one_hot_samples,
        errors=(
            ErrorSample((TensorType(F32, (2,)),), {"depth": 3}, DTypeError, "indices are no integers"),
            ErrorSample((TensorType(I32, (2,)),), {"depth": -1}, ShapeError, "'depth' is negative"),
            ErrorSample((TensorType(I32, (2,)),), {}, AttributeValueError, "'depth' is missing"),
        ),
    ),
)
