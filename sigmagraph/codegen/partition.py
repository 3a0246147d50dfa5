"""Turns a fused graph into kernels in an order in which they can run, and says where every value lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from sigmagraph.codegen.lower import KernelSpec, lower_group
from sigmagraph.dims import Size, names
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import Interface, interfaces
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Load, walk

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Task:
    """One kernel launch: the compute (shared by equal ones) and the values behind its buffers."""

    compute: Compute
    values: tuple[Value, ...]

    @property
    def reads(self) -> tuple[Value, ...]:
        count = len(self.values) - len(self.compute.stores)
        return self.values[:count]

    @property
    def writes(self) -> tuple[Value, ...]:
        return self.values[len(self.values) - len(self.compute.stores) :]


@dataclass(frozen=True, slots=True)
class Partition:
    """Launches in order, the different computes among them, and the array constants that they read."""

    tasks: tuple[Task, ...]
    computes: tuple[Compute, ...]
    constants: tuple[Value, ...]


def partition(graph: Graph) -> Partition:
    """The launches of a fused graph."""
    groups = interfaces(graph)
    owners = {node: number for number, i in enumerate(groups) for v in i.outputs for node in (v.node,)}
    specs = [
        lower_group(graph, _name(graph, number, i), i.group.nodes, i.outputs, owners) for number, i in enumerate(groups)
    ]
    specs += [
        lower_group(graph, f"k{len(groups) + number}_{graph.node(v).op.name}", (v.node,), (v,), {})
        for number, v in enumerate(_loose_outputs(graph, owners))
    ]
    limits = [r.left - r.right for r in requirements(graph) if r.relation == ">="]
    ordered = [_assuming(specs[n], limits) for n in _order(graph, specs)]
    shared: dict[Compute, Compute] = {}
    tasks = []
    for spec in ordered:
        anonymous = replace(spec.compute, name="", provenance=())
        compute = shared.setdefault(anonymous, spec.compute)
        tasks.append(Task(compute, spec.values))
    constants = dict.fromkeys(
        v for t in tasks for v in t.reads if Trait.CONSTANT in graph.node(v).op.traits
    ) | dict.fromkeys(o.value for o in graph.outputs if _is_array_constant(graph, o.value))
    return Partition(tuple(tasks), tuple(shared.values()), tuple(constants))


def _assuming(spec: KernelSpec, limits: Sequence[Size]) -> KernelSpec:
    """The spec with what the call checks about its dims."""
    compute = spec.compute
    known = tuple(limit for limit in limits if set(names(limit)) <= set(compute.dims))
    return replace(spec, compute=replace(compute, assume=known)) if known else spec


def _loose_outputs(graph: Graph, owners: Mapping[int, int]) -> list[Value]:
    """Outputs that no group writes and that are no port: constants and the like."""
    values = dict.fromkeys(o.value for o in graph.outputs)
    return [
        v
        for v in values
        if v.node not in owners
        and not graph.node(v).op.traits & {Trait.INPUT, Trait.PARAMETER}
        and not _is_array_constant(graph, v)
    ]


def _is_array_constant(graph: Graph, value: Value) -> bool:
    return Trait.CONSTANT in graph.node(value).op.traits and graph.type(value).size != 1


def _name(graph: Graph, number: int, interface: Interface) -> str:
    """``k3_fc1_matmul_relu``: number, layer, the root and the last node."""
    nodes = [graph.node(n) for n in interface.group.nodes]
    last = nodes[-1]
    ops = [n.op.name for n in nodes if n.op.kind in (OpKind.REDUCTION, OpKind.CONTRACTION)]
    parts = [f"k{number}", last.location.scope.rpartition("/")[2], *ops[:1]]
    if not ops or ops[0] != last.op.name:
        parts.append(last.op.name)
    return _UNSAFE.sub("_", "_".join(p for p in parts if p))


def _order(graph: Graph, specs: list[KernelSpec]) -> list[int]:
    """Producers first, and readers of a parameter before the writer of its new value where nothing speaks against it.

    The new value can then be written in place.
    """
    writer = {v: n for n, spec in enumerate(specs) for v in _writes(spec)}
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(range(len(specs)))
    for number, spec in enumerate(specs):
        order.add_edges_from((writer[v], number) for v in spec.values if v in writer and writer[v] != number)
    for output in graph.outputs:
        if output.updates is None or output.value not in writer:
            continue
        old = Value(graph.port(output.updates).id)
        last = writer[output.value]
        for number, spec in enumerate(specs):
            if number != last and old in spec.values and not nx.has_path(order, last, number):
                order.add_edge(number, last)
    return list(nx.lexicographical_topological_sort(order))


def _writes(spec: KernelSpec) -> tuple[Value, ...]:
    return spec.values[len(spec.values) - len(spec.compute.stores) :]


def in_place(task: Task, source: Value, target: Value) -> bool:
    """Whether a launch may write ``target`` into the memory of ``source``.

    It may when it reads each element at most where, and before, it writes the same element.
    """
    compute = task.compute
    if source not in task.reads or target not in task.writes:
        return source not in task.reads
    read = compute.params[task.reads.index(source)]
    number = task.writes.index(target)
    write = compute.params[len(task.reads) + number]
    if read.dtype is not write.dtype or read.shape != write.shape:
        return False
    if compute.reduction is not None and _loads(
        [*(x.value for x in compute.reduction.lets), compute.reduction.value], read.name
    ):
        return False
    index = compute.stores[number].index
    loads = _loads([*(x.value for x in compute.lets), *(s.value for s in compute.stores)], read.name)
    return all(load.index == index for load in loads)


def _loads(expressions: Iterable[object], buffer: str) -> list[Load]:
    return [e for whole in expressions for e in walk(whole) if isinstance(e, Load) and e.buffer == buffer]  # type: ignore[arg-type]
