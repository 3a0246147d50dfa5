"""Structural equality of graphs: the same program, whatever ids, hints and locations its nodes have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.printer import print_node
from sigmagraph.ir.graph.value import Value

if TYPE_CHECKING:
    from sigmagraph.ir.graph.graph import Graph


def equal(a: Graph, b: Graph) -> bool:
    """Whether two graphs have the same name, signature, stage, nodes, outputs and groups."""
    return difference(a, b) is None


def difference(a: Graph, b: Graph) -> str | None:
    """What makes two graphs different, in words; None if they are equal.

    Nodes are compared from the outputs back, and with them, in their order, those that nothing reads.
    """
    for what, left, right in _facts(a, b):
        if left != right:
            return f"{what}: {left} and {right}"
    return _Comparison(a, b).run()


def _facts(a: Graph, b: Graph) -> Iterator[tuple[str, object, object]]:
    yield "name", a.name, b.name
    yield "stage", a.stage.value, b.stage.value
    for what, left, right in (("inputs", a.inputs, b.inputs), ("parameters", a.params, b.params)):
        yield what, _ports(a, left), _ports(b, right)
    yield "outputs", [(o.name, o.updates) for o in a.outputs], [(o.name, o.updates) for o in b.outputs]
    yield "number of nodes", len(a), len(b)
    yield "groups", [g.name for g in a.groups], [g.name for g in b.groups]


def _ports(graph: Graph, values: tuple[Value, ...]) -> list[str]:
    return [f"{graph.node(v).name}: {graph.type(v)}" for v in values]


class _Comparison:
    def __init__(self, a: Graph, b: Graph) -> None:
        self.a = a
        self.b = b
        self.there: dict[int, int] = {}  # nodes of a to those of b that they stand for
        self.back: dict[int, int] = {}

    def run(self) -> str | None:
        a, b = self.a, self.b
        for left, right in zip((*a.inputs, *a.params), (*b.inputs, *b.params), strict=True):
            self.there[left.node], self.back[right.node] = right.node, left.node
        pairs = [(o.value, p.value) for o, p in zip(a.outputs, b.outputs, strict=True)]
        pairs += zip(_unread(a), _unread(b), strict=False)
        while pairs:
            left, right = pairs.pop()
            found = self._pair(left, right)
            if isinstance(found, str):
                return found
            pairs += found
        return self._groups()

    def _pair(self, left: Value, right: Value) -> list[tuple[Value, Value]] | str:
        """What else must be equal for two values to be equal, or what makes them different."""
        x, y = self.a.node(left), self.b.node(right)
        if left.index != right.index:
            return f"results: {left.index} of {print_node(x)} and {right.index} of {print_node(y)}"
        if x.id in self.there or y.id in self.back:
            same = self.there.get(x.id) == y.id and self.back.get(y.id) == x.id
            return [] if same else f"uses: {print_node(x)} and {print_node(y)}"
        if not _alike(x, y):
            return f"nodes: {print_node(x)} and {print_node(y)}"
        self.there[x.id], self.back[y.id] = y.id, x.id
        return list(zip(x.inputs, y.inputs, strict=True))

    def _groups(self) -> str | None:
        for left, right in zip(self.a.groups, self.b.groups, strict=True):
            if sorted(self.there.get(n, -1) for n in left.nodes) != sorted(right.nodes):
                return f"members of the group '{left.name}'"
        return None


def _alike(x: Node, y: Node) -> bool:
    return x.op is y.op and x.attrs == y.attrs and x.types == y.types and len(x.inputs) == len(y.inputs)


def _unread(graph: Graph) -> list[Value]:
    """The first result of every node besides the signature that neither a node nor an output reads."""
    known = {o.value.node for o in graph.outputs} | {v.node for v in (*graph.inputs, *graph.params)}
    return [Value(n.id) for n in graph.nodes() if not graph.digraph.succ[n.id] and n.id not in known]
