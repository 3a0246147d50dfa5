"""Loops and branches in graphs, and functions that say how they are differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.graph import Graph, unused_output
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.tensor.structure import Structure, check_same_form, leaves, like
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, emit, emit_all
from sigmagraph.tensor.tracing import Trace, arguments, check_function, trace
from sigmagraph.tensor.workspace import here


def scan(
    function: Callable[[Structure, Structure], tuple[Structure, Structure]],
    start: Structure,
    slices: Structure = None,
    length: Size | None = None,
    reverse: bool = False,
) -> tuple[Structure, Structure]:
    """A loop: ``state, y = function(state, x)`` for every slice ``x`` of ``slices`` along their first axis.

    The function is called once, with tensors that stand for one turn; what it makes becomes the body of the loop. It
    may read any tensor from outside, which is then the same at each turn.

    Args:
        function: from the state and one slice to the new state, which has the same form, shapes and dtypes, and what
            each turn is to give besides, or None.
        start: the first state: a tensor, or a tuple, list or dict of tensors.
        slices: tensors [length, ...], likewise; None for a loop that only counts.
        length: number of turns; it follows from the slices if there are any.
        reverse: whether the last slice comes first. What turn i gives stands at [i] all the same.

    Returns:
        The last state, and what all turns gave, stacked along a new first axis.

    Raises:
        GraphError: the function returns something else, or nothing says how many turns there are.
        ShapeError, DTypeError: the new state has another type than the old one, or slices differ in length.
    """
    states, sequences = leaves(start), leaves(slices)
    for tensor in sequences:
        if not tensor.ndim:
            raise ShapeError("scan: a scalar has no slices", expected="[length, ...]", got=tensor.type, location=here())
    if length is None:
        if not sequences:
            raise GraphError(
                "scan: nothing says how many turns there are", expected="slices or length", location=here()
            )
        length = sequences[0].shape[0]
    stand_ins = arguments([t.type for t in states] + [TensorType(t.dtype, t.shape[1:]) for t in sequences])
    old, parts = stand_ins[: len(states)], stand_ins[len(states) :]
    turn = trace(function, (like(start, old), like(slices, parts)), stand_ins)
    if not isinstance(turn.structure, tuple) or len(turn.structure) != 2:
        got = type(turn.structure).__name__
        raise GraphError("scan: the function does not return a pair", expected="state, y", got=got, location=here())
    state, given = turn.structure
    check_same_form(state, start, "scan: the new state has another form than the old one")
    for number, (new, before) in enumerate(zip(turn.results, states, strict=False)):
        _check_type(new, before.type, f"scan: part {number} of the new state has another type than the old one")
    named = [*_named("x", parts), *_captured(turn)]
    graph, values = turn.graph("turn", named, _named("state", old))
    for port, value in zip(graph.params, values, strict=False):
        graph.add_output(graph.node(port).name, value, graph.node(port).name)
    _add_outputs(graph, "y", values[len(states) :])
    attrs = {"body": Body(graph), "sequences": len(sequences), "length": length, "reverse": reverse}
    results = emit_all("scan", *states, *sequences, *turn.captured, **attrs)
    return like(state, results[: len(states)]), like(given, results[len(states) :])


def cond(
    condition: TensorLike,
    then: Callable[..., Structure],
    orelse: Callable[..., Structure],
    *operands: Structure,
) -> Structure:
    """``then(*operands)`` where a truth value holds, else ``orelse(*operands)``; only the one that is chosen runs.

    Both functions are called once, to see what they make. What does not depend on the operands is computed before the
    choice, whatever it is.

    Args:
        condition: a bool scalar.
        then: what is computed if it holds.
        orelse: what is computed if not; results of the same form, shapes and dtypes.
        operands: what the functions work on: tensors, or tuples, lists or dicts of tensors.

    Raises:
        GraphError: the results differ in form.
        ShapeError, DTypeError: the results differ in type, or the condition is no truth value.
    """
    flag = as_tensor(condition)
    if flag.dtype is not BOOL or flag.ndim:
        kind = ShapeError if flag.dtype is BOOL else DTypeError
        raise kind("cond: the condition is no truth value", expected="bool[]", got=flag.type, location=here())
    tensors = leaves(operands)
    traces = []
    for function in (then, orelse):
        stand_ins = arguments([t.type for t in tensors])
        traces.append(trace(function, like(operands, stand_ins), stand_ins))
    first, second = traces
    check_same_form(second.structure, first.structure, "cond: the branches give results of different forms")
    for number, (a, b) in enumerate(zip(first.results, second.results, strict=True)):
        _check_type(b, a.type, f"cond: result {number} of the branches differs in type")
    graphs = {}
    for name, branch in zip(("then", "orelse"), traces, strict=True):
        foreign = [t for other in traces if other is not branch for t in other.captured]
        order = (
            [*_captured(branch), *_named("unread", foreign)]
            if branch is first
            else [*_named("unread", foreign), *_captured(branch)]
        )
        graph, values = branch.graph(name, [*_named("x", branch.arguments), *order])
        _add_outputs(graph, "y", values)
        graphs[name] = Body(graph)
    results = emit_all("cond", flag, *tensors, *first.captured, *second.captured, **graphs)
    return like(first.structure, results)


def checkpoint(function: Callable[..., Structure]) -> Callable[..., Structure]:
    """The function, with a gradient that computes it again instead of keeping what it computed on the way.

    Source: T. Chen et al., "Training deep nets with sublinear memory cost" (2016).

    Args:
        function: from tensors (or tuples, lists or dicts of them) to such; tensors from outside are kept as they are.
    """
    check_function(function)

    def call(*operands: Structure) -> Structure:
        tensors = leaves(operands)
        stand_ins = arguments([t.type for t in tensors])
        part = trace(function, like(operands, stand_ins), stand_ins)
        graph, values = part.graph(_name_of(function), [*_named("x", stand_ins), *_captured(part)])
        _add_outputs(graph, "y", values)
        results = emit_all("checkpoint", *tensors, *part.captured, body=Body(graph), arguments=len(tensors))
        return like(part.structure, results)

    return call


def custom_gradient(
    function: Callable[..., Structure],
    gradient: Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Structure],
) -> Callable[..., Structure]:
    """The function, with a gradient of its own.

    Args:
        function: from tensors (or tuples, lists or dicts of them) to such.
        gradient: from the tensors among the operands, those among the results, and the cotangents of the float results,
            to the cotangents of the float operands, in order. It may be differentiated in turn.

    Raises:
        GraphError: one of the functions reads a tensor from outside, which would get no gradient: make it an operand.
        ShapeError, DTypeError: a cotangent has another type than its operand.
    """
    check_function(function)
    check_function(gradient)

    def call(*operands: Structure) -> Structure:
        tensors = leaves(operands)
        stand_ins = arguments([t.type for t in tensors])
        forth = trace(function, like(operands, stand_ins), stand_ins)
        results = forth.results
        floats = [t for t in results if t.dtype.is_float]
        handed = arguments([t.type for t in (*tensors, *results, *floats)])
        ends = len(tensors), len(tensors) + len(results)
        parts = (handed[: ends[0]], handed[ends[0] : ends[1]], handed[ends[1] :])
        back = trace(gradient, parts, handed)
        for part in (forth, back):
            if part.captured:
                raise GraphError(
                    "custom_gradient: a function reads a tensor that is not among its operands",
                    expected="operands only",
                    got=repr(part.captured[0]),
                    location=here(),
                )
        wanted = [t for t in tensors if t.dtype.is_float]
        if len(back.results) != len(wanted):
            raise GraphError(
                "custom_gradient: the gradient gives another number of cotangents than there are float operands",
                expected=len(wanted),
                got=len(back.results),
                location=here(),
            )
        for number, (cotangent, operand) in enumerate(zip(back.results, wanted, strict=True)):
            _check_type(
                cotangent, operand.type, f"custom_gradient: cotangent {number} has another type than its operand"
            )
        body, values = forth.graph(_name_of(function), _named("x", stand_ins))
        _add_outputs(body, "y", values)
        rule, found = back.graph(_name_of(gradient), list(chain(*map(_named, ("x", "y", "g"), parts))))
        _add_outputs(rule, "d.x", found)
        return like(forth.structure, emit_all("custom_gradient", *tensors, body=Body(body), gradient=Body(rule)))

    return call


def stop_gradient(x: TensorLike) -> Tensor:
    """The tensor itself, taken for a constant where derivatives are made."""
    return emit("stop_gradient", as_tensor(x))


def _named(stem: str, tensors: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
    """Names for ports: the stem for one, the stem and a number for several."""
    if len(tensors) == 1:
        return [(stem, tensors[0])]
    return [(f"{stem}.{number}", tensor) for number, tensor in enumerate(tensors)]


def _captured(part: Trace) -> list[tuple[str, Tensor]]:
    """Names for the tensors from outside: their own if they have one."""
    return [(tensor.name or "outer", tensor) for tensor in part.captured]


def _add_outputs(graph: Graph, stem: str, values: Sequence[Value]) -> None:
    for number, value in enumerate(values):
        graph.add_output(unused_output(graph, stem if len(values) == 1 else f"{stem}.{number}"), value)


def _check_type(got: Tensor, expected: TensorType, what: str) -> None:
    if got.dtype is not expected.dtype:
        raise DTypeError(what, expected=expected, got=got.type, location=got.location, hint="x.astype(dtype) converts")
    if len(got.shape) != len(expected.shape) or any(
        isinstance(a - b, int) and a != b for a, b in zip(got.shape, expected.shape, strict=True)
    ):
        raise ShapeError(what, expected=expected, got=got.type, location=got.location)


def _name_of(function: Callable[..., object]) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else "body"
