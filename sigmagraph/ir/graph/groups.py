"""What the groups of a fused graph read from memory and write to it."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Group, Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.value import Value

ROOTS = (OpKind.REDUCTION, OpKind.CONTRACTION)


@dataclass(frozen=True, slots=True)
class Interface:
    """A group seen from outside.

    Attributes:
        group: the group.
        root: its reduction or contraction, if it has one.
        inputs: values it reads that it does not compute (sources are among them), in order of first use.
        outputs: values it computes that other groups read or that the graph returns, in order.
    """

    group: Group
    root: Node | None
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def keeps_index(node: Node) -> bool:
    """Whether each element of the result stands where the elements of the operands stand that it is made of."""
    return node.op.kind is OpKind.ELEMENTWISE or Trait.ROW_MAJOR in node.op.traits


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
