"""Elementwise ops that look at a number's form: whether it is NaN, infinite or finite, and its bits shifted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, I32, DType, Kind
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import DecomposeRule, LowerContext, NodeBuilder, OpDef, Sample
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, apply
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ops.elementwise import FLOATS, Takes, elementwise, unary_samples, zero_gradient
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.samples import integers, normal, operands

_INTEGERS = Takes("integers of one type", I32, F32)


# ---- kinds of floats


def _test(name: str, doc: str, formula: Callable[..., Any], decompose: DecomposeRule) -> OpDef:
    def rule(dtypes: Sequence[DType]) -> DType | None:
        return BOOL if dtypes[0].is_float else None

    return elementwise(
        name,
        doc,
        FLOATS,
        unary_samples(normal),
        zero_gradient,
        rule=rule,
        arity=1,
        formula=formula,
        decompose=decompose,
    )


def _decompose_is_nan(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("ne", inputs[0], inputs[0])


def _against_infinity(comparison: str) -> DecomposeRule:
    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
        (x,) = inputs
        return b.emit(comparison, b.emit("abs", x), full_like(b, math.inf, x))

    return decompose


# ---- shifts


def _shift(name: str, doc: str, formula: Callable[..., Any], shifted: Callable[[Expr, Expr, Expr], Expr]) -> OpDef:
    """A shift; ``shifted`` takes the number, a count that is in range, and whether the given one is."""

    def lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
        x, count = context.operand(0, index), context.operand(1, index)
        zero, width = Const(0, x.dtype), Const(x.dtype.bits, x.dtype)
        valid = apply("and", apply("ge", count, zero), apply("lt", count, width))
        return shifted(x, apply("select", valid, count, zero), valid)

    return elementwise(
        name,
        doc,
        _INTEGERS,
        _shift_samples,
        zero_gradient,
        rule=SCALARS["shl"].rule,
        arity=2,
        formula=formula,
        lower=lower,
    )


def _left(x: Expr, count: Expr, valid: Expr) -> Expr:
    return apply("select", valid, apply("shl", x, count), Const(0, x.dtype))


def _right(x: Expr, count: Expr, valid: Expr) -> Expr:
    if x.dtype.kind is Kind.UINT:
        return apply("select", valid, apply("shr", x, count), Const(0, x.dtype))
    # Copies of the sign come in from the left: a negative number is shifted as its complement.
    sign = apply("select", apply("lt", x, Const(0, x.dtype)), Const(-1, x.dtype), Const(0, x.dtype))
    shifted = apply("xor", apply("shr", apply("xor", x, sign), count), sign)
    return apply("select", valid, shifted, sign)


def _shift_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from operands((integers, lambda rng, *shape: np.abs(integers(rng, *shape))), exact=True)(rng)
    numbers, counts = np.meshgrid([1, -1, 5, -(2**31), 2**31 - 1], [0, 1, 31, 32, 63, 64, 100, -1, -(2**31)])
    for dtype in (np.int32, np.int64):
        yield Sample((numbers.reshape(-1).astype(dtype), counts.reshape(-1).astype(dtype)), exact=True)
    yield Sample((np.array([1, 200, 255, 3], np.uint8), np.array([7, 3, 8, 255], np.uint8)), exact=True)
    yield Sample((np.array([1, -128, 127, 3], np.int8), np.array([7, 3, 8, -1], np.int8)), exact=True)


OPS = (
    _test("is_nan", "Whether the operand is NaN.", np.isnan, _decompose_is_nan),
    _test("is_inf", "Whether the operand is infinite.", np.isinf, _against_infinity("eq")),
    _test("is_finite", "Whether the operand is neither NaN nor infinite.", np.isfinite, _against_infinity("lt")),
    _shift(
        "shift_left",
        "The first operand times 2 to the power of the second, without overflowing bits; 0 for a count out of range.",
        np.left_shift,
        _left,
    ),
    _shift(
        "shift_right",
        "The first operand divided by 2 to the power of the second, rounded down, as if the bits went on to the left.",
        np.right_shift,
        _right,
    ),
)
