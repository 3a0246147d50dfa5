"""The loop over time: a body graph that is run a number of times and hands its state on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, unused_output, unused_port
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Output
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LayoutContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.plan import Copy, Loop, Step
from sigmagraph.ops import elementwise, movement, reduction
from sigmagraph.ops.cond import check_type
from sigmagraph.ops.residuals import Residuals, differentiable
from sigmagraph.ops.samples import N, normal


@dataclass(frozen=True, slots=True)
class Turns:
    """The parts of a scan.

    Attributes:
        graph: the body. Its parameters are the state; its first inputs are slices, the others the same at each turn.
        sequences: number of inputs that are slices.
    """

    graph: Graph
    sequences: int

    @staticmethod
    def of(attrs: Attrs) -> Turns:
        """The loop that attributes of a scan say."""
        return Turns(attrs["body"].graph, attrs["sequences"])

    @property
    def states(self) -> int:
        """Number of state values."""
        return len(self.graph.params)

    @property
    def slices(self) -> tuple[Value, ...]:
        return self.graph.inputs[: self.sequences]

    @property
    def constants(self) -> tuple[Value, ...]:
        return self.graph.inputs[self.sequences :]

    @property
    def updates(self) -> tuple[Output, ...]:
        """The new value of every state, in the order of the parameters."""
        by_name = {o.updates: o for o in self.graph.outputs if o.updates is not None}
        return tuple(by_name[self.graph.node(p).name] for p in self.graph.params)

    @property
    def stacked(self) -> tuple[Output, ...]:
        """What each turn gives besides its state."""
        return tuple(o for o in self.graph.outputs if o.updates is None)

    @property
    def ports(self) -> tuple[Value, ...]:
        """The ports of the body in the order of the operands."""
        return (*self.graph.params, *self.graph.inputs)

    @property
    def results(self) -> tuple[Output, ...]:
        """The outputs of the body in the order of the results."""
        return (*self.updates, *self.stacked)

    def flags(self, operands: Sequence[bool]) -> tuple[bool, ...]:
        """For each result whether it may carry a cotangent, given whether the operands matter to derivatives."""
        return (*operands[: self.states], *(True,) * len(self.stacked))

    def active(self, operands: Sequence[bool]) -> tuple[bool, ...]:
        """Which operands matter to derivatives, when those given do: so does a state that one of them gets into."""
        graph = self.graph
        flags = list(operands)
        while True:
            dependent = {port for port, flag in zip(self.ports, flags, strict=True) if flag}
            for node in graph.nodes():
                if not dependent.isdisjoint(node.inputs):
                    dependent.update(v for v, t in zip(node.outputs, node.types, strict=True) if t.dtype.is_float)
            new = [flag or update.value in dependent for flag, update in zip(flags, self.updates, strict=False)]
            if new == flags[: self.states]:
                return tuple(flags)
            flags[: self.states] = new


def _infer_scan(context: Inference) -> tuple[TensorType, ...]:
    loop, length = Turns.of(context.attrs), context.attrs["length"]
    graph = loop.graph
    if not 0 <= loop.sequences <= len(graph.inputs):
        expected = f"0 .. {len(graph.inputs)}"
        raise context.error("the body has fewer inputs", expected=expected, got=loop.sequences, kind=GraphError)
    if {graph.node(p).name for p in graph.params} != {o.updates for o in graph.outputs if o.updates is not None}:
        raise context.error(
            "the body does not say the new value of every state", expected="one update a parameter", kind=GraphError
        )
    context.at_least(length, 0, "the number of turns is negative")
    ports = loop.ports
    if len(context.types) != len(ports):
        raise context.error("wrong number of operands", expected=len(ports), got=len(context.types), kind=GraphError)
    for number, (port, given) in enumerate(zip(ports, context.types, strict=True)):
        slice_ = loop.states <= number < loop.states + loop.sequences
        wanted = graph.type(port)
        if slice_:
            wanted = TensorType(wanted.dtype, (length, *wanted.shape))
        check_type(context, given, wanted, f"the operand for '{graph.node(port).name}' and the body")
    results = [graph.type(p) for p in graph.params]
    results += [TensorType(t.dtype, (length, *t.shape)) for t in (graph.type(o.value) for o in loop.stacked)]
    return tuple(results)


def _reference_scan(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    loop, graph = Turns.of(attrs), attrs["body"].graph
    states = list(inputs[: loop.states])
    sequences = inputs[loop.states : loop.states + loop.sequences]
    constants = inputs[loop.states + loop.sequences :]
    stacks = [np.empty(t.shape, t.dtype.numpy) for t in types[loop.states :]]  # type: ignore[type-var]
    names = [graph.node(v).name for v in graph.inputs]
    params = [graph.node(v).name for v in graph.params]
    turns = range(attrs["length"])
    for turn in reversed(turns) if attrs["reverse"] else turns:
        operands = dict(zip(names, [*(s[turn] for s in sequences), *constants], strict=True))
        results = interpret(graph, operands, dict(zip(params, states, strict=True)), attrs["body"].dims)
        states = [results[update.name] for update in loop.updates]
        for stack, output in zip(stacks, loop.stacked, strict=True):
            stack[turn] = results[output.name]
    return (*states, *stacks)


def _steps_scan(layout: LayoutContext) -> Sequence[Step]:
    """The state starts as a copy in its result's place and is overwritten at every turn."""
    loop, attrs = Turns.of(layout.attrs), layout.attrs
    graph, count = loop.graph, loop.states
    states, stacks = layout.results[:count], layout.results[count:]
    sequences, constants = (
        layout.operands[count : count + loop.sequences],
        layout.operands[count + loop.sequences :],
    )
    turn: Size = Dim(layout.turn)
    at = attrs["length"] - 1 - turn if attrs["reverse"] else turn
    starts = [
        Copy(start, state, graph.type(port).bytes)
        for start, state, port in zip(layout.operands, states, graph.params, strict=False)
        if start != state
    ]
    slices = [place.at(at * graph.type(port).bytes) for place, port in zip(sequences, loop.slices, strict=True)]
    outputs = {
        output.name: place.at(at * graph.type(output.value).bytes)
        for place, output in zip(stacks, loop.stacked, strict=True)
    }
    return (*starts, Loop(layout.turn, attrs["length"], layout.body("body", (*slices, *constants), states, outputs)))


def _vjp_scan(c: VjpContext) -> Sequence[Value | None]:
    """A scan the other way round.

    Its state is the cotangent of the state and, for every operand that is the same at each turn, the sum of its
    cotangents. What it needs of the first loop is stacked by a scan that gives it besides the rest.
    """
    loop = Turns(differentiable(c, c.attrs["body"].graph), c.attrs["sequences"])
    active = loop.active(c.active)
    joint = loop.graph.copy()
    flows = [
        (output, cotangent)
        for output, cotangent, flag in zip(loop.results, c.cotangents, loop.flags(active), strict=True)
        if flag and joint.type(output.value).dtype.is_float
    ]
    handed = {o.name: joint.add_input(unused_port(joint, f"d.{o.name}"), joint.type(o.value)) for o, _ in flows}
    wrt = [port for port, flag in zip(loop.ports, active, strict=True) if flag]
    found = c.inside(joint).backward([o.value for o, _ in flows], list(handed.values()), wrt)
    return _Back(c, loop, joint, handed, dict(zip(wrt, found, strict=True))).scan([g for _, g in flows])


class _Back:
    """The scan that carries cotangents back.

    Args:
        c: the scan that is differentiated.
        loop: its body, written out.
        joint: the body with its gradient appended.
        handed: for each result, by name, the input of ``joint`` that its cotangent is.
        found: for each port that matters its cotangent in ``joint``, or None where it is zero.
    """

    def __init__(
        self,
        c: VjpContext,
        loop: Turns,
        joint: Graph,
        handed: Mapping[str, Value],
        found: Mapping[Value, Value | None],
    ) -> None:
        self.c = c
        self.loop = loop
        self.joint = joint
        self.handed = handed
        self.found = found
        self.residuals = Residuals(loop.graph, joint, [v for v in found.values() if v is not None])
        self.graph = Graph(f"{loop.graph.name}.back")
        self.inside = c.inside(self.graph)
        self.values: dict[Value, Value] = {}  # of joint to values of the new body
        self.slices: list[Value] = []
        self.same: list[Value] = []

    def scan(self, cotangents: Sequence[Value]) -> Sequence[Value | None]:
        """Append it; returns the cotangents of all operands of the scan, given those of its results."""
        loop, joint = self.loop, self.joint
        updates = zip(loop.graph.params, loop.updates, strict=True)
        states = {port: self.handed[update.name] for port, update in updates if port in self.found}
        summed = [port for port in loop.constants if self.found.get(port) is not None]
        stacked = [port for port in loop.slices if self.found.get(port) is not None]
        for cotangent in states.values():
            self._state(cotangent)
        sums = {
            p: self.graph.add_param(unused_port(self.graph, f"sum.{_name(joint, p)}"), joint.type(p)) for p in summed
        }
        self._inputs(list(self.handed.values())[len(states) :], cotangents[len(states) :])
        self.residuals.replay(self.graph, self.values)
        for port, cotangent in states.items():
            name = _name(joint, cotangent)
            self.graph.add_output(name, self._cotangent(port), name)
        for port, total in sums.items():
            name = _name(self.graph, total)
            self.graph.add_output(name, self.inside.emit("add", total, self._cotangent(port)), name)
        for port in stacked:
            name = unused_output(self.graph, f"d.{_name(joint, port)}")
            self.graph.add_output(name, self._cotangent(port))
        zeros = [self.c.full(0.0, joint.type(port)) for port in summed]
        results = self.c.emit_all(
            "scan",
            *(*cotangents[: len(states)], *zeros, *self.slices, *self.same),
            body=Body(self.graph),
            sequences=len(self.slices),
            length=self.c.attrs["length"],
            reverse=not self.c.attrs["reverse"],
        )
        given = dict(zip((*states, *summed, *stacked), results, strict=True))
        return tuple(given.get(port) for port in loop.ports)

    def _state(self, cotangent: Value) -> None:
        self.values[cotangent] = self.graph.add_param(_name(self.joint, cotangent), self.joint.type(cotangent))

    def _inputs(self, handed: Sequence[Value], cotangents: Sequence[Value]) -> None:
        """Slices: cotangents of what is stacked, slices of the operands, what was saved. Then what stays the same."""
        operands = dict(zip(self.loop.ports, self.c.inputs, strict=True))
        for value, stack in zip(handed, cotangents, strict=True):
            self._input(value, _name(self.joint, value), stack, self.slices)
        for port in self.residuals.ports(self.loop.slices):
            self._input(port, _name(self.joint, port), operands[port], self.slices)
        for value, stack in _saving(self.c, self.loop, self.residuals):
            self._input(value, f"saved.{value.node}", stack, self.slices)
        for port in self.residuals.ports(self.loop.constants):
            self._input(port, _name(self.joint, port), operands[port], self.same)

    def _input(self, value: Value, name: str, operand: Value, operands: list[Value]) -> None:
        self.values[value] = self.graph.add_input(unused_port(self.graph, name), self.joint.type(value))
        operands.append(operand)

    def _cotangent(self, port: Value) -> Value:
        gradient = self.found[port]
        return self.inside.full(0.0, self.joint.type(port)) if gradient is None else self.values[gradient]


def _name(graph: Graph, port: Value) -> str:
    return graph.node(port).name


def _saving(c: VjpContext, loop: Turns, residuals: Residuals) -> list[tuple[Value, Value]]:
    """The values of the body that the way back needs, each with the stack of what it was at every turn."""
    known = {o.value: c.outputs[loop.states + n] for n, o in enumerate(loop.stacked)}
    missing = [v for v in residuals.saved if v not in known]
    if missing:
        saving = loop.graph.copy()
        for value in missing:
            saving.add_output(unused_output(saving, f"saved.{value.node}"), value)
        results = c.emit_all("scan", *c.inputs, **{**c.attrs, "body": Body(saving)})
        known |= zip(missing, results[len(c.outputs) :], strict=True)
    return [(v, known[v]) for v in residuals.saved]


# ---- samples


def _body(dtype: DType = F64) -> Graph:
    """``h' = h * x + sum(w * h)`` for state h[4], slices x[4] and constants w[3,4]; h' * h at every turn."""
    graph = Graph("turn")
    h = graph.add_param("h", TensorType(dtype, (4,)))
    x = graph.add_input("x", TensorType(dtype, (4,)))
    w = graph.add_input("w", TensorType(dtype, (3, 4)))
    b = Builder(graph, {op.name: op for op in (*elementwise.OPS, *movement.OPS, *reduction.OPS)})
    weighted = b.emit("reduce_sum", b.emit("mul", w, b.emit("broadcast", h, shape=(3, 4))), axes=(0,))
    new = b.emit("add", b.emit("mul", h, x), weighted)
    graph.add_output("h", new, "h")
    graph.add_output("y", b.emit("mul", new, h))
    return graph


def _scan_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def turns(length: Size, reverse: bool = False) -> dict[str, object]:
        return {"body": Body(_body()), "sequences": 1, "length": length, "reverse": reverse}

    start, weights = normal(rng, 4), normal(rng, 3, 4) * 0.3
    for reverse in (False, True):
        yield Sample((start, normal(rng, 5, 4), weights), turns(5, reverse))
    yield Sample((start, normal(rng, 0, 4), weights), turns(0))
    yield Sample((start, normal(rng, 5, 4), weights), turns(N), shapes=((4,), (N, 4), (3, 4)))


_TURNS = {"body": Body(_body(F32)), "sequences": 1, "length": 5}
_STATE, _SLICES, _WEIGHTS = TensorType(F32, (4,)), TensorType(F32, (5, 4)), TensorType(F32, (3, 4))
OPS = (
    OpDef(
        name="scan",
        doc="Runs `body` `length` times. Its parameters are the state: they start with the first operands, and what "
        "updates them is handed to the next turn. Its first `sequences` inputs are slices [i] of the next operands, "
        "the others the same at each turn. Results: the last state, then each other output of all turns, [length,...]. "
        "With `reverse` the turns go from the last slice to the first.",
        kind=OpKind.CONTROL,
        arity=None,
        attrs=(
            AttrSpec("body", "graph", "one turn"),
            AttrSpec("sequences", "int", "number of inputs of the body that are slices"),
            AttrSpec("length", "size", "number of turns"),
            AttrSpec("reverse", "bool", "whether the last slice comes first", False),
        ),
        infer=_infer_scan,
        reference=_reference_scan,
        vjp=_vjp_scan,
        steps=_steps_scan,
        samples=_scan_samples,
        errors=(
            ErrorSample((_STATE, _SLICES), _TURNS, GraphError, "wrong number of operands"),
            ErrorSample((_SLICES, _SLICES, _WEIGHTS), _TURNS, ShapeError, "the ranks of the operand for 'h'"),
            ErrorSample((_STATE, TensorType(F32, (6, 4)), _WEIGHTS), _TURNS, ShapeError, "the operand for 'x'"),
            ErrorSample((_STATE, TensorType(F64, (5, 4)), _WEIGHTS), _TURNS, DTypeError, "the operand for 'x'"),
            ErrorSample((_STATE, _SLICES, _WEIGHTS), {**_TURNS, "sequences": 3}, GraphError, "fewer inputs"),
            ErrorSample((_STATE, _SLICES, _WEIGHTS), {**_TURNS, "length": -1}, ShapeError, "negative"),
            ErrorSample((_STATE, _SLICES, _WEIGHTS), {**_TURNS, "body": 3}, AttributeValueError, "'body'"),
        ),
    ),
)
