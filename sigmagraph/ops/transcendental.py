"""Elementwise ops of floats that machines lack: powers of two, logarithms, trigonometry, hyperbolas, errors, power."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.ir.graph.opdef import NodeBuilder, OpDef, Sample, VjpContext, VjpRule
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.elementwise import FLOATS, lifted, unary_samples, with_special
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.samples import Draw, above_one, inside, nonzero, normal, operands, positive

_Slope = Callable[[VjpContext], Value]


def _times(slope: _Slope) -> VjpRule:
    """The cotangent times the derivative."""
    return lambda c: (c.emit("mul", c.cotangents[0], slope(c)),)


def _over(slope: _Slope) -> VjpRule:
    """The cotangent divided by the derivative's inverse."""
    return lambda c: (c.emit("div", c.cotangents[0], slope(c)),)


def _of_operand(op: str) -> _Slope:
    return lambda c: c.emit(op, c.inputs[0])


def _scaled(b: NodeBuilder, value: Value, factor: float) -> Value:
    return b.emit("mul", value, full_like(b, factor, value))


def _plus_one(b: NodeBuilder, value: Value) -> Value:
    return b.emit("add", value, full_like(b, 1.0, value))


def _minus_sine(c: VjpContext) -> Value:
    return c.emit("neg", c.emit("sin", c.inputs[0]))


def _tan_slope(c: VjpContext) -> Value:
    return _plus_one(c, c.emit("mul", c.outputs[0], c.outputs[0]))


def _square_plus_one(c: VjpContext) -> Value:
    return _plus_one(c, c.emit("mul", c.inputs[0], c.inputs[0]))


def _one_minus_square(c: VjpContext) -> Value:
    """(1 - x) (1 + x), which does not cancel beside 1."""
    x = c.inputs[0]
    return c.emit("mul", c.emit("sub", full_like(c, 1.0, x), x), _plus_one(c, x))


def _root(slope: _Slope) -> _Slope:
    return lambda c: c.emit("sqrt", slope(c))


def _minus(slope: _Slope) -> _Slope:
    return lambda c: c.emit("neg", slope(c))


def _acosh_slope(c: VjpContext) -> Value:
    """sqrt(x - 1) sqrt(x + 1), which is NaN below 1."""
    x = c.inputs[0]
    return c.emit("mul", c.emit("sqrt", c.emit("sub", x, full_like(c, 1.0, x))), c.emit("sqrt", _plus_one(c, x)))


def _gauss(factor: float) -> _Slope:
    """exp(-x^2) times the derivative of erf at 0 times a factor."""

    def slope(c: VjpContext) -> Value:
        x = c.inputs[0]
        return _scaled(c, c.emit("exp", c.emit("neg", c.emit("mul", x, x))), factor * 2 / math.sqrt(math.pi))

    return slope


def _atan2(c: VjpContext) -> Sequence[Value]:
    (y, x), (g,) = c.inputs, c.cotangents
    share = c.emit("div", g, c.emit("add", c.emit("mul", y, y), c.emit("mul", x, x)))
    return (c.emit("mul", share, x), c.emit("neg", c.emit("mul", share, y)))


def _power(c: VjpContext) -> Sequence[Value]:
    """Y x^(y - 1), 0 for the exponent 0; x^y log(x), 0 for the base 0 where the power is finite."""
    (x, y), (z,), (g,) = c.inputs, c.outputs, c.cotangents
    zero, one = full_like(c, 0.0, y), full_like(c, 1.0, y)
    less = c.emit("select", c.emit("eq", y, zero), zero, c.emit("sub", y, one))
    to_base = c.emit("mul", c.emit("mul", g, y), c.emit("power", x, less))
    flat = c.emit("and", c.emit("eq", x, zero), c.emit("ge", y, zero))
    log = c.emit("log", c.emit("select", flat, one, x))
    return (to_base, c.emit("mul", c.emit("mul", g, z), log))


def _power_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from operands((positive, normal))(rng)
    bases, exponents = np.meshgrid([-2.5, -1.0, 0.0, -0.0, 1.0, 3.0], [-3.0, -2.0, -0.5, 0.0, 0.5, 1.0, 4.0])
    yield Sample((bases.reshape(-1), exponents.reshape(-1)), kinks=True)


def _function(name: str, doc: str, draw: Draw, vjp: VjpRule) -> OpDef:
    return lifted(name, doc, FLOATS, unary_samples(draw), vjp)


OPS = (
    _function(
        "exp2", "2 to the power of the operand.", normal, _times(lambda c: _scaled(c, c.outputs[0], math.log(2)))
    ),
    _function("expm1", "e to the power of the operand, less 1.", normal, _times(lambda c: _plus_one(c, c.outputs[0]))),
    _function(
        "log1p",
        "The natural logarithm of 1 plus the operand; -inf for -1, NaN below.",
        positive,
        _over(lambda c: _plus_one(c, c.inputs[0])),
    ),
    _function(
        "log2",
        "The logarithm to base 2; -inf for 0, NaN for negative numbers.",
        positive,
        _over(lambda c: _scaled(c, c.inputs[0], math.log(2))),
    ),
    _function(
        "log10",
        "The logarithm to base 10; -inf for 0, NaN for negative numbers.",
        positive,
        _over(lambda c: _scaled(c, c.inputs[0], math.log(10))),
    ),
    _function("sin", "The sine of radians; NaN of infinities.", normal, _times(_of_operand("cos"))),
    _function("cos", "The cosine of radians; NaN of infinities.", normal, _times(_minus_sine)),
    _function("tan", "The tangent of radians; NaN of infinities.", inside, _times(_tan_slope)),
    _function("asin", "The arcsine in radians; NaN outside -1 .. 1.", inside, _over(_root(_one_minus_square))),
    _function(
        "acos", "The arccosine in radians; NaN outside -1 .. 1.", inside, _over(_minus(_root(_one_minus_square)))
    ),
    _function("atan", "The arctangent in radians.", normal, _over(_square_plus_one)),
    _function("sinh", "The hyperbolic sine.", normal, _times(_of_operand("cosh"))),
    _function("cosh", "The hyperbolic cosine.", normal, _times(_of_operand("sinh"))),
    _function("asinh", "The inverse of the hyperbolic sine.", normal, _over(_root(_square_plus_one))),
    _function("acosh", "The inverse of the hyperbolic cosine; NaN below 1.", above_one, _over(_acosh_slope)),
    _function("atanh", "The inverse of the hyperbolic tangent; NaN outside -1 .. 1.", inside, _over(_one_minus_square)),
    _function("erf", "The error function, 2 / sqrt(pi) times the integral of exp(-t^2).", normal, _times(_gauss(1.0))),
    _function("erfc", "1 less the error function, without cancellation.", normal, _times(_gauss(-1.0))),
    lifted(
        "atan2",
        "The angle in radians of the point (second operand, first operand), with the sign of the first.",
        FLOATS,
        with_special(operands((nonzero, nonzero)), 2),
        _atan2,
    ),
    lifted(
        "power",
        "The first operand to the power of the second, with C's special cases; NaN for roots of negative numbers.",
        FLOATS,
        with_special(_power_samples, 2),
        _power,
    ),
)
