"""Decompose: expands composites through their records until only primitives are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sigmagraph.dtypes import DType
from sigmagraph.errors import PassError
from sigmagraph.ir.graph.attrs import Region
from sigmagraph.ir.graph.body import Body, replay
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import OpDef, OpKind
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild


@dataclass(frozen=True, slots=True)
class Decompose:
    """Expands composites; what they become stands at their place in the user's program."""

    name: ClassVar[str] = "decompose"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = Stage.PRIMITIVE

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The primitive graph.

        Raises:
            PassError: a composite expands to another type than it has.
        """
        if graph.stage is not Stage.CAPTURED:
            return graph

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
            if node.op.kind is not OpKind.COMPOSITE:
                return keep(out, node, inputs)
            expander = _Expander(Builder(out, context.registry, node.location), context)
            values = expander.emit_all(node.op, *inputs, **node.attrs)
            types = tuple(map(out.type, values))
            if types != node.types:
                raise PassError(
                    f"'{node.op.name}' decomposes to another type",
                    expected=", ".join(map(str, node.types)),
                    got=", ".join(map(str, types)),
                    location=node.location or None,
                )
            return values

        new = rebuild(graph, visit)
        new.stage = Stage.PRIMITIVE
        return new


@dataclass(frozen=True, slots=True)
class _Expander:
    """A node builder that expands composites at once, so that none gets into the graph."""

    builder: Builder
    context: PassContext

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:
        (value,) = self.emit_all(op, *inputs, **attrs)
        return value

    def emit_all(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        record = self.builder.registry[op] if isinstance(op, str) else op
        if record.decompose is None:
            return self.builder.emit_all(record, *inputs, **attrs)
        self.context.hit(record.name)
        return record.expand(self, inputs, record.canonical_attrs(attrs))

    def inline(self, body: Region, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """A body, decomposed on the way."""
        assert isinstance(body, Body)

        def append(node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...]:
            expander = _Expander(self.builder.at(node.location), self.context)
            return expander.emit_all(node.op, *operands, **node.attrs)

        return replay(body.graph, inputs, append)

    def constant(self, value: Any, dtype: DType) -> Value:
        return self.builder.constant(value, dtype)

    def full(self, value: float, type: TensorType) -> Value:
        return self.builder.full(value, type)

    def type(self, value: Value) -> TensorType:
        return self.builder.type(value)
