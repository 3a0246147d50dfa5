"""Decides where values lie: liveness, slots that buffers share, updates in place.

Which buffers share a slot is decided once, for all sizes; a slot is as large as the largest of them, as an expression
of the dims. Tasks that may run at the same time do not share slots for want of a reason.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sigmagraph.codegen.partition import Control, Partition, Task
from sigmagraph.codegen.waves import waves
from sigmagraph.dims import Size, maximum, nominal, total
from sigmagraph.errors import LoweringError
from sigmagraph.ir.graph.attrs import Array, Attrs
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Output
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.kernel import Alloc, Buffer, Kernel, Space, statements
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Port, Requirement, Step, align

_LOOSE = 16  # times as large as what it is to hold may a slot be


@dataclass(slots=True)
class _Slot:
    size: Size
    free_from: int  # the first time at which another buffer may use it


def plan_memory(
    graph: Graph,
    partition: Partition,
    kernels: Mapping[str, Kernel],
    dims: Sequence[str],
    requirements: Sequence[Requirement],
    concurrent: bool = False,
) -> Plan:
    """The plan of a program.

    Args:
        graph: the fused graph.
        partition: its launches.
        kernels: the legal kernel of each work, by name; parameters beyond the work's are temporary.
        dims: names of the symbolic dims.
        requirements: checked at each call.
        concurrent: whether launches next to each other may run at the same time.
    """
    arrays = {array: number for number, array in enumerate(partition.arrays())}
    results = [o for o in graph.outputs if o.updates is None]
    places = {v: Place("input", n) for n, v in enumerate(graph.inputs)}
    places |= {v: Place("param", n) for n, v in enumerate(graph.params)}
    outputs = {o.name: Place("output", n) for n, o in enumerate(results)}
    planner = _Planner(graph, partition, kernels, arrays, places, outputs, concurrent)
    steps = planner.run()
    return Plan(
        graph.name,
        tuple(dims),
        tuple(_port(graph, v, graph.node(v).name) for v in graph.inputs),
        tuple(_port(graph, o.value, o.name) for o in results),
        tuple(_port(graph, v, graph.node(v).name) for v in graph.params),
        tuple(o.updates for o in graph.outputs if o.updates is not None),
        tuple(slot.size for slot in planner.slots),
        maximum(0, *(scratch_bytes(k) for k in kernels.values())),
        tuple(len(array.data) for array in arrays),
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


class _Planner:
    """Plans the steps of one graph; bodies are planned by planners of their own, whose slots become slots of this one.

    Args:
        graph: the graph.
        partition: its tasks.
        kernels: by name of the work.
        arrays: numbers of the constants.
        places: where inputs and parameters lie.
        outputs: where results go, by name.
        concurrent: whether tasks next to each other may run at the same time.
        depth: number of bodies around.

    Attributes:
        times: of each task, which tasks that may run at the same time have in common.
    """

    def __init__(
        self,
        graph: Graph,
        partition: Partition,
        kernels: Mapping[str, Kernel],
        arrays: Mapping[Array, int],
        places: Mapping[Value, Place],
        outputs: Mapping[str, Place],
        concurrent: bool,
        depth: int = 0,
    ) -> None:
        self.graph = graph
        self.tasks = partition.tasks
        self.kernels = kernels
        self.arrays = arrays
        self.outputs = outputs
        self.concurrent = concurrent
        self.depth = depth
        self.times = waves(self.tasks, kernels) if concurrent else range(len(self.tasks))
        self.space = "slot" + "'" * depth
        self.slots: list[_Slot] = []
        self.places = dict(places)
        self.copies_first: list[Step] = []
        self.copies_last: list[Step] = []
        self.writers = {v: step for step, task in enumerate(self.tasks) for v in task.writes}
        self.last_use = {v: step for step, task in enumerate(self.tasks) for v in task.reads}
        self.places |= {v: Place("constant", arrays[array]) for v, array in partition.constants.items()}
        self.originals = self._originals()

    def run(self) -> tuple[Step, ...]:
        self._place_results()
        self._place_updates()
        steps = [inner for step, task in enumerate(self.tasks) for inner in self._steps(step, task)]
        return (*self.copies_first, *steps, *self.copies_last)

    def _originals(self) -> dict[Value, Value]:
        """What each value is that is the very same as another one, and lies where that one lies: what was checked.

        All of them are kept until none is read any more. Parameters are not among them: they get new values.
        """
        out: dict[Value, Value] = {}
        for task in self.tasks:
            if isinstance(task, Control) and Trait.CHECKS in task.node.op.traits:
                original = out.get(task.node.inputs[0], task.node.inputs[0])
                if original not in self.graph.params:
                    out[task.node.outputs[0]] = original
        last: dict[Value, int] = {}
        for value in (*out, *out.values()):
            original = out.get(value, value)
            last[original] = max(last.get(original, -1), self.last_use.get(value, -1))
        self.last_use |= {value: last[out.get(value, value)] for value in (*out, *out.values())}
        return out

    def _place_results(self) -> None:
        made: set[Value] = set()
        for output in self.graph.outputs:
            if output.updates is not None:
                continue
            place = self.outputs[output.name]
            if output.value in self.places:  # a port, a constant, or a value that is returned twice
                copy = Copy(self.places[output.value], place, self.graph.type(output.value).bytes)
                (self.copies_last if output.value in made else self.copies_first).append(copy)
            else:
                made.add(output.value)
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
        own = Place(self.space, len(self.slots) - 1)
        if output.value in self.places:
            self.copies_first.append(Copy(self.places[output.value], own, size))
        else:
            self.places[output.value] = own
        self.copies_last.append(Copy(own, place, size))

    def _may_overwrite(self, old: Value, output: Output) -> bool:
        writer = self.writers[output.value]
        return self.last_use.get(old, -1) <= writer and self.tasks[writer].may_share(old, output.value)

    def _steps(self, step: int, task: Task | Control) -> Sequence[Step]:
        for value in task.writes:
            if value not in self.places:
                original = self.originals.get(value)
                self.places[value] = self.places[original] if original else self._allocate(step, task, value)
        return [self._launch(step, task)] if isinstance(task, Task) else self._control(step, task)

    def _launch(self, step: int, task: Task) -> Launch:
        kernel = self.kernels[task.work.name]
        temporary = [self._temporary(step, b) for b in kernel.params[len(task.values) :]]
        places = [self.places[v] for v in task.values] + temporary
        return Launch(kernel.name, tuple(places), kernel.dims)

    def _control(self, step: int, task: Control) -> Sequence[Step]:
        node = task.node
        if node.op.steps is None:
            raise LoweringError(f"'{node.op.name}' has no lowering", node=node.op.name, location=node.location)
        return node.op.steps(_Layout(self, step, task))

    def body(
        self,
        step: int,
        body: tuple[Graph, Partition],
        inputs: Sequence[Place],
        params: Sequence[Place],
        outputs: Mapping[str, Place],
    ) -> tuple[Step, ...]:
        """The steps of a body at a step of this graph, given where its ports lie."""
        graph, parts = body
        places = dict(zip((*graph.inputs, *graph.params), (*inputs, *params), strict=True))
        inner = _Planner(graph, parts, self.kernels, self.arrays, places, outputs, self.concurrent, self.depth + 1)
        steps = inner.run()
        slots = [self._take(step, slot.size, step) for slot in inner.slots]
        return tuple(_moved(s, lambda p: slots[p.index].at(p.offset) if p.space == inner.space else p) for s in steps)

    def _allocate(self, step: int, task: Task | Control, value: Value) -> Place:
        size = self.graph.type(value).bytes
        last = self.last_use.get(value, step)
        for other in task.reads:
            place = self.places[other]
            if (
                place.space == self.space
                and self.last_use[other] == step
                and self._inherits(task, other, value, place, step)
            ):
                self.slots[place.index].free_from = self.times[last] + 1
                return place
        return self._take(step, size, last)

    def _inherits(self, task: Task | Control, source: Value, target: Value, place: Place, step: int) -> bool:
        """Whether a result may take the memory of an operand that is read for the last time."""
        if any(self.places.get(w) == place for w in task.writes if w != target):
            return False
        same = self.graph.type(source).bytes == self.graph.type(target).bytes
        if not same or self.slots[place.index].free_from != self.times[step] + 1 or self._is_shared(source, step):
            return False
        return all(task.may_share(v, target) for v in task.reads if self.places[v] == place)

    def _is_shared(self, value: Value, step: int) -> bool:
        """Whether a task that may run at the same time reads a value too."""
        at_once = bisect_left(self.times, self.times[step])
        return any(value in task.reads for task in self.tasks[at_once:step])

    def _temporary(self, step: int, buffer: Buffer) -> Place:
        return self._take(step, buffer.size * buffer.dtype.itemsize, step)

    def _take(self, step: int, size: Size, last: int) -> Place:
        """A free slot that fits best, or the largest free one made larger, or a new one; used up to a last step.

        A slot that is much too large is left to what needs it: a mean may live longer than the next activations.
        """
        need, end = nominal(size), self.times[last] + 1
        suits = [nominal(slot.size) <= _LOOSE * need for slot in self.slots]
        free = [n for n, slot in enumerate(self.slots) if slot.free_from <= self.times[step] and suits[n]]
        fitting = [n for n in free if nominal(self.slots[n].size) >= need]
        if fitting:
            best = min(fitting, key=lambda n: (nominal(self.slots[n].size), n))
        elif free:
            best = max(free, key=lambda n: (nominal(self.slots[n].size), -n))
        else:
            self.slots.append(_Slot(size, end))
            return Place(self.space, len(self.slots) - 1)
        slot = self.slots[best]
        slot.size, slot.free_from = maximum(slot.size, size), end
        return Place(self.space, best)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of a node lie that runs bodies (:class:`~sigmagraph.ir.graph.opdef.LayoutContext`)."""

    planner: _Planner
    step: int
    task: Control

    @property
    def operands(self) -> tuple[Place, ...]:
        return tuple(self.planner.places[v] for v in self.task.node.inputs)

    @property
    def results(self) -> tuple[Place, ...]:
        return tuple(self.planner.places[v] for v in self.task.node.outputs)

    @property
    def attrs(self) -> Attrs:
        return self.task.node.attrs

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(self.planner.graph.type(v) for v in self.task.node.inputs)

    @property
    def location(self) -> str:
        return str(self.task.node.location)

    @property
    def turn(self) -> str:
        return f"%turn{self.planner.depth}"

    def body(
        self, name: str, inputs: Sequence[Place], params: Sequence[Place], outputs: Mapping[str, Place]
    ) -> tuple[Step, ...]:
        return self.planner.body(self.step, self.task.bodies[name], inputs, params, outputs)


def _moved(step: Step, move: Callable[[Place], Place]) -> Step:
    """A step, and those in it, at other places."""
    match step:
        case Launch(kernel, places, dims):
            return Launch(kernel, tuple(map(move, places)), dims)
        case Copy(source, target, size):
            return Copy(move(source), move(target), size)
        case Check(condition, message):
            return Check(move(condition), message)
        case Loop(turn, extent, steps):
            return Loop(turn, extent, tuple(_moved(s, move) for s in steps))
        case Branch(condition, then, orelse):
            return Branch(move(condition), *(tuple(_moved(s, move) for s in steps) for steps in (then, orelse)))
