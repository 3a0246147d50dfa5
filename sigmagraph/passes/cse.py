"""Common subexpression elimination: nodes that compute the same become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PORTS, PassContext, keep, rebuild


@dataclass(frozen=True, slots=True)
class Cse:
    """Lets the first of several equal nodes (op, operands, attributes) stand for all of them."""

    name: ClassVar[str] = "cse"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph without duplicates."""
        duplicates = _count_duplicates(graph)
        if not duplicates:
            return graph
        context.hit("equal", duplicates)
        known: dict[object, tuple[Value, ...]] = {}

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
            key = (node.op, inputs, node.attrs)
            if key not in known:
                known[key] = keep(out, node, inputs)
            return known[key]

        return rebuild(graph, visit)


def _count_duplicates(graph: Graph) -> int:
    first: dict[object, int] = {}
    stand_in: dict[int, int] = {}
    for node in graph.nodes():
        inputs = tuple((stand_in[v.node], v.index) for v in node.inputs)
        key = node.id if node.op.traits & PORTS else (node.op, inputs, node.attrs)
        stand_in[node.id] = first.setdefault(key, node.id)
    return len(stand_in) - len(first)
