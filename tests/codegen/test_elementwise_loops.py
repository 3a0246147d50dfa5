"""Loops without reductions: tiles for what is read across memory, random words that neighbours share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from evaluators import kernels, legal
from sparse import pairs

import sigmagraph as sg
from sigmagraph.codegen.partition import Task, partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import AVX2, AVX512, BASELINE, Machine
from sigmagraph.codegen.templates.pieces import slope
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dtypes import F32, I64
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, walk
from sigmagraph.ir.kernel.kernel import Alloc, For, Kernel, Let, LoopKind, Store, statements
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

FRESH = CompileOptions(cache=False)
EVERY = {"baseline": BASELINE, "avx2": AVX2, "avx512": AVX512}
MACHINES = pytest.mark.parametrize("machine", EVERY.values(), ids=EVERY)


def scheduled(graph: Graph, machine: Machine) -> Kernel:
    """The only kernel of a graph."""
    (task,) = partition(PassManager(STANDARD, OPS).run(graph)).tasks
    assert isinstance(task, Task)
    assert isinstance(task.work, Compute)
    kernel = schedule(task.work, machine)
    verify_kernel(kernel)
    return kernel


def expressions(kernel: Kernel) -> Iterator[Expr]:
    for stmt in statements(kernel.body):
        if isinstance(stmt, (Let, Store)):
            yield from walk(stmt.value)


def strides(kernel: Kernel) -> set[object]:
    """By how much the places of inputs and results grow from lane to lane."""
    out: set[object] = set()
    own = {s.buffer.name for s in statements(kernel.body) if isinstance(s, Alloc)}
    for loop in statements(kernel.body):
        if not isinstance(loop, For) or loop.kind is not LoopKind.VECTORIZED:
            continue
        for stmt in statements(loop.body):
            if not isinstance(stmt, (Let, Store)):
                continue
            places = [e for e in walk(stmt.value) if isinstance(e, Load)]
            out.update(slope(e.index[0], loop.var) for e in places if e.buffer not in own)
            if isinstance(stmt, Store) and stmt.buffer not in own:
                out.add(slope(stmt.index[0], loop.var))
    return out


# ---- across memory


@MACHINES
@pytest.mark.parametrize(
    ("shape", "axes"), [((64, 48), (1, 0)), ((37, 85), (1, 0)), ((3, 20, 33), (0, 2, 1)), ((17, 5, 16), (2, 1, 0))]
)
def test_tiles_and_what_is_left_beside_them(machine: Machine, shape: tuple[int, ...], axes: Sequence[int]) -> None:
    x, bias = sg.placeholder("x", shape), sg.placeholder("bias", (shape[axes[-1]],))
    graph, _ = capture([x, bias], {"y": x.transpose(axes) * 2.0 + bias})
    rng = np.random.default_rng(0)
    arrays = {"x": rng.random(shape, np.float32), "bias": rng.random(shape[axes[-1]], np.float32)}
    got = kernels(STANDARD, legal(machine))(graph, arrays)["y"]
    np.testing.assert_array_equal(got, interpret(graph, arrays)["y"])


@MACHINES
@pytest.mark.parametrize(("shape", "axes"), [((64, 48), (1, 0)), ((16, 3, 32), (2, 1, 0))])
def test_transposes_read_and_write_along_memory(machine: Machine, shape: tuple[int, ...], axes: Sequence[int]) -> None:
    x = sg.placeholder("x", shape)
    assert strides(scheduled(capture([x], {"y": sg.exp(x).transpose(axes)})[0], machine)) == {1}


def test_a_transpose_may_have_sizes_that_are_known_at_the_call() -> None:
    n, m = sg.Dim("n"), sg.Dim("m")
    x, y = sg.placeholder("x", (n, m)), sg.placeholder("y", (m, n))
    function = sg.compile([x, y], {"z": x.transpose((1, 0)) - y}, target="cpu:2", options=FRESH)
    assert any(isinstance(s, Alloc) for s in statements(scheduled(function.graph, AVX2).body))
    for rows, columns in ((1, 1), (15, 70), (16, 16), (200, 131)):
        a = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
        b = np.ones((columns, rows), np.float32)
        np.testing.assert_array_equal(function(a, b)["z"], a.T - b)


# ---- what neighbours share


@pytest.mark.parametrize(("machine", "shape"), pairs(EVERY, [(64,), (259,), (5, 128), (3, 40, 4), (7, 65)]))
def test_random_words_are_the_same_however_they_are_computed(machine: Machine, shape: tuple[int, ...]) -> None:
    key, x = sg.placeholder("key", (2,), dtype="int64"), sg.placeholder("x", shape)
    rate = sg.placeholder("rate", ())
    graph, _ = capture([key, x, rate], {"y": sg.dropout(x, rate, key, stream=3), "z": sg.random.uniform(key, shape)})
    arrays = {"key": np.array([11, 5]), "x": np.ones(shape, np.float32), "rate": np.float32(0.25)}
    got, expected = kernels(STANDARD, legal(machine))(graph, arrays), interpret(graph, arrays)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value)


@MACHINES
def test_four_random_words_cost_one_run_of_the_generator(machine: Machine) -> None:
    key = sg.placeholder("key", (2,), dtype="int64")
    graph, _ = capture([key], {"y": sg.random.uniform(key, (4096,))})
    kernel = legalize(scheduled(graph, machine))
    products = [e for e in expressions(kernel) if isinstance(e, Apply) and e.op == "mul" and e.dtype is I64]
    rounds = 2 * 10  # with two products of words each
    assert rounds <= len(products) <= rounds + 6  # and some of the key


# ---- several vectors side by side


def widths(kernel: Kernel) -> list[int]:
    """How many elements vectors have, by loops in their order."""
    loops = (s for s in statements(kernel.body) if isinstance(s, For) and s.kind is LoopKind.VECTORIZED)
    return [loop.extent for loop in loops if isinstance(loop.extent, int)]


@pytest.mark.parametrize(("machine", "several"), [(BASELINE, 2), (AVX2, 2), (AVX512, 4)], ids=["sse", "avx2", "avx512"])
def test_vectors_of_dear_functions_are_computed_side_by_side(machine: Machine, several: int) -> None:
    lanes = machine.lanes(F32)
    for size in (160, 150):
        x = sg.placeholder("x", (size,))
        dear = capture([x], {"y": sg.tanh(x)})[0]
        cheap = capture([x], {"y": sg.maximum(x * 2, 1)})[0]
        left = size % (several * lanes) // lanes
        assert widths(scheduled(dear, machine)) == [several * lanes, *([lanes] if left else [])]
        assert widths(scheduled(cheap, machine)) == [lanes]


@pytest.mark.parametrize(("machine", "size"), pairs(EVERY, [1, 3, 16, 31, 64, 65, 150]))
def test_dear_functions_of_any_number_of_elements(machine: Machine, size: int) -> None:
    x = sg.placeholder("x", (2, size))
    graph = capture([x], {"y": sg.exp(sg.sin(x)), "s": sg.exp(x).sum(-1)})[0]
    array = np.linspace(-2, 2, 2 * size).astype(np.float32).reshape(2, size)
    found = kernels(STANDARD, legal(machine))(graph, {"x": array})
    np.testing.assert_allclose(found["y"], np.exp(np.sin(array)), rtol=1e-5)
    np.testing.assert_allclose(found["s"], np.exp(array).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("columns", [512, 500])
def test_what_becomes_of_products_is_computed_side_by_side(columns: int) -> None:
    x, w = sg.placeholder("x", (sg.Dim("n"), 32)), sg.placeholder("w", (32, columns))
    kernel = scheduled(capture([x, w], {"y": sg.tanh(x @ w)})[0], AVX512)
    tanh = {
        loop.extent
        for loop in statements(kernel.body)
        if isinstance(loop, For)
        and loop.kind is LoopKind.VECTORIZED
        and any(isinstance(e, Apply) and e.op == "tanh" for e in _values(loop))
    }
    assert tanh == {64}


def _values(loop: For) -> Iterator[Expr]:
    for stmt in statements(loop.body):
        if isinstance(stmt, (Let, Store)):
            yield from walk(stmt.value)
