"""Joins groups that reduce along the same rows, so that a row is read once and stays in the cache.

A softmax is three groups to begin with: a maximum, a sum of exponentials, a quotient. All of them walk along the same
rows; as one group they are sweeps over a row that lies in the cache, and only the quotient is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sigmagraph.dims import product
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import ROOTS, Place, Rows, places, rows_of
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value

SMALL = 1 << 14  # elements that one task may compute


@dataclass(slots=True, eq=False)
class Part:
    """A group while it grows.

    Attributes:
        nodes: its members, by id.
        stored: the members whose values are written if anybody outside wants them.
        rows: what its reductions reduce, if they are of that kind; None without reductions.
        fixed: whether it stays as it is: it has a root of another kind, or an op that stands alone.
        below, above: the groups that it reads from, and those that read from it.
        first, last: the least and the greatest position of what it stores.
    """

    nodes: frozenset[int]
    stored: frozenset[int]
    rows: Rows | None
    fixed: bool
    first: int
    last: int
    below: dict[Part, None] = field(default_factory=dict)
    above: dict[Part, None] = field(default_factory=dict)


class RowMerger:
    """Joins groups.

    Args:
        graph: the graph.
        position: of every node that computes, in an order in which they can run.
        depth: number of nodes, one behind the other, that a kernel may be made of.
    """

    def __init__(self, graph: Graph, position: dict[int, int], depth: int) -> None:
        self.graph = graph
        self.position = position
        self.depth = depth
        self.returned = frozenset(o.value.node for o in graph.outputs)
        self.home: dict[int, Part] = {}  # of stored nodes
        self.parts: dict[Part, None] = {}
        self.joined = 0

    def add(self, stored: Sequence[int], inside: Iterable[int]) -> None:
        """Say that nodes are a group; the groups that it reads from have been added before."""
        members = [self.graph.node(n) for n in inside]
        roots = [n for n in members if n.op.kind in ROOTS]
        rows = rows_of(self.graph, roots[0]) if roots else None
        fixed = any(n.op.kind.alone for n in members) or (bool(roots) and rows is None)
        places = [self.position[n] for n in stored]
        part = Part(frozenset(n.id for n in members), frozenset(stored), rows, fixed, min(places), max(places))
        self.parts[part] = None
        self.home.update(dict.fromkeys(stored, part))
        for below in dict.fromkeys(self.home[v] for v in self._outside(part)):
            part.below[below] = None
            below.above[part] = None

    def run(self) -> list[Part]:
        """The groups that are left."""
        for part in list(self.parts):
            while part in self.parts and not part.fixed:
                found = next((p for p in part.below if self._may_join(p, part)), None)
                if found is None:
                    break
                part = self._join(found, part)
        self._join_neighbours()
        return list(self.parts)

    def _join_neighbours(self) -> None:
        """Join reductions of the same rows that read the same array, though none reads another."""
        readers: dict[tuple[Rows, int], dict[Part, None]] = {}
        for part in self.parts:
            if part.rows is None:
                continue
            for node in self._reads(part):
                if part.rows.place_of(self.graph.node(node).types[0]) is Place.WHOLE:
                    readers.setdefault((part.rows, node), {})[part] = None
        for found in readers.values():
            first, *others = found
            for other in others:
                if first in self.parts and other in self.parts and self._are_neighbours(first, other):
                    first = self._join(first, other)
                else:
                    first = first if first in self.parts else other

    def _are_neighbours(self, a: Part, b: Part) -> bool:
        if self._reaches(a, b) or self._reaches(b, a):
            return False
        return self._may_join(a, b)

    # ---- what is read

    def _reads(self, part: Part) -> dict[int, None]:
        """The nodes that a group reads and does not compute."""
        operands = (v.node for n in sorted(part.nodes) for v in self.graph.node(n).inputs)
        return dict.fromkeys(n for n in operands if n not in part.nodes)

    def _outside(self, part: Part) -> list[int]:
        return [n for n in self._reads(part) if n in self.home]

    def _wanted(self, nodes: frozenset[int], stored: Iterable[int]) -> list[Value]:
        """What a group must write."""
        return [
            Value(n)
            for n in sorted(stored)
            if n in self.returned or any(u.id not in nodes for u in self.graph.users(n))
        ]

    # ---- whether two groups may be one

    def _may_join(self, below: Part, above: Part) -> bool:
        rows = below.rows or above.rows
        if rows is None or below.fixed or above.fixed or (above.rows or rows) != rows:
            return False
        if self._meets_on_a_detour(below, above):
            return False
        nodes, stored = below.nodes | above.nodes, below.stored | above.stored
        wanted = self._wanted(nodes, stored)
        return self._fits(rows, wanted, below, above) and self._in_place(rows, nodes, stored, wanted)

    def _fits(self, rows: Rows, wanted: Sequence[Value], below: Part, above: Part) -> bool:
        """Whether there are rows to share out, or else nothing but one walk along them, which can be cut into tasks."""
        size = product(rows.shape)
        if 0 not in rows.axes or (isinstance(size, int) and size <= SMALL):
            return True
        if any(rows.place_of(self.graph.type(v)) is Place.WHOLE for v in wanted):
            return False
        return below not in above.below or below.rows is None

    def _in_place(self, rows: Rows, nodes: frozenset[int], stored: frozenset[int], wanted: Sequence[Value]) -> bool:
        """Whether every value that may not be computed twice is needed once a row, or once an element of the rows."""
        start = [(v, rows.place_of(self.graph.type(v))) for v in wanted]
        found = places(self.graph, start, nodes, rows)
        rooted: set[int] = set()
        depth: dict[int, int] = {}
        for n in sorted(nodes, key=self.position.__getitem__):
            node = self.graph.node(n)
            root = node.op.kind in ROOTS
            hangs = root or any(v.node in rooted for v in node.inputs)
            if hangs:
                rooted.add(n)
            depth[n] = 0 if root else 1 + max((depth.get(v.node, 0) for v in node.inputs), default=0)
            if not (hangs or n in stored or Trait.EXPENSIVE in node.op.traits):
                continue
            place = rows.place_of(node.types[0])
            if place is Place.OTHER or found.get(Value(n), frozenset((place,))) != {place}:
                return False
        return max(depth.values()) <= self.depth

    def _meets_on_a_detour(self, below: Part, above: Part) -> bool:
        """Whether a third group needs the one and is needed by the other."""
        return any(p is not below and self._reaches(below, p) for p in above.below)

    def _reaches(self, source: Part, target: Part) -> bool:
        """Whether the target needs, perhaps by way of third groups, what the source stores."""
        stack, seen = [target], {target}
        while stack:
            part = stack.pop()
            if part is source:
                return True
            new = [p for p in part.below if p not in seen and p.last >= source.first]
            seen.update(new)
            stack.extend(new)
        return False

    def _join(self, below: Part, above: Part) -> Part:
        self.joined += 1
        part = Part(
            below.nodes | above.nodes,
            below.stored | above.stored,
            below.rows or above.rows,
            False,
            min(below.first, above.first),
            max(below.last, above.last),
        )
        for old in (below, above):
            for p in old.below:
                del p.above[old]
                if p not in (below, above):
                    part.below[p] = p.above[part] = None
            for p in old.above:
                del p.below[old]
                if p not in (below, above):
                    part.above[p] = p.below[part] = None
            del self.parts[old]
        self.home.update(dict.fromkeys(part.stored, part))
        self.parts[part] = None
        return part
