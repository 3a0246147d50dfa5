"""The contraction engine: every edge of rows and columns, every kind of operand, and what it writes to scratch memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from evaluators import assert_agree, kernels, native
from sparse import pairs, some

import sigmagraph as sg
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import AVX2, AVX512, BASELINE, NEON, Machine
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.codegen.transform.secure import secure
from sigmagraph.dims import evaluate
from sigmagraph.driver import compile_graph
from sigmagraph.dtypes import as_dtype
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Alloc, For, Kernel, Space, Store, statements
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

MACHINES = {"baseline": BASELINE, "neon": NEON, "avx2": AVX2, "avx512": AVX512}
TARGETS = {"host": Target(), "haswell": Target(cpu="haswell", features="+avx2,+fma")}
if not {"+avx2", "+fma"} <= set(processor(Target()).features.split(",")):
    del TARGETS["haswell"]
HOST = CompileOptions(cache=False)
N = sg.Dim("n")
Arrays = Mapping[str, np.ndarray[Any, Any]]


def written(machine: Machine) -> Callable[[Work], Kernel]:
    """Legal kernels, with what could not be shown to be in bounds guarded, as programs have them."""
    return lambda work: legalize(secure(schedule(work, machine))[0], machine.instructions)


def graph_of(outputs: dict[str, sg.Tensor], *inputs: sg.Tensor) -> Graph:
    return capture(list(inputs), outputs)[0]


def arrays(graph: Graph, n: int) -> Arrays:
    """Whole numbers small enough for all sums of products to be exact, in whatever order."""
    rng = np.random.default_rng(n)
    types = {graph.node(v).name: graph.type(v) for v in graph.inputs}
    return {
        name: rng.integers(-3, 4, [evaluate(size, {"n": n}) for size in type.shape]).astype(type.dtype.numpy)
        for name, type in types.items()
    }


def check(graph: Graph, run: Callable[[Graph, Arrays], Arrays], *sizes: int) -> None:
    for n in sizes:
        inputs = arrays(graph, n)
        got = run(graph, inputs)
        for name, expected in interpret(graph, inputs).items():
            assert_agree(got[name], expected, exact=True)


# ---- edges


def products(*columns: int) -> Graph:
    """Products with so many columns, each with an epilogue."""
    inputs, outputs = [x := sg.placeholder("x", (N, 11))], {}
    for count in columns:
        w, b = sg.placeholder(f"w{count}", (11, count)), sg.placeholder(f"b{count}", (count,))
        inputs += [w, b]
        outputs[f"y{count}"] = sg.relu(x @ w + b)
    return graph_of(outputs, *inputs)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_edges_of_rows_and_columns(machine: Machine) -> None:
    check(products(1, 15, 17, 32, 65), kernels(STANDARD, written(machine)), 7)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_edges_of_rows_and_columns_natively(target: Target) -> None:
    """One program for no row, a part of a tile, a tile and the next one."""
    graph = products(1, 2, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 70)
    function = compile_graph(graph, {}, CompileOptions(target, cache=False))
    check(graph, lambda _, inputs: function(**inputs), 0, 1, 2, 5, 6, 7, 13)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("columns", [6, 20, 64])
def test_an_update_in_place_is_an_epilogue_that_happens_once(columns: int, target: Target) -> None:
    """Where tiles or vectors at an edge overlapped others, elements there would be updated twice."""
    for rows in (1, 5, 17):
        w = sg.parameter("w", np.ones((rows, columns), np.float32))
        x, g = sg.placeholder("x", (N, rows)), sg.placeholder("g", (N, columns))
        function = sg.compile([x, g], {}, {w: w - 2 * (x.T @ g)}, options=CompileOptions(target, cache=False))
        assert len(function.plan.steps) == 1
        expected = np.ones((rows, columns), np.float32)
        for n in (40, 0, 3):
            inputs = arrays(function.graph, n)
            function(**inputs)
            expected -= 2 * (inputs["x"].T @ inputs["g"])
            np.testing.assert_array_equal(w.value, expected)


# ---- operands and axes


def _operands() -> Graph:
    """Each side with its axes in either order, several summed axes, rows and columns of several axes, batches."""
    a, b = sg.placeholder("a", (N, 3, 4, 6)), sg.placeholder("b", (4, 6, 2, 9))
    c, d = sg.placeholder("c", (6, 4, 3, N)), sg.placeholder("d", (9, 2, 6, 4))
    e, f = sg.placeholder("e", (N, 2, 13, 10)), sg.placeholder("f", (N, 2, 10, 18))
    u, v = sg.placeholder("u", (N, 20)), sg.placeholder("v", (N, 24))
    outputs = {
        "several": sg.einsum("nxij,ijyz->nxyz", a, b),
        "turned rows": sg.einsum("jixn,ijyz->nxyz", c, b),
        "turned columns": sg.einsum("nxij,zyji->nxyz", a, d),
        "both turned": sg.einsum("jixn,zyji->xnyz", c, d),
        "columns between": sg.einsum("nxij,ijyz->ynxz", a, b),
        "batches": sg.einsum("nhik,nhkj->nhij", e, f),
        "batches turned": sg.einsum("nhik,nhkj->nihj", e, f),
        "sum over the batch": u.T @ v,
    }
    return graph_of({name.replace(" ", "_"): y for name, y in outputs.items()}, a, b, c, d, e, f, u, v)


@pytest.mark.parametrize("machine", some(MACHINES, ("baseline", "avx512")))
def test_operands_in_every_order(machine: Machine) -> None:
    check(_operands(), kernels(STANDARD, written(machine)), 3)


def test_operands_in_every_order_natively() -> None:
    function = compile_graph(_operands(), {}, HOST)
    check(function.graph, lambda _, inputs: function(**inputs), 0, 1, 7)


@pytest.mark.parametrize("dtype", some(["int32", "uint8", "float64", "float16"], ["uint8", "float16"]))
def test_element_types(dtype: str) -> None:
    """A product with its two gradients; whole numbers are exact in all types."""
    x, w = sg.placeholder("x", (N, 9), dtype=dtype), sg.placeholder("w", (9, 35), dtype=dtype)
    g = sg.placeholder("g", (N, 35), dtype=dtype)
    outputs = {"y": x @ w, "dx": g @ w.T, "dw": x.T @ g}
    graph = graph_of(outputs, x, w, g)
    rng = np.random.default_rng(4)
    shapes = {"x": (14, 9), "w": (9, 35), "g": (14, 35)}
    inputs = {name: rng.integers(0, 2, shape).astype(as_dtype(dtype).numpy) for name, shape in shapes.items()}
    expected = interpret(graph, inputs)
    for run in (native(HOST), kernels(STANDARD, written(BASELINE)), kernels(STANDARD, written(AVX512))):
        got = run(graph, inputs)
        for name, array in expected.items():
            assert_agree(got[name], array, exact=True)


def _convolution(choose: np.random.Generator, most: tuple[int, ...]) -> Graph:
    """A random convolution, perhaps transposed, and its gradients; ``most`` limits axes by how many of them there are."""
    axes, groups, transposed = (
        int(choose.integers(1, 1 + len(most))),
        int(choose.choice([1, 1, 2])),
        choose.random() < 0.3,
    )
    lengths = [int(choose.integers(3, most[axes - 1])) for _ in range(axes)]
    strides = [int(choose.integers(1, 4)) for _ in range(axes)]
    dilation = [1 if transposed else int(choose.integers(1, 3)) for _ in range(axes)]
    kernel = [min(int(choose.integers(1, 5)), (n - 1) // d + 1) for n, d in zip(lengths, dilation, strict=True)]
    inner, outer = groups * int(choose.integers(1, 6)), groups * int(choose.choice([1, 3, 8, 17]))
    x = sg.placeholder("x", (N, *lengths, inner))
    if transposed:
        w = sg.placeholder("w", (*kernel, outer // groups, inner))
        y = sg.transposed_convolution(x, w, strides=strides, groups=groups)
    else:
        w = sg.placeholder("w", (*kernel, inner // groups, outer))
        padding = [(int(choose.integers(0, 3)), int(choose.integers(0, 3))) for _ in range(axes)]
        y = sg.convolution(x, w, strides=strides, dilation=dilation, padding=padding, groups=groups)
    g = sg.placeholder("g", y.shape)
    dx, dw = sg.gradients((y * g).sum(), [x, w])
    return graph_of({"y": sg.relu(y), "dx": dx, "dw": dw}, x, w, g)


@pytest.mark.parametrize("seed", range(10))
def test_random_convolutions(seed: int) -> None:
    graph = _convolution(np.random.default_rng(seed), (20, 9, 6))
    function = compile_graph(graph, {}, HOST)
    check(graph, lambda _, inputs: function(**inputs), 1, 4)


@pytest.mark.parametrize(("seed", "machine"), pairs([20, 21, 22], MACHINES))
def test_random_convolutions_on_every_machine(seed: int, machine: Machine) -> None:
    check(_convolution(np.random.default_rng(seed), (9, 4)), kernels(STANDARD, written(machine)), 1)


# ---- scratch memory


def scheduled(graph: Graph, machine: Machine = AVX512) -> list[Kernel]:
    works = partition(PassManager(STANDARD, OPS).run(graph)).works
    return [schedule(work, machine) for work in works]


def scratch(kernel: Kernel) -> dict[str, int]:
    """The sizes of what a task of the kernel has in scratch memory."""
    found = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc) and s.buffer.space is Space.SCRATCH]
    return {buffer.name: evaluate(buffer.size, {}) for buffer in found}


def test_rows_are_read_where_they_lie() -> None:
    """In every order of their axes, as long as they lie in steps; a plain factor of elsewhere is no reason to copy."""
    a, b = sg.placeholder("a", (96, 200)), sg.placeholder("b", (200, 64))
    c = sg.placeholder("c", (200, 96))
    for y, inputs in ((a @ b, (a, b)), (sg.einsum("kn,km->nm", c, b), (c, b))):
        (kernel,) = scheduled(graph_of({"y": y}, *inputs))
        assert set(scratch(kernel)) <= {"%right"}


def test_columns_that_the_program_wrote_as_panels_are_read_where_they_lie() -> None:
    """What the caller hands in is written down: its first element may lie anywhere in a vector."""
    x, w = sg.placeholder("x", (96, 200)), sg.placeholder("w", (200, 64))
    (handed,) = scheduled(graph_of({"y": x @ w}, x, w))
    *_, made = scheduled(graph_of({"y": x @ sg.exp(w)}, x, w))
    assert set(scratch(handed)) == {"%right"}
    assert set(scratch(made)) == set()


def test_few_rows_read_columns_in_long_pieces() -> None:
    """A step takes a piece of some rows of the matrix, panel by panel; nothing is written but sums."""
    x, w = sg.placeholder("x", (8, 1024)), sg.placeholder("w", (1024, 1024))
    (kernel,) = scheduled(graph_of({"y": x @ w}, x, w))
    (task,) = kernel.body
    assert isinstance(task, For)
    assert scratch(kernel) == {"%sums": 8 * 1024 // evaluate(task.extent, {})}
    assert evaluate(task.extent, {}) == 2


def test_what_is_written_for_a_product_is_written_seldom() -> None:
    """All rows of a product meet a panel while it is there; and a task more must not write rows or columns again."""
    a, b = sg.placeholder("a", (1024, 512)), sg.placeholder("b", (512, 1024))
    u, v = sg.placeholder("u", (2048, 256)), sg.placeholder("v", (2048, 1024))
    (plain,) = scheduled(graph_of({"y": a @ b}, a, b))
    (turned,) = scheduled(graph_of({"y": u.T @ v}, u, v))
    tasks = [task.extent for kernel in (plain, turned) for task in kernel.body if isinstance(task, For)]
    assert tasks == [1024 // 64, 4]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_few_rows_natively(target: Target) -> None:
    """As many rows as are few, and one more; columns that fill panels, and that do not."""
    for rows in (1, 2, 7, 8, 13, 18, 19):
        a, b = sg.placeholder("a", (rows, 70)), sg.placeholder("b", (70, 576))
        c = sg.placeholder("c", (70, 100))
        graph = graph_of({"wide": sg.relu(a @ b), "panels": a @ sg.exp(0 * b), "uneven": a @ c}, a, b, c)
        function = compile_graph(graph, {}, CompileOptions(target, cache=False))
        check(graph, lambda _, inputs, f=function: f(**inputs), 1)  # type: ignore[misc]


@pytest.mark.parametrize(("strides", "padding", "dilation"), [(1, 1, 1), (1, 2, 2), (2, 1, 1)])
def test_a_block_of_the_image_is_written_once(strides: int, padding: int, dilation: int) -> None:
    """Nine products read an element of the image; it is written once for a block of rows, and again where blocks meet."""
    x, w = sg.placeholder("x", (6, 28, 28, 32)), sg.placeholder("w", (3, 3, 32, 48))
    y = sg.convolution(x, w, strides=strides, padding=padding, dilation=dilation)
    (kernel,) = scheduled(graph_of({"y": y}, x, w))
    (task,) = kernel.body
    assert isinstance(task, For)
    assert sum(isinstance(s, Store) and s.buffer == "%left" for s in statements(kernel.body)) == 1
    assert evaluate(task.extent, {}) * scratch(kernel)["%left"] < 2.5 * 6 * 28 * 28 * 32
