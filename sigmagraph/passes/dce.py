"""Dead code elimination: drops the nodes that no output needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.passes.base import PORTS, PassContext, keep, live_nodes, rebuild


@dataclass(frozen=True, slots=True)
class Dce:
    """Keeps what the outputs need, and the signature whether it is needed or not."""

    name: ClassVar[str] = "dce"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph without dead nodes."""
        live = live_nodes(graph)
        dead = sum(n.id not in live and not n.op.traits & PORTS for n in graph.nodes())
        if not dead:
            return graph
        context.hit("dead", dead)
        return rebuild(graph, keep)
