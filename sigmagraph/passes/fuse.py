"""Fuse: decides which nodes become one kernel, and which of them are computed again instead of being stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import networkx as nx

from sigmagraph.dims import Size
from sigmagraph.errors import PassError
from sigmagraph.facts import Facts
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import ROOTS, keeps_index
from sigmagraph.ir.graph.node import Group, Node, Stage
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.rows import Part, RowMerger

# Where a node is evaluated for a group: at the index of the result (RESULT), or at the one that a reader maps it to,
# which is then named by the reader's id. A node is evaluated as often as it has places.
RESULT = -1


@dataclass(frozen=True, slots=True)
class Fuse:
    """Fills in ``graph.groups``, in an order in which they can run.

    A value is either *stored* by one group, or *inlined*: computed anew in every group that reads it. All values that a
    group stores have one shape, its own. It has at most one root, a reduction or a contraction, from which elementwise
    nodes alone (the epilogue) lead to what it stores. Going back from the outputs, a node is inlined unless

    - an output of the graph is made of it, or it is opaque;
    - it is a root, and its readers are not all in the epilogue of one group without a root;
    - it hangs on a root, and a reader needs it at other indices or reduces it: this ends the epilogue;
    - the chain behind it is ``depth`` nodes long: kernels are lowered by recursion;
    - it stands under a contraction, which reads its operands many times, and is not transparent;
    - a reader repeats it (a broadcast, a gather), and it costs more than ``spread``;
    - it would be evaluated at several places, and costs more than ``recompute``, or would read more than two arrays for
      it, or is expensive.

    A stored node becomes a further result of a group that computes it anyway, if the shapes agree and no cycle between
    groups comes of it, or else starts a group. Where the epilogue of a root would have to be stored only because other
    groups compare it, cast it or the like, the smaller results are stored instead: masks rather than activations.

    At last groups that reduce along the same rows are joined (see :mod:`sigmagraph.passes.rows`): such a group has
    several roots, and stores values for each row and for each element of the rows.

    Attributes:
        merge: False makes every node a group of its own.
        recompute: cost (see :data:`~sigmagraph.ir.kernel.scalar.SCALARS`) up to which a chain is evaluated again.
        spread: cost up to which a chain is evaluated for every element that it is broadcast to.
        depth: number of nodes after which a chain is cut.
        rows: whether groups that reduce along the same rows are joined.
    """

    name: ClassVar[str] = "fuse"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = Stage.FUSED

    merge: bool = True
    recompute: int = 20
    spread: int = 8
    depth: int = 60
    rows: bool = True

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The fused graph, without dead nodes.

        Raises:
            PassError: the graph has not been decomposed.
        """
        if graph.stage is Stage.CAPTURED:
            raise PassError("a captured graph cannot be fused", expected="a primitive graph", hint="decompose it first")
        graph = Dce().run(graph, context)
        out = graph.copy()
        out.stage = Stage.FUSED
        work = [n for n in out.nodes() if n.op.kind is not OpKind.SOURCE]
        members: Sequence[tuple[int, ...]] = [(n.id,) for n in work]
        if self.merge:
            fusion = _Fusion(out, self)
            members = fusion.run(work)
            context.hit("rows", fusion.joined)
        out.set_groups(Group(f"k{number}", nodes) for number, nodes in enumerate(members))
        context.hit("groups", len(members))
        return out


@dataclass(slots=True, eq=False)
class _Group:
    """A group while it grows.

    Attributes:
        shape: of all values that it stores.
        root: id of its reduction or contraction.
        readers: the groups that read what it stores.
        first, last: the least and the greatest position of what it stores.
    """

    shape: tuple[Size, ...]
    first: int
    last: int
    root: int | None = None
    readers: dict[_Group, None] = field(default_factory=dict)

    def reaches(self, other: _Group) -> bool:
        """Whether the other group needs, perhaps by way of third ones, what this one stores."""
        stack, seen = [self], {self}
        while stack:
            group = stack.pop()
            if group is other:
                return True
            new = [g for g in group.readers if g not in seen and g.first <= other.last]
            seen.update(new)
            stack.extend(new)
        return False


_Places: TypeAlias = dict[_Group, frozenset[int]]


@dataclass(frozen=True, slots=True)
class _Chain:
    """What it takes to have a value, seen from a reader.

    Attributes:
        cost: of evaluating one element from what is stored for certain; infinite for roots and expensive ops.
        reads: the arrays that are read at full size for it.
        rooted: whether it hangs on a root whose epilogue it could belong to.
        depth: number of nodes in it, one behind the other.
        stored: whether it is stored for certain.
    """

    cost: float
    reads: frozenset[int]
    rooted: bool
    depth: int
    stored: bool


class _Fusion:
    def __init__(self, graph: Graph, options: Fuse) -> None:
        self.options = options
        self.nodes = {n.id: n for n in graph.nodes()}
        self.users = {n: graph.users(n) for n in self.nodes}
        self.sizes = {n.id: n.types[0].size for n in graph.nodes()}
        self.returned = frozenset(o.value.node for o in graph.outputs)
        self.facts = Facts()
        self.chains: dict[int, _Chain] = {}
        self.places: dict[int, _Places] = {}  # of the inlined nodes
        self.home: dict[int, _Group] = {}  # of the stored nodes
        self.contracted: dict[int, bool] = {}
        self.graph = graph
        self.position: dict[int, int] = {}
        self.joined = 0

    def run(self, work: Sequence[Node]) -> list[tuple[int, ...]]:
        """The nodes of every group, in an order in which the groups can run."""
        self.position = {node.id: at for at, node in enumerate(work)}
        for node in self.nodes.values():
            self.chains[node.id] = self._measure(node)
        for node in reversed(work):
            self._place(node)
        return self._collect(work)

    # ---- forward: what a value costs

    def _measure(self, node: Node) -> _Chain:
        itself = frozenset() if self.sizes[node.id] == 1 else frozenset({node.id})
        if node.op.kind is OpKind.SOURCE:
            return _Chain(0, itself if node.op.traits & _ARRAYS else frozenset(), False, 0, True)
        below = [self.chains[n] for n in _operands(node)]
        rooted = node.op.kind in ROOTS or any(c.rooted for c in below)
        depth = 1 + max((c.depth for c in below), default=0)
        if self._ends(node, rooted, depth):
            return _Chain(0, itself, False, 0, True)
        reads: frozenset[int] = frozenset().union(*(c.reads for c in below))
        if any(self._grows(node, n) for n in _operands(node)):
            reads = frozenset()  # what is read is small
        return _Chain(_own_cost(node) + sum(c.cost for c in below), reads, rooted, depth, False)

    def _ends(self, node: Node, rooted: bool, depth: int) -> bool:
        """Whether a node is stored whatever reads it."""
        if node.id in self.returned or node.op.kind.alone or len(node.types) > 1:
            return True
        return depth > self.options.depth or (rooted and not all(map(keeps_index, self.users[node.id])))

    def _grows(self, reader: Node, node: int) -> bool:
        """Whether a reader may want elements of a node more than once."""
        if reader.op.kind not in (OpKind.MOVEMENT, OpKind.INDEXING):
            return False
        have, want = self.sizes[node], self.sizes[reader.id]
        return have != want and not self.facts.nonnegative(have - want)

    # ---- backward: where a value is computed

    def _place(self, node: Node) -> None:
        places = self._places(node)
        self.contracted[node.id] = any(
            u.op.kind is OpKind.CONTRACTION or (u.id not in self.home and self.contracted[u.id])
            for u in self.users[node.id]
        )
        if not self._inlines(node, places):
            self._store(node, places)
            return
        self.places[node.id] = places
        if node.op.kind in ROOTS:
            next(iter(places)).root = node.id

    def _places(self, node: Node) -> _Places:
        out: _Places = {}
        for user in self.users[node.id]:
            here = frozenset({user.id})
            for group, at in self._places_of(user.id).items():
                out[group] = out.get(group, frozenset()) | (at if keeps_index(user) else here)
        return out

    def _places_of(self, node: int) -> _Places:
        return {self.home[node]: frozenset({RESULT})} if node in self.home else self.places[node]

    def _inlines(self, node: Node, places: _Places) -> bool:
        chain = self.chains[node.id]
        if chain.stored or (self.contracted[node.id] and Trait.TRANSPARENT not in node.op.traits):
            return False
        users = self.users[node.id]
        if any(u.op.kind.alone for u in users):
            return False
        # Under a contraction, what is not transparent is stored, and all that is left of the chain are movements.
        cost = 0 if self.contracted[node.id] and node.op.kind not in ROOTS else chain.cost
        if cost > self.options.spread and any(self._grows(u, node.id) for u in users):
            return False
        if node.op.kind in ROOTS and any(group.root is not None for group in places):
            return False
        if sum(map(len, places.values())) == 1:
            return True
        return cost <= self.options.recompute and len(chain.reads) <= 2

    def _store(self, node: Node, places: _Places) -> None:
        host = self._host(node, places)
        if host is not None and self._store_readers_instead(node, host):
            return
        at = self.position[node.id]
        group = host or _Group(node.types[0].shape, at, at)
        self._settle(node.id, group)
        group.readers.update((g, None) for g in places if g is not group)
        if node.op.kind in ROOTS:
            group.root = node.id

    def _host(self, node: Node, places: _Places) -> _Group | None:
        """The group that computes a node anyway and can store it."""
        if node.op.kind.alone or len(node.types) > 1:
            return None
        if len(places) == 1 and node.id not in self.returned:
            return None  # nobody else would read it
        for group, at in places.items():
            fits = at == {RESULT} and group.shape == node.types[0].shape
            free = node.op.kind not in ROOTS or group.root is None
            if fits and free and not any(g.reaches(group) for g in places if g is not group):
                return group
        return None

    def _store_readers_instead(self, node: Node, host: _Group) -> bool:
        """Store what other groups make of a node, if that is smaller, and nothing else needs the node outside."""
        outside = [u for u in self.users[node.id] if self._places_of(u.id).keys() != {host}]
        size = sum(u.types[0].dtype.itemsize for u in outside)
        if self.chains[node.id].stored or size >= node.types[0].dtype.itemsize:
            return False
        for user in outside:
            others = [n for n in _operands(user) if n != node.id]
            if user.id in self.home or host in self.places[user.id] or not keeps_index(user):
                return False
            if user.types[0].shape != host.shape or not all(map(self._is_free, others)):
                return False
        for user in outside:
            host.readers.update(dict.fromkeys(self.places.pop(user.id)))
            self._settle(user.id, host)
            for n in _operands(user):
                self._add_place(n, host, frozenset({RESULT}))
        self.places[node.id] = {host: frozenset({RESULT})}
        if node.op.kind in ROOTS:
            host.root = node.id
        return True

    def _settle(self, node: int, group: _Group) -> None:
        self.home[node] = group
        at = self.position[node]
        group.first, group.last = min(group.first, at), max(group.last, at)

    def _is_free(self, node: int) -> bool:
        """Whether a value can be had in any group: it is made of numbers, cheaply."""
        chain = self.chains[node]
        if node in self.home or chain.reads or chain.cost > self.options.spread:
            return False
        return all(map(self._is_free, _operands(self.nodes[node])))

    def _add_place(self, node: int, group: _Group, at: frozenset[int]) -> None:
        if node not in self.places:
            return
        self.places[node] = {**self.places[node], group: self.places[node].get(group, frozenset()) | at}
        for operand in _operands(self.nodes[node]):
            self._add_place(operand, group, at if keeps_index(self.nodes[node]) else frozenset({node}))

    # ---- the groups themselves

    def _collect(self, work: Sequence[Node]) -> list[tuple[int, ...]]:
        stored: dict[_Group, list[int]] = {}
        for node in work:
            if node.id in self.home:
                stored.setdefault(self.home[node.id], []).append(node.id)
        position = self.position
        quotient: nx.DiGraph[_Group] = nx.DiGraph()
        inside: dict[_Group, list[int]] = {}
        for group, nodes in stored.items():
            inside[group], outside = self._closure(nodes)
            quotient.add_node(group)
            quotient.add_edges_from((self.home[n], group) for n in outside)
        merger = RowMerger(self.graph, position, self.options.depth)
        for group in nx.lexicographical_topological_sort(quotient, key=lambda g: max(position[n] for n in inside[g])):
            merger.add(stored[group], inside[group])
        parts = merger.run() if self.options.rows else list(merger.parts)
        self.joined = merger.joined
        order: nx.DiGraph[Part] = nx.DiGraph()
        order.add_nodes_from(parts)
        order.add_edges_from((below, part) for part in parts for below in part.below)
        members = {part: tuple(sorted(part.nodes, key=position.__getitem__)) for part in parts}
        return [
            members[part] for part in nx.lexicographical_topological_sort(order, key=lambda p: position[members[p][-1]])
        ]

    def _closure(self, stored: Iterable[int]) -> tuple[list[int], list[int]]:
        """A group's stored nodes with all that is inlined into them, and the stored nodes of others that they read."""
        inside = dict.fromkeys(stored)
        outside: dict[int, None] = {}
        stack = list(inside)
        while stack:
            for n in _operands(self.nodes[stack.pop()]):
                if n in inside or self.nodes[n].op.kind is OpKind.SOURCE:
                    continue
                if n in self.home:
                    outside[n] = None
                else:
                    inside[n] = None
                    stack.append(n)
        return list(inside), list(outside)


_ARRAYS = frozenset({Trait.INPUT, Trait.PARAMETER, Trait.CONSTANT})


def _operands(node: Node) -> tuple[int, ...]:
    return tuple(dict.fromkeys(v.node for v in node.inputs))


def _own_cost(node: Node) -> float:
    if node.op.kind in ROOTS or Trait.EXPENSIVE in node.op.traits:
        return math.inf
    if node.op.kind is OpKind.MOVEMENT:
        return 0
    scalar = SCALARS.get(node.op.name)
    return scalar.cost if scalar is not None else 1
