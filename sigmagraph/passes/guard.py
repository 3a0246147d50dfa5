"""Guard: lets the program find out whether indices that are data lie in their range, once and before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PORTS, PassContext, keep, rebuild


@dataclass(frozen=True, slots=True)
class Guard:
    """Puts a ``guard`` in front of each operand whose elements an op's record asks something of."""

    name: ClassVar[str] = "guard"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with guards."""
        if all(node.op.guards is None for node in graph.nodes()):
            return graph

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
            if node.op.guards is None:
                return keep(out, node, inputs)
            builder = Builder(out, context.registry, node.location)
            guarded = list(inputs)
            for condition in node.op.guards(builder, inputs, node.attrs):
                if not _is_data(graph, node.inputs[condition.operand]):
                    continue
                operand = inputs[condition.operand]
                guarded[condition.operand] = builder.emit("guard", operand, condition.holds, message=condition.message)
                context.hit(node.op.name)
            return keep(out, node, tuple(guarded))

        return rebuild(graph, visit)


def _is_data(graph: Graph, value: Value) -> bool:
    """Whether a value depends on inputs or parameters, other than by way of places that were counted."""
    seen: set[int] = set()
    stack = [value.node]
    while stack:
        node = graph.node(stack.pop())
        if node.op.traits & PORTS:
            return True
        if node.id not in seen and Trait.PLACES not in node.op.traits:
            seen.add(node.id)
            stack.extend(v.node for v in node.inputs)
    return False
