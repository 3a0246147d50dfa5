"""Functions of single elements by their NumPy names: powers, logarithms, trigonometry, rounding, tests, bits.

Operands are broadcast and promoted; functions of floats take ints and bools as f64.
"""

from __future__ import annotations

import math

from sigmagraph.dtypes import BOOL
from sigmagraph.tensor.tensor import (
    Tensor,
    TensorLike,
    as_tensor,
    broadcast,
    elementwise,
    emit,
    floating,
    promoted,
    raised,
    rounded,
)

# ---- exponentials and logarithms


def exp2(x: TensorLike) -> Tensor:
    """``2 ** x``."""
    return emit("exp2", floating(x))


def expm1(x: TensorLike) -> Tensor:
    """``exp(x) - 1``, exact beside 0."""
    return emit("expm1", floating(x))


def log1p(x: TensorLike) -> Tensor:
    """``log(1 + x)``, exact beside 0; ``-inf`` for -1, NaN below."""
    return emit("log1p", floating(x))


def log2(x: TensorLike) -> Tensor:
    """Logarithm to base 2; ``-inf`` for 0, NaN below."""
    return emit("log2", floating(x))


def log10(x: TensorLike) -> Tensor:
    """Logarithm to base 10; ``-inf`` for 0, NaN below."""
    return emit("log10", floating(x))


def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """``log(exp(a) + exp(b))``, without overflow."""
    return _of_floats("logaddexp", a, b)


# ---- powers


def power(base: TensorLike, exponent: TensorLike) -> Tensor:
    """``base ** exponent``; NaN for a negative base and an exponent that is not whole.

    Ints are raised to numbers only: a tensor of exponents takes floats.

    Raises:
        DTypeError: ints are raised to a tensor of ints.
    """
    return raised(base, exponent)


def square(x: TensorLike) -> Tensor:
    """``x * x``."""
    return emit("square", as_tensor(x))


def reciprocal(x: TensorLike) -> Tensor:
    """``1 / x``."""
    return emit("reciprocal", floating(x))


def rsqrt(x: TensorLike) -> Tensor:
    """``1 / sqrt(x)``; ``inf`` for 0, NaN below."""
    return emit("rsqrt", floating(x))


def hypot(a: TensorLike, b: TensorLike) -> Tensor:
    """``sqrt(a ** 2 + b ** 2)``, without overflow on the way."""
    return _of_floats("hypot", a, b)


# ---- trigonometry


def sin(x: TensorLike) -> Tensor:
    """Sine of radians; NaN of infinities."""
    return emit("sin", floating(x))


def cos(x: TensorLike) -> Tensor:
    """Cosine of radians; NaN of infinities."""
    return emit("cos", floating(x))


def tan(x: TensorLike) -> Tensor:
    """Tangent of radians; NaN of infinities."""
    return emit("tan", floating(x))


def asin(x: TensorLike) -> Tensor:
    """Arcsine in radians, ``-pi/2 .. pi/2``; NaN outside ``-1 .. 1``."""
    return emit("asin", floating(x))


def acos(x: TensorLike) -> Tensor:
    """Arccosine in radians, ``0 .. pi``; NaN outside ``-1 .. 1``."""
    return emit("acos", floating(x))


def atan(x: TensorLike) -> Tensor:
    """Arctangent in radians, ``-pi/2 .. pi/2``."""
    return emit("atan", floating(x))


def atan2(y: TensorLike, x: TensorLike) -> Tensor:
    """Angle of the point ``(x, y)`` in radians, ``-pi .. pi``, with the sign of ``y``."""
    return _of_floats("atan2", y, x)


def sinh(x: TensorLike) -> Tensor:
    """Hyperbolic sine."""
    return emit("sinh", floating(x))


def cosh(x: TensorLike) -> Tensor:
    """Hyperbolic cosine."""
    return emit("cosh", floating(x))


def asinh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic sine."""
    return emit("asinh", floating(x))


def acosh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic cosine; NaN below 1."""
    return emit("acosh", floating(x))


def atanh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic tangent; infinite for 1 and -1, NaN beyond."""
    return emit("atanh", floating(x))


def erf(x: TensorLike) -> Tensor:
    """Error function: ``2 / sqrt(pi)`` times the integral of ``exp(-t ** 2)`` from 0 to x."""
    return emit("erf", floating(x))


def erfc(x: TensorLike) -> Tensor:
    """``1 - erf(x)``, without cancellation."""
    return emit("erfc", floating(x))


# ---- rounding, remainders and signs


def floor(x: TensorLike) -> Tensor:
    """The greatest whole number that is not greater; ints stay as they are."""
    return _of_fractions("floor", x)


def ceil(x: TensorLike) -> Tensor:
    """The least whole number that is not less; ints stay as they are."""
    return _of_fractions("ceil", x)


def trunc(x: TensorLike) -> Tensor:
    """The nearest whole number toward 0; ints stay as they are."""
    return _of_fractions("trunc", x)


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """The nearest numbers with so many decimal digits; halves go to the even one. Ints stay as they are.

    Raises:
        AttributeValueError: the number of digits is no int in -300 .. 300.
    """
    return rounded(x, decimals)


def remainder(a: TensorLike, b: TensorLike) -> Tensor:
    """``a % b``: what the quotient rounded down leaves; it has the sign of ``b``. Of ints 0 for a zero divisor.

    NaN where a quotient of f64 exceeds ``2 ** 300``.
    """
    return elementwise("remainder", a, b)


def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """``a // b``: the quotient rounded down; of ints 0 for a zero divisor.

    NaN where a quotient of f64 exceeds ``2 ** 300``.
    """
    return elementwise("floor_divide", a, b)


def sign(x: TensorLike) -> Tensor:
    """1, -1 or 0, as an element is positive, negative or 0; NaN stays."""
    return emit("sign", as_tensor(x))


def copysign(a: TensorLike, b: TensorLike) -> Tensor:
    """The magnitude of ``a`` with the sign of ``b``; a zero has a sign too."""
    return _of_floats("copysign", a, b)


def clip(x: TensorLike, low: TensorLike | None = None, high: TensorLike | None = None) -> Tensor:
    """Elements below ``low`` become it, those above ``high`` become that; NaN stays.

    The gradient goes to ``x`` between the bounds and on them, to the bound elsewhere. A bound may be left out.
    """
    if low is None and high is None:
        return as_tensor(x)
    given = [v for v in (low, high) if v is not None]
    x, *bounds = broadcast(*promoted(x, *given))
    if len(bounds) == 1 and not x.dtype.is_float:
        return emit("minimum" if low is None else "maximum", x, bounds[0])
    if low is None:
        bounds.insert(0, _like(x, -math.inf))
    if high is None:
        bounds.append(_like(x, math.inf))
    return emit("clamp", x, *bounds)


# ---- tests


def isnan(x: TensorLike) -> Tensor:
    """Whether elements are NaN, as a bool tensor."""
    return _of_kind("is_nan", x, False)


def isinf(x: TensorLike) -> Tensor:
    """Whether elements are infinite, as a bool tensor."""
    return _of_kind("is_inf", x, False)


def isfinite(x: TensorLike) -> Tensor:
    """Whether elements are neither NaN nor infinite, as a bool tensor."""
    return _of_kind("is_finite", x, True)


# ---- logic and bits


def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether both elements are true; a number is where it is not 0."""
    return elementwise("and", _truth(a), _truth(b))


def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether either element is true; a number is where it is not 0."""
    return elementwise("or", _truth(a), _truth(b))


def logical_xor(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether one element is true but not both; a number is where it is not 0."""
    return elementwise("xor", _truth(a), _truth(b))


def logical_not(x: TensorLike) -> Tensor:
    """Whether an element is false; a number is where it is 0."""
    return emit("logical_not", _truth(x))


def bitwise_and(a: TensorLike, b: TensorLike) -> Tensor:
    """The bits of ints (or bools) that both have."""
    return elementwise("and", a, b)


def bitwise_or(a: TensorLike, b: TensorLike) -> Tensor:
    """The bits of ints (or bools) that either has."""
    return elementwise("or", a, b)


def bitwise_xor(a: TensorLike, b: TensorLike) -> Tensor:
    """The bits of ints (or bools) that one has but not both."""
    return elementwise("xor", a, b)


def bitwise_not(x: TensorLike) -> Tensor:
    """The opposite of every bit of ints (or bools)."""
    return emit("logical_not", as_tensor(x))


def left_shift(x: TensorLike, count: TensorLike) -> Tensor:
    """``x << count``; bits that do not fit are lost, and all of them for a count out of range."""
    return elementwise("shift_left", x, count)


def right_shift(x: TensorLike, count: TensorLike) -> Tensor:
    """``x >> count``, rounded down; for a count out of range what all further shifts give, 0 or -1."""
    return elementwise("shift_right", x, count)


def _of_floats(op: str, a: TensorLike, b: TensorLike) -> Tensor:
    return emit(op, *broadcast(*map(floating, promoted(a, b))))


def _of_fractions(op: str, x: TensorLike) -> Tensor:
    x = as_tensor(x)
    return emit(op, x) if x.dtype.is_float else x


def _of_kind(op: str, x: TensorLike, whole: bool) -> Tensor:
    """A test of floats; what it gives for whole numbers otherwise."""
    x = as_tensor(x)
    return emit(op, x) if x.dtype.is_float else emit("eq" if whole else "ne", x, x)


def _truth(x: TensorLike) -> Tensor:
    return as_tensor(x).astype(BOOL)


def _like(x: Tensor, value: float) -> Tensor:
    """A number with the type of a tensor."""
    return broadcast(as_tensor(value, x.dtype), x)[0]
