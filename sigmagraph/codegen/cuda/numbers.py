"""Numbers of indices, counted through all indices of some axes: what axes are, given one, and which are divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sigmagraph.dims import Size
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ops.rules import unflatten


def digits_of(number: Size, axes: Sequence[Axis]) -> dict[str, Size]:
    """What axes are, given the number of an index among all of theirs."""
    digits = unflatten(number, [axis.extent for axis in axes])
    return {axis.var: digit for axis, digit in zip(axes, digits, strict=True)}


def divided(indices: Iterable[Size]) -> set[str]:
    """The numbers that index expressions divide as a whole."""
    return {str(a.args[0]) for index in indices for a in divisions(index)}
