"""Decides where values lie: liveness, slots that buffers share, updates in place.

Which buffers share a slot is decided once, for all sizes; a slot is as large as the largest of them, as an expression
of the dims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigmagraph.codegen.partition import Partition, Task, in_place
from sigmagraph.dims import Size, evaluate, maximum, names, total
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Output
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.kernel import Alloc, Buffer, Kernel, Space, statements
from sigmagraph.ir.plan import Copy, Launch, Place, Plan, Port, Requirement, Step, align

NOMINAL = 64  # what a dim is taken to be where sizes must be compared


@dataclass(slots=True)
class _Slot:
    size: Size
    free_from: int  # the first step at which another buffer may use it


def plan_memory(
    graph: Graph,
    partition: Partition,
    kernels: Mapping[str, Kernel],
    dims: Sequence[str],
    requirements: Sequence[Requirement],
) -> Plan:
    """The plan of a program.

    Args:
        graph: the fused graph.
        partition: its launches.
        kernels: the legal kernel of each compute, by name; parameters beyond the compute's are temporary.
        dims: names of the symbolic dims.
        requirements: checked at each call.
    """
    planner = _Planner(graph, partition, kernels)
    steps = planner.run()
    return Plan(
        graph.name,
        tuple(dims),
        tuple(_port(graph, v, graph.node(v).name) for v in graph.inputs),
        tuple(_port(graph, o.value, o.name) for o in planner.results),
        tuple(_port(graph, v, graph.node(v).name) for v in graph.params),
        tuple(slot.size for slot in planner.slots),
        maximum(0, *(scratch_bytes(k) for k in kernels.values())),
        tuple(_constant_bytes(graph, v) for v in partition.constants),
        tuple(requirements),
        steps,
    )


def scratch_bytes(kernel: Kernel) -> Size:
    """Bytes of scratch memory that each thread needs for a kernel; its buffers lie behind each other."""
    buffers = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc) and s.buffer.space is Space.SCRATCH]
    return total(align(b.size * b.dtype.itemsize) for b in buffers)


def _port(graph: Graph, value: Value, name: str) -> Port:
    type = graph.type(value)
    return Port(name, type.dtype, type.shape)


def _constant_bytes(graph: Graph, value: Value) -> int:
    return evaluate(graph.type(value).bytes, {})


class _Planner:
    def __init__(self, graph: Graph, partition: Partition, kernels: Mapping[str, Kernel]) -> None:
        self.graph = graph
        self.tasks = partition.tasks
        self.kernels = kernels
        self.results = [o for o in graph.outputs if o.updates is None]
        self.slots: list[_Slot] = []
        self.places: dict[Value, Place] = {}
        self.copies_first: list[Step] = []
        self.copies_last: list[Step] = []
        self.last_use = {v: step for step, task in enumerate(self.tasks) for v in task.reads}
        for number, value in enumerate(graph.inputs):
            self.places[value] = Place("input", number)
        for number, value in enumerate(graph.params):
            self.places[value] = Place("param", number)
        for number, value in enumerate(partition.constants):
            self.places[value] = Place("constant", number)

    def run(self) -> tuple[Step, ...]:
        self._place_results()
        self._place_updates()
        launches = [self._launch(step, task) for step, task in enumerate(self.tasks)]
        return (*self.copies_first, *launches, *self.copies_last)

    def _place_results(self) -> None:
        for number, output in enumerate(self.results):
            place = Place("output", number)
            if output.value in self.places:  # a port, a constant, or a value that is returned twice
                old = self.places[output.value]
                copy = Copy(old, place, self.graph.type(output.value).bytes)
                (self.copies_last if old.space == "output" else self.copies_first).append(copy)
            else:
                self.places[output.value] = place

    def _place_updates(self) -> None:
        for output in self.graph.outputs:
            if output.updates is None:
                continue
            old = Value(self.graph.port(output.updates).id)
            if output.value == old:
                continue
            place = self.places[old]
            if output.value not in self.places and self._may_overwrite(old, output):
                self.places[output.value] = place
            elif output.value not in self.places or Trait.PARAMETER in self.graph.node(output.value).op.traits:
                self._stage(output, place)
            else:
                self.copies_last.append(Copy(self.places[output.value], place, self.graph.type(old).bytes))

    def _stage(self, output: Output, place: Place) -> None:
        """By way of memory of its own, because the old value is still read, or is itself overwritten."""
        size = self.graph.type(output.value).bytes
        self.slots.append(_Slot(size, len(self.tasks) + 1))
        own = Place("slot", len(self.slots) - 1)
        if output.value in self.places:
            self.copies_first.append(Copy(self.places[output.value], own, size))
        else:
            self.places[output.value] = own
        self.copies_last.append(Copy(own, place, size))

    def _may_overwrite(self, old: Value, output: Output) -> bool:
        writer = next(n for n, t in enumerate(self.tasks) if output.value in t.writes)
        return self.last_use.get(old, -1) <= writer and in_place(self.tasks[writer], old, output.value)

    def _launch(self, step: int, task: Task) -> Launch:
        kernel = self.kernels[task.compute.name]
        for value in task.writes:
            if value not in self.places:
                self.places[value] = self._allocate(step, task, value)
        temporary = [self._temporary(step, b) for b in kernel.params[len(task.values) :]]
        places = [self.places[v] for v in task.values] + temporary
        return Launch(kernel.name, tuple(places), kernel.dims)

    def _allocate(self, step: int, task: Task, value: Value) -> Place:
        size = self.graph.type(value).bytes
        end = self.last_use.get(value, step) + 1
        for other in task.reads:
            place = self.places[other]
            if (
                place.space == "slot"
                and self.last_use[other] == step
                and self._inherits(task, other, value, place, step)
            ):
                self.slots[place.index].free_from = end
                return place
        return self._take(step, size, end)

    def _inherits(self, task: Task, source: Value, target: Value, place: Place, step: int) -> bool:
        """Whether a result may take the memory of an operand that is read for the last time."""
        if any(self.places.get(w) == place for w in task.writes if w != target):
            return False
        same = self.graph.type(source).bytes == self.graph.type(target).bytes
        return same and self.slots[place.index].free_from == step + 1 and in_place(task, source, target)

    def _temporary(self, step: int, buffer: Buffer) -> Place:
        return self._take(step, buffer.size * buffer.dtype.itemsize, step + 1)

    def _take(self, step: int, size: Size, end: int) -> Place:
        """A free slot that fits best, or the largest free one made larger, or a new one."""
        need = _nominal(size)
        free = [n for n, slot in enumerate(self.slots) if slot.free_from <= step]
        fitting = [n for n in free if _nominal(self.slots[n].size) >= need]
        if fitting:
            best = min(fitting, key=lambda n: (_nominal(self.slots[n].size), n))
        elif free:
            best = max(free, key=lambda n: (_nominal(self.slots[n].size), -n))
        else:
            self.slots.append(_Slot(size, end))
            return Place("slot", len(self.slots) - 1)
        slot = self.slots[best]
        slot.size, slot.free_from = maximum(slot.size, size), end
        return Place("slot", best)


def _nominal(size: Size) -> int:
    return evaluate(size, dict.fromkeys(names(size), NOMINAL))
