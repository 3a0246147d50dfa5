"""Canonicalize: one way to write what can be written in several ways, so that later passes meet fewer forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sigmagraph.dims import Size
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.rewrite import Match, P, RuleSet, rewrite, rule

_REDUCTIONS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")

# ---- operands and attributes


@rule(P.op((), P.any("a"), P.any("b")))
def commutative_order(m: Match) -> Value | None:
    """Operands of commutative ops: numbers to the right, the rest by age."""
    if Trait.COMMUTATIVE not in m.node.op.traits or _in_order(m, m["a"], m["b"]):
        return None
    return m.emit(m.node.op, m["b"], m["a"], **m.attrs)


@rule(P.op(("lt", "le", "gt", "ge"), P.any("a"), P.any("b")))
def comparison_order(m: Match) -> Value | None:
    """Comparisons, in the same way; without a number they are ``lt`` and ``le``."""
    swapped = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}[m.node.op.name]
    left, right = (m.number(m[name]) is not None for name in ("a", "b"))
    if (left and not right) or (left == right and swapped in ("lt", "le")):
        return m.emit(swapped, m["b"], m["a"])
    return None


def _in_order(m: Match, a: Value, b: Value) -> bool:
    left, right = (m.number(v) is not None for v in (a, b))
    return right if left != right else a <= b


@rule(P.op(_REDUCTIONS, P.any("x")))
def reduction_axes(m: Match) -> Value | None:
    """Axes of reductions count from the front, in order."""
    axes = tuple(sorted(a % m.type(m["x"]).rank for a in m.attrs["axes"]))
    return None if axes == m.attrs["axes"] else m.emit(m.node.op, m["x"], axes=axes, keepdims=m.attrs["keepdims"])


@rule(P.op(("gather", "concatenate")))
def counted_axis(m: Match) -> Value | None:
    """An axis counts from the front."""
    axis = m.attrs["axis"] % m.type(m.inputs[0]).rank
    return None if axis == m.attrs["axis"] else m.emit(m.node.op, *m.inputs, axis=axis)


@rule(P.op("constant"))
def uniform_constant(m: Match) -> Value | None:
    """An array of equal elements is one number, broadcast."""
    number = m.attrs["value"].repeated
    return None if number is None else m.emit("broadcast", m.emit("constant", value=number), shape=m.result.shape)


# ---- arithmetic


@rule(P.op("add", P.any("x"), P.op("neg", P.any("y"))))
def add_negative(m: Match) -> Value:
    """Adding -y is subtracting y."""
    return m.emit("sub", m["x"], m["y"])


@rule(P.op("add", P.op("neg", P.any("x")), P.any("y")))
def negative_add(m: Match) -> Value:
    """Adding to -x is subtracting x."""
    return m.emit("sub", m["y"], m["x"])


@rule(P.op("sub", P.any("x"), P.op("neg", P.any("y"))))
def subtract_negative(m: Match) -> Value:
    """Subtracting -y is adding y."""
    return m.emit("add", m["x"], m["y"])


@rule(P.op("mul", P.any("x"), P.const(-1)))
def times_minus_one(m: Match) -> Value:
    """A product with -1 is the negative."""
    return m.emit("neg", m["x"])


# ---- movement


@rule(P.op(("reshape", "broadcast", "transpose", "slice", "cast", "pad"), P.any("x")))
def nothing_moves(m: Match) -> Value | None:
    """Movement that leaves every element where it is, casts to the same type."""
    return m["x"] if m.type(m["x"]) == m.result and _keeps_places(m) else None


def _keeps_places(m: Match) -> bool:
    """Whether equal types of operand and result mean equal values."""
    attrs: Mapping[str, Any] = m.attrs
    if "axes" in attrs:
        return _counted(attrs["axes"]) == tuple(range(len(attrs["axes"])))
    if "step" in attrs:
        return all(s == 1 for s in attrs["step"])
    return not any((*attrs.get("low", ()), *attrs.get("interior", ())))


def _counted(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(a % len(axes) for a in axes)


@rule(P.op("reshape", P.op("reshape", P.any("x"))))
def reshape_of_reshape(m: Match) -> Value:
    """Only the last shape counts."""
    return m.emit("reshape", m["x"], shape=m.attrs["shape"])


@rule(P.op("transpose", P.op("transpose", P.any("x"), name="inner")))
def transpose_of_transpose(m: Match) -> Value:
    """Two permutations are one."""
    inner = _counted(m.source(m["inner"]).attrs["axes"])
    return m.emit("transpose", m["x"], axes=tuple(inner[a] for a in _counted(m.attrs["axes"])))


@rule(P.op("transpose", P.any("x")))
def transpose_axes(m: Match) -> Value | None:
    """Axes count from the front; a permutation that only moves axes of size 1 is a reshape."""
    axes, shape = _counted(m.attrs["axes"]), m.type(m["x"]).shape
    long = [a for a in axes if shape[a] != 1]
    if long == sorted(long):
        return m.emit("reshape", m["x"], shape=m.result.shape)
    return None if axes == m.attrs["axes"] else m.emit("transpose", m["x"], axes=axes)


@rule(P.op("reverse", P.op("reverse", P.any("x"), name="inner")))
def reverse_of_reverse(m: Match) -> Value:
    """What is turned round twice stays as it is."""
    rank = m.result.rank
    inner, outer = (tuple(a % rank for a in node.attrs["axes"]) for node in (m.source(m["inner"]), m.node))
    return m.emit("reverse", m["x"], axes=tuple(a for a in range(rank) if (a in inner) != (a in outer)))


@rule(P.op("reverse", P.any("x")))
def reverse_axes(m: Match) -> Value | None:
    """Axes count from the front, in order, and none has size 1; without any nothing moves."""
    shape = m.result.shape
    axes = tuple(a for a in sorted(a % len(shape) for a in m.attrs["axes"]) if shape[a] != 1)
    if not axes:
        return m["x"]
    return None if axes == m.attrs["axes"] else m.emit("reverse", m["x"], axes=axes)


@rule(P.op("broadcast", P.op("broadcast", P.any("x"))))
def broadcast_of_broadcast(m: Match) -> Value:
    """Only the last shape counts."""
    return m.emit("broadcast", m["x"], shape=m.attrs["shape"])


@rule(P.op("broadcast", P.any("x")))
def broadcast_without_repeats(m: Match) -> Value | None:
    """A broadcast that only adds axes of size 1 is a reshape."""
    same = m.type(m["x"]).size == m.result.size
    return m.emit("reshape", m["x"], shape=m.result.shape) if same else None


@rule(P.op("broadcast", P.op("reshape", P.any("x"), name="inner")))
def broadcast_of_reshape(m: Match) -> Value | None:
    """Axes of size 1 in front need not be there before a broadcast."""
    shape, inner = m.type(m["x"]).shape, m.type(m["inner"]).shape
    if _without_ones(shape) != _without_ones(inner) or len(shape) > m.result.rank:
        return None
    return m.emit("broadcast", m["x"], shape=m.attrs["shape"])


def _without_ones(shape: Sequence[Size]) -> tuple[Size, ...]:
    """The shape from its first axis that is not of size 1."""
    start = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[start:])


@rule(P.op("slice", P.op("slice", P.any("x"), name="inner")))
def slice_of_slice(m: Match) -> Value | None:
    """Two slices are one, if the inner one leaves nothing out between its ends."""
    inner = m.source(m["inner"]).attrs
    if any(s != 1 for s in inner["step"]):
        return None
    start, stop = (tuple(a + b for a, b in zip(inner["start"], m.attrs[end], strict=True)) for end in ("start", "stop"))
    return m.emit("slice", m["x"], start=start, stop=stop, step=m.attrs["step"])


@rule(P.op("concatenate"))
def flat_concatenate(m: Match) -> Value | None:
    """A concatenation of concatenations along the same axis is one; one of a single part is the part."""
    parts: list[Value] = []
    for part in m.inputs:
        inner = m.source(part)
        parts += inner.inputs if inner.op is m.node.op and inner.attrs == m.attrs else (part,)
    if len(parts) == 1:
        return parts[0]
    return m.emit("concatenate", *parts, **m.attrs) if len(parts) > len(m.inputs) else None


RULES = RuleSet(
    (
        commutative_order,
        comparison_order,
        reduction_axes,
        counted_axis,
        uniform_constant,
        add_negative,
        negative_add,
        subtract_negative,
        times_minus_one,
        nothing_moves,
        reshape_of_reshape,
        transpose_of_transpose,
        transpose_axes,
        reverse_of_reverse,
        reverse_axes,
        broadcast_of_broadcast,
        broadcast_without_repeats,
        broadcast_of_reshape,
        slice_of_slice,
        flat_concatenate,
    )
)


@dataclass(frozen=True, slots=True)
class Canonicalize:
    """Brings a graph into normal form; ``limit`` bounds how often one node is rewritten."""

    name: ClassVar[str] = "canonicalize"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    limit: int = 100

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph in normal form.

        Raises:
            PassError: the rules do not come to an end.
        """
        return rewrite(graph, RULES, context, self.limit)
