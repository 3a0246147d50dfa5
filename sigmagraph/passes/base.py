"""What a pass is, what it may use while it runs, and how it builds the graph that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias, Union

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import OpDef, Trait
from sigmagraph.ir.graph.value import Value

PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})


@dataclass(frozen=True, slots=True)
class PassContext:
    """What a pass gets besides the graph.

    Attributes:
        registry: the ops that it may build nodes with.
        hits: how often each of its rules was applied; passes count into it.
    """

    registry: Mapping[str, OpDef]
    hits: dict[str, int] = field(default_factory=dict)

    def hit(self, rule: str, times: int = 1) -> None:
        """Count applications of a rule."""
        self.hits[rule] = self.hits.get(rule, 0) + times


class Pass(Protocol):
    """A step of the compiler: a frozen dataclass whose fields are its options.

    Attributes:
        name: as it stands in a pipeline's text.
        requires: the least stage that it takes.
        ensures: the stage of its result; None when it keeps the stage. Groups do not survive a change of nodes, so
            what such a pass makes of a fused graph is primitive.
    """

    name: ClassVar[str]
    requires: ClassVar[Stage]
    ensures: ClassVar[Stage | None]

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """A graph of the same meaning and signature; the given one stays as it is.

        The very graph that was given is returned when there was nothing to change.
        """
        ...


@dataclass(frozen=True, slots=True)
class Repeat:
    """Passes that are run in turn until none of them changes anything, at most ``limit`` times."""

    passes: tuple[Pass, ...]
    limit: int = 8


Pipeline: TypeAlias = "tuple[Union[Pass, Repeat], ...]"
Visit: TypeAlias = "Callable[[Graph, Node, tuple[Value, ...]], Sequence[Value]]"


def rebuild(graph: Graph, visit: Visit, order: Iterable[int] = ()) -> Graph:
    """A new graph of the same signature, made node by node.

    ``visit`` is called with the new graph, each node that the outputs need (operands first, the signature left out) and
    the new operands; it appends what it likes and returns the values that stand for the node's results. Ids of the new
    graph are a topological order. Nodes in ``order``, a topological order of all that they need, come before others.
    """
    out = Graph(graph.name, Stage.PRIMITIVE if graph.stage is Stage.FUSED else graph.stage)
    values: dict[Value, Value] = {}
    for port in graph.inputs:
        node = graph.node(port)
        values[port] = out.add_input(node.name, node.types[0], node.location)
    for port in graph.params:
        node = graph.node(port)
        values[port] = out.add_param(node.name, node.types[0], node.location)
    live = live_nodes(graph)
    for number in dict.fromkeys((*order, *(node.id for node in graph.nodes()))):
        node = graph.node(number)
        if node.id in live and not node.op.traits & PORTS:
            new = visit(out, node, tuple(values[v] for v in node.inputs))
            values.update(zip(node.outputs, new, strict=True))
    for output in graph.outputs:
        out.add_output(output.name, values[output.value], output.updates)
    return out


def keep(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """Append a node as it is, on new operands: the visit that changes nothing."""
    return out.add(node.op, inputs, node.attrs, node.types, node.name, node.location).outputs


def live_nodes(graph: Graph) -> frozenset[int]:
    """The ids of the nodes that some output needs."""
    live = {o.value.node for o in graph.outputs}
    stack = list(live)
    while stack:
        below = {v.node for v in graph.node(stack.pop()).inputs} - live
        live |= below
        stack += below
    return frozenset(live)
