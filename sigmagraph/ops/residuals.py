"""What the way back through a body needs of the way forth: what is saved, what is computed again."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from functools import partial

from sigmagraph.ir.graph.body import replay
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import NodeBuilder, OpKind, Trait, VjpContext
from sigmagraph.ir.graph.value import Value

_PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})
_AGAIN = (OpKind.SOURCE, OpKind.MOVEMENT)


def differentiable(c: VjpContext, body: Graph) -> Graph:
    """The body with composites that have no gradient rule of their own written out, so that what they compute is known.

    The very same body when there are none.
    """
    while any(node.op.vjp is None for node in body.nodes()):
        out = Graph(body.name, body.stage)
        inputs = [out.add_input(n.name, n.types[0], n.location) for n in map(body.node, body.inputs)]
        inputs += [out.add_param(n.name, n.types[0], n.location) for n in map(body.node, body.params)]
        values = replay(body, inputs, partial(_written_out, c.inside(out)))
        for output, value in zip(body.outputs, values, strict=True):
            out.add_output(output.name, value, output.updates)
        body = out
    return body


def _written_out(builder: NodeBuilder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...]:
    if node.op.vjp is None:
        return node.op.expand(builder, operands, node.attrs)
    return builder.emit_all(node.op.name, *operands, **node.attrs)


class Residuals:
    """The nodes of a gradient, told apart from those of the body that it was appended to.

    Attributes:
        saved: values of the body that are neither slices nor the same at each turn nor made of such for nothing.
    """

    def __init__(self, body: Graph, joint: Graph, ends: Iterable[Value]) -> None:
        """``joint`` is a copy of ``body`` with the gradient ``ends`` appended to it."""
        self.joint = joint
        self._body = body
        self._needed = self._walk(ends)
        self.saved: tuple[Value, ...] = tuple(v for v in self._used if self._is_saved(v))

    def _walk(self, ends: Iterable[Value]) -> frozenset[int]:
        """The nodes to append again: those of the gradient, and those of the body that cost nothing."""
        needed: set[int] = set()
        used: dict[Value, None] = {}
        stack = list(ends)
        while stack:
            value = stack.pop()
            node = self.joint.node(value)
            if node.id in self._body:
                used[value] = None
                if not self._is_again(node):
                    continue
            if node.id not in needed and not node.op.traits & _PORTS:
                needed.add(node.id)
                stack.extend(node.inputs)
        self._used = tuple(sorted(used))
        return frozenset(needed)

    def _is_again(self, node: Node) -> bool:
        return node.op.kind in _AGAIN and not node.op.traits & _PORTS

    def _is_saved(self, value: Value) -> bool:
        node = self.joint.node(value)
        return Trait.INPUT not in node.op.traits and not self._is_again(node)

    def ports(self, among: Sequence[Value]) -> tuple[Value, ...]:
        """Those of some inputs of the body that are needed."""
        return tuple(v for v in among if v in self._used)

    def replay(self, graph: Graph, values: MutableMapping[Value, Value]) -> None:
        """Append the needed nodes to a graph; ``values`` says what stands for saved values, and learns the new ones."""
        for node in self.joint.nodes():
            if node.id in self._needed:
                operands = (values[v] for v in node.inputs)
                new = graph.add(node.op, operands, node.attrs, node.types, node.name, node.location)
                values.update(zip(node.outputs, new.outputs, strict=True))
