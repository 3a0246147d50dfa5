"""Turns a fused graph into kernels in an order in which they can run, and says where every value lies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.chain import chained
from sigmagraph.codegen.in_place import may_overwrite
from sigmagraph.codegen.lower import KernelSpec, lower_group, lower_opaque
from sigmagraph.codegen.remake import remade
from sigmagraph.codegen.templates.pieces import assuming
from sigmagraph.dims import Size, names
from sigmagraph.ir.graph.attrs import Array
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import Interface, interfaces
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Buffer, Kernel, Role

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Task:
    """One kernel launch: what is computed (shared by equal ones) and the values behind its buffers."""

    work: Work
    values: tuple[Value, ...]

    @property
    def reads(self) -> tuple[Value, ...]:
        """The values that it reads, each once."""
        return self._with(lambda buffer: buffer.role is not Role.OUT)

    @property
    def writes(self) -> tuple[Value, ...]:
        """The values that it makes."""
        return self._with(lambda buffer: buffer.role is Role.OUT)

    def _with(self, fits: Callable[[Buffer], bool]) -> tuple[Value, ...]:
        return tuple(v for v, buffer in zip(self.values, self.work.params, strict=True) if fits(buffer))

    def may_share(self, source: Value, target: Value) -> bool:
        """Whether ``target`` may be written over ``source``."""
        if source not in self.reads:
            return True
        read, write = (self.work.params[self.values.index(v)] for v in (source, target))
        return may_overwrite(self.work, read, write)


@dataclass(frozen=True, slots=True)
class Control:
    """A node that runs graphs of its own, and the partition of each."""

    node: Node
    bodies: Mapping[str, tuple[Graph, Partition]]

    @property
    def reads(self) -> tuple[Value, ...]:
        """The values that it reads, each once."""
        return tuple(dict.fromkeys(self.node.inputs))

    @property
    def writes(self) -> tuple[Value, ...]:
        """The values that it makes."""
        return self.node.outputs

    def may_share(self, source: Value, target: Value) -> bool:
        """Whether ``target`` may be written over ``source``: it is the state that starts with it."""
        places = [n for n, v in enumerate(self.node.inputs) if v == source]
        if not places:
            return True
        states = sum(len(graph.params) for graph, _ in self.bodies.values())
        return places == [target.index] and target.index < states


@dataclass(frozen=True, slots=True)
class Partition:
    """Tasks in order, the different works of these and of bodies, and the constants that they read from memory."""

    tasks: tuple[Task | Control, ...]
    works: tuple[Work, ...]
    constants: Mapping[Value, Array]

    def arrays(self) -> tuple[Array, ...]:
        """All constants that lie in memory, of bodies too, each once."""
        inner = [part for t in self.tasks if isinstance(t, Control) for _, part in t.bodies.values()]
        return tuple(dict.fromkeys([*self.constants.values(), *(a for part in inner for a in part.arrays())]))


def partition(graph: Graph, prefix: str = "", *, chains: bool = True, again: Again | None = None) -> Partition:
    """The tasks of a fused graph.

    Args:
        graph: of which groups are tasks.
        prefix: what the names of its kernels begin with.
        chains: whether those of several groups are allowed.
        again: what chains make again for each reader rather than write it down.
    """
    limits = tuple(r.left - r.right for r in requirements(graph) if r.relation == ">=")
    return _Partitioner(limits, chains, again, {}, graph.inputs).run(graph, prefix)


@dataclass(frozen=True, slots=True)
class _Partitioner:
    """Cuts a graph and the bodies in it.

    Attributes:
        limits: what the call checks to be at least 0.
        chains: whether launches may be joined.
        again: what these make again for each reader.
        shared: the works so far, by what they are without a name.
        inputs: of the whole program.
    """

    limits: tuple[Size, ...]
    chains: bool
    again: Again | None
    shared: dict[Work, Work]
    inputs: tuple[Value, ...]

    def run(self, graph: Graph, prefix: str, inner: bool = False) -> Partition:
        groups, inputs = interfaces(graph), () if inner else self.inputs
        owners = {node: number for number, i in enumerate(groups) for v in i.outputs for node in (v.node,)}
        found = [self._task(graph, f"{prefix}k{number}", face, owners) for number, face in enumerate(groups)]
        for number, v in enumerate(_loose_values(graph, owners), len(groups)):
            name = f"{prefix}k{number}_{graph.node(v).op.name}"
            found.append(lower_group(graph, name, (v.node,), (v,), {}))
        tasks = [self._shared(t, inputs) if isinstance(t, KernelSpec) else t for t in self._joined(graph, found)]
        tasks = [tasks[n] for n in _order(graph, tasks)]
        read = [v for t in tasks for v in t.reads if Trait.CONSTANT in graph.node(v).op.traits]
        read += [o.value for o in graph.outputs if _is_array_constant(graph, o.value)]
        constants = {v: graph.node(v).attrs["value"] for v in read}
        return Partition(tuple(tasks), tuple(self.shared.values()), constants)

    def _task(self, graph: Graph, prefix: str, face: Interface, owners: dict[int, int]) -> KernelSpec | Control:
        last = graph.node(face.group.nodes[-1])
        if last.op.kind is OpKind.CONTROL:
            bodies = {name: value.graph for name, value in last.attrs.items() if isinstance(value, Body)}
            return Control(
                last, {name: (g, self.run(g, f"{prefix}_{name}_", inner=True)) for name, g in bodies.items()}
            )
        name = _name(graph, prefix, face)
        if last.op.kind is OpKind.OPAQUE:
            return lower_opaque(graph, name, last)
        return lower_group(graph, name, face.group.nodes, face.outputs, owners)

    def _joined(self, graph: Graph, tasks: Sequence[KernelSpec | Control]) -> Sequence[KernelSpec | Control]:
        """The tasks with those launches joined that are better carried out for blocks of rows."""
        if not self.chains:
            return tasks
        specs = {n: t for n, t in enumerate(tasks) if isinstance(t, KernelSpec)}
        controls = [t for t in tasks if isinstance(t, Control)]
        wanted = {o.value for o in graph.outputs}.union(*(t.reads for t in controls))
        if self.again is None:
            left = chained(specs, wanted)
        else:
            flows = [(t.reads, t.writes) for t in controls]
            left = remade(chained(specs, wanted, room=None), wanted, self.again, flows)
        return [left.get(n, t) for n, t in enumerate(tasks) if n in left or n not in specs]

    def _shared(self, spec: KernelSpec, inputs: Sequence[Value]) -> Task:
        """The task, with what the call checks about its dims, and what it hands in; equal works become one."""
        work = spec.work
        known = tuple(limit for limit in self.limits if set(names(limit)) <= set(work.dims))
        if isinstance(work, Kernel):
            work = replace(work, body=assuming(work.body, known))
        else:
            foreign = frozenset(b.name for b, v in zip(work.params, spec.values, strict=True) if v in inputs)
            work = replace(work, assume=known, foreign=foreign)
        return Task(self.shared.setdefault(replace(work, name="", provenance=()), work), spec.values)


def _loose_values(graph: Graph, owners: Mapping[int, int]) -> list[Value]:
    """Values that must lie in memory, but no group writes them and they are no port: constants, sequences."""
    values = dict.fromkeys(o.value for o in graph.outputs)
    for node in graph.nodes():
        if node.op.kind.alone:
            values |= dict.fromkeys(v for v in node.inputs if Trait.CONSTANT not in graph.node(v).op.traits)
    return [
        v
        for v in values
        if v.node not in owners
        and not graph.node(v).op.traits & {Trait.INPUT, Trait.PARAMETER}
        and not _is_array_constant(graph, v)
    ]


def _is_array_constant(graph: Graph, value: Value) -> bool:
    return Trait.CONSTANT in graph.node(value).op.traits and graph.type(value).size != 1


def _name(graph: Graph, prefix: str, interface: Interface) -> str:
    """``k3_fc1_matmul_relu``: number, layer, the root and the last node."""
    nodes = [graph.node(n) for n in interface.group.nodes]
    last = nodes[-1]
    ops = [n.op.name for n in nodes if n.op.kind in (OpKind.REDUCTION, OpKind.CONTRACTION)]
    parts = [prefix, last.location.scope.rpartition("/")[2], *ops[:1]]
    if not ops or ops[0] != last.op.name:
        parts.append(last.op.name)
    return _UNSAFE.sub("_", "_".join(p for p in parts if p))


def _order(graph: Graph, tasks: Sequence[Task | Control]) -> list[int]:
    """Producers first, and readers of a parameter before the writer of its new value where nothing speaks against it.

    The new value can then be written in place.
    """
    writer = {v: n for n, task in enumerate(tasks) for v in task.writes}
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(range(len(tasks)))
    readers: dict[Value, list[int]] = {}
    for number, task in enumerate(tasks):
        for value in task.reads:
            readers.setdefault(value, []).append(number)
            if value in writer:
                order.add_edge(writer[value], number)
    checks = [n for n, t in enumerate(tasks) if isinstance(t, Control) and Trait.CHECKS in t.node.op.traits]
    for output in graph.outputs:
        if output.updates is None or output.value not in writer:
            continue
        order.add_edges_from(
            (n, writer[output.value]) for n in checks if not nx.has_path(order, writer[output.value], n)
        )
        old = Value(graph.port(output.updates).id)
        last = writer[output.value]
        for number in readers.get(old, ()):
            if number != last and not nx.has_path(order, last, number):
                order.add_edge(number, last)
    return list(nx.lexicographical_topological_sort(order))
