"""The matrix of all ops and their samples: everything that must hold for an op, tested for every op alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from evaluators import EVALUATORS, assert_agree, evaluations, native
from op_cases import CASES, HERE, TYPES, Case, about

from sigmagraph.autodiff.numeric import directional_derivative
from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dtypes import F32, F64, I32, I64, DType
from sigmagraph.errors import DifferentiationError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import ErrorSample, NDArray, NotDifferentiable, OpDef, OpKind, Sample
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.base import keep, rebuild

# One type goes every way; what another type changes is seen at the end of the way. Scheduled kernels are on the way to
# legal ones.
WAYS = {(F32, I64): tuple(name for name in EVALUATORS if name != "scheduled kernels")}
# What is seen by the extended tests only: loops of fused kernels are those that legal kernels are made of.
SELDOM = ("fused kernels", "unfused native")
INTERPRETED = ("kernels", "legal kernels")  # each sample goes one of these by default


ERRORS = [(op, sample) for op in OPS.values() for sample in op.errors]
every_op = pytest.mark.parametrize("op", OPS.values(), ids=str)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_op
def test_a_record_is_complete(op: OpDef) -> None:
    assert op.doc.endswith(".")
    assert [op.lower, op.loops, op.steps, op.decompose].count(None) == 3
    assert (op.kind is OpKind.CONTROL) == (op.steps is not None)
    assert (op.kind is OpKind.OPAQUE) == (op.loops is not None)
    assert (op.kind is OpKind.COMPOSITE) == (op.decompose is not None)
    assert op.vjp is not None or op.decompose is not None
    assert op.errors
    assert all(spec.doc for spec in op.attrs)


@every_op
def test_samples_have_empty_arrays_and_symbolic_dims(op: OpDef) -> None:
    cases = [case for case in CASES if case.op is op]
    arrays = [array for case in cases for array in _arrays(case)]
    assert any(array.size == 0 for array in arrays)
    samples = [case.sample for case in cases]
    assert any(sample.shapes for sample in samples) or not _has_free_sizes(samples)


def _arrays(case: Case) -> list[NDArray]:
    """The operands and the results."""
    graph, inputs = case.single(F64, I32)
    return [*inputs.values(), *interpret(graph, inputs).values()]


def _has_free_sizes(samples: Sequence[Sample]) -> bool:
    """Whether a size of an operand may be anything: those of a random key may not."""
    return any(array.shape not in ((), (2,)) for sample in samples for array in sample.inputs)


@every_case
def test_sizes_of_a_sample_are_pairwise_different(case: Case) -> None:
    for array in _arrays(case):
        square = case.sample.square and array.shape[-2:-1] == array.shape[-1:]
        sizes = [size for size in array.shape[: -1 if square else None] if size > 1]
        assert len(set(sizes)) == len(sizes), f"axes of {array.shape} cannot be told apart"


@every_case
def test_reference_agrees_with_inference(case: Case) -> None:
    for types in TYPES:
        with about(types):
            graph, inputs = case.single(*types)
            interpret(graph, inputs)  # raises VerifyError where they do not agree


@every_case
def test_text_round_trip(case: Case) -> None:
    graph, inputs = case.single(F32, I32)
    text = print_graph(graph)
    again = parse_graph(text, OPS)
    assert difference(graph, again) is None
    assert print_graph(again) == text
    expected = interpret(graph, inputs)
    for name, actual in interpret(again, inputs).items():
        assert_agree(actual, expected[name], exact=True)


def _goes(case: Case, types: tuple[DType, DType], way: str) -> bool:
    """Whether a sample goes a way by default: each of them goes in two types, the one that goes every way and another."""
    others = [other for other in TYPES if other not in WAYS]
    if way in SELDOM or (way in INTERPRETED and way != INTERPRETED[case.number % 2]):
        return False
    return types in WAYS or types == others[case.number % len(others)]


def _agree(case: Case, goes: Callable[[Case, tuple[DType, DType], str], bool]) -> None:
    """What the ways that a sample goes compute is what the reference does."""
    for types in TYPES:
        ways = [way for way in WAYS.get(types, ("native",)) if goes(case, types, way)]
        if not ways:
            continue
        graph, inputs = case.single(*types)
        expected = interpret(graph, inputs)
        with about(types):
            for way, actual in evaluations(graph, inputs, ways):
                with about(way):
                    case.agree(actual, expected)


@every_case
def test_every_evaluation_agrees_with_the_reference(case: Case) -> None:
    _agree(case, _goes)


@pytest.mark.extended
@every_case
def test_every_evaluation_agrees_with_the_reference_in_other_types(case: Case) -> None:
    # Without fusion composites are other programs; the rest is what it was.
    fused = case.op.kind is not OpKind.COMPOSITE
    _agree(case, lambda case, types, way: not _goes(case, types, way) and not (fused and way == "unfused native"))


@every_op
def test_samples_of_an_op_go_every_way_and_in_every_type(op: OpDef) -> None:
    cases = [case for case in CASES if case.op is op]
    assert all(any(_goes(case, types, "native") for case in cases) for types in TYPES)
    ways = [way for way in WAYS[F32, I64] if way not in SELDOM]
    assert all(any(_goes(case, (F32, I64), way) for case in cases) for way in ways)


# What fast mode writes otherwise, at every size.
FAST = native(CompileOptions(cache=False, checks=False, fast=True, passes="winograd{tile=4},standard"))


@pytest.mark.parametrize("types", TYPES[1:3], ids=str)
@pytest.mark.parametrize("case", [c for c in CASES if c.op.name in ("convolution", "convolution_weights")], ids=str)
def test_fast_mode_agrees_with_the_reference(case: Case, types: tuple[DType, DType]) -> None:
    graph, inputs = case.single(*types)
    expected = interpret(graph, inputs)
    for name, actual in FAST(graph, inputs).items():
        assert_agree(actual, expected[name], sums=True)


# ---- derivatives


def _is_smooth(case: Case) -> bool:
    if case.sample.kinks or isinstance(case.op.vjp, NotDifferentiable):
        return False
    graph, inputs = case.single(F64, I32)
    results = interpret(graph, inputs).values()
    return all(any(a.dtype == np.float64 for a in arrays) for arrays in (results, inputs.values()))


@pytest.mark.parametrize("case", [case for case in CASES if _is_smooth(case)], ids=str)
def test_first_and_second_derivatives_along_a_random_direction(case: Case) -> None:
    rng = np.random.default_rng(case.number)
    graph, builder, results, inputs = case.graph(F64, I32)
    floats = [name for name, array in inputs.items() if array.dtype == np.float64]
    values = [graph.port(name).outputs[0] for name in floats]
    arrays = dict(inputs)

    def direction(name: str, value: Value, like: NDArray) -> Value:
        arrays[name] = np.asarray(rng.standard_normal(like.shape))
        return graph.add_input(name, graph.type(value))

    def inner(a: Value, b: Value) -> Value:
        return builder.emit("reduce_sum", builder.emit("mul", a, b), axes=tuple(range(graph.type(a).rank)))

    def along(y: Value, name: str) -> Value:
        """The derivative of y along a random direction, as a node."""
        total = builder.constant(0.0, F64)
        for number, (value, gradient) in enumerate(zip(values, gradients(graph, OPS, y, values), strict=True)):
            assert graph.type(gradient) == graph.type(value)
            way = direction(f"{name}{number}", value, inputs[floats[number]])
            total = builder.emit("add", total, inner(gradient, way))
        return total

    def function(name: str) -> Callable[[Sequence[NDArray]], float]:
        """An output by the floats, and by nothing that is added to the graph later."""
        so_far, given = rebuild(graph, keep), dict(arrays)
        return lambda points: float(interpret(so_far, given | dict(zip(floats, points, strict=True)))[name])

    y = builder.constant(0.0, F64)
    for number, (result, array) in enumerate(zip(results, interpret(*case.single(F64, I32)).values(), strict=True)):
        if array.dtype == np.float64:
            y = builder.emit("add", y, inner(result, direction(f"weights{number}", result, array)))
    graph.add_output("y", y)
    value = function("y")
    first = along(y, "u")
    graph.add_output("first", first)
    slope = function("first")
    graph.add_output("second", along(first, "v"))
    computed = interpret(graph, arrays)
    point = [inputs[name] for name in floats]
    for of, by, ways in ((value, "first", "u"), (slope, "second", "v")):
        estimate = directional_derivative(of, point, [arrays[f"{ways}{i}"] for i in range(len(floats))], 0.004)
        assert estimate.error < 1e-6 * (1 + abs(estimate.value))
        assert abs(computed[by] - estimate.value) < 1e-7 * (1 + abs(estimate.value)) + 4 * estimate.error


@every_op
def test_ops_without_derivative_say_so(op: OpDef) -> None:
    if not isinstance(op.vjp, NotDifferentiable):
        return
    assert op.vjp.reason
    for case in (case for case in CASES if case.op is op):
        graph, builder, (result, *_), inputs = case.graph(F64, I32)
        floats = [graph.port(name).outputs[0] for name, a in inputs.items() if a.dtype == np.float64]
        if floats:
            y = builder.emit(
                "reduce_sum", builder.emit("cast", result, dtype=F64), axes=tuple(range(graph.type(result).rank))
            )
            with pytest.raises(DifferentiationError, match=op.vjp.reason):
                gradients(graph, OPS, y, floats)


# ---- errors


@pytest.mark.parametrize(("op", "sample"), ERRORS, ids=lambda v: v.name if isinstance(v, OpDef) else v.match)
def test_wrong_uses_are_refused_with_a_location(op: OpDef, sample: ErrorSample) -> None:
    graph = Graph()
    values = [graph.add_input(f"x{i}", type) for i, type in enumerate(sample.types)]
    with pytest.raises(sample.error, match=sample.match) as caught:
        Builder(graph, OPS, HERE).emit_all(op, *values, **sample.attrs)
    assert type(caught.value) is sample.error
    assert caught.value.location == HERE
    assert op.name in str(caught.value)
    assert caught.value.expected is not None or caught.value.got is not None
    assert len(graph) == len(values)
