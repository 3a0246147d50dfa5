"""Sweeps over rows: how many kernels softmax, norms, losses and their gradients take, and that numbers stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.partition import Task, partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import AVX2, BASELINE
from sigmagraph.codegen.templates.columns import AT_ONCE
from sigmagraph.dtypes import F32
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Apply, Load, walk
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Alloc, For, Kernel, Let, LoopKind, Space, Stmt, Store, statements
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.ir.plan import Check, Launch
from sigmagraph.losses import softmax_cross_entropy
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD

FRESH = CompileOptions(cache=False)
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def layer_norm(x: sg.Tensor, gain: sg.Tensor, shift: sg.Tensor) -> sg.Tensor:
    """Over the last axis, as users write it."""
    d = x - x.mean(axis=-1, keepdims=True)
    return d / sg.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5) * gain + shift


def variance(x: sg.Tensor) -> sg.Tensor:
    return ((x - x.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)


def compiled(
    inputs: Sequence[sg.Tensor], outputs: Mapping[str, sg.Tensor], target: str = "cpu:1"
) -> sg.CompiledFunction:
    return sg.compile(inputs, outputs, target=target, options=FRESH)


def works(graph: Graph) -> list[Compute]:
    """What the launches of a graph compute."""
    tasks = partition(PassManager(STANDARD, OPS).run(graph)).tasks
    assert all(isinstance(task, Task) and isinstance(task.work, Compute) for task in tasks)
    return [task.work for task in tasks if isinstance(task, Task) and isinstance(task.work, Compute)]


def check(function: sg.CompiledFunction, arrays: Mapping[str, Array], rtol: float = 3e-5) -> None:
    """The numbers of the program are those of the graph."""
    expected = interpret(function.graph, arrays)
    for name, array in function(**arrays).items():
        np.testing.assert_allclose(array, expected[name], rtol=rtol, atol=rtol * np.abs(expected[name]).max(initial=0))


def normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


# ---- one kernel


@pytest.mark.parametrize("columns", [7, 50, 1000])
@pytest.mark.parametrize("op", [sg.softmax, sg.log_softmax, lambda x: x.mean(axis=1), variance])
def test_a_row_is_read_by_one_kernel(op: Callable[[sg.Tensor], sg.Tensor], columns: int) -> None:
    x = sg.placeholder("x", (sg.Dim("n"), columns))
    f = compiled([x], {"y": op(x)})
    assert len(f.plan.steps) == 1
    for rows in (0, 1, 5, 37):
        check(f, {"x": normal(rows, columns)})


def test_the_length_of_a_row_may_be_known_at_the_call() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), sg.Dim("k")))
    f = compiled([x], {"y": sg.softmax(x)})
    assert len(f.plan.steps) == 1
    for shape in ((1, 1), (3, 5), (4, 64), (2, 999), (0, 3)):
        check(f, {"x": normal(*shape)})
    assert f(np.zeros((3, 0), np.float32))["y"].shape == (3, 0)


@pytest.mark.parametrize("columns", [10, 300])
def test_a_loss_and_its_gradient_are_one_kernel_and_the_mean_another(columns: int) -> None:
    """The first one looks whether all labels name a class."""
    n = sg.Dim("n")
    x, labels = sg.placeholder("x", (n, columns)), sg.placeholder("labels", (n,), dtype="int32")
    loss = softmax_cross_entropy(x, labels)
    f = compiled([x, labels], {"loss": loss.mean(), "dx": sg.gradients(loss.mean(), [x])[0]})
    assert [type(step) for step in f.plan.steps] == [Launch, Check, Launch, Launch]
    for rows in (1, 9, 33):
        check(f, {"x": normal(rows, columns), "labels": np.arange(rows, dtype=np.int32) % columns})


@pytest.mark.parametrize("columns", [12, 96])
def test_a_norm_and_its_gradient_are_two_kernels(columns: int) -> None:
    """One along the rows, and one for the sums down the columns."""
    n = sg.Dim("n")
    x, dy = sg.placeholder("x", (n, columns)), sg.placeholder("dy", (n, columns))
    gain, shift = sg.placeholder("gain", (columns,)), sg.placeholder("shift", (columns,))
    y = layer_norm(x, gain, shift)
    dx, dgain, dshift = sg.gradients((y * dy).sum(), [x, gain, shift])
    f = compiled([x, dy, gain, shift], {"y": y, "dx": dx, "dgain": dgain, "dshift": dshift})
    assert len(f.plan.steps) == 2
    for rows in (1, 21):
        arrays = {"x": normal(rows, columns), "dy": normal(rows, columns)}
        check(f, arrays | {"gain": normal(columns), "shift": normal(columns)}, rtol=2e-4)


def test_softmax_along_an_axis_in_the_middle_takes_strips() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), 5, sg.Dim("w")))
    f = compiled([x], {"y": sg.softmax(x, axis=1)})
    assert len(f.plan.steps) == 1
    for rows, width in ((3, 70), (2, 8), (1, 3)):
        check(f, {"x": normal(rows, 5, width)})


def test_statistics_of_columns_share_a_sweep() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), 70))
    f = compiled([x], {"sum": x.sum(axis=0), "squares": (x * x).sum(axis=0), "most": x.max(axis=0)})
    assert len(f.plan.steps) == 1
    (work,) = works(f.graph)
    assert [len(sweep.folds) for sweep in work.sweeps] == [3]
    for rows in (1, 130):
        check(f, {"x": normal(rows, 70)})


def test_a_normalised_value_may_take_the_place_of_its_operand() -> None:
    x, w = sg.placeholder("x", (64, 64)), sg.placeholder("w", (64, 64))
    f = compiled([x, w], {"y": sg.softmax(x @ w) @ w})
    launches = [step for step in f.plan.steps if isinstance(step, Launch)]
    assert len(launches) == 3
    assert launches[1].places[0] == launches[1].places[1]
    check(f, {"x": normal(64, 64), "w": normal(64, 64)})


# ---- what is kept


def exponentials(kernel: Kernel) -> int:
    """How often ``exp`` stands in a kernel."""
    values = [s.value for s in statements(kernel.body) if isinstance(s, Let)]
    return sum(isinstance(e, Apply) and e.op == "exp" for value in values for e in walk(value))


@pytest.mark.parametrize("again", [False, True], ids=["in the result", "in memory of the thread"])
def test_what_is_dear_is_computed_once_and_kept_for_a_row(again: bool) -> None:
    """In the result, unless its memory may be that of an operand which is read again later."""
    x = sg.placeholder("x", (sg.Dim("n"), 64))
    function = compiled([x], {"y": sg.softmax(x) * x if again else sg.softmax(x)})
    (work,) = works(function.graph)
    assert exponentials(naive_kernel(work)) == 2
    kernel = schedule(work, AVX2)
    verify_kernel(kernel)
    assert exponentials(kernel) == 1
    kept = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc) and s.buffer.space is Space.SCRATCH]
    assert [buffer.size for buffer in kept] == [64] * again
    check(function, {"x": normal(37, 64)})


def test_what_is_cheap_is_computed_again() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), 64))
    (work,) = works(compiled([x], {"y": x - x.mean(axis=1, keepdims=True), "v": variance(x)}).graph)
    kernel = schedule(work, AVX2)
    assert not any(isinstance(s, Alloc) and s.buffer.space is Space.SCRATCH for s in statements(kernel.body))


# ---- long sums


def test_a_long_sum_is_cut_into_tasks() -> None:
    x = sg.placeholder("x", (sg.Dim("n"),))
    outputs = {"sum": x.sum(), "most": x.max(), "mean square": (x * x).mean()}
    functions = [compiled([x], outputs, f"cpu:{threads}") for threads in (1, 2, 3)]
    assert len(functions[0].plan.steps) == 1
    for n in (0, 1, 16384, 100_001):
        array = normal(n)
        results = [f(array) for f in functions]
        for other in results[1:]:
            assert all(other[name].tobytes() == value.tobytes() for name, value in results[0].items())
        if n:
            wide = array.astype(np.float64)
            assert results[0]["sum"] == pytest.approx(wide.sum(), rel=1e-5, abs=1e-3)
            assert results[0]["most"] == array.max()
            assert results[0]["mean square"] == pytest.approx((wide**2).mean(), rel=1e-6)


def test_long_columns_are_cut_into_tasks() -> None:
    """Statistics of channels: few columns, many rows."""
    x = sg.placeholder("x", (sg.Dim("n"), 4, 40))
    mean = x.mean(axis=(0, 1))
    outputs = {"mean": mean, "variance": ((x - mean) ** 2).mean(axis=(0, 1))}
    functions = [compiled([x], outputs, f"cpu:{threads}") for threads in (1, 2)]
    assert len(functions[0].plan.steps) == 2
    kernels = [schedule(work, AVX2) for work in works(functions[0].graph)]
    assert all(kernel.params[-1].name == "%partial0" for kernel in kernels)
    for n in (1, 102, 103, 700):
        results = [f(normal(n, 4, 40)) for f in functions]
        assert all(results[1][name].tobytes() == value.tobytes() for name, value in results[0].items())
        check(functions[0], {"x": normal(n, 4, 40)})


def test_phases_of_a_long_sum_are_a_legal_kernel() -> None:
    x = sg.placeholder("x", (sg.Dim("n"), 3))
    (work,) = works(compiled([x], {"y": sg.exp(x).sum() * 2.0}).graph)
    kernel = schedule(work, BASELINE)
    verify_kernel(kernel)
    assert [b.name for b in kernel.params[len(work.params) :]] == ["%partial0"]
    for n in (0, 1, 6000):
        array, out, partial = normal(n, 3), np.zeros((1,), np.float32), np.zeros(-(-3 * n // 16384), np.float32)
        interpret_kernel(kernel, [array.reshape(-1), out, partial], {"n": n})
        assert out[0] == pytest.approx(2 * np.exp(array.astype(np.float64)).sum(), rel=1e-5)


def test_many_long_columns_are_read_row_by_row() -> None:
    """Both sums of a norm's gradient: wide strips, whose accumulators are gone through for every row."""
    x, y = sg.placeholder("x", (1000, 300)), sg.placeholder("y", (1000, 300))
    outputs = {"sum": x.sum(axis=0), "product": (x * y).sum(axis=0)}
    functions = [compiled([x, y], outputs, f"cpu:{threads}") for threads in (1, 2, 3)]
    (work,) = works(functions[0].graph)
    kernel = schedule(work, AVX2)
    verify_kernel(kernel)
    assert kernel.params[-1].name == "%partial1"
    rows = next(s for s in statements(kernel.body) if isinstance(s, For) and s.var == "%r0")
    (vectors,) = rows.body
    assert isinstance(vectors, For)
    assert (vectors.kind, vectors.extent) == (LoopKind.SERIAL, 300 // AVX2.lanes(F32))
    # Several rows are read for each time that an accumulator is.
    reads = [e.buffer for s in statements(vectors.body) for e in _loads(s)]
    assert reads.count(work.params[0].name) == AT_ONCE
    assert sorted(b for b in reads if b.startswith("%acc")) == ["%acc0.0.s", "%acc0.1.s"]
    arrays = {"x": normal(1000, 300), "y": normal(1000, 300)}
    results = [f(**arrays) for f in functions]
    assert all(r[name].tobytes() == results[0][name].tobytes() for r in results[1:] for name in outputs)
    check(functions[0], arrays)


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 63, 64])
@pytest.mark.parametrize("columns", [300, 1024])
def test_columns_are_added_up_from_top_to_bottom(rows: int, columns: int) -> None:
    x = sg.placeholder("x", (rows, columns))
    f = sg.compile([x], {"sum": x.sum(0), "squares": sg.square(x).sum(0)}, options=CompileOptions(cache=False))
    array = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)
    found = f(x=array)
    for name, terms in (("sum", array), ("squares", array * array)):
        expected = np.zeros(columns, np.float32)
        for row in terms:
            expected += row
        np.testing.assert_array_equal(found[name], expected)


def test_a_row_times_a_matrix_is_cut_into_tasks() -> None:
    """By rows of the matrix, whatever the number of threads; a rest that no four rows fill is there, too."""
    x, w = sg.placeholder("x", (1, 1023)), sg.placeholder("w", (1023, 512))
    functions = [compiled([x, w], {"y": x @ w}, f"cpu:{threads}") for threads in (1, 2)]
    (work,) = works(functions[0].graph)
    tasks, _ = (s for s in schedule(work, AVX2).body if isinstance(s, For))
    assert tasks.extent == 8
    arrays = {"x": normal(1, 1023), "w": normal(1023, 512)}
    first, second = (f(**arrays)["y"] for f in functions)
    assert first.tobytes() == second.tobytes()
    check(functions[0], arrays, rtol=1e-4)


def _loads(stmt: Stmt) -> list[Load]:
    values = [stmt.value] if isinstance(stmt, (Let, Store)) else []
    return [e for value in values for e in walk(value) if isinstance(e, Load)]
