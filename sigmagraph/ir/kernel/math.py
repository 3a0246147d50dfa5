"""The scalar operations that machines lack (exp, log, tanh, philox), written once in the operations that they have.

Everything is free of branches, so that a vectorized loop stays one, and holds for all inputs: infinities, NaN, signed
zeros and subnormal numbers, in and out. Errors are below 2 ulp (2.2 ulp for tanh in f64), whether multiplication and
addition are fused or not.

The polynomials are minimax fits of the relative error of the function itself, found by Lawson's iteratively reweighted
least squares on 160 Chebyshev points in 70-digit arithmetic. Each coefficient was rounded to its type, lowest degree
first, and the rest fitted again, so that the rounded polynomial is as good as the exact one (0.05 to 0.25 ulp). The
intervals are stated with the coefficients, and are a little wider than what range reduction leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from sigmagraph.dtypes import BF16, F16, F32, F64, I32, I64, DType
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel.expr import Bitcast, Const, Expr, Index, apply, cast
from sigmagraph.ir.kernel.philox import MULTIPLIERS, ROUNDS, WEYL

Name: TypeAlias = "Callable[[Expr], Expr]"
"""Gives an intermediate value a name, so that it is computed once however often it is used."""

_Counter: TypeAlias = "tuple[Expr, Expr, Expr, Expr]"


def expand(op: str, args: tuple[Expr, ...], let: Name) -> Expr:
    """The operation in primitive operations; values that are used more than once go through ``let``.

    f16 and bf16 are computed in f32.

    Raises:
        LoweringError: the operation is primitive, or unknown.
    """
    if op == "philox":
        return _philox(args, let)
    if op not in _ELEMENTARY:
        raise LoweringError(f"the scalar op '{op}' has no expansion", expected="exp, log, tanh or philox", got=op)
    dtype = args[0].dtype
    if dtype in (F16, BF16):
        return cast(expand(op, (cast(args[0], F32),), let), dtype)
    return _ELEMENTARY[op](let(args[0]), _FORMATS[dtype], let)


@dataclass(frozen=True, slots=True)
class _Format:
    """A floating-point format and the constants of the functions in it.

    Attributes:
        dtype, bits: the type, and the integer type of the same width.
        mantissa, bias: stored mantissa bits and exponent bias.
        exp_range: arguments outside give 0 and infinity like its ends.
        exp_tail: coefficients of r^2, r^3, ... in exp(r), |r| <= ln 2.
        ln2: ln 2 in two parts; a product of the first with a whole exponent is exact.
        log_tail: coefficients of f^2, f^3, ... in log(1 + f), sqrt(1/2) <= 1 + f <= sqrt(2).
        tanh_top: from here on tanh is 1.
        tanh_tail: coefficients of r^2, r^3, ... in 1 - exp(-2 r), |r| <= ln(2) / 4.
    """

    dtype: DType
    bits: DType
    mantissa: int
    bias: int
    exp_range: tuple[float, float]
    exp_tail: tuple[float, ...]
    ln2: tuple[float, float]
    log_tail: tuple[float, ...]
    tanh_top: float
    tanh_tail: tuple[float, ...]

    def real(self, value: float) -> Const:
        return Const(value, self.dtype)

    def whole(self, value: int) -> Const:
        return Const(value, self.bits)

    @property
    def rounder(self) -> float:
        """Added to a small number it rounds it to whole units, and leaves that plus ``bias`` in the lowest bits."""
        return 1.5 * 2.0**self.mantissa + self.bias

    @property
    def root_half(self) -> int:
        """The bits of sqrt(1/2)."""
        return int(self.dtype.numpy.type(math.sqrt(0.5)).view(self.bits.numpy))


_F32 = _Format(
    dtype=F32,
    bits=I32,
    mantissa=23,
    bias=127,
    exp_range=(-104.0, 89.0),
    exp_tail=(
        0.5000003576278687, 0.166666179895401, 0.041661232709884644, 0.00833593588322401, 0.0014104676665738225,
        0.0001962942333193496,
    ),
    ln2=(0.693145751953125, 1.428606765330187e-06),
    log_tail=(
        -0.49999991059303284, 0.33333948254585266, -0.25001785159111023, 0.1996215283870697, -0.1657002866268158,
        0.14916852116584778, -0.14309942722320557, 0.08740301430225372,
    ),
    tanh_top=10.0,
    tanh_tail=(
        -1.9999998807907104, 1.3333237171173096, -0.6666790843009949, 0.26772016286849976, -0.0887676402926445,
    ),
)  # fmt: skip

_F64 = _Format(
    dtype=F64,
    bits=I64,
    mantissa=52,
    bias=1023,
    exp_range=(-746.0, 710.0),
    exp_tail=(
        0.4999999999999993, 0.16666666666666935, 0.0416666666667021, 0.008333333333270278, 0.0013888888883576782,
        0.0001984126989251802, 2.480159082968658e-05, 2.755730073715785e-06, 2.7556158151201403e-07,
        2.5055020120503915e-08, 2.106231994184761e-09, 1.5936358750632138e-10,
    ),
    ln2=(0.6931471805598903, 5.497923018708371e-14),
    log_tail=(
        -0.4999999999999997, 0.3333333333332808, -0.2500000000001275, 0.20000000001745227, -0.16666666666222102,
        0.14285714086846882, -0.124999998321747, 0.11111122033603392, -0.10000018120417875, 0.09090582865000464,
        -0.08332553031998544, 0.07697717767080976, -0.07160254080167482, 0.06621539098671972, -0.060411198831203605,
        0.05973884500973307, -0.06787299155363012, 0.06324376448080837, -0.028291952633762177,
    ),
    tanh_top=20.0,
    tanh_tail=(
        -2.000000000000002, 1.3333333333333317, -0.666666666665219, 0.26666666666757716, -0.08888888916108237,
        0.02539682530187399, -0.006349185428173643, 0.0014109374470994468, -0.0002828892076792278,
        5.1329648503884974e-05,
    ),
)  # fmt: skip


def _exp(x: Expr, f: _Format, let: Name) -> Expr:
    """exp(x) = exp(r) * 2^k * 2^k with r = x - 2 k ln 2.

    Scaling in two equal steps asks for an even multiple of ln 2, and makes overflow, subnormal results and zero come
    out of the last product, rounded once.
    """
    low, high = f.exp_range
    x = let(_clamp_above(x, f.real(high)))
    x = let(_clamp_below(x, f.real(low)))
    t = let(apply("fma", x, f.real(0.5 / _LN2), f.real(f.rounder)))
    k = let(apply("sub", t, f.real(f.rounder)))
    r = let(apply("fma", k, f.real(-2.0 * f.ln2[1]), apply("fma", k, f.real(-2.0 * f.ln2[0]), x)))
    scale = let(_power_of_two(t, f))
    return apply("mul", apply("mul", _horner(r, (1.0, 1.0, *f.exp_tail), f), scale), scale)


def _log(x: Expr, f: _Format, let: Name) -> Expr:
    """log(x) = e ln 2 + log(m) with x = 2^e m and m in sqrt(1/2) .. sqrt(2); subnormal numbers are scaled up first."""
    up = f.mantissa + 1
    unit = 2.0 ** (
        f.mantissa - (f.bits.bits - 32)
    )  # of an exponent in the upper 32 bits, which convert to float cheaply
    tiny = let(apply("lt", x, f.real(2.0 ** (1 - f.bias))))
    y = let(Bitcast(apply("select", tiny, apply("mul", x, f.real(2.0**up)), x), f.bits))
    exponent = let(apply("and", apply("sub", y, f.whole(f.root_half)), f.whole(-1 << f.mantissa)))
    m = let(apply("sub", Bitcast(apply("sub", y, exponent), f.dtype), f.real(1.0)))
    upper = cast(apply("shr", exponent, f.whole(f.bits.bits - 32)), I32)
    e = apply("add", cast(upper, f.dtype), apply("select", tiny, f.real(-up * unit), f.real(0.0)))
    log_m = apply("fma", apply("mul", m, m), _horner(m, f.log_tail, f), m)
    finite = apply("fma", e, f.real(_LN2 / unit), log_m)
    zero, infinity = f.real(0.0), f.real(math.inf)
    positive = apply("select", apply("lt", x, infinity), finite, x)
    other = apply("select", apply("eq", x, zero), f.real(-math.inf), f.real(math.nan))
    return apply("select", apply("gt", x, zero), positive, other)


def _tanh(x: Expr, f: _Format, let: Name) -> Expr:
    """tanh|x| = (1 - e) / (1 + e) with e = exp(-2 |x|) = 2^k (1 - q), q = 1 - exp(-2 r), r = |x| + k ln(2) / 2.

    q comes from a polynomial without a constant term, so that nothing cancels when x is small.
    """
    a = let(_clamp_above(let(apply("abs", x)), f.real(f.tanh_top)))
    t = let(apply("fma", a, f.real(-2.0 / _LN2), f.real(f.rounder)))
    r = let(apply("fma", apply("sub", t, f.real(f.rounder)), f.real(0.5 * _LN2), a))
    q = let(apply("fma", apply("mul", r, r), _horner(r, f.tanh_tail, f), apply("add", r, r)))
    scale = let(_power_of_two(t, f))
    above = apply("fma", scale, q, apply("sub", f.real(1.0), scale))
    below = apply("fma", apply("neg", scale), q, apply("add", f.real(1.0), scale))
    size = apply("div", above, below)
    sign = apply("and", Bitcast(x, f.bits), f.whole(-(1 << (f.bits.bits - 1))))
    return Bitcast(apply("or", sign, Bitcast(size, f.bits)), f.dtype)


def _clamp_above(x: Expr, high: Expr) -> Expr:
    # With the bound first, x86's minimum instruction does this and passes NaN through.
    return apply("select", apply("lt", high, x), high, x)


def _clamp_below(x: Expr, low: Expr) -> Expr:
    return apply("select", apply("gt", low, x), low, x)


def _power_of_two(t: Expr, f: _Format) -> Expr:
    """2^k, where t is k plus the format's rounder."""
    return Bitcast(apply("shl", Bitcast(t, f.bits), f.whole(f.mantissa)), f.dtype)


def _horner(x: Expr, coefficients: tuple[float, ...], f: _Format) -> Expr:
    out: Expr = f.real(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = apply("fma", out, x, f.real(c))
    return out


def _philox(args: tuple[Expr, ...], let: Name) -> Expr:
    """Philox 4x32-10 as :func:`sigmagraph.ir.kernel.philox.philox_bits` defines it, in i64.

    Only the low 32 bits of a word count: multiplications mask their operand, which machines with a 32 x 32 -> 64 bit
    multiplication do for nothing, and everything else lets garbage stand above them.
    """
    seed, stream, step, element = (let(cast(a, I64)) for a in args)
    half, word = Const(32, I64), Const(0xFFFFFFFF, I64)
    block, number = _split_element(element, let)
    c: _Counter = (block, apply("shr", block, half), step, apply("shr", step, half))
    keys = (seed, let(apply("xor", apply("shr", seed, half), stream)))
    for at in range(ROUNDS):
        p = [let(apply("mul", apply("and", x, word), Const(m, I64))) for x, m in zip(c[::2], MULTIPLIERS, strict=True)]
        k = [
            apply("add", key, Const(at * w & 0xFFFFFFFF, I64)) if at else key for key, w in zip(keys, WEYL, strict=True)
        ]
        high = [apply("shr", product, half) for product in p]
        c = (
            let(apply("xor", high[1], apply("xor", c[1], k[0]))),
            p[1],
            let(apply("xor", high[0], apply("xor", c[3], k[1]))),
            p[0],
        )
    return cast(cast(cast(_pick(c, number, let), I32), I64), args[0].dtype)


def _split_element(element: Expr, let: Name) -> tuple[Expr, int | Expr]:
    """The block that an element lies in and its number there, an int if the index expression decides it."""
    if isinstance(element, Index):
        block = element.value // 4
        number = element.value - 4 * block
        if isinstance(number, int):
            return Index(block), number
    return let(apply("shr", element, Const(2, I64))), element


def _pick(words: _Counter, number: int | Expr, let: Name) -> Expr:
    if isinstance(number, int):
        return words[number]
    odd, upper = (let(apply("ne", apply("and", number, Const(bit, I64)), Const(0, I64))) for bit in (1, 2))
    low_pair, high_pair = apply("select", odd, words[1], words[0]), apply("select", odd, words[3], words[2])
    return apply("select", upper, high_pair, low_pair)


_LN2 = math.log(2.0)
_ELEMENTARY: Mapping[str, Callable[[Expr, _Format, Name], Expr]] = MappingProxyType(
    {"exp": _exp, "log": _log, "tanh": _tanh}
)
_FORMATS: Mapping[DType, _Format] = MappingProxyType({F32: _F32, F64: _F64})
