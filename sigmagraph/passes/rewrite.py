"""Rewriting: rules with declarative patterns, and the driver that applies them until none fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sigmagraph.dtypes import DType
from sigmagraph.errors import PassError
from sigmagraph.ir.graph.attrs import Array, Attrs
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpDef, OpKind, Trait
from sigmagraph.ir.graph.printer import print_node
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, live_nodes, rebuild

_TRACE = 10

# ---- patterns


class Pattern(Protocol):
    """What a value must be for a rule to apply."""

    def match(self, graph: Graph, value: Value, found: dict[str, Value], /) -> bool:
        """Whether the value fits; what the pattern names is put into ``found``."""
        ...


@dataclass(frozen=True, slots=True)
class AnyPattern:
    """Any value; the same one wherever the name occurs."""

    name: str

    def match(self, _graph: Graph, value: Value, found: dict[str, Value], /) -> bool:
        return found.setdefault(self.name, value) == value


@dataclass(frozen=True, slots=True)
class ConstPattern:
    """A value all of whose elements are one number; the zeros of the two signs are different numbers."""

    number: bool | int | float | None
    name: str

    def match(self, graph: Graph, value: Value, found: dict[str, Value], /) -> bool:
        number = uniform(graph, value)
        if number is None or (self.number is not None and not _same_number(number, self.number)):
            return False
        return not self.name or found.setdefault(self.name, value) == value


@dataclass(frozen=True, slots=True)
class OpPattern:
    """The result of an op with one of these names on operands that fit; without operands given, on any."""

    ops: tuple[str, ...]
    operands: tuple[Pattern, ...]
    name: str

    def match(self, graph: Graph, value: Value, found: dict[str, Value], /) -> bool:
        node = graph.node(value)
        if not self.fits(graph, node, found):
            return False
        return not self.name or found.setdefault(self.name, value) == value

    def fits(self, graph: Graph, node: Node, found: dict[str, Value]) -> bool:
        """Whether a node, which need not be in the graph, fits."""
        if self.ops and node.op.name not in self.ops:
            return False
        if not self.operands:
            return True
        if len(self.operands) != len(node.inputs):
            return False
        return all(p.match(graph, v, found) for p, v in zip(self.operands, node.inputs, strict=True))


class P:
    """The pattern language: ``P.op("mul", P.any("x"), P.const(1))``."""

    @staticmethod
    def any(name: str) -> AnyPattern:
        """Any value, found under the name."""
        return AnyPattern(name)

    @staticmethod
    def const(number: bool | int | float | None = None, name: str = "") -> ConstPattern:
        """A value all of whose elements are the number (None: any one number)."""
        return ConstPattern(number, name)

    @staticmethod
    def op(ops: str | tuple[str, ...], *operands: Pattern, name: str = "") -> OpPattern:
        """The result of an op, or of one of several; no names mean any op, no operands mean any operands."""
        return OpPattern((ops,) if isinstance(ops, str) else ops, operands, name)


def uniform(graph: Graph, value: Value) -> bool | int | float | None:
    """The number that all elements of a value are, if it is a constant of one element, perhaps moved or repeated."""
    node = graph.node(value)
    while node.op.kind is OpKind.MOVEMENT and Trait.TRANSPARENT in node.op.traits:
        node = graph.node(node.inputs[0])
    if Trait.CONSTANT not in node.op.traits:
        return None
    array: Array = node.attrs["value"]
    if math.prod(array.shape) != 1:
        return None
    number: bool | int | float = array.numpy.reshape(-1)[0].item() if not array.dtype.is_float else _float(array)
    return number


def _float(array: Array) -> float:
    return float(array.numpy.reshape(-1)[0])


def _same_number(a: bool | int | float, b: bool | int | float) -> bool:
    return a == b and math.copysign(1, a) == math.copysign(1, b)


# ---- rules


class Match:
    """A node that fits a rule's pattern, and the means to build what replaces it.

    Attributes:
        node: the node; its operands are values of the graph that is built.
    """

    def __init__(self, builder: Builder, node: Node, found: Mapping[str, Value]) -> None:
        self.node = node
        self._builder = builder
        self._found = found

    def __getitem__(self, name: str) -> Value:
        """The value found under a name of the pattern."""
        return self._found[name]

    @property
    def attrs(self) -> Attrs:
        return self.node.attrs

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.node.inputs

    @property
    def result(self) -> TensorType:
        """The type that the replacement must have."""
        return self.node.types[0]

    def source(self, value: Value) -> Node:
        """The node that a value comes from."""
        return self._builder.graph.node(value)

    def type(self, value: Value) -> TensorType:
        """The type of a value."""
        return self._builder.graph.type(value)

    def number(self, value: Value) -> bool | int | float | None:
        """The number that all elements of a value are."""
        return uniform(self._builder.graph, value)

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:
        """A new node, to which the rules are applied in turn."""
        return self._builder.emit(op, *inputs, **attrs)

    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant."""
        return self._builder.constant(value, dtype)

    def full(self, value: bool | int | float, type: TensorType) -> Value:
        """A constant number, broadcast to a type."""
        return self._builder.full(value, type)


Build: TypeAlias = "Callable[[Match], Value | None]"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite: where ``pattern`` fits, the value that ``build`` returns takes the node's place (None: it does not).

    A value of the same type and meaning must be returned, and nothing may be built before it is clear that it will be.
    """

    name: str
    pattern: OpPattern
    build: Build


def rule(pattern: OpPattern) -> Callable[[Build], Rule]:
    """Make a rule of a function; it has the function's name."""
    return lambda build: Rule(getattr(build, "__name__", "rule"), pattern, build)


class RuleSet:
    """Rules in the order in which they are tried, found by the name of the op they start from."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        names = dict.fromkeys(op for r in rules for op in r.pattern.ops)
        self._general = tuple(r for r in rules if not r.pattern.ops)
        self._by_op = {op: tuple(r for r in rules if not r.pattern.ops or op in r.pattern.ops) for op in names}

    def for_op(self, op: str) -> tuple[Rule, ...]:
        """The rules that may fit a node of an op."""
        return self._by_op.get(op, self._general)


# ---- the driver


def rewrite(graph: Graph, rules: RuleSet, context: PassContext, limit: int = 100) -> Graph:
    """Apply rules to all nodes, operands first, and to what they build, until none fits.

    Args:
        graph: it stays as it is, and is returned if no rule applies.
        rules: what to apply.
        context: where hits are counted.
        limit: how many rewrites one node may take.

    Raises:
        PassError: a rule builds a value of another type, or a node is rewritten over and over.
    """
    if not _applies(graph, rules, context):
        return graph
    return rebuild(graph, _Driver(graph, rules, context, limit).visit)


class _AppliesError(Exception):
    """Raised when a rule that is only tried starts to build."""


class _Trial(Builder):
    """The builder of rules that are only tried."""

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:  # noqa: ARG002
        raise _AppliesError


def _applies(graph: Graph, rules: RuleSet, context: PassContext) -> bool:
    """Whether any rule applies to the graph as it is; nothing is built to find out."""
    trial = _Trial(graph, context.registry)
    live = live_nodes(graph)
    try:
        return any(
            _try(r, trial, node) is not None
            for node in graph.nodes()
            if node.id in live and len(node.types) == 1
            for r in rules.for_op(node.op.name)
        )
    except _AppliesError:
        return True


def _try(rule: Rule, builder: Builder, node: Node) -> Value | None:
    found: dict[str, Value] = {}
    if not rule.pattern.fits(builder.graph, node, found):
        return None
    return rule.build(Match(builder, node, found))


class _Driver(Builder):
    """Appends nodes to the new graph; those that a rule fits are replaced before they get there."""

    def __init__(self, graph: Graph, rules: RuleSet, context: PassContext, limit: int) -> None:
        super().__init__(graph, context.registry)
        self.rules = rules
        self.context = context
        self.limit = limit
        self.count = 0
        self.open: list[tuple[Rule, Node]] = []  # the rewrites that are being built, outermost first

    def visit(self, out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        self.graph = out
        self.location = node.location
        self.count = 0
        if len(node.types) != 1:
            return keep(self.graph, node, inputs)
        return (self._settle(Node(-1, node.op, inputs, node.attrs, node.types, node.name, node.location)),)

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:
        self.count += 1
        if self.count > self.limit:
            trace = "\n".join(f"    {r.name}: {_text(n)}" for r, n in self.open[-_TRACE:])
            raise PassError(
                "a node is rewritten over and over; the last rewrites are\n" + trace,
                expected=f"at most {self.limit} new nodes for one",
                location=self.location or None,
            )
        record = self._op(op)
        canonical = record.canonical_attrs(attrs)
        types, _ = record.inference([self.graph.type(v) for v in inputs], canonical)
        return self._settle(Node(-1, record, inputs, canonical, types, "", self.location))

    def _settle(self, node: Node) -> Value:
        """The value of a node that is not in the graph yet, after all rules."""
        for rule in self.rules.for_op(node.op.name):
            self.open.append((rule, node))
            value = _try(rule, self, node)
            self.open.pop()
            if value is None:
                continue
            if self.graph.type(value) != node.types[0]:
                raise PassError(
                    f"the rule '{rule.name}' changes a type",
                    expected=node.types[0],
                    got=self.graph.type(value),
                    node=_text(node),
                    location=self.location or None,
                )
            self.context.hit(rule.name)
            return value
        return Value(self.graph.add(node.op, node.inputs, node.attrs, node.types, node.name, self.location).id)


def _text(node: Node) -> str:
    return print_node(node, {-1: "%_"})
