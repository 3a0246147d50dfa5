"""Expansions of roundings to formats that have no type of their own."""

from __future__ import annotations

import math

from sigmagraph.ir.kernel.math_term import Term


def round_tf32(x: Term) -> Term:
    """The nearest number with ten bits of fraction, ties away from zero; infinities and NaN stay."""
    near = ((x.bits() + 0x1000) & -0x2000).float()
    return (abs(x) < math.inf).select(near, x)
