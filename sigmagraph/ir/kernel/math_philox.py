"""Expansion of the Philox 4x32-10 random bits in 64-bit integers."""

from __future__ import annotations

from typing import TypeAlias

from sigmagraph.dtypes import I32, I64
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply, cast
from sigmagraph.ir.kernel.math_term import Name
from sigmagraph.ir.kernel.philox import MIX_END, MIX_START, MIX_STEPS, MULTIPLIERS, ROUNDS, WEYL

_Counter: TypeAlias = "tuple[Expr, Expr, Expr, Expr]"


def philox(args: tuple[Expr, ...], let: Name) -> Expr:
    """Philox 4x32-10 as :func:`sigmagraph.ir.kernel.philox.philox_bits` defines it, in i64.

    Only the low 32 bits of a word count: multiplications mask their operand, which machines with a 32 x 32 -> 64 bit
    multiplication do for nothing, and everything else lets garbage stand above them.
    """
    seed, stream, step, element = (let(cast(a, I64)) for a in args)
    half, word = Const(32, I64), Const(0xFFFFFFFF, I64)
    block, number = _split_element(element, let)
    c: _Counter = (block, apply("shr", block, half), step, apply("shr", step, half))
    key = _mix(apply("xor", _mix(seed, let), stream), let)
    keys = (key, let(apply("shr", key, half)))
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


def _mix(bits: Expr, let: Name) -> Expr:
    """The output function of SplitMix64, as in :func:`sigmagraph.ir.kernel.philox.philox_key`."""
    bits = let(apply("add", bits, _signed(MIX_START)))
    for shift, factor in MIX_STEPS:
        bits = let(apply("mul", apply("xor", bits, apply("shr", bits, Const(shift, I64))), _signed(factor)))
    return let(apply("xor", bits, apply("shr", bits, Const(MIX_END, I64))))


def _signed(bits: int) -> Const:
    return Const(bits - (1 << 64), I64)


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
