"""Chooses the order of axes in which values are kept, so that as few bytes as possible go through transposes.

Nodes that treat each axis by itself (elementwise ops, slices, pads, ...) can work in any order of axes. Those that read
each other are an island; its orders are the one it is written in, and those that the transposes around it ask for.
Which nodes take which order is a cut of least capacity: an edge carries the bytes that are transposed where it is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import networkx as nx

from sigmagraph.dims import nominal
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.value import Value

Order: TypeAlias = "tuple[int, ...]"
"""Axis i as the program says it is axis ``order[i]`` as it is kept: the transpose by ``order`` leads back."""

_PER_AXIS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"pad": ("low", "high", "interior"), "slice": ("start", "stop", "step")}
)
_NUMBERED: Mapping[str, tuple[str, ...]] = MappingProxyType({"reverse": ("axes",), "concatenate": ("axis",)})
_REDUCTIONS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")


def inverse(order: Order) -> Order:
    """The permutation that undoes one."""
    return tuple(order.index(axis) for axis in range(len(order)))


def composed(inner: Order, outer: Order) -> Order:
    """The one permutation that two transposes are."""
    return tuple(inner[axis] for axis in outer)


def transposed_axes(node: Node) -> Order | None:
    """The permutation of a transpose, counted from the front; None for other nodes."""
    if node.op.name != "transpose":
        return None
    axes: Sequence[int] = node.attrs["axes"]
    return tuple(axis % len(axes) for axis in axes)


def is_reduction(node: Node) -> bool:
    """Whether a node reduces whole axes of one operand."""
    return node.op.name in _REDUCTIONS


def is_member(node: Node) -> bool:
    """Whether a node can work in any order of axes and gives a result in the same order."""
    if len(node.types) != 1 or node.types[0].rank < 2 or not node.inputs:
        return False
    return node.op.kind is OpKind.ELEMENTWISE or node.op.name in _PER_AXIS or node.op.name in _NUMBERED


def ordered_attrs(node: Node, order: Order) -> Mapping[str, Any]:
    """The attributes of a member or a reduction that works on operands in an order."""
    attrs: dict[str, Any] = dict(node.attrs)
    back = inverse(order)
    for name in _PER_AXIS.get(node.op.name, ()):
        attrs[name] = tuple(attrs[name][axis] for axis in back)
    for name in ("axes",) if is_reduction(node) else _NUMBERED.get(node.op.name, ()):
        given = attrs[name]
        attrs[name] = order[given] if isinstance(given, int) else tuple(sorted(order[axis] for axis in given))
    return Attrs(attrs)


def left_over(node: Node, rank: int, order: Order) -> Order:
    """The order of a reduction's result when its operand of that rank is kept in an order."""
    if node.attrs["keepdims"]:
        return order
    gone = {axis % rank for axis in node.attrs["axes"]}
    kept = [order[axis] for axis in range(rank) if axis not in gone]
    return tuple(sorted(kept).index(axis) for axis in kept)


def choose_orders(graph: Graph) -> list[dict[int, Order]]:
    """For each island that had better not work as it is written: its nodes that work in another order, and in which.

    An island knows what those before it chose: transposes of what is kept in another order are other ones.
    """
    if all(transposed_axes(node) is None for node in graph.nodes()):
        return []
    reads_through = _free_readers(graph)
    taken: dict[int, Order] = {}
    out = []
    for nodes in _islands(graph, reads_through):
        island = _Island(graph, nodes, reads_through)
        turned: dict[int, Order] = {}
        for order in island.orders(taken):
            turned |= dict.fromkeys(island.cut(order, taken | turned), order)
        if turned:
            out.append(turned)
            taken |= turned
    return out


def _axes_left(graph: Graph, node: Node, taken: Mapping[int, Order]) -> Order | None:
    """The permutation that is left of a transpose whose operand may be kept in another order; None if none is."""
    axes = transposed_axes(node)
    below = graph.node(node.inputs[0]) if axes is not None else None
    if axes is None or below is None or below.id not in taken:
        return axes
    order = taken[below.id]
    kept = left_over(below, len(order), order) if is_reduction(below) else order
    axes = composed(kept, axes)
    return None if axes == tuple(range(len(axes))) else axes


def _islands(graph: Graph, free: frozenset[int]) -> Iterator[dict[int, Node]]:
    """The members that read each other, with the reductions that read them; what is free stays as it is."""
    found = (n for n in graph.nodes() if is_member(n) or (is_reduction(n) and graph.type(n.inputs[0]).rank > 1))
    members = {n.id: n for n in found if n.id not in free}
    links: nx.Graph[int] = nx.Graph()
    links.add_nodes_from(members)
    for node in members.values():
        links.add_edges_from((v.node, node.id) for v in node.inputs if v.node in members and is_member(members[v.node]))
    for island in sorted(map(sorted, nx.connected_components(links))):
        yield {n: members[n] for n in island}


def _free_readers(graph: Graph) -> frozenset[int]:
    """The nodes that read their operands in any order at no cost: contractions, and what is made for these alone."""
    out: set[int] = set()
    returned = {o.value.node for o in graph.outputs}
    for node in reversed(graph.nodes()):
        through = node.op.kind is OpKind.MOVEMENT and Trait.TRANSPARENT in node.op.traits and node.id not in returned
        users = graph.users(node.id) if through else ()
        if node.op.kind is OpKind.CONTRACTION or (users and all(u.id in out for u in users)):
            out.add(node.id)
    return frozenset(out)


def _are_last(axes: Sequence[int], rank: int) -> bool:
    return sorted(axes) == list(range(rank - len(axes), rank))


_WRITTEN, _TURNED = "written", "turned"  # the two sides of a cut


@dataclass(slots=True)
class _Island:
    """An island and what lies around it."""

    graph: Graph
    nodes: Mapping[int, Node]
    reads_through: frozenset[int]
    flow: nx.DiGraph[Any] = field(default_factory=nx.DiGraph)

    def orders(self, taken: Mapping[int, Order]) -> list[Order]:
        """The orders that transposes around ask for, those that most bytes ask for first."""
        votes: dict[Order, int] = {}
        for node in self.nodes.values():
            asked = [_axes_left(self.graph, self.graph.node(v), taken) for v in dict.fromkeys(node.inputs)]
            if is_member(node):
                asked += [inverse(a) for u in self.graph.users(node.id) if (a := transposed_axes(u)) is not None]
            for order in asked:
                if order is not None:
                    votes[order] = votes.get(order, 0) + self._bytes(node.inputs[0])
        return sorted(votes, key=lambda order: (-votes[order], order))

    def cut(self, order: Order, taken: Mapping[int, Order]) -> list[int]:
        """The nodes that had better work in an order, when those taken work in others."""
        self.flow = nx.DiGraph()
        self.flow.add_nodes_from((_WRITTEN, _TURNED))
        free = [n for n in self.nodes if n not in taken]
        for number in free:
            node = self.nodes[number]
            self.flow.add_node(number)
            for value in dict.fromkeys(node.inputs):
                self._operand(number, value, order, taken)
            if is_member(node):
                self._result(node, order, taken)
            else:
                self._reduction(node, order)
        if not self.flow.pred[_TURNED]:
            return []
        written: set[Any] = nx.minimum_cut(self.flow, _WRITTEN, _TURNED)[1][0]
        return [n for n in free if n not in written]

    def _operand(self, reader: int, value: Value, order: Order, taken: Mapping[int, Order]) -> None:
        """What it costs to have an operand as it is written, and to have it in the order."""
        source = value.node if value.node in self.nodes and is_member(self.nodes[value.node]) else None
        if source is not None and source not in taken:
            self._share(("turn", value), source, reader, self._bytes(value))
            return
        axes = _axes_left(self.graph, self.graph.node(value), taken) if source is None else taken[source]
        self._share(("turn", value), _WRITTEN, reader, 0 if axes == order else self._turning(value))
        if axes is not None:
            self._to_written(("written", value), reader, _TURNED, self._bytes(value))

    def _share(self, meeting: object, source: object, reader: int, size: int) -> None:
        """A cost that is paid once if the source is as written and any of the readers is turned."""
        if size:
            self._add(source, meeting, size)
            self.flow.add_edge(meeting, reader)

    def _to_written(self, meeting: object, reader: object, source: object, size: int) -> None:
        """A cost that is paid once if the source is turned and any of the readers is as written."""
        self.flow.add_edge(reader, meeting)
        self._add(meeting, source, size)

    def _result(self, node: Node, order: Order, taken: Mapping[int, Order]) -> None:
        """What it costs that others read a result."""
        value = node.outputs[0]
        size = self._bytes(value)
        if any(o.value == value for o in self.graph.outputs):
            self._to_written(("written", value), _WRITTEN, node.id, size)
        for user in self.graph.users(node.id):
            if user.id in self.nodes and user.id not in taken:
                self._to_written(("written", value), user.id, node.id, size)
            elif user.id not in self.reads_through:
                axes = taken.get(user.id, transposed_axes(user))
                if axes is None:
                    self._to_written(("written", value), _WRITTEN, node.id, size)
                elif user.id not in taken and composed(order, axes) == tuple(range(len(order))):
                    self._to_written(("turned", value), node.id, _TURNED, size)

    def _reduction(self, node: Node, order: Order) -> None:
        """What it costs to reduce in the order: its result is transposed; rows do not lie in one piece any more.

        The latter counts for rows that are swept again with what came of them, as those of a normalisation.
        """
        rank = len(order)
        axes = [axis % rank for axis in node.attrs["axes"]]
        if left_over(node, rank, order) != tuple(range(node.types[0].rank)):
            self._add(_WRITTEN, node.id, self._bytes(node.outputs[0]))
        moved = _are_last(axes, rank) and not _are_last([order[axis] for axis in axes], rank)
        if moved and self._comes_back(node):
            self._add(_WRITTEN, node.id, self._bytes(node.inputs[0]))

    def _comes_back(self, node: Node) -> bool:
        """Whether what is made of a reduction's result is repeated to the shape that it reduced."""
        shape, size = self.graph.type(node.inputs[0]).shape, node.types[0].size
        stack, seen = [node.id], {node.id}
        while stack:
            for user in self.graph.users(stack.pop()):
                if Trait.REPEATS in user.op.traits and user.types[0].shape == shape:
                    return True
                if user.id not in seen and user.types[0].size == size:
                    seen.add(user.id)
                    stack.append(user.id)
        return False

    def _add(self, source: object, target: object, size: int) -> None:
        """An edge; parallel ones add up, unless they are one cost that is met again."""
        known = self.flow.get_edge_data(source, target)
        fresh = known is None or isinstance(source, tuple) or isinstance(target, tuple)
        self.flow.add_edge(source, target, capacity=size if fresh else known["capacity"] + size)

    def _bytes(self, value: Value) -> int:
        return nominal(self.graph.type(value).bytes)

    def _turning(self, value: Value) -> int:
        """The bytes that are transposed so that a value comes in another order: of what it is repeated from."""
        node = self.graph.node(value)
        if Trait.REPEATS in node.op.traits:
            shape = self.graph.type(node.inputs[0]).shape
            return self._bytes(node.inputs[0]) if sum(size != 1 for size in shape) > 1 else 0
        arrays = node.op.traits & {Trait.INPUT, Trait.PARAMETER, Trait.CONSTANT}
        return 0 if node.op.kind is OpKind.SOURCE and not arrays else self._bytes(value)
