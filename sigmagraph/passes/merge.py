"""Merge: loops over the same operands become one, so that a gradient does not run the loop forth a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.ir.graph.body import Body, replay
from sigmagraph.ir.graph.graph import Graph, unused_output
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild
from sigmagraph.passes.cse import Cse

_SAME = ("sequences", "length", "reverse")


@dataclass(frozen=True, slots=True)
class Merge:
    """Lets the first of several scans with equal operands and equal states give the results of all."""

    name: ClassVar[str] = "merge"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with one loop where there were several."""
        alike: dict[object, list[Node]] = {}
        for node in graph.nodes():
            if node.op.name == "scan":
                alike.setdefault((node.inputs, *(node.attrs[name] for name in _SAME)), []).append(node)
        merged = {
            n.id: m for nodes in alike.values() if len(nodes) > 1 for m in _merged(nodes, context) for n in m.nodes
        }
        if not merged:
            return graph
        results: dict[int, tuple[Value, ...]] = {}

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
            found = merged.get(node.id)
            if found is None:
                return keep(out, node, inputs)
            if found.nodes[0] is node:
                results[node.id] = found.append(out, inputs)
            return [results[found.nodes[0].id][n] for n in found.results_of(node)]

        return rebuild(graph, visit)


@dataclass(frozen=True, slots=True)
class _Merged:
    """Several scans as one: the nodes, and a body that gives their states and then what each of them stacks."""

    nodes: tuple[Node, ...]
    body: Graph

    def append(self, out: Graph, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        first = self.nodes[0]
        states = len(self.body.params)
        types = (*first.types[:states], *(t for node in self.nodes for t in node.types[states:]))
        attrs = type(first.attrs)({**first.attrs, "body": Body(self.body)})
        return out.add(first.op, inputs, attrs, types, first.name, first.location).outputs

    def results_of(self, node: Node) -> Sequence[int]:
        """Which results of the one scan are those of a node."""
        states = len(self.body.params)
        at = states
        for other in self.nodes:
            count = len(other.types) - states
            if other is node:
                return (*range(states), *range(at, at + count))
            at += count
        raise KeyError(node.id)


def _merged(nodes: Sequence[Node], context: PassContext) -> list[_Merged]:
    """The scans that could be merged; each starts with one that could not be merged into those before."""
    out: list[_Merged] = []
    for node in nodes:
        for number, known in enumerate(out):
            body = _united(known.body, node.attrs["body"].graph, context)
            if body is not None:
                out[number] = _Merged((*known.nodes, node), body)
                break
        else:
            out.append(_Merged((node,), node.attrs["body"].graph))
    several = [m for m in out if len(m.nodes) > 1]
    context.hit("loops", sum(len(m.nodes) - 1 for m in several))
    return several


def _united(first: Graph, second: Graph, context: PassContext) -> Graph | None:
    """A body that does what both do, or None when their states differ."""
    out = first.copy()
    ports = (*first.inputs, *first.params)
    values = replay(second, ports, lambda node, operands: keep(out, node, operands))
    updates = {o.updates: o for o in first.outputs if o.updates is not None}
    names = {second.node(b).name: first.node(a).name for a, b in zip(first.params, second.params, strict=True)}
    checked = []
    for output, value in zip(second.outputs, values, strict=True):
        name = unused_output(out, output.name)
        out.add_output(name, value)
        if output.updates is not None:
            checked.append((updates[names[output.updates]].name, name))
    out = Cse().run(out, PassContext(context.registry))
    by_name = {o.name: o.value for o in out.outputs}
    if any(by_name[a] != by_name[b] for a, b in checked):
        return None
    dropped = {b for _, b in checked}
    out.outputs = tuple(o for o in out.outputs if o.name not in dropped)
    return out
