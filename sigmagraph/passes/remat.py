"""Remat: lets values be computed again where they are needed much later, and runs groups early that free memory.

Between the ways forward and back through the layers of a network lies a step at which most memory is taken. What is
needed behind it need not be kept if it is made by cheap ops of what is kept: which values are kept is a cut of least
bytes through the graph before that step (T. Chen et al., Training deep nets with sublinear memory cost, 2016, choose by
hand; contractions and reductions are never run again here).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import networkx as nx

from sigmagraph.dims import nominal
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import Interface, interfaces
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PORTS, PassContext, keep, live_nodes, rebuild
from sigmagraph.passes.fuse import Fuse

_CHEAP = (OpKind.ELEMENTWISE, OpKind.MOVEMENT, OpKind.SOURCE)


@dataclass(frozen=True, slots=True)
class Remat:
    """Makes a graph whose groups need less memory at the same time; its results are the same to the last bit.

    Groups that make nothing but results of the program (new values of parameters above all) run as soon as they can.
    Of the values that are alive at the worst step those are dropped that elementwise ops and movement make of others
    that are kept; they are computed again just before the first group that needs them. Each of the two is done only if
    the greatest sum of bytes that are alive gets smaller, every dim being nominal.

    It has to be the last pass before :class:`~sigmagraph.passes.fuse.Fuse`: :class:`~sigmagraph.passes.cse.Cse` would
    undo it. The order of nodes decides in which order groups run.
    """

    name: ClassVar[str] = "remat"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph in another order, with some nodes twice."""
        quiet = PassContext(context.registry)
        first = _Run.of(graph, quiet)
        best = first.better(_in_order(first, frozenset()), quiet)
        if best is not first:
            context.hit("ordered")
        found = _recomputed(best, quiet)
        if found is not None:
            again, renewed = found
            tried = best.better(_in_order(_Run.of(again, quiet), renewed), quiet)
            if tried is not best:
                context.hit("recomputed", len(renewed))
                best = tried
        return graph if best is first else best.graph


@dataclass(frozen=True, slots=True)
class _Run:
    """A graph, its groups in the order in which they run, and when most memory is taken.

    Attributes:
        graph: before it is fused.
        fused: the same with groups.
        faces: what these read and write.
        peak: the greatest number of bytes that are alive at the same time.
        step: the group at which they are.
    """

    graph: Graph
    fused: Graph
    faces: tuple[Interface, ...]
    peak: int
    step: int

    @staticmethod
    def of(graph: Graph, context: PassContext) -> _Run:
        """The run of a graph without dead nodes."""
        fused = Fuse().run(graph, context)
        faces = interfaces(fused)
        returned = {o.value for o in fused.outputs}
        sizes = {v: nominal(fused.type(v).bytes) for face in faces for v in face.outputs if v not in returned}
        last = {v: step for step, face in enumerate(faces) for v in (*face.outputs, *face.inputs)}
        peak = worst = alive = 0
        for step, face in enumerate(faces):
            alive += sum(sizes.get(v, 0) for v in face.outputs)
            if alive > peak:
                peak, worst = alive, step
            alive -= sum(sizes.get(v, 0) for v in dict.fromkeys((*face.outputs, *face.inputs)) if last[v] == step)
        return _Run(graph, fused, faces, peak, worst)

    def better(self, graph: Graph, context: PassContext) -> _Run:
        """The run of another graph if that takes less memory, or else this one."""
        other = _Run.of(graph, context)
        return other if other.peak < self.peak else self


# ---- what is computed again


def _recomputed(run: _Run, context: PassContext) -> tuple[Graph, frozenset[int]] | None:
    """The graph in which less is kept beyond the worst step, and the nodes that are there for a second time."""
    again = _Again(run, context)
    new = rebuild(run.fused, again.visit, _nodes(run, range(len(run.faces))))
    live = live_nodes(new)
    for node in reversed(new.nodes()):
        if node.id not in live and not node.op.traits & PORTS:
            new.erase(node.id)
    twice = frozenset(v.node for v in again.renewed.values() if v.node in live)
    return (new, twice) if twice else None


class _Again:
    """Gives readers beyond the worst step what is kept, and nodes of their own for what is not.

    Attributes:
        renewed: from values before to those that late readers read in their place.
    """

    def __init__(self, run: _Run, context: PassContext) -> None:
        self.renewed: dict[Value, Value] = {}
        self._graph = run.fused
        self._registry = context.registry
        self._early = frozenset(n for face in run.faces[: run.step + 1] for n in face.group.nodes)
        self._kept = _kept(run, self._early)
        self._position = {node.id: at for at, node in enumerate(run.fused.nodes())}
        self._values: dict[Value, Value] = {}

    def visit(self, out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """Append a node of the graph."""
        self._values.update(zip(node.inputs, inputs, strict=True))
        if node.id not in self._early:
            pairs = zip(node.inputs, inputs, strict=True)
            inputs = tuple(self._late(out, old) if self._is_renewed(old) else new for old, new in pairs)
        return keep(out, node, inputs)

    def _is_renewed(self, value: Value) -> bool:
        return value.node in self._early and value not in self._kept

    def _late(self, out: Graph, value: Value) -> Value:
        """What a late reader reads in place of a value, made with all that it needs and that is not kept."""
        found = dict.fromkeys((value,))
        stack = [value]
        while stack:
            operands = self._graph.node(stack.pop()).inputs
            new = [v for v in operands if v not in found and self._is_renewed(v)]
            found.update(dict.fromkeys(new))
            stack += new
        for old in sorted(found, key=lambda v: self._position[v.node]):
            if old not in self.renewed:
                node = self._graph.node(old)
                (self.renewed[old],) = keep(out, node, tuple(self._read(out, v) for v in node.inputs))
        return self.renewed[value]

    def _read(self, out: Graph, value: Value) -> Value:
        """What a node that is there again reads: what is kept, by way of a slice of all of it.

        As slices read at other indices, the group of a reduction or contraction ends there, and does not compute now
        what is to be computed again later.
        """
        if value in self._kept and value not in self.renewed:
            whole = self._graph.type(value).shape
            places = {"start": (0,) * len(whole), "stop": whole, "step": (1,) * len(whole)}
            self.renewed[value] = Builder(out, self._registry).emit("slice", self._values[value], **places)
        return self.renewed.get(value, self._values[value])


def _kept(run: _Run, early: frozenset[int]) -> frozenset[Value]:
    """The values from early groups that are kept for later ones: as few bytes as will do."""
    graph = run.fused
    stored = {v for face in run.faces for v in face.outputs}
    returned = {o.value for o in graph.outputs}
    flow: nx.DiGraph[Any] = nx.DiGraph()
    flow.add_nodes_from(("start", "end"))
    for node in graph.nodes():
        reads = [v for v in dict.fromkeys(node.inputs) if v.node in early]
        if node.id not in early:
            flow.add_edges_from((("of", v), "end") for v in reads)
            continue
        cheap = node.op.kind in _CHEAP and Trait.EXPENSIVE not in node.op.traits
        for value in node.outputs:
            # Where it makes no difference, values that are stored anyway are kept.
            cost = 0 if value in returned else 2 * nominal(graph.type(value).bytes) + (value not in stored)
            flow.add_edge(("to", value), ("of", value), capacity=cost)
            flow.add_edges_from(((("of", v), ("to", value)) for v in reads) if cheap else (("start", ("to", value)),))
    before: set[Any] = nx.minimum_cut(flow, "start", "end")[1][0]
    cut = (v for n in early for v in graph.node(n).outputs)
    return frozenset(v for v in cut if ("to", v) in before and ("of", v) not in before)


# ---- the order


def _in_order(run: _Run, renewed: frozenset[int]) -> Graph:
    """The graph with its nodes in an order in which groups free memory as soon as they can.

    Groups that make nothing but results of the program run early; what is computed again waits until it is read.
    """
    return rebuild(run.fused, keep, _nodes(run, _Order(run, renewed).find()))


def _nodes(run: _Run, order: Iterable[int]) -> Iterable[int]:
    """The nodes of groups in an order, each where it is needed first."""
    nodes: dict[int, None] = {}
    for group in order:
        for number in run.faces[group].group.nodes:
            nodes.update(dict.fromkeys(v.node for v in run.fused.node(number).inputs))
            nodes[number] = None
    return nodes


class _Order:
    """Finds an order of groups."""

    def __init__(self, run: _Run, renewed: frozenset[int]) -> None:
        graph, faces = run.fused, run.faces
        writer = {v: n for n, face in enumerate(faces) for v in face.outputs}
        readers: dict[Value, list[int]] = {}
        for number, face in enumerate(faces):
            for value in face.inputs:
                readers.setdefault(value, []).append(number)
        returned = {o.value for o in graph.outputs}
        self.needs = [[writer[v] for v in face.inputs if v in writer] for face in faces]
        self.lazy = [all(v.node in renewed for v in face.outputs) for face in faces]
        self.ends = [all(v in returned and v not in readers for v in face.outputs) for face in faces]
        self.waits: list[list[int]] = [[] for _ in faces]  # until nobody reads the old value of what a group updates
        for output in graph.outputs:
            if output.updates is not None and output.value in writer:
                last = writer[output.value]
                old = Value(graph.port(output.updates).id)
                self.waits[last] += (n for n in readers.get(old, ()) if n != last)
        self.done: dict[int, None] = {}

    def find(self) -> tuple[int, ...]:
        """The groups in the order in which they should run."""
        numbers = range(len(self.needs))
        for number in numbers:
            if self.lazy[number] or self.ends[number]:
                continue
            self._run(number)
            for end in numbers:
                if self.ends[end] and end not in self.done and self._is_ready(end):
                    self._run(end)
        for number in numbers:
            self._run(number)
        return tuple(self.done)

    def _run(self, number: int) -> None:
        """Run a group, behind those that were put off until it needs them."""
        stack = [number]
        while stack:
            missing = [n for n in self.needs[stack[-1]] if n not in self.done]
            if missing:
                stack += missing
            else:
                self.done[stack.pop()] = None

    def _is_ready(self, number: int) -> bool:
        stack, seen = [number], {number}
        while stack:
            for below in self.needs[stack.pop()]:
                if below in self.done or below in seen:
                    continue
                if not self.lazy[below]:
                    return False
                seen.add(below)
                stack.append(below)
        return all(n in self.done for n in self.waits[number])
