"""Sink: moves transposes through what works in any order of axes, until they meet and cancel or cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.dims import nominal
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import interfaces
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild
from sigmagraph.passes.canonicalize import RULES
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.layout import (
    Order,
    choose_orders,
    composed,
    inverse,
    is_reduction,
    left_over,
    ordered_attrs,
    transposed_axes,
)
from sigmagraph.passes.rewrite import rewrite


@dataclass(frozen=True, slots=True)
class Sink:
    """Lets nodes work in the order of axes in which their operands come.

    A transpose is free where a contraction reads through it, and costs its bytes elsewhere; what is repeated costs as
    much as what it is repeated from. Elementwise nodes, slices, pads, reversals, concatenations and reductions take
    the order in which the sum of these costs is least (:mod:`~sigmagraph.passes.layout`), and the written one where
    it is as good. Sums over several axes may be added up in another order then. A change is kept only if the groups
    that :class:`~sigmagraph.passes.fuse.Fuse` makes write no more bytes than before, and read and write no more
    together.
    """

    name: ClassVar[str] = "sink"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with fewer or smaller transposes."""
        islands = choose_orders(graph)
        if not islands:
            return graph
        best, least = graph, traffic(graph, context)
        chosen: dict[int, Order] = {}
        together = {n: order for island in islands for n, order in island.items()}
        for orders in (together, *islands):
            if orders.keys() <= chosen.keys():
                continue
            tried = _in_order(graph, chosen | orders, context)
            cost = traffic(tried, context)
            if cost.written <= least.written and cost.total <= least.total:
                best, least = tried, cost
                chosen |= orders
        if chosen:
            context.hit("turned", len(chosen))
        return best


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that the kernels of a program write to memory and read from it, every dim being nominal."""

    written: int
    read: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.written + self.read


def traffic(graph: Graph, context: PassContext) -> Traffic:
    """The traffic of a graph once it is fused; an array counts once for each group that reads it."""
    graph = Fuse().run(graph, PassContext(context.registry))

    def size(values: tuple[Value, ...]) -> int:
        return sum(nominal(graph.type(v).bytes) for v in values)

    faces = interfaces(graph)
    return Traffic(sum(size(face.outputs) for face in faces), sum(size(face.inputs) for face in faces))


def _in_order(graph: Graph, orders: Mapping[int, Order], context: PassContext) -> Graph:
    """The graph with some nodes working in other orders, and without the transposes that cancel."""

    def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        order = orders.get(node.id)
        if order is None:
            return keep(out, node, inputs)
        builder = Builder(out, context.registry, node.location)
        operands = [_operand(builder, value, order) for value in inputs]
        result = builder.node(node.op, *operands, name=node.name, **ordered_attrs(node, order)).outputs[0]
        back = left_over(node, len(order), order) if is_reduction(node) else order
        return (builder.emit("transpose", result, axes=back),)

    quiet = PassContext(context.registry)
    clean = rewrite(rebuild(graph, visit), RULES, quiet)
    return Dce().run(Cse().run(clean, quiet), quiet)


def _operand(builder: Builder, value: Value, order: Order) -> Value:
    """A value in an order; what is repeated is transposed before."""
    node, back = builder.graph.node(value), inverse(order)
    axes = transposed_axes(node)
    if axes is not None:
        return builder.emit("transpose", node.inputs[0], axes=composed(axes, back))
    if Trait.REPEATS not in node.op.traits:
        return builder.emit("transpose", value, axes=back)
    (source,) = node.inputs
    shape = builder.type(source).shape
    full = builder.emit("reshape", source, shape=(1,) * (len(order) - len(shape)) + shape)
    turned = builder.emit("transpose", full, axes=back)
    return builder.emit(node.op, turned, shape=tuple(node.types[0].shape[axis] for axis in back))
