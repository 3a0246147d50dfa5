"""Defer: sums that a loop adds up turn by turn are taken behind it, over all turns at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from sigmagraph.dims import Size, nominal
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, unused_output
from sigmagraph.ir.graph.node import Node, Output, Stage
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext, keep, rebuild


@dataclass(frozen=True, slots=True)
class Defer:
    """Takes states out of scans to which every turn adds a product or a sum, and which it does not read otherwise.

    The gradient by the weights of a recurrent layer is such a state. What is multiplied in the turns is stacked, if it
    is not already, and there is one product over all turns and what was summed over before. That is done only where the
    stacks are smaller than what the turns would write. The terms may be added up in another order then.
    """

    name: ClassVar[str] = "defer"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with fewer states in its loops."""
        loops = {n.id: _Loop(n) for n in graph.nodes() if n.op.name == "scan"}
        found = {number: sums for number, loop in loops.items() if (sums := loop.sums())}
        if not found:
            return graph
        context.hit("sums", sum(map(len, found.values())))

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
            if node.id not in found:
                return keep(out, node, inputs)
            builder = Builder(out, context.registry, node.location)
            return loops[node.id].append(builder, inputs, found[node.id])

        return rebuild(graph, visit)


@dataclass(frozen=True, slots=True)
class _Sum:
    """A state that is a sum: which one it is, and the node whose results are added up."""

    state: int
    term: Node


class _Loop:
    """A scan, whose states come first, then slices, then what is the same at each turn."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.body: Graph = node.attrs["body"].graph
        self.states = len(self.body.params)
        sequences: int = node.attrs["sequences"]
        self.slices = {port: self.states + n for n, port in enumerate(self.body.inputs[:sequences])}
        self.constants = frozenset(self.body.inputs[sequences:])
        self.stacked = {o.value: n for n, o in enumerate(self._stacks(), self.states)}

    def _stacks(self) -> list[Output]:
        return [o for o in self.body.outputs if o.updates is None]

    def sums(self) -> list[_Sum]:
        """The states that can be taken out."""
        new = {o.updates: o.value for o in self.body.outputs if o.updates is not None}
        found = []
        for number, port in enumerate(self.body.params):
            term = self._term(port, new[self.body.node(port).name])
            if term is not None and self._pays(term):
                found.append(_Sum(number, term))
        return found

    def _term(self, port: Value, value: Value) -> Node | None:
        """What is added to a state, if nothing else is done with it."""
        add = self.body.node(value)
        if add.op.name != "add" or port not in add.inputs or self.body.uses(port) != 1 or self.body.uses(value) != 1:
            return None
        other = add.inputs[1 - add.inputs.index(port)]
        term = self.body.node(other)
        fits = term.op.name in _RULES and self.body.type(other).shape == self.body.type(port).shape
        return term if fits and all(len(self.body.type(v).shape) in (1, 2) for v in term.inputs) else None

    def _pays(self, term: Node) -> bool:
        """Whether stacks that are made for it are smaller than what is read and written of the state otherwise."""
        sources = [self._source(v)[0] for v in term.inputs]
        if any(v in self.constants or v in self.body.params for v in sources):
            return False
        made = [v for v in sources if v not in self.slices and v not in self.stacked]
        if len(term.inputs) == 1:
            return not made
        return sum(nominal(self.body.type(v).bytes) for v in made) <= 2 * nominal(term.types[0].bytes)

    def _source(self, value: Value) -> tuple[Value, bool]:
        """What a value is, and whether with its axes turned."""
        node = self.body.node(value)
        if node.op.name == "transpose" and tuple(node.attrs["axes"]) == (1, 0):
            return node.inputs[0], True
        return value, False

    def append(self, builder: Builder, inputs: Sequence[Value], sums: Sequence[_Sum]) -> Sequence[Value]:
        """The smaller loop and the sums behind it; a value for each result of the old one."""
        gone = {s.state for s in sums}
        sources = dict.fromkeys(self._source(v)[0] for s in sums for v in s.term.inputs)
        made = [v for v in sources if v not in self.slices and v not in self.stacked]
        left = [n for n in range(self.states) if n not in gone]
        node, length = self.node, self.node.attrs["length"]
        types = [t for n, t in enumerate(node.types) if n not in gone]
        types += [TensorType(t.dtype, (length, *t.shape)) for t in map(self.body.type, made)]
        operands = [inputs[n] for n in (*left, *range(self.states, len(inputs)))]
        new: Sequence[Value] = ()
        if types:  # else nothing is left to be done in the loop
            attrs = Attrs({**node.attrs, "body": Body(self._smaller(gone, made))})
            new = builder.graph.add(node.op, operands, attrs, tuple(types), node.name, node.location).outputs
        kept = [n for n in range(len(node.types)) if n not in gone]
        results = dict(zip(kept, new, strict=False))
        stacks = {v: inputs[n] for v, n in self.slices.items()} | {v: results[n] for v, n in self.stacked.items()}
        stacks |= zip(made, new[len(kept) :], strict=True)
        for found in sums:
            turned = [self._source(v) for v in found.term.inputs]
            total = _RULES[found.term.op.name](builder, found.term, [(stacks[v], flag) for v, flag in turned], length)
            results[found.state] = builder.emit("add", inputs[found.state], total)
        return [results[n] for n in range(len(node.types))]

    def _smaller(self, gone: set[int], made: Sequence[Value]) -> Graph:
        """The body without some states, and with stacks of more values."""
        out = Graph(self.body.name, self.body.stage)
        values: dict[Value, Value] = {}
        names = [self.body.node(p).name for p in self.body.params]
        for ports, add in ((self.body.inputs, out.add_input), (self.body.params, out.add_param)):
            for port in ports:
                node = self.body.node(port)
                if ports is self.body.inputs or names.index(node.name) not in gone:
                    values[port] = add(node.name, node.types[0], node.location)
        for node in self.body.nodes():
            if node.outputs[0] not in values and all(v in values for v in node.inputs) and not self._is_port(node):
                values.update(zip(node.outputs, keep(out, node, tuple(values[v] for v in node.inputs)), strict=True))
        for output in self.body.outputs:
            if output.updates is None or names.index(output.updates) not in gone:
                out.add_output(output.name, values[output.value], output.updates)
        for value in made:
            out.add_output(unused_output(out, "stack"), values[value])
        return out

    def _is_port(self, node: Node) -> bool:
        return node.outputs[0] in self.body.params or node.outputs[0] in self.body.inputs


_Operand = tuple[Value, bool]  # the stack of an operand, and whether the axes of each turn's part are turned


def _matmul(builder: Builder, term: Node, operands: Sequence[_Operand], length: Size) -> Value:
    """``sum over t of a[t] @ b[t]``: one product over turns and the axis between."""
    del term

    def joined(stack: Value, turned: bool, inner: int) -> Value:
        """[time * inner, other]; ``inner`` is the axis that is summed over, as the product has it."""
        axis = 1 + (1 - inner if turned else inner)
        if axis == 2:
            stack = builder.emit("transpose", stack, axes=(0, 2, 1))
        _, size, other = builder.type(stack).shape
        return builder.emit("reshape", stack, shape=(length * size, other))

    (a, a_turned), (b, b_turned) = operands
    left, right = joined(a, a_turned, 1), joined(b, b_turned, 0)
    return builder.emit("matmul", builder.emit("transpose", left, axes=(1, 0)), right)


def _reduce_sum(builder: Builder, term: Node, operands: Sequence[_Operand], length: Size) -> Value:
    """A sum of sums: one over the turns as well."""
    del length
    ((stack, turned),) = operands
    if turned:
        stack = builder.emit("transpose", stack, axes=(0, 2, 1))
    axes = (0, *(axis + 1 for axis in term.attrs["axes"]))
    total = builder.emit("reduce_sum", stack, axes=axes, keepdims=False)
    return builder.emit("reshape", total, shape=term.types[0].shape) if term.attrs["keepdims"] else total


_RULES: Mapping[str, Callable[[Builder, Node, Sequence[_Operand], Size], Value]] = MappingProxyType(
    {"matmul": _matmul, "reduce_sum": _reduce_sum}
)
