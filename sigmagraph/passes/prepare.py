"""Prepare: splits a program into what its parameters alone decide, and the rest, which finds that done.

What is not updated by the program itself may be computed once and kept, until somebody changes a parameter. Kept are
values behind arithmetic, and the matrices that products have on the right, in blocks of columns as products read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from sigmagraph.dims import evaluate, nominal, product
from sigmagraph.ir.graph.body import bodies
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, extract, unused_port
from sigmagraph.ir.graph.node import Node, Output
from sigmagraph.ir.graph.opdef import OpDef, OpKind, Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.contraction import labels_of, summed
from sigmagraph.ops.reduction import accumulator
from sigmagraph.passes.base import PORTS, keep, live_nodes
from sigmagraph.passes.block import width_of
from sigmagraph.passes.layout import inverse

LEAST = 1024  # elements of a matrix from which on it is laid out


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program in two parts; parameters of both that are called ``kept`` hold what the first hands to the second.

    Attributes:
        ahead: has no inputs; it computes new values of the kept parameters from other parameters.
        main: the program, with the kept parameters in place of what they hold.
        kept: their names.
    """

    ahead: Graph
    main: Graph
    kept: tuple[str, ...]


def prepare(graph: Graph, registry: Mapping[str, OpDef]) -> Prepared | None:
    """A primitive graph in two parts, or None where there is nothing to be kept."""
    return _Splitter(graph, registry).run()


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How a matrix lies in blocks: cut into ``parts``, and these axes in another ``order``."""

    parts: tuple[int, ...]
    order: tuple[int, ...]


class _Splitter:
    """Builds one graph that holds both parts, and takes them out of it."""

    def __init__(self, graph: Graph, registry: Mapping[str, OpDef]) -> None:
        self.graph = graph
        self.out = Graph(graph.name, graph.stage)
        self.registry = registry
        updated = {o.updates for o in graph.outputs}
        self.values: dict[Value, Value] = {}
        for v in graph.inputs:
            self.values[v] = self.out.add_input(graph.node(v).name, graph.type(v), graph.node(v).location)
        for v in graph.params:
            self.values[v] = self.out.add_param(graph.node(v).name, graph.type(v), graph.node(v).location)
        # The parameters that decide a value alone.
        self.sources: dict[int, tuple[Value, ...]] = {
            v.node: (v,) for v in graph.params if graph.node(v).name not in updated
        }
        self.kept: dict[tuple[Value, _Blocks | None], Value] = {}
        self.read: dict[Value, Value] = {}
        self.updates: list[Output] = []

    def run(self) -> Prepared | None:
        live = live_nodes(self.graph)
        fixed: set[int] = set()  # of no parameter and no input
        for node in self.graph.nodes():
            if node.id not in live or node.op.traits & PORTS:
                continue
            decided = all(v.node in self.sources or v.node in fixed for v in node.inputs) and _is_plain(node)
            if decided and any(v.node in self.sources for v in node.inputs):
                found = [s for v in node.inputs for s in self.sources.get(v.node, ())]
                self.sources[node.id] = tuple(dict.fromkeys(found))
                operands = [self.values[v] for v in node.inputs]
            else:
                fixed |= {node.id} if decided else set()
                operands = [self._operand(node, position) for position in range(len(node.inputs))]
            self.values |= dict(zip(node.outputs, keep(self.out, node, tuple(operands)), strict=True))
        outputs = [Output(o.name, self._plain(o.value, whole=True), o.updates) for o in self.graph.outputs]
        if not self.updates:
            return None
        inputs = [self.values[v] for v in self.graph.inputs]
        ahead, _ = extract(self.out, (), self.updates, f"{self.graph.name}_ahead")
        main, _ = extract(self.out, inputs, outputs, self.graph.name)
        return Prepared(ahead, main, tuple(o.name for o in self.updates))

    def _operand(self, node: Node, position: int) -> Value:
        """What the main part reads as an operand."""
        value = node.inputs[position]
        if value.node in self.sources and node.op.kind is OpKind.CONTRACTION:
            blocks = self._blocks(node, position)
            if blocks is not None:
                return self._in_blocks(value, blocks, node)
        return self._plain(value, whole=node.op.kind.alone)

    def _plain(self, value: Value, *, whole: bool) -> Value:
        """A value in the main part; movements are made there, unless all of it has to lie in memory."""
        node = self.graph.node(value)
        if value.node not in self.sources or node.op.traits & PORTS:
            return self.values[value]
        if (whole or node.op.kind is not OpKind.MOVEMENT) and self._is_worth(value):
            return self._keep(value, None, self.values[value])
        if value not in self.read:
            operands = tuple(self._plain(v, whole=node.op.kind.alone) for v in node.inputs)
            self.read |= dict(zip(node.outputs, keep(self.out, node, operands), strict=True))
        return self.read[value]

    def _is_worth(self, value: Value) -> bool:
        """Whether it is no larger than what it is made of, or takes loops of its own."""
        if self.graph.node(value).op.kind is OpKind.OPAQUE:
            return True
        made_of = sum(nominal(self.graph.type(s).bytes) for s in self.sources[value.node])
        return nominal(self.graph.type(value).bytes) <= made_of

    def _keep(self, value: Value, blocks: _Blocks | None, made: Value) -> Value:
        """The parameter that holds a value, made once."""
        key = (value, blocks)
        if key not in self.kept:
            source = self.graph.node(self.sources[value.node][0])
            name = unused_port(self.out, f"{source.name}.prepared")
            self.kept[key] = self.out.add_param(name, self.out.type(made), self.graph.node(value).location)
            self.updates.append(Output(name, made, name))
        return self.kept[key]

    # ---- blocks

    def _blocks(self, node: Node, position: int) -> _Blocks | None:
        """How an operand is to lie that has the columns of a product; None where it is as good as it is."""
        types = [self.graph.type(v) for v in node.inputs]
        sides = labels_of(node.attrs, [t.rank for t in types])
        mine, other, result = sides[position], sides[1 - position], sides[2]
        type = types[position]
        if not result or result[-1] not in mine or result[-1] in other or accumulator(type.dtype) is not type.dtype:
            return None
        shape = [evaluate(size, {}) for size in type.shape]
        rows = product(types[1 - position].shape[n] for n, label in enumerate(other) if label not in mine)
        place = mine.index(result[-1])
        width = width_of(shape[place], type.dtype)
        if width is None or rows == 1 or prod(shape) < LEAST:
            return None
        inner = summed(sides[0], sides[1], result)
        parts = (*shape[:place], shape[place] // width, width, *shape[place + 1 :])
        axes = {label: n + (n > place) for n, label in enumerate(mine)}  # the width stands behind the blocks
        outer = [axes[label] for label in mine if label not in inner]
        order = (*outer, *(axes[label] for label in inner), place + 1)
        moved = [n for n in order if parts[n] != 1]
        return None if moved == sorted(moved) else _Blocks(parts, order)

    def _in_blocks(self, value: Value, blocks: _Blocks, node: Node) -> Value:
        """The operand, read from its blocks."""
        builder = Builder(self.out, self.registry, node.location)
        made = self.values[value]
        if (value, blocks) not in self.kept:
            parts = builder.emit("reshape", made, shape=blocks.parts)
            made = builder.emit("transpose", parts, axes=blocks.order)
        held = self._keep(value, blocks, made)
        parts = builder.emit("transpose", held, axes=inverse(blocks.order))
        return builder.emit("reshape", parts, shape=self.graph.type(value).shape)


def _is_plain(node: Node) -> bool:
    """Whether a node may be computed at another time: its sizes are numbers, and it cannot end the program."""
    inner = (n for body in bodies(node) for n in body.nodes())
    sizes = (size for type in node.types for size in type.shape)
    return Trait.CHECKS not in node.op.traits and all(isinstance(s, int) for s in sizes) and all(map(_is_plain, inner))
