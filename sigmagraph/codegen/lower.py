"""Turns a fusion group into a Compute: producers are substituted into their consumers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sigmagraph.dims import Dim, Size
from sigmagraph.dims import names as names_in
from sigmagraph.dtypes import DType
from sigmagraph.errors import LoweringError
from sigmagraph.facts import Facts
from sigmagraph.ir.graph.attrs import Array, Attrs
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Compute, Reduction
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, Var, apply, cast, walk
from sigmagraph.ir.kernel.kernel import Buffer, Let, Role, Store
from sigmagraph.location import Location
from sigmagraph.ops.rules import reshaped_index

_PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """A Compute and the graph values that stand behind its buffers, in the order of its params."""

    compute: Compute
    values: tuple[Value, ...]


def is_buffer(graph: Graph, value: Value, owners: dict[int, int]) -> bool:
    """Whether a value lies in memory: ports, results of groups and constants of more than one element do."""
    node = graph.node(value)
    if value.node in owners or node.op.traits & _PORTS:
        return True
    return Trait.CONSTANT in node.op.traits and node.types[value.index].size != 1


def lower_group(
    graph: Graph, name: str, nodes: Sequence[int], outputs: Sequence[Value], owners: dict[int, int]
) -> KernelSpec:
    """The Compute of a group.

    Args:
        graph: the fused graph.
        name: of the kernel.
        nodes: ids of the group's nodes, in topological order.
        outputs: values of the group that must be written.
        owners: node id to number of the group that materialises it.
    """
    return _Lowering(graph, name, nodes, owners).run(outputs)


class _Lowering:
    def __init__(self, graph: Graph, name: str, nodes: Sequence[int], owners: dict[int, int]) -> None:
        self.graph = graph
        self.name = name
        self.nodes = tuple(nodes)
        self.members = frozenset(nodes)
        self.owners = owners
        self.buffers: dict[Value, Buffer] = {}
        self.lets: list[Let] = []  # of the region that is being written: the reduction's body, or what follows it
        self.reduction: Reduction | None = None
        self.known: dict[tuple[object, ...], Expr] = {}
        self.facts = Facts()
        self.depth = 0
        self.count = 0

    def run(self, outputs: Sequence[Value]) -> KernelSpec:
        shape = self._iteration_shape(outputs)
        axes = tuple(Axis(f"%i{n}", extent) for n, extent in enumerate(shape))
        index = tuple(Dim(a.var) for a in axes)
        self.facts = Facts({a.var: (0, a.extent - 1) for a in axes})
        stores = []
        for number, value in enumerate(outputs):
            type = self.graph.type(value)
            at = index if type.shape == shape else self._simplified(reshaped_index(index, shape, type.shape))
            buffer = Buffer(f"%o{number}", type.dtype, type.shape, Role.OUT)
            stores.append((value, buffer, Store(buffer.name, at, self.element(value, at))))
        params = [*self.buffers.values(), *(buffer for _, buffer, _ in stores)]
        values = [*self.buffers, *(value for value, _, _ in stores)]
        compute = Compute(
            self.name,
            _dims_of(params, axes, self.reduction, [*self.lets, *(store for _, _, store in stores)]),
            tuple(params),
            axes,
            self.reduction,
            tuple(self.lets),
            tuple(store for _, _, store in stores),
            provenance=self._provenance(),
        )
        return KernelSpec(compute, tuple(values))

    def _iteration_shape(self, outputs: Sequence[Value]) -> tuple[Size, ...]:
        for node in map(self.graph.node, self.nodes):
            if node.op.kind in (OpKind.REDUCTION, OpKind.CONTRACTION):
                return node.types[0].shape
        return self.graph.type(outputs[0]).shape

    def _simplified(self, index: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(i if isinstance(i, int) or i.is_name else self.facts.simplify(i) for i in index)

    def _provenance(self) -> tuple[Location, ...]:
        places = [self.graph.node(n).location for n in self.nodes]
        return tuple(dict.fromkeys(p for p in places if p))

    # ---- expressions

    def element(self, value: Value, index: Sequence[Size], guard: Sequence[Size] = ()) -> Expr:
        """The expression of a value's element in the current region."""
        index = self._simplified(index)
        key = (self.depth, value, index, tuple(guard))
        if key not in self.known:
            self.known[key] = self._name(self._element(value, index, tuple(guard)))
        return self.known[key]

    def _element(self, value: Value, index: tuple[Size, ...], guard: tuple[Size, ...]) -> Expr:
        node = self.graph.node(value)
        if value.node not in self.members and is_buffer(self.graph, value, self.owners):
            return Load(self._buffer(value).name, index, node.types[value.index].dtype, guard)
        if Trait.CONSTANT in node.op.traits:
            return _constant(node.attrs["value"])
        if node.op.lower is None:
            raise LoweringError(f"'{node.op.name}' has no lowering", node=node.op.name, location=node.location)
        return node.op.lower(_Context(self, node, guard), index)

    def _buffer(self, value: Value) -> Buffer:
        if value not in self.buffers:
            type = self.graph.type(value)
            self.buffers[value] = Buffer(f"%a{len(self.buffers)}", type.dtype, type.shape, Role.IN)
        return self.buffers[value]

    def _name(self, expr: Expr) -> Expr:
        """A let for everything that is worth a name."""
        if isinstance(expr, (Const, Var, Index)):
            return expr
        return self.let(expr)

    def let(self, expr: Expr) -> Var:
        """Name an expression in the current region."""
        var = Var(f"%t{self.count}", expr.dtype)
        self.count += 1
        self.lets.append(Let(var.name, expr))
        return var

    def reduce(self, op: str, extents: Sequence[Size], body: Callable[[tuple[Size, ...]], Expr]) -> Expr:
        if self.reduction is not None or self.depth:
            raise LoweringError("a group has two reductions", got=self.name)
        axes = tuple(Axis(f"%r{n}", extent) for n, extent in enumerate(extents))
        outer_lets, outer_facts = self.lets, self.facts
        self.lets = []
        self.depth = 1
        self.facts = self.facts.extend({a.var: (0, a.extent - 1) for a in axes})
        value = body(tuple(Dim(a.var) for a in axes))
        self.reduction = Reduction(op, axes, tuple(self.lets), value, "%sum" if op == "add" else f"%{op}")
        self.lets, self.facts, self.depth = outer_lets, outer_facts, 0
        return Var(self.reduction.result, value.dtype)

    def index(self, value: Expr, low: Size, high: Size) -> Size:
        number = cast(value, DType.I64)
        clamped = apply("max", Index(low), apply("min", Index(high), number))
        return Dim(self.let(clamped).name)


class _Context:
    """The LowerContext of one node."""

    def __init__(self, lowering: _Lowering, node: Node, guard: tuple[Size, ...]) -> None:
        self._lowering = lowering
        self._node = node
        self._guard = guard

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(self._lowering.graph.type(v) for v in self._node.inputs)

    @property
    def result(self) -> TensorType:
        return self._node.types[0]

    @property
    def attrs(self) -> Attrs:
        return self._node.attrs

    def operand(self, number: int, index: Sequence[Size], guard: Sequence[Size] = ()) -> Expr:
        return self._lowering.element(self._node.inputs[number], index, (*self._guard, *guard))

    def reduce(self, op: str, extents: Sequence[Size], body: Callable[[tuple[Size, ...]], Expr]) -> Expr:
        return self._lowering.reduce(op, extents, body)

    def index(self, value: Expr, low: Size, high: Size) -> Size:
        return self._lowering.index(value, low, high)


def _constant(array: Array) -> Const:
    value = array.numpy.reshape(-1)[0].item()
    return Const(value, array.dtype)


def _dims_of(
    params: Sequence[Buffer], axes: Sequence[Axis], reduction: Reduction | None, epilogue: Sequence[Let | Store]
) -> tuple[str, ...]:
    sizes = [s for b in params for s in b.shape] + [a.extent for a in axes]
    values = [stmt.value for stmt in epilogue]
    if reduction is not None:
        sizes += [a.extent for a in reduction.axes]
        values += [let.value for let in reduction.lets] + [reduction.value]
    for e in (e for whole in values for e in walk(whole)):
        sizes += [e.value] if isinstance(e, Index) else [*e.index, *e.guard] if isinstance(e, Load) else []
    found = {n for size in sizes for n in names_in(size)}
    return tuple(sorted(n for n in found if not n.startswith("%")))
