"""Prune: takes out of loops and branches what nothing needs, and what need not be inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.graph import Graph, unused_output
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild


@dataclass(frozen=True, slots=True)
class Prune:
    """Drops results of scans and branches that nobody reads, with all that is computed for them alone.

    A state of a scan that never changes becomes an operand that is the same at each turn; operands that are one value
    become one, and so do results.
    """

    name: ClassVar[str] = "prune"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with smaller bodies."""
        read = {v for n in graph.nodes() for v in n.inputs} | {o.value for o in graph.outputs}
        smaller: dict[int, _Smaller] = {}
        for node in graph.nodes():
            if node.op.name in _RULES:
                new = _RULES[node.op.name](node, [v in read for v in node.outputs])
                if (new.operands, len(new.types)) != (tuple(range(len(node.inputs))), len(node.types)):
                    smaller[node.id] = new
        if not smaller:
            return graph
        context.hit("smaller", len(smaller))

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
            return smaller[node.id].append(out, node, inputs) if node.id in smaller else keep(out, node, inputs)

        return rebuild(graph, visit)


@dataclass(frozen=True, slots=True)
class _Smaller:
    """What a node becomes.

    Attributes:
        attrs, types: of the new node.
        operands: which operands of the old node it takes.
        results: for each result of the old node which one of the new node it is.
        given: results of the old node that are operands of it.
    """

    attrs: Attrs
    types: tuple[TensorType, ...]
    operands: tuple[int, ...]
    results: Mapping[int, int]
    given: Mapping[int, int]

    def append(self, out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
        new: tuple[Value, ...] = ()
        if self.types:
            operands = (inputs[n] for n in self.operands)
            new = out.add(node.op, operands, self.attrs, self.types, node.name, node.location).outputs
        nobody = inputs[0]  # stands for results that are not read
        return [
            inputs[self.given[n]] if n in self.given else new[self.results[n]] if n in self.results else nobody
            for n in range(len(node.types))
        ]


def _scan(node: Node, wanted: Sequence[bool]) -> _Smaller:
    body: Graph = node.attrs["body"].graph
    states, sequences = len(body.params), node.attrs["sequences"]
    ports = (*body.params, *body.inputs)
    updates = {o.updates: o.value for o in body.outputs if o.updates is not None}
    new_value = [updates[body.node(p).name] for p in body.params]
    stacked = [o for o in body.outputs if o.updates is None]
    fixed = [port == value for port, value in zip(body.params, new_value, strict=True)]

    live = [flag and not same for flag, same in zip(wanted, fixed, strict=False)]
    results = [v.value for v, flag in zip(stacked, wanted[states:], strict=True) if flag]
    while True:
        needed = needed_ports(body, [*results, *(v for v, flag in zip(new_value, live, strict=True) if flag)])
        grown = [f or (p in needed and not s) for f, p, s in zip(live, body.params, fixed, strict=True)]
        if grown == live:
            break
        live = grown

    # Which operand each needed port of the body takes; ports that take the same one become one.
    sections: tuple[list[int], list[int], list[int]] = ([], [], [])
    first: dict[tuple[int, Value], int] = {}
    stand_in: dict[Value, Value] = {}
    for number, port in enumerate(ports):
        section = 0 if number < states and not fixed[number] else 1 if states <= number < states + sequences else 2
        if not (live[number] if section == 0 else port in needed):
            continue
        same = first.setdefault((section, node.inputs[number]), number) if section else number
        if same == number:
            sections[section].append(number)
        else:
            stand_in[port] = ports[same]
    out = Graph(body.name, body.stage)
    values = _ports(body, out, [ports[n] for n in (*sections[1], *sections[2])], [ports[n] for n in sections[0]])
    values |= {port: values[other] for port, other in stand_in.items()}
    ends = [new_value[n] for n in sections[0]] + results
    _copy(body, out, ends, values)
    for number in sections[0]:
        name = body.node(ports[number]).name
        out.add_output(name, values[new_value[number]], name)
    places = {n: at for at, n in enumerate(sections[0])}
    types = [node.types[n] for n in sections[0]]
    known: dict[Value, int] = {}
    for number, output in enumerate(stacked, states):
        if not wanted[number]:
            continue
        if values[output.value] not in known:
            known[values[output.value]] = len(types)
            types.append(node.types[number])
            out.add_output(unused_output(out, output.name), values[output.value])
        places[number] = known[values[output.value]]
    attrs = Attrs({**node.attrs, "body": Body(out), "sequences": len(sections[1])})
    operands = tuple(n for section in sections for n in section)
    given = {n: n for n, same in enumerate(fixed) if same}
    return _Smaller(attrs, tuple(types), operands, places, given)


def _cond(node: Node, wanted: Sequence[bool]) -> _Smaller:
    graphs: dict[str, Graph] = {name: node.attrs[name].graph for name in ("then", "orelse")}
    kept = [n for n, flag in enumerate(wanted) if flag]
    needed: set[int] = set()
    for graph in graphs.values():
        ports = needed_ports(graph, [graph.outputs[n].value for n in kept])
        needed.update(n for n, port in enumerate(graph.inputs) if port in ports)
    first: dict[Value, int] = {}
    same = {n: first.setdefault(node.inputs[n + 1], n) for n in sorted(needed)}
    operands = [n for n, other in same.items() if n == other]
    new = {}
    for name, graph in graphs.items():
        out = Graph(graph.name, graph.stage)
        values = _ports(graph, out, [graph.inputs[n] for n in operands], ())
        values |= {graph.inputs[n]: values[graph.inputs[other]] for n, other in same.items()}
        _copy(graph, out, [graph.outputs[n].value for n in kept], values)
        for n in kept:
            out.add_output(graph.outputs[n].name, values[graph.outputs[n].value])
        new[name] = Body(out)
    types = tuple(node.types[n] for n in kept)
    results = {n: at for at, n in enumerate(kept)}
    return _Smaller(Attrs({**node.attrs, **new}), types, (0, *(n + 1 for n in operands)), results, {})


_RULES: Mapping[str, Callable[[Node, Sequence[bool]], _Smaller]] = MappingProxyType({"scan": _scan, "cond": _cond})


def needed_ports(graph: Graph, ends: Iterable[Value]) -> frozenset[Value]:
    """The inputs and parameters that some values are computed from."""
    live = _live(graph, ends)
    return frozenset(v for v in (*graph.inputs, *graph.params) if v.node in live)


def _live(graph: Graph, ends: Iterable[Value]) -> frozenset[int]:
    live: set[int] = set()
    stack = [v.node for v in ends]
    while stack:
        node = stack.pop()
        if node not in live:
            live.add(node)
            stack.extend(v.node for v in graph.node(node).inputs)
    return frozenset(live)


def _ports(body: Graph, out: Graph, inputs: Iterable[Value], params: Iterable[Value]) -> dict[Value, Value]:
    """Give a graph some ports of another one; the map from old to new values."""
    values = {}
    for ports, add in ((inputs, out.add_input), (params, out.add_param)):
        for port in ports:
            node = body.node(port)
            values[port] = add(node.name, node.types[0], node.location)
    return values


def _copy(body: Graph, out: Graph, ends: Sequence[Value], values: dict[Value, Value]) -> None:
    """Append the nodes that some values are computed from; ``values`` knows the ports and learns the rest."""
    live = _live(body, ends)
    for node in body.nodes():
        if node.id in live and node.outputs[0] not in values:
            values.update(zip(node.outputs, keep(out, node, tuple(values[v] for v in node.inputs)), strict=True))
