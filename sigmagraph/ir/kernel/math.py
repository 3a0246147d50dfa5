"""The scalar operations that machines lack (exp, sin, erf, philox ...), written once in the operations that they have.

Everything is free of branches, so that a vectorized loop stays one, and holds for all inputs: infinities, NaN, signed
zeros and subnormal numbers, in and out. Errors are below 2 ulp in f32 and f64.

The polynomials are minimax fits of the relative error of the function itself, found by Remez's exchange or Lawson's
iteratively reweighted least squares in arithmetic of 60 digits. Most coefficients were rounded to their type one by
one, lowest degree first, and the rest fitted again, so that the rounded polynomial is as good as the exact one (up to
0.25 ulp). The intervals are stated with the coefficients, and are a little wider than what range reduction leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sigmagraph.dtypes import BF16, F16, F32
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel import (
    math_arc,
    math_error,
    math_exponential,
    math_logarithm,
    math_power,
    math_remainder,
    math_rounding,
    math_trigonometry,
)
from sigmagraph.ir.kernel.expr import Expr, cast
from sigmagraph.ir.kernel.math_philox import philox
from sigmagraph.ir.kernel.math_term import Name, Term


def expand(op: str, args: tuple[Expr, ...], let: Name) -> Expr:
    """The operation in primitive operations; values that are used more than once go through ``let``.

    f16 and bf16 are computed in f32.

    Raises:
        LoweringError: the operation is primitive, or unknown.
    """
    if op == "philox":
        return philox(args, let)
    if op not in _ELEMENTARY:
        raise LoweringError(f"the scalar op '{op}' has no expansion", expected=", ".join(_ELEMENTARY), got=op)
    dtype = args[0].dtype
    if dtype in (F16, BF16):
        return cast(expand(op, tuple(cast(a, F32) for a in args), let), dtype)
    return _ELEMENTARY[op](*(Term(let(a), let) for a in args)).expr


_ELEMENTARY: Mapping[str, Callable[..., Term]] = MappingProxyType(
    {
        "exp": math_exponential.exp,
        "exp2": math_exponential.exp2,
        "expm1": math_exponential.expm1,
        "sinh": math_exponential.sinh,
        "cosh": math_exponential.cosh,
        "tanh": math_exponential.tanh,
        "log": math_logarithm.log,
        "log1p": math_logarithm.log1p,
        "log2": math_logarithm.log2,
        "log10": math_logarithm.log10,
        "asinh": math_logarithm.asinh,
        "acosh": math_logarithm.acosh,
        "atanh": math_logarithm.atanh,
        "sin": math_trigonometry.sin,
        "cos": math_trigonometry.cos,
        "tan": math_trigonometry.tan,
        "asin": math_arc.asin,
        "acos": math_arc.acos,
        "atan": math_arc.atan,
        "atan2": math_arc.atan2,
        "erf": math_error.erf,
        "erfc": math_error.erfc,
        "power": math_power.power,
        "remainder": math_remainder.remainder,
        "floor_divide": math_remainder.floor_divide,
        "round_tf32": math_rounding.round_tf32,
    }
)
