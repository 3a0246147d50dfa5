"""What the groups of a fused graph read from memory and write to it, and where their members are evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sigmagraph.dims import Size, product
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Group, Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value

ROOTS = (OpKind.REDUCTION, OpKind.CONTRACTION)


@dataclass(frozen=True, slots=True)
class Interface:
    """A group seen from outside.

    Attributes:
        group: the group.
        root: its first reduction or contraction, if it has one.
        inputs: values it reads that it does not compute (sources are among them), in order of first use.
        outputs: values it computes that other groups read or that the graph returns, in order.
    """

    group: Group
    root: Node | None
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What reductions of one group have in common: the shape that they reduce, and along which axes.

    Axes of size 1 are left out, as they say nothing. A row is what is reduced to one element.
    """

    shape: tuple[Size, ...]
    axes: tuple[int, ...]

    @property
    def outer(self) -> tuple[Size, ...]:
        """The sizes that say which row."""
        return tuple(size for axis, size in enumerate(self.shape) if axis not in self.axes)

    @property
    def inner(self) -> tuple[Size, ...]:
        """The sizes within a row."""
        return tuple(self.shape[axis] for axis in self.axes)

    def whole_index(self, outer: Sequence[Size], inner: Sequence[Size]) -> tuple[Size, ...]:
        """The index in ``shape`` of an element of a row."""
        left, within = iter(outer), iter(inner)
        return tuple(next(within) if axis in self.axes else next(left) for axis in range(len(self.shape)))

    def place_of(self, type: TensorType) -> Place:
        """Where a value of this type stands if it has an element for each row, or one for each element of them."""
        if type.size == product(self.outer):
            return Place.ROW
        return Place.WHOLE if type.size == product(self.shape) else Place.OTHER

    def repeats_along(self, shape: Sequence[Size], result: Sequence[Size]) -> bool:
        """Whether a value of ``shape`` that is repeated up to ``result`` has one element for each row."""
        padded = (1,) * (len(result) - len(shape)) + tuple(shape)
        sizes = [have for have, want in zip(padded, result, strict=True) if want != 1]
        if tuple(size for size in result if size != 1) != self.shape:
            return False
        return all(size == (1 if axis in self.axes else self.shape[axis]) for axis, size in enumerate(sizes))


class Place(Enum):
    """Where a group with :class:`Rows` evaluates a value: once a row, at each element of the rows, or elsewhere."""

    ROW = "row"
    WHOLE = "whole"
    OTHER = "other"


def rows_of(graph: Graph, node: Node) -> Rows | None:
    """The rows that a node reduces; None when it reduces nothing, or not along whole axes."""
    if node.op.kind is not OpKind.REDUCTION or "axes" not in node.attrs or len(node.inputs) != 1:
        return None
    shape = graph.type(node.inputs[0]).shape
    reduced = {axis % len(shape) for axis in node.attrs["axes"]}
    wide = [axis for axis, size in enumerate(shape) if size != 1]
    axes = tuple(at for at, axis in enumerate(wide) if axis in reduced)
    return Rows(tuple(shape[axis] for axis in wide), axes) if axes else None


def keeps_index(node: Node) -> bool:
    """Whether each element of the result stands where the elements of the operands stand that it is made of."""
    return node.op.kind is OpKind.ELEMENTWISE or Trait.ROW_MAJOR in node.op.traits


def operand_place(graph: Graph, reader: Node, operand: Value, place: Place, rows: Rows | None) -> Place:
    """Where a reader that is evaluated at ``place`` reads an operand."""
    if keeps_index(reader):
        return place
    if rows is None:
        return Place.OTHER
    if place is Place.ROW and rows_of(graph, reader) == rows:
        return Place.WHOLE
    if place is Place.WHOLE and Trait.REPEATS in reader.op.traits:
        along = rows.repeats_along(graph.type(operand).shape, reader.types[0].shape)
        return Place.ROW if along else Place.OTHER
    return Place.OTHER


def places(
    graph: Graph, start: Iterable[tuple[Value, Place]], inside: frozenset[int], rows: Rows | None
) -> dict[Value, frozenset[Place]]:
    """Where values are evaluated that a group needs: from those that it starts at, back through its members.

    Args:
        graph: the graph.
        start: values and where they are wanted.
        inside: the members, by id; others are entered but not passed through.
        rows: what the group's reductions have in common.
    """
    out: dict[Value, frozenset[Place]] = {}
    stack = list(start)
    while stack:
        value, place = stack.pop()
        known = out.get(value, frozenset())
        if place in known:
            continue
        out[value] = known | {place}
        if value.node in inside:
            reader = graph.node(value)
            stack += [(v, operand_place(graph, reader, v, place, rows)) for v in reader.inputs]
    return out


class RootOrder:
    """The reductions of a group, in the sweeps over rows that it takes.

    Attributes:
        roots: reductions and contractions, in topological order.
        rows: what they have in common, if there is only one kind of rows.
        shape: the group's index space: of the rows, or of the one root's result.
        count: number of sweeps.
    """

    def __init__(self, graph: Graph, members: Sequence[Node]) -> None:
        self.roots = tuple(n for n in members if n.op.kind in ROOTS)
        self.rows = rows_of(graph, self.roots[0]) if self.roots else None
        self.shape: tuple[Size, ...] = ()
        if self.roots:
            self.shape = self.rows.outer if self.rows else self.roots[0].types[0].shape
        self._graph = graph
        self._after: dict[int, int] = {}  # how many sweeps come before a member is known
        for node in members:
            before = max((self._after.get(v.node, 0) for v in node.inputs), default=0)
            self._after[node.id] = before + (node.op.kind in ROOTS)
        reducing = max((self._after[n.id] for n in self.roots), default=0)
        self._stores_last = self.rows is not None and any(
            self._after[n.id] == reducing and self.rows.place_of(n.types[0]) is Place.WHOLE for n in members
        )
        self.count = reducing + self._stores_last

    def roots_of(self, sweep: int) -> list[Node]:
        """The roots that a sweep reduces."""
        return [n for n in self.roots if self._after[n.id] == sweep + 1]

    def store_sweep(self, value: Value) -> int | None:
        """The sweep that stores a value; None when it is stored once a row, behind all sweeps."""
        if self.rows is None or self.rows.place_of(self._graph.type(value)) is not Place.WHOLE:
            return None
        return self._after[value.node]


def interfaces(graph: Graph) -> tuple[Interface, ...]:
    """The interface of every group, in the order of the groups.

    A value that is needed outside is written by the first group that computes it; other groups that compute it too keep
    it to themselves.
    """
    members = [frozenset(group.nodes) for group in graph.groups]
    reads = [_reads(graph, group) for group in graph.groups]
    writer: dict[int, int] = {}
    for number, group in enumerate(graph.groups):
        for node in group.nodes:
            writer.setdefault(node, number)
    wanted = {o.value for o in graph.outputs}.union(*reads)
    out = []
    for number, group in enumerate(graph.groups):
        nodes = [graph.node(n) for n in group.nodes]
        written = [v for n in nodes if writer[n.id] == number for v in n.outputs if v in wanted]
        root = next((n for n in nodes if n.op.kind in ROOTS), None)
        inputs = tuple(v for v in reads[number] if v.node not in members[number])
        out.append(Interface(group, root, inputs, tuple(written)))
    return tuple(out)


def _reads(graph: Graph, group: Group) -> dict[Value, None]:
    """What a group reads from outside, in order of first use."""
    inside = frozenset(group.nodes)
    return dict.fromkeys(v for n in group.nodes for v in graph.node(n).inputs if v.node not in inside)
