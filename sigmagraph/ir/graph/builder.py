"""Appends nodes to a graph: fills in attributes, infers types, records where the node comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sigmagraph.dtypes import DType
from sigmagraph.errors import GraphError, SigmaError
from sigmagraph.ir.graph.attrs import Array, Region
from sigmagraph.ir.graph.body import Body, replay
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpDef
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import UNKNOWN, Location


class Builder:
    """Appends nodes to ``graph`` with ops of ``registry``, all at one ``location``."""

    def __init__(self, graph: Graph, registry: Mapping[str, OpDef], location: Location = UNKNOWN) -> None:
        self.graph = graph
        self.registry = registry
        self.location = location

    def node(self, op: str | OpDef, *inputs: Value, name: str = "", **attrs: Any) -> Node:
        """Append a node.

        Raises:
            SigmaError: the op is unknown, or operands or attributes do not fit; the error says where.
        """
        record = self._op(op)
        types = [self.graph.type(v) for v in inputs]
        try:
            canonical = record.canonical_attrs(attrs)
            results, _ = record.inference(types, canonical)
        except SigmaError as error:
            operands = ", ".join(map(str, types))
            error.at(node=f"{record.name}({operands})", location=self.location or None)
            raise
        return self.graph.add(record, inputs, canonical, results, name, self.location)

    def emit(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> Value:
        """Append a node with one result and return the result."""
        node = self.node(op, *inputs, **attrs)
        if len(node.types) != 1:
            raise GraphError(f"'{node.op.name}' has {len(node.types)} results; use Builder.node")
        return Value(node.id)

    def emit_all(self, op: str | OpDef, *inputs: Value, **attrs: Any) -> tuple[Value, ...]:
        """Append a node and return all its results."""
        return self.node(op, *inputs, **attrs).outputs

    def at(self, location: Location) -> Builder:
        """A builder for the same graph that appends at another place of the user's program, if there is one."""
        return Builder(self.graph, self.registry, location) if location else self

    def inline(self, body: Region, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Append the nodes of a body, its inputs and parameters (in this order) replaced by values.

        The nodes keep their places in the user's program; what stands for the outputs is returned.
        """
        assert isinstance(body, Body)
        return replay(
            body.graph, inputs, lambda node, operands: self.at(node.location).emit_all(node.op, *operands, **node.attrs)
        )

    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant of a number or an array."""
        return self.emit("constant", value=Array.of(value, dtype))

    def full(self, value: float, type: TensorType) -> Value:
        """A constant number, broadcast to a type."""
        scalar = self.constant(value, type.dtype)
        return self.emit("broadcast", scalar, shape=type.shape) if type.shape else scalar

    def type(self, value: Value) -> TensorType:
        """The type of a value."""
        return self.graph.type(value)

    def _op(self, op: str | OpDef) -> OpDef:
        if isinstance(op, OpDef):
            return op
        if op not in self.registry:
            raise GraphError(f"there is no op called '{op}'", location=self.location or None)
        return self.registry[op]
