"""Elementwise composites of numbers: roots and inverses, rounding toward zero, signs, sums of powers, bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sigmagraph.dtypes import Kind
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import DecomposeRule, NodeBuilder, OpDef, Sample, VjpContext, VjpRule
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ops.elementwise import (
    FLOATS,
    NUMBERS,
    Samples,
    Takes,
    elementwise,
    integer_samples,
    lifted,
    unary_samples,
    with_special,
    zero_gradient,
)
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.samples import fractional, integers, nonzero, normal, operands, positive

_Formula = Callable[..., Any]


def _composite(
    name: str, doc: str, takes: Takes, samples: Samples, vjp: VjpRule, formula: _Formula, decompose: DecomposeRule
) -> OpDef:
    """A composite on operands of one type, as many as the samples have."""
    rule = SCALARS["neg" if takes is NUMBERS else "sqrt"].rule
    arity = len(next(iter(samples(np.random.default_rng(0)))).inputs)
    return elementwise(name, doc, takes, samples, vjp, rule=rule, arity=arity, formula=formula, decompose=decompose)


def _in_float64(formula: _Formula) -> _Formula:
    """A formula of floats, computed in float64 and rounded to the type of its operands."""
    return lambda *x: np.asarray(formula(*(v.astype(np.float64) for v in x))).astype(x[0].dtype)


# ---- roots and inverses


def _vjp_rsqrt(c: VjpContext) -> Sequence[Value]:
    """-y^3 / 2."""
    (y,), (g,) = c.outputs, c.cotangents
    cube = c.emit("mul", c.emit("mul", y, y), y)
    return (c.emit("mul", g, c.emit("mul", cube, full_like(c, -0.5, y))),)


def _decompose_rsqrt(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("div", full_like(b, 1.0, inputs[0]), b.emit("sqrt", inputs[0]))


def _vjp_reciprocal(c: VjpContext) -> Sequence[Value]:
    """-y^2."""
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("neg", c.emit("mul", g, c.emit("mul", y, y))),)


def _decompose_reciprocal(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("div", full_like(b, 1.0, inputs[0]), inputs[0])


# ---- rounding and signs


def _decompose_trunc(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    (x,) = inputs
    return b.emit("select", b.emit("lt", x, full_like(b, 0.0, x)), b.emit("ceil", x), b.emit("floor", x))


def _decompose_sign(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    (x,) = inputs
    out, zero = x, full_like(b, 0, x)
    if b.type(x).dtype.kind is not Kind.UINT:
        out = b.emit("select", b.emit("lt", x, zero), full_like(b, -1, x), out)
    return b.emit("select", b.emit("gt", x, zero), full_like(b, 1, x), out)


def _decompose_copysign(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    """The inverse tells -0 from 0."""
    x, y = inputs
    zero, size = full_like(b, 0.0, y), b.emit("abs", x)
    negative = b.emit("or", b.emit("lt", y, zero), b.emit("lt", b.emit("reciprocal", y), zero))
    return b.emit("select", negative, b.emit("neg", size), size)


def _vjp_copysign(c: VjpContext) -> Sequence[Value | None]:
    """1 or -1, 0 where the first operand is 0."""
    (x, y), (g,) = c.inputs, c.cotangents
    flips = c.emit("mul", c.emit("sign", x), c.emit("copysign", full_like(c, 1.0, y), y))
    return (c.emit("mul", g, flips), None)


def _vjp_remainder(c: VjpContext) -> Sequence[Value]:
    (x, y), (g,) = c.inputs, c.cotangents
    return (g, c.emit("neg", c.emit("mul", g, c.emit("floor_divide", x, y))))


def _division_samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Quotients away from whole numbers; integers of all signs, zero divisors and the least number."""
    for sample in operands((fractional, nonzero))(rng):
        quotient, y = sample.inputs[0] * 2 + 0.05, sample.inputs[1]
        yield Sample((np.asarray((np.floor(quotient) + 0.4) * y), y), shapes=sample.shapes)
    least = np.iinfo(np.int32).min
    signs = np.array([[7, 7, -7, -7, 6, -6, 5, least], [2, -2, 2, -2, -2, 2, 0, -1]], np.int32)
    yield Sample((signs[0], signs[1]), exact=True)
    yield Sample((np.array([7, 200, 5], np.uint8), np.array([2, 3, 0], np.uint8)), exact=True)


# ---- sums of powers


def _decompose_hypot(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    """The greater magnitude m times sqrt(1 + (n / m)^2): squares that neither overflow nor vanish."""
    x, y = (b.emit("abs", v) for v in inputs)
    zero, one, infinity = (full_like(b, number, x) for number in (0.0, 1.0, math.inf))
    greater, lesser = b.emit("maximum", x, y), b.emit("minimum", x, y)
    ratio = b.emit("div", lesser, greater)
    size = b.emit("mul", greater, b.emit("sqrt", b.emit("add", b.emit("mul", ratio, ratio), one)))
    finite = b.emit("select", b.emit("eq", lesser, zero), greater, size)
    infinite = b.emit("or", b.emit("eq", x, infinity), b.emit("eq", y, infinity))
    return b.emit("select", infinite, infinity, finite)


def _vjp_hypot(c: VjpContext) -> Sequence[Value]:
    """The operands divided by the result; 0 at the origin."""
    (z,), (g,) = c.outputs, c.cotangents
    safe = c.emit("select", c.emit("eq", z, full_like(c, 0.0, z)), full_like(c, 1.0, z), z)
    return tuple(c.emit("mul", g, c.emit("div", x, safe)) for x in c.inputs)


def _equal_infinities(b: NodeBuilder, x: Value, y: Value) -> Value:
    return b.emit("and", b.emit("eq", x, y), b.emit("is_inf", x))


def _decompose_logaddexp(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    """The greater plus log1p(exp(-|x - y|))."""
    x, y = inputs
    difference = b.emit("select", _equal_infinities(b, x, y), full_like(b, 0.0, x), b.emit("sub", x, y))
    rest = b.emit("log1p", b.emit("exp", b.emit("neg", b.emit("abs", difference))))
    return b.emit("add", b.emit("maximum", x, y), rest)


def _vjp_logaddexp(c: VjpContext) -> Sequence[Value]:
    """sigmoid(x - y) and sigmoid(y - x)."""
    (x, y), (g,) = c.inputs, c.cotangents
    difference = c.emit("select", _equal_infinities(c, x, y), full_like(c, 0.0, x), c.emit("sub", x, y))
    return (
        c.emit("mul", g, c.emit("sigmoid", difference)),
        c.emit("mul", g, c.emit("sigmoid", c.emit("neg", difference))),
    )


# ---- bounds


def _decompose_clamp(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    x, low, high = inputs
    return b.emit("minimum", b.emit("maximum", x, low), high)


def _vjp_clamp(c: VjpContext) -> Sequence[Value]:
    """To the operand inside of the bounds and on them, else to the bound that is the result."""
    (x, low, high), (g,) = c.inputs, c.cotangents
    zero = full_like(c, 0.0, g)
    inside = c.emit("and", c.emit("ge", x, low), c.emit("le", x, high))
    crossed = c.emit("lt", high, low)
    below = c.emit("and", c.emit("lt", x, low), c.emit("lt", low, high))
    above = c.emit("or", c.emit("gt", x, high), crossed)
    return tuple(c.emit("select", where, g, zero) for where in (inside, below, above))


def _bounded_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def low(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
        return rng.uniform(-1.2, -0.8, shape)

    def high(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
        return rng.uniform(0.8, 1.2, shape)

    yield from operands((lambda rng, *shape: 2.5 * nonzero(rng, *shape) / 2 - 0.05, low, high))(rng)
    yield Sample(
        (np.array([0.0, 1.0, 2.0, np.nan, 1.0, 1.0]), np.ones(6), np.array([1.0, 1, 2, 2, -1, np.nan])), kinks=True
    )
    yield Sample((integers(rng, 3, 4), integers(rng, 3, 4) - 5, integers(rng, 3, 4) + 5), exact=True)


OPS = (
    _composite(
        "rsqrt", "1 divided by the square root.", FLOATS, unary_samples(positive), _vjp_rsqrt,
        _in_float64(lambda x: 1 / np.sqrt(x)), _decompose_rsqrt,
    ),
    _composite(
        "reciprocal", "1 divided by the operand.", FLOATS, unary_samples(nonzero), _vjp_reciprocal,
        _in_float64(lambda x: 1 / x), _decompose_reciprocal,
    ),
    _composite(
        "trunc", "The nearest whole number toward zero.", FLOATS, unary_samples(fractional), zero_gradient,
        np.trunc, _decompose_trunc,
    ),
    _composite(
        "sign", "1, -1 or 0, as the operand is positive, negative or 0; NaN stays.", NUMBERS,
        integer_samples(unary_samples(nonzero), 1), zero_gradient, np.sign, _decompose_sign,
    ),
    _composite(
        "copysign", "The magnitude of the first operand with the sign of the second.", FLOATS,
        with_special(operands((nonzero, nonzero)), 2), _vjp_copysign, np.copysign, _decompose_copysign,
    ),
    lifted(
        "remainder",
        "x - floor(x / y) y, which has the sign of y; of integers 0 for a zero divisor. NaN where x / y exceeds 2^300.",
        NUMBERS, with_special(_division_samples, 2), _vjp_remainder,
    ),
    lifted(
        "floor_divide",
        "floor(x / y); of integers 0 for a zero divisor. NaN where x / y exceeds 2^300.",
        NUMBERS, with_special(_division_samples, 2), zero_gradient,
    ),
    _composite(
        "hypot", "The square root of the sum of the squares, without overflow on the way.", FLOATS,
        with_special(operands((nonzero, nonzero)), 2), _vjp_hypot, _in_float64(np.hypot), _decompose_hypot,
    ),
    _composite(
        "logaddexp", "The logarithm of the sum of the exponentials, without overflow on the way.", FLOATS,
        with_special(operands((normal, normal)), 2), _vjp_logaddexp, _in_float64(np.logaddexp), _decompose_logaddexp,
    ),
    _composite(
        "clamp", "The first operand, at least the second and at most the third, which wins; NaN if one is.", NUMBERS,
        _bounded_samples, _vjp_clamp, lambda x, low, high: np.minimum(np.maximum(x, low), high), _decompose_clamp,
    ),
)  # fmt: skip
