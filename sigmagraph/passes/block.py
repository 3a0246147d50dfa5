"""Block: what a loop multiplies by at every turn is laid out before the loop as the products read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, unused_port
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild

WIDTHS = (256, 128, 64)  # bytes of a row of a block: as many as products are done side by side


def width_of(columns: Size, dtype: DType) -> int | None:
    """The columns of a block, for so many in all; None where they do not make up whole blocks."""
    widths = (width // dtype.itemsize for width in WIDTHS)
    return next((w for w in widths if isinstance(columns, int) and columns and columns % w == 0), None)


@dataclass(frozen=True, slots=True)
class Block:
    """Lays out matrices that stay the same in a scan, and that its products have on the right, in blocks of columns.

    The blocks ``[columns / width, rows, width]`` are written once, before the loop. Inside, they are read as the matrix
    that they were: a movement, through which contractions read.
    """

    name: ClassVar[str] = "block"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with blocks as operands of its loops."""
        found = {n.id: blocked for n in graph.nodes() if n.op.name == "scan" and (blocked := _blocked(n))}
        if not found:
            return graph
        context.hit("matrices", sum(map(len, found.values())))

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
            if node.id not in found:
                return keep(out, node, inputs)
            return _append(Builder(out, context.registry, node.location), node, inputs, found[node.id])

        return rebuild(graph, visit)


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix inside a loop: the operand that it is, and whether with its axes turned."""

    value: Value
    operand: int
    turned: bool
    shape: tuple[Size, Size]
    width: int


def _blocked(node: Node) -> list[_Matrix]:
    """The matrices of a loop that are to be blocked."""
    body: Graph = node.attrs["body"].graph
    first = len(body.params)
    ports = {port: n for n, port in enumerate(body.inputs, first) if n >= first + node.attrs["sequences"]}
    found: dict[Value, _Matrix] = {}
    for inner in body.nodes():
        if inner.op.name != "matmul":
            continue
        value = inner.inputs[1]
        source = body.node(value)
        turned = source.op.name == "transpose" and tuple(source.attrs["axes"]) == (1, 0)
        port = source.inputs[0] if turned else value
        shape = body.type(value).shape
        if port not in ports or len(shape) != 2:
            continue
        width = width_of(shape[1], body.type(value).dtype)
        if width is not None:
            found[value] = _Matrix(value, ports[port], turned, (shape[0], shape[1]), width)
    return list(found.values())


def _append(builder: Builder, node: Node, inputs: Sequence[Value], matrices: Sequence[_Matrix]) -> Sequence[Value]:
    """The loop on blocks."""
    blocks = []
    for m in matrices:
        whole = inputs[m.operand]
        whole = builder.emit("transpose", whole, axes=(1, 0)) if m.turned else whole
        rows, columns = m.shape
        parts = builder.emit("reshape", whole, shape=(rows, columns // m.width, m.width))
        blocks.append(builder.emit("transpose", parts, axes=(1, 0, 2)))
    attrs = Attrs({**node.attrs, "body": Body(_body(builder, node, matrices, [builder.type(b) for b in blocks]))})
    return builder.graph.add(node.op, (*inputs, *blocks), attrs, node.types, node.name, node.location).outputs


def _body(outside: Builder, node: Node, matrices: Sequence[_Matrix], types: Sequence[TensorType]) -> Graph:
    """The body with more operands, which its products read."""
    body: Graph = node.attrs["body"].graph
    out = Graph(body.name, body.stage)
    values: dict[Value, Value] = {}
    for port in body.inputs:
        old = body.node(port)
        values[port] = out.add_input(old.name, old.types[0], old.location)
    builder = Builder(out, outside.registry, node.location)
    instead = {}
    for m, type in zip(matrices, types, strict=True):
        port = out.add_input(unused_port(out, "blocks"), type, node.location)
        instead[m.value] = builder.emit("reshape", builder.emit("transpose", port, axes=(1, 0, 2)), shape=m.shape)
    for port in body.params:
        old = body.node(port)
        values[port] = out.add_param(old.name, old.types[0], old.location)
    for inner in body.nodes():
        if inner.outputs[0] in values:
            continue
        operands = tuple(
            instead.get(v, values[v]) if inner.op.name == "matmul" and n == 1 else values[v]
            for n, v in enumerate(inner.inputs)
        )
        values.update(zip(inner.outputs, keep(out, inner, operands), strict=True))
    for output in body.outputs:
        out.add_output(output.name, values[output.value], output.updates)
    return out
