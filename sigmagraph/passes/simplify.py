"""Simplify: the same values, to the last bit, with less work.

What holds for numbers but not for NaN, infinities or the sign of zero is not done: x * 0 and x - x stay for floats, and
so does x + 0, which turns -0 into 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.dtypes import BOOL, DType, Kind
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.opdef import OpKind
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.rewrite import Match, P, RuleSet, rewrite, rule

_EXTREMES = ("reduce_max", "reduce_min")
_REDUCTIONS = ("reduce_sum", *_EXTREMES)

# ---- neutral and absorbing numbers


@rule(P.op("add", P.any("x"), P.const(0)))
def add_zero(m: Match) -> Value | None:
    """Adding 0 to integers."""
    return m["x"] if m.result.dtype.is_integer else None


@rule(P.op("add", P.any("x"), P.const(-0.0)))
def add_negative_zero(m: Match) -> Value:
    """Adding -0 changes no float."""
    return m["x"]


@rule(P.op("sub", P.any("x"), P.const(0)))
def subtract_zero(m: Match) -> Value:
    """Subtracting 0 changes nothing, not even -0."""
    return m["x"]


@rule(P.op(("mul", "div"), P.any("x"), P.const(1)))
def times_one(m: Match) -> Value:
    """Multiplying and dividing by 1."""
    return m["x"]


@rule(P.op("mul", P.any("x"), P.const(0, name="zero")))
def times_zero(m: Match) -> Value | None:
    """Integers times 0."""
    return m["zero"] if m.result.dtype.is_integer else None


@rule(P.op("div", P.any("x"), P.const(name="c")))
def divide_by_power_of_two(m: Match) -> Value | None:
    """Dividing by c is multiplying by 1 / c, where that is exact."""
    number, dtype = m.number(m["c"]), m.result.dtype
    if not dtype.is_float or not number or abs(math.frexp(number)[0]) != 0.5:
        return None
    inverse = 1 / number
    if not _LEAST_NORMAL[dtype] <= abs(inverse) <= 1 / _LEAST_NORMAL[dtype]:
        return None
    return m.emit("mul", m["x"], m.full(inverse, m.result))


_LEAST_NORMAL = {DType.F16: 2.0**-14, DType.BF16: 2.0**-126, DType.F32: 2.0**-126, DType.F64: 2.0**-1022}


@rule(P.op(("and", "or", "xor"), P.any("x"), P.const(name="c")))
def bits_with_number(m: Match) -> Value | None:
    """A number without bits, or with all of them: it, the operand, or the operand's complement."""
    number, op = m.number(m["c"]), m.node.op.name
    if number == 0:
        return m["c"] if op == "and" else m["x"]
    if number != {Kind.BOOL: True, Kind.UINT: 255}.get(m.result.dtype.kind, -1):
        return None
    if op == "xor":
        return m.emit("logical_not", m["x"])
    return m["x"] if op == "and" else m["c"]


# ---- an operation and itself


@rule(P.op(("and", "or", "minimum", "maximum"), P.any("x"), P.any("x")))
def with_itself(m: Match) -> Value:
    """What a value is with itself."""
    return m["x"]


@rule(P.op(("sub", "xor"), P.any("x"), P.any("x")))
def minus_itself(m: Match) -> Value | None:
    """Integers minus themselves; bits that differ from themselves."""
    return None if m.result.dtype.is_float else m.full(0, m.result)


@rule(P.op("neg", P.op("neg", P.any("x"))))
def negative_of_negative(m: Match) -> Value:
    """-(-x)."""
    return m["x"]


@rule(P.op("logical_not", P.op("logical_not", P.any("x"))))
def not_not(m: Match) -> Value:
    """The complement of the complement."""
    return m["x"]


@rule(P.op("abs", P.op(("abs", "neg"), P.any("x"))))
def magnitude(m: Match) -> Value:
    """The magnitude does not depend on the sign."""
    return m.emit("abs", m["x"])


@rule(P.op(("floor", "ceil", "round"), P.op(("floor", "ceil", "round"), name="whole")))
def round_whole(m: Match) -> Value:
    """Whole numbers are rounded already."""
    return m["whole"]


# ---- conditions


@rule(P.op("select", P.any("c"), P.any("x"), P.any("x")))
def select_equal(m: Match) -> Value:
    """Both branches are the same."""
    return m["x"]


@rule(P.op("select", P.const(True), P.any("x"), P.any("y")))
def select_true(m: Match) -> Value:
    """The condition always holds."""
    return m["x"]


@rule(P.op("select", P.const(False), P.any("x"), P.any("y")))
def select_false(m: Match) -> Value:
    """The condition never holds."""
    return m["y"]


@rule(P.op("select", P.any("c"), P.const(True), P.const(False)))
def select_condition(m: Match) -> Value | None:
    """The condition itself, where 1 and 0 are bools."""
    return m["c"] if m.result == m.type(m["c"]) else None


@rule(P.op("select", P.op("logical_not", P.any("c")), P.any("x"), P.any("y")))
def select_complement(m: Match) -> Value:
    """A complemented condition exchanges the branches."""
    return m.emit("select", m["c"], m["y"], m["x"])


@rule(P.op("logical_not", P.op(("eq", "ne"), P.any("a"), P.any("b"), name="test")))
def not_equal(m: Match) -> Value:
    """The complement of equality; for NaN too, which ``lt`` and ``ge`` are not each other's complement for."""
    return m.emit("ne" if m.source(m["test"]).op.name == "eq" else "eq", m["a"], m["b"])


# ---- casts


@rule(P.op("cast", P.op("cast", P.any("x"))))
def cast_of_cast(m: Match) -> Value | None:
    """A cast that loses nothing need not stand before another."""
    first, middle, last = m.type(m["x"]).dtype, m.type(m.inputs[0]).dtype, m.result.dtype
    if not _holds(middle, first):
        return None
    if last is first:
        return m["x"]
    # Integers wrap where floats saturate: the detour by a float may only go where nothing is out of range.
    if middle.is_float and not first.is_float and last.is_integer and not _holds(last, first):
        return None
    return m.emit("cast", m["x"], dtype=last)


def _holds(wide: DType, narrow: DType) -> bool:
    """Whether one type has all numbers of another."""
    if wide is narrow or narrow is BOOL:
        return True
    if wide is BOOL or (narrow.is_float and not wide.is_float):
        return False
    if narrow.is_float:
        return wide.bits > narrow.bits
    if wide.is_float:
        return narrow.bits - (narrow.kind is Kind.INT) <= _MANTISSA[wide]
    return wide.bits > narrow.bits and (wide.kind is Kind.INT or narrow.kind is Kind.UINT)


_MANTISSA = {DType.F16: 11, DType.BF16: 8, DType.F32: 24, DType.F64: 53}

# ---- reductions


@rule(P.op(_REDUCTIONS, P.any("x")))
def reduce_nothing(m: Match) -> Value | None:
    """A reduction over no axes."""
    return None if m.attrs["axes"] else m["x"]


@rule(P.op(_EXTREMES, P.any("x")))
def extreme_of_one(m: Match) -> Value | None:
    """The extreme of a single element (a sum would turn -0 into 0)."""
    shape = m.type(m["x"]).shape
    return m.emit("reshape", m["x"], shape=m.result.shape) if all(shape[a] == 1 for a in m.attrs["axes"]) else None


@rule(P.op(_REDUCTIONS, P.op(_REDUCTIONS, P.any("x"), name="inner")))
def reduce_of_reduce(m: Match) -> Value | None:
    """Two reductions of a kind are one; not for sums of floats, where order matters."""
    inner = m.source(m["inner"])
    ordered = m.node.op.name == "reduce_sum" and m.result.dtype.is_float
    if inner.op is not m.node.op or ordered or inner.attrs["keepdims"] or m.attrs["keepdims"]:
        return None
    gone = _from_front(inner.attrs["axes"], m.type(m["x"]).rank)
    kept = [a for a in range(m.type(m["x"]).rank) if a not in gone]
    axes = [kept[a] for a in _from_front(m.attrs["axes"], len(kept))]
    return m.emit(m.node.op, m["x"], axes=tuple(sorted((*gone, *axes))))


@rule(P.op(_REDUCTIONS, P.op("broadcast", P.any("x"), name="wide")))
def reduce_of_broadcast(m: Match) -> Value | None:
    """Over repeated elements: the extreme is the element, the sum of integers a multiple of it."""
    wide, narrow = m.type(m["wide"]).shape, m.type(m["x"]).shape
    axes = _from_front(m.attrs["axes"], len(wide))
    padded = (1,) * (len(wide) - len(narrow)) + tuple(narrow)
    repeated = [a for a in axes if padded[a] == 1]
    times = math.prod(s if isinstance(s := wide[a], int) else 0 for a in repeated)
    extreme = m.node.op.name in _EXTREMES
    if len(repeated) < len(axes) or times == 0 or (m.result.dtype.is_float and not extreme):
        return None  # a sum of equal floats depends on the order in which they are added
    kept = tuple(1 if a in axes else s for a, s in enumerate(wide))
    out = m.emit("reshape", m.emit("broadcast", m["x"], shape=kept), shape=m.result.shape)
    return out if extreme else m.emit("mul", out, m.full(times, m.result))


def _from_front(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(a % rank for a in axes)


# ---- broadcasts


@rule(P.op(("reshape", "transpose", "slice", "reverse"), P.op("broadcast", P.const(name="c"))))
def move_number(m: Match) -> Value | None:
    """A number that is broadcast looks the same however it is moved."""
    return None if m.type(m["c"]).shape else m.emit("broadcast", m["c"], shape=m.result.shape)


@rule(P.op(()))
def compute_before_broadcast(m: Match) -> Value | None:
    """An elementwise op on broadcasts from one shape (or from a single element) is done before them."""
    if m.node.op.kind is not OpKind.ELEMENTWISE or not m.inputs:
        return None
    sources = [m.source(v) for v in m.inputs]
    if any(s.op.name != "broadcast" for s in sources):
        return None
    inner = [s.inputs[0] for s in sources]
    shape = max((m.type(v).shape for v in inner), key=len)
    if any(m.type(v).shape not in (shape, ()) for v in inner):
        return None
    same = [v if m.type(v).shape == shape else m.emit("broadcast", v, shape=shape) for v in inner]
    return m.emit("broadcast", m.emit(m.node.op, *same, **m.attrs), shape=m.result.shape)


RULES = RuleSet(
    (
        add_zero,
        add_negative_zero,
        subtract_zero,
        times_one,
        times_zero,
        divide_by_power_of_two,
        bits_with_number,
        with_itself,
        minus_itself,
        negative_of_negative,
        not_not,
        magnitude,
        round_whole,
        select_equal,
        select_true,
        select_false,
        select_condition,
        select_complement,
        not_equal,
        cast_of_cast,
        reduce_nothing,
        extreme_of_one,
        reduce_of_reduce,
        reduce_of_broadcast,
        move_number,
        compute_before_broadcast,
    )
)


@dataclass(frozen=True, slots=True)
class Simplify:
    """Replaces nodes by cheaper ones of exactly the same value; ``limit`` bounds how often one node is rewritten."""

    name: ClassVar[str] = "simplify"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    limit: int = 100

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The simplified graph.

        Raises:
            PassError: the rules do not come to an end.
        """
        return rewrite(graph, RULES, context, self.limit)
