"""Fold: computes at compile time what depends on constants only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sigmagraph.dims import Dim, Size, evaluate, product
from sigmagraph.ir.graph.attrs import Array, AttrValue
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import NDArray, OpKind
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PORTS, PassContext, keep, live_nodes, rebuild


@dataclass(frozen=True, slots=True)
class Fold:
    """Evaluates constant subgraphs with the references of their ops.

    Results of equal elements become a broadcast number. Numbers are not spread out to be stored: their broadcasts stay.

    Attributes:
        limit: number of elements up to which a result is computed.
    """

    name: ClassVar[str] = "fold"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    limit: int = 1024

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph without constant subgraphs."""
        known: dict[int, NDArray] = {}
        folded: set[int] = set()
        live = live_nodes(graph)
        for node in graph.nodes():
            if node.id in live and self._evaluate(node, known) and not _is_number(graph, node):
                folded.add(node.id)
        if not folded:
            return graph
        context.hit("constant", len(folded))

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
            if node.id not in folded:
                return keep(out, node, inputs)
            builder = Builder(out, context.registry, node.location)
            return (_constant(builder, node, known[node.id]),)

        return rebuild(graph, visit)

    def _evaluate(self, node: Node, known: dict[int, NDArray]) -> bool:
        """Put a node's value into ``known`` if it can be had and is small; whether that was done."""
        if len(node.types) != 1 or node.op.traits & PORTS or any(v.node not in known for v in node.inputs):
            return False
        shape = node.types[0].shape
        if not all(map(_is_static, (shape, *node.attrs.values()))) or evaluate(product(shape), {}) > self.limit:
            return False
        operands = [known[v.node] for v in node.inputs]
        with np.errstate(all="ignore"):
            known[node.id] = np.asarray(node.op.reference(operands, node.attrs, node.types)[0])
        return True


def _is_number(graph: Graph, node: Node) -> bool:
    """Whether a node is what folding makes anyway: a source, or a number that is broadcast."""
    if node.op.kind is OpKind.SOURCE:
        return True
    return node.op.name == "broadcast" and graph.type(node.inputs[0]).size == 1


def _constant(builder: Builder, node: Node, value: NDArray) -> Value:
    array = Array.of(value, node.types[0].dtype)
    number = array.repeated
    if number is None:
        return builder.emit("constant", value=array)
    return builder.emit("broadcast", builder.emit("constant", value=number), shape=array.shape)


def _is_static(value: AttrValue | tuple[Size, ...]) -> bool:
    return all(map(_is_static, value)) if isinstance(value, tuple) else not isinstance(value, Dim)
