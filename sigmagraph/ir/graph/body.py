"""A graph as an attribute of a node: what a loop repeats, what a branch does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from sigmagraph.ir.graph.attrs import Attrs, Region
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpDef
from sigmagraph.ir.graph.printer import canonical_text, print_body
from sigmagraph.ir.graph.value import Value


@dataclass(frozen=True, eq=False)
class Body(Region):
    """A graph that is not changed any more.

    Attributes:
        graph: inputs and parameters are what the op that holds it hands in; new values of parameters are its state.
        dims: numbers for symbolic dims, while it is interpreted.
    """

    graph: Graph
    dims: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def canonical(self) -> str:
        return canonical_text(self.graph)

    def readable(self, *, locations: bool) -> str:
        return print_body(self.graph, locations=locations)

    def bound(self, dims: Mapping[str, int]) -> Body:
        return Body(self.graph, dims)


@cache
def _holds_graphs(op: OpDef) -> bool:
    return any(spec.kind == "graph" for spec in op.attrs)


def bodies(node: Node) -> tuple[Graph, ...]:
    """The graphs among the attributes of a node."""
    if not _holds_graphs(node.op):
        return ()
    return tuple(value.graph for value in node.attrs.values() if isinstance(value, Body))


def count_nodes(graph: Graph) -> int:
    """Number of nodes of a graph and of the bodies in it."""
    inner = (body for node in graph.nodes() if _holds_graphs(node.op) for body in bodies(node))
    return len(graph) + sum(map(count_nodes, inner))


def replay(
    graph: Graph, inputs: Sequence[Value], append: Callable[[Node, tuple[Value, ...]], Sequence[Value]]
) -> tuple[Value, ...]:
    """The outputs of a graph whose nodes are appended somewhere else, its inputs and parameters replaced by values.

    Args:
        graph: what is repeated; it stays as it is.
        inputs: a value for each of its inputs, then for each of its parameters.
        append: appends a node on other operands and returns its results.
    """
    values = dict(zip((*graph.inputs, *graph.params), inputs, strict=True))
    for node in graph.nodes():
        if node.outputs[0] not in values:
            operands = tuple(values[v] for v in node.inputs)
            values.update(zip(node.outputs, append(node, operands), strict=True))
    return tuple(values[output.value] for output in graph.outputs)


def map_bodies(attrs: Attrs, change: Callable[[Graph], Graph]) -> Attrs:
    """Attributes with changed graphs; the very same when no graph changes."""
    new = {}
    for name, value in attrs.items():
        if isinstance(value, Body):
            graph = change(value.graph)
            new[name] = value if graph is value.graph else Body(graph)
    return Attrs({**attrs, **new}) if any(attrs[name] is not value for name, value in new.items()) else attrs


def with_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with changed bodies in all its nodes; the very same when none changes."""
    out = graph
    for node in graph.nodes():
        if not _holds_graphs(node.op):
            continue
        attrs = map_bodies(node.attrs, change)
        if attrs is not node.attrs:
            out = graph.copy() if out is graph else out
            out.set_attrs(node.id, attrs)
    return out
