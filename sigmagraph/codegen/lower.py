"""Turns a fusion group into a Compute: producers are substituted into their consumers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sigmagraph.dims import Dim, Size
from sigmagraph.dims import names as names_in
from sigmagraph.errors import LoweringError
from sigmagraph.facts import Facts
from sigmagraph.ir.graph.attrs import Array, Attrs
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import RootOrder
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import Frame, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep, Work
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Buffer, Kernel, Let, Role, Store
from sigmagraph.location import Location
from sigmagraph.ops.rules import clamped, reshaped_index

_PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """What a kernel computes, and the graph values that stand behind its buffers, in the order of its params.

    A Compute is still to be scheduled; an op that writes its own loops gives a Kernel.
    """

    work: Work
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


def lower_opaque(graph: Graph, name: str, node: Node) -> KernelSpec:
    """The kernel of an op that writes its own loops."""
    if node.op.loops is None:
        raise LoweringError(f"'{node.op.name}' has no lowering", node=node.op.name, location=node.location)
    operands = tuple(dict.fromkeys(node.inputs))
    reads = {v: _buffer(f"%a{n}", graph.type(v), Role.IN) for n, v in enumerate(operands)}
    writes = tuple(_buffer(f"%o{n}", type, Role.OUT) for n, type in enumerate(node.types))
    body = node.op.loops(Frame(tuple(reads[v] for v in node.inputs), writes, node.attrs))
    params = (*reads.values(), *writes)
    dims = tuple(sorted({n for buffer in params for size in buffer.shape for n in names_in(size)}))
    places = (node.location,) if node.location else ()
    return KernelSpec(Kernel(name, dims, params, body, provenance=places), (*operands, *node.outputs))


def _buffer(name: str, type: TensorType, role: Role) -> Buffer:
    return Buffer(name, type.dtype, type.shape, role)


@dataclass(slots=True)
class _Sweep:
    """A sweep while it is written."""

    axes: tuple[Axis, ...]
    lets: list[Let]
    folds: list[Fold]
    stores: list[Store]


class _Lowering:
    """Writes a group sweep by sweep: reductions of one level share one, stores go into the first that may.

    What is the same for a whole row is computed between the sweeps, at a *position*: the number of sweeps before it.
    """

    def __init__(self, graph: Graph, name: str, nodes: Sequence[int], owners: dict[int, int]) -> None:
        self.graph = graph
        self.name = name
        self.nodes = tuple(map(graph.node, nodes))
        self.members = frozenset(nodes)
        self.owners = owners
        self.order = RootOrder(graph, self.nodes)
        self.buffers: dict[Value, Buffer] = {}
        self.between: list[list[Let]] = [[] for _ in range(self.order.count + 1)]
        self.sweeps: dict[int, _Sweep] = {}
        self.results: dict[int, Expr] = {}
        self.known: dict[tuple[object, ...], tuple[int, Expr]] = {}
        self.row_facts = self.facts = Facts()
        self.row_names: dict[str, int] = {}  # what index expressions may speak of outside of sweeps, and from where on
        self.position = 0
        self.current: _Sweep | None = None
        self.reducing = -1
        self.count = 0

    def run(self, outputs: Sequence[Value]) -> KernelSpec:
        shape = self.order.shape if self.order.roots else self.graph.type(outputs[0]).shape
        axes = tuple(Axis(f"%i{n}", extent) for n, extent in enumerate(shape))
        index = tuple(Dim(a.var) for a in axes)
        self.row_facts = self.facts = Facts({a.var: (0, a.extent - 1) for a in axes})
        self.row_names = {a.var: 0 for a in axes}
        buffers = {v: _buffer(f"%o{number}", self.graph.type(v), Role.OUT) for number, v in enumerate(outputs)}
        for number in range(self.order.count):
            for root in self.order.roots_of(number):
                self._root(root, number, reshaped_index(index, shape, root.types[0].shape))
            for value in outputs:
                if self.order.store_sweep(value) == number:
                    self._store_whole(buffers[value], value, number, index)
        self.position = self.order.count
        stores = []
        for value in outputs:
            if self.order.store_sweep(value) is None:
                type = self.graph.type(value)
                at = index if type.shape == shape else self._simplified(reshaped_index(index, shape, type.shape))
                stores.append(Store(buffers[value].name, at, self.element(value, at)))
        params = (*self.buffers.values(), *buffers.values())
        compute = Compute(
            self.name,
            (),
            params,
            axes,
            self._finished(),
            tuple(self.between[-1]),
            tuple(stores),
            provenance=self._provenance(),
        )
        return KernelSpec(replace(compute, dims=_dims_of(compute)), (*self.buffers, *outputs))

    def _finished(self) -> tuple[Sweep, ...]:
        """The sweeps; what stands before one that turned out to do nothing stands before the next thing."""
        out: list[Sweep] = []
        waiting: list[Let] = []
        for number in range(self.order.count):
            waiting += self.between[number]
            sweep = self.sweeps.get(number)
            if sweep is not None:
                parts = (sweep.axes, tuple(sweep.lets), tuple(sweep.folds), tuple(sweep.stores))
                out.append(Sweep(tuple(waiting), *parts))
                waiting = []
        self.between[-1][:0] = waiting
        return tuple(out)

    def _simplified(self, index: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(i if isinstance(i, int) or i.is_name else self.facts.simplify(i) for i in index)

    def _provenance(self) -> tuple[Location, ...]:
        return tuple(dict.fromkeys(n.location for n in self.nodes if n.location))

    # ---- sweeps

    def _root(self, root: Node, number: int, index: tuple[Size, ...]) -> None:
        self.position, self.reducing = number + 1, number
        self.results[root.id] = self.element(root.outputs[0], index)
        self.reducing = -1

    def _store_whole(self, buffer: Buffer, value: Value, number: int, outer: Sequence[Size]) -> None:
        rows = self.order.rows
        assert rows is not None
        sweep = self._sweep(number, rows.inner)
        with self._inside(sweep, number):
            whole = rows.whole_index(outer, [Dim(a.var) for a in sweep.axes])
            at = self._simplified(reshaped_index(whole, rows.shape, buffer.shape))
            sweep.stores.append(Store(buffer.name, at, self.element(value, at)))

    def _sweep(self, number: int, extents: Sequence[Size]) -> _Sweep:
        axes = tuple(Axis(f"%r{n}", extent) for n, extent in enumerate(extents))
        return self.sweeps.setdefault(number, _Sweep(axes, [], [], []))

    @contextmanager
    def _inside(self, sweep: _Sweep, number: int) -> Iterator[None]:
        """Write into a sweep; what is the same for all of it goes before it."""
        outer = (self.current, self.facts, self.position)
        ranges = {a.var: (0, a.extent - 1) for a in sweep.axes}
        self.current, self.facts, self.position = sweep, self.row_facts.extend(ranges), number
        yield
        self.current, self.facts, self.position = outer

    @contextmanager
    def _outside(self) -> Iterator[None]:
        """Write what is the same for the whole sweep."""
        outer = (self.current, self.facts)
        self.current, self.facts = None, self.row_facts
        yield
        self.current, self.facts = outer

    def reduce(self, op: str, extents: Sequence[Size], body: Callable[[tuple[Size, ...]], Expr]) -> Expr:
        if self.current is not None or self.reducing < 0:
            raise LoweringError("a group has two reductions that depend on each other", got=self.name)
        number, self.reducing = self.reducing, -1
        # Axes of size 1 are left out where rows are shared, as they are in the rows.
        shared = self.order.rows is not None
        sweep = self._sweep(number, [size for size in extents if size != 1] if shared else extents)
        left = iter(sweep.axes)
        index = tuple(0 if shared and size == 1 else Dim(next(left).var) for size in extents)
        with self._inside(sweep, number):
            value = body(index)
        sweep.folds.append(Fold(op, value, self._result_name(op)))
        return Var(sweep.folds[-1].result, value.dtype)

    def _result_name(self, op: str) -> str:
        stem = "%sum" if op == "add" else f"%{op}"
        number = sum(fold.op == op for sweep in self.sweeps.values() for fold in sweep.folds)
        return f"{stem}{number}" if number else stem

    # ---- expressions

    def element(self, value: Value, index: Sequence[Size], guard: Sequence[Size] = ()) -> Expr:
        """The expression of a value's element in the current region, or outside of it where it does not change."""
        if value.node in self.results:
            return self.results[value.node]
        index, guard = self._simplified(index), tuple(guard)
        if self._is_outside((*index, *guard)):
            with self._outside():
                return self._known_element(value, index, guard)
        return self._known_element(value, index, guard)

    def _is_outside(self, sizes: Sequence[Size]) -> bool:
        """Whether an element is the same for a whole sweep, which must not be empty: it might not exist at all."""
        if self.current is None or self.order.rows is None or any(a.extent == 0 for a in self.current.axes):
            return False
        used = {name for size in sizes for name in names_in(size) if name.startswith("%")}
        return all(self.row_names.get(name, self.position + 1) <= self.position for name in used)

    def _known_element(self, value: Value, index: tuple[Size, ...], guard: tuple[Size, ...]) -> Expr:
        key = (id(self.current), value, index, guard)
        position, known = self.known.get(key, (self.position + 1, None))
        if known is None or position > self.position:
            known = self._name(self._element(value, index, guard))
            self.known[key] = (self.position, known)
        return known

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
            self.buffers[value] = _buffer(f"%a{len(self.buffers)}", self.graph.type(value), Role.IN)
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
        if self.current is not None:
            self.current.lets.append(Let(var.name, expr))
        else:
            self.between[self.position].append(Let(var.name, expr))
            self.row_names[var.name] = self.position
        return var

    def index(self, value: Expr, low: Size, high: Size) -> Size:
        return Dim(self.let(clamped(value, low, high)).name)


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


def _dims_of(compute: Compute) -> tuple[str, ...]:
    sizes = [s for b in compute.params for s in b.shape]
    sizes += [a.extent for a in (*compute.axes, *compute.inner_axes())]
    for e in (e for whole in compute.expressions() for e in walk(whole)):
        sizes += [e.value] if isinstance(e, Index) else [*e.index, *e.guard] if isinstance(e, Load) else []
    found = {n for size in sizes for n in names_in(size)}
    return tuple(sorted(n for n in found if not n.startswith("%")))
