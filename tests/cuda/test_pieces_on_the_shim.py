"""Values that products are made of and products sum stay in registers: on the CUDA shim, and as machine code."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, COMPILER, Together, assert_in_registers, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen import chain as chain_module
from sigmagraph.codegen import partition
from sigmagraph.codegen.chain import Member, Terms, chain_of
from sigmagraph.codegen.cuda import chains
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.occupancy import occupancy
from sigmagraph.codegen.launches import Launches
from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.codegen.templates import contraction
from sigmagraph.dims import evaluate
from sigmagraph.driver import Planned, planned
from sigmagraph.errors import DeviceError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.kernel import Alloc, Role, Space, statements
from sigmagraph.options import HIGHEST, CompileOptions, Target
from sigmagraph.tensor.capture import capture

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
OPTIONS = CompileOptions(cache=False)
B, T = sg.Dim("b"), sg.Dim("t")
TYPES = ["float32", pytest.param("bfloat16", marks=pytest.mark.extended), "float16"]
# What the type of factors rounds by: those of four products that follow each other, at most.
UNITS = {"float32": 4 * 2**-11, "bfloat16": 4 * 2**-9, "float16": 4 * 2**-11}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains whatever the size, by three blocks, which take several turns."""
    for name, value in {"LARGE": 1, "TASKS": 1, "LEAST_ROWS": 1}.items():
        monkeypatch.setattr(chain_module, name, value)
    monkeypatch.setattr(contraction, "SMALL", 0)
    monkeypatch.setattr(chains, "PROCESSORS", 1)
    monkeypatch.setattr(chains, "MANY", 3)
    monkeypatch.setattr(chains, "FEW", 3)


def plan_of(graph: Graph, arch: str = ARCH, precision: str = "") -> Planned:
    target = Target("cuda", cpu=arch)
    options = CompileOptions(cache=False, target=target, precision=precision)
    return planned(graph, options, CudaBackend(target, precision))


def handed_on(graph: Graph, **options: Any) -> int:
    """The most elements that a chain hands on in memory in one buffer; the three blocks have so many together."""
    made = plan_of(graph, **options).scheduled
    return max((p.size for kernel in made for p in kernel.params if p.role is Role.TEMP), default=0)


def assert_in_one(graph: Graph) -> None:
    """Assert that a graph is one chain, which hands on nothing in memory, and of which nothing has to be guarded."""
    made = plan_of(graph)
    assert len(made.scheduled) == 1
    assert made.guarded == 0
    assert handed_on(graph) == 0


def arrays_for(graph: Graph, **dims: int) -> dict[str, NDArray]:
    rng, out = np.random.default_rng(7), {}
    for value in graph.inputs:
        type = graph.type(value)
        array = rng.standard_normal([evaluate(size, dims) for size in type.shape])
        out[graph.node(value).name] = array.astype(type.dtype.numpy)
    return out


def assert_near(got: Mapping[str, NDArray], want: Mapping[str, NDArray], unit: float) -> None:
    for name, array in want.items():
        expected = array.astype(np.float64)
        assert got[name].dtype == array.dtype
        np.testing.assert_allclose(got[name].astype(np.float64), expected, rtol=0, atol=unit * np.abs(expected).max())


# ---- what is written as products of values


def along_rows(
    fn: Callable[[sg.Tensor], sg.Tensor], rows: Any = 130, columns: Any = 100, dtype: str = "float32"
) -> Graph:
    """A function of scores, in place of a softmax."""
    q = sg.placeholder("q", (2, rows, 20), dtype)
    k, v = (sg.placeholder(name, (2, columns, 20), dtype) for name in "kv")
    return capture([q, k, v], {"y": fn(q @ k.transpose(0, 2, 1)) @ v})[0]


def gated(dtype: str = "float32", rows: Any = 130, columns: Any = 100, width: int = 24) -> Graph:
    """Two products, of which one decides how much comes through of the other."""
    q, w = (sg.placeholder(name, (2, rows, 20), dtype) for name in "qw")
    k, v = (sg.placeholder(name, (2, columns, 20), dtype) for name in "kv")
    z = sg.placeholder("z", (2, columns, width), dtype)
    opened = sg.sigmoid(q @ k.transpose(0, 2, 1)) * (w @ v.transpose(0, 2, 1))
    return capture([q, w, k, v, z], {"y": opened @ z})[0]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", TYPES)
def test_a_function_of_scores(dtype: str) -> None:
    graph = along_rows(sg.relu, dtype=dtype)
    assert_in_one(graph)
    arrays = arrays_for(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS[dtype])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", TYPES)
def test_a_product_of_two_products(dtype: str) -> None:
    graph = gated(dtype)
    assert_in_one(graph)
    arrays = arrays_for(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS[dtype])


@pytest.mark.usefixtures("eager")
def test_values_of_columns_that_do_not_exist_add_nothing() -> None:
    """There scores are 0, and what is made of these is infinite: times the zeros of what they are multiplied by, NaN."""
    graph = along_rows(lambda scores: 1 / scores, columns=70)
    arrays = {name: np.abs(array) + 1 for name, array in arrays_for(graph).items()}
    assert_in_one(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS["float32"])


@pytest.mark.usefixtures("eager")
def test_sizes_that_nobody_knows_yet() -> None:
    graph = gated(rows=T, columns=B)
    assert_in_one(graph)
    for rows, columns in ((1, 1), (64, 128), (130, 7)):
        arrays = arrays_for(graph, t=rows, b=columns)
        assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS["float32"])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("arch", "precision"), [("sm_75", ""), (ARCH, HIGHEST)])
def test_without_tensor_cores_values_are_handed_on_in_memory(arch: str, precision: str) -> None:
    assert handed_on(along_rows(sg.relu), arch=arch, precision=precision) == 3 * 64 * 100


# ---- the backward pass of attention


def backward(shape: tuple[Any, ...], dtype: str = "float32", causal: bool = False) -> Graph:
    inputs = [sg.placeholder(name, shape, dtype) for name in "qkvg"]
    *operands, g = inputs
    loss = (sg.attention(*operands, causal=causal) * g).sum()
    return capture(inputs, dict(zip("qkv", sg.gradients(loss, operands), strict=True)))[0]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_the_backward_pass_writes_down_nothing_of_the_size_of_scores(dtype: str, causal: bool) -> None:
    graph = backward((2, 130, 20), dtype, causal)
    assert handed_on(graph) <= 3 * 64 * 20  # what is summed over the width
    arrays = arrays_for(graph)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    got = run_on_shim(graph, arrays, OPTIONS)
    want = {name: array.astype(got[name].dtype) for name, array in gradients_of(wide, causal).items()}
    assert_near(got, want, 2 * UNITS[dtype])


def gradients_of(arrays: Mapping[str, NDArray], causal: bool) -> dict[str, NDArray]:
    """Those of attention in float64."""
    q, k, v, g = (arrays[name] for name in "qkvg")
    scale = 1 / np.sqrt(q.shape[-1])
    scores = q @ k.swapaxes(-1, -2) * scale
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    inner = g @ v.swapaxes(-1, -2)
    change = weights * (inner - (weights * inner).sum(-1, keepdims=True))
    turned = weights.swapaxes(-1, -2), change.swapaxes(-1, -2)
    return {"q": change @ k * scale, "k": turned[1] @ q * scale, "v": turned[0] @ g}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("size", [1, 64, 70])
def test_the_backward_pass_of_any_number_of_queries(size: int) -> None:
    graph = backward((B, T, 20), causal=True)
    arrays = arrays_for(graph, b=2, t=size)
    want = gradients_of({name: array.astype(np.float64) for name, array in arrays.items()}, causal=True)
    got = run_on_shim(graph, arrays, OPTIONS)
    for name, array in want.items():  # of a single query gradients are 0 but for that of its value
        np.testing.assert_allclose(got[name], array, rtol=0, atol=2 * UNITS["float32"] * max(1, np.abs(array).max()))


@pytest.mark.usefixtures("eager")
def test_great_scores_of_bf16_have_weights_of_one_together() -> None:
    """The greatest is rounded by 2^-9, of scores around 100 by far more than weights may be off by."""
    graph = backward((1, 70, 20), "bfloat16")
    arrays = arrays_for(graph)
    arrays["q"][:], arrays["k"][:] = 5.03125, 5.03125
    arrays["g"][:] = 1
    got = run_on_shim(graph, arrays, OPTIONS)
    # All weights are alike, and so are the gradients of values: sums of 70 weights of 1 / 70.
    np.testing.assert_allclose(got["v"].astype(np.float64), 1, rtol=0, atol=3 * 2**-9)


@pytest.mark.usefixtures("eager")
def test_wide_heads_have_a_turn_for_keys_and_one_for_values() -> None:
    graph = backward((1, 140, 100))
    assert handed_on(graph) <= 3 * 64 * 100
    arrays = arrays_for(graph)
    want = gradients_of({name: array.astype(np.float64) for name, array in arrays.items()}, causal=False)
    assert_near(
        run_on_shim(graph, arrays, OPTIONS), {n: a.astype(np.float32) for n, a in want.items()}, UNITS["float32"]
    )


@pytest.mark.usefixtures("eager")
def test_queries_that_see_no_key_of_a_block_are_not_read() -> None:
    graph = backward((1, 130, 20), causal=True)
    arrays = arrays_for(graph)
    arrays["g"][0, :64] = np.nan
    got = run_on_shim(graph, arrays, OPTIONS)
    for name, rows in {"q": got["q"][0], "k": got["k"][0], "v": got["v"][0]}.items():
        assert np.isnan(rows[:64]).all(), name
        assert np.isfinite(rows[64:]).all(), name


# ---- chains of any members


@pytest.fixture
def one_chain(monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    """All launches of a program as one chain, whatever that costs."""

    def joined(specs: Mapping[int, KernelSpec], wanted: Collection[Value], **_: Any) -> dict[int, KernelSpec]:
        launches = Launches(specs)
        members = [Member(launches.computes[n], spec.values, spec.work) for n, spec in specs.items()]
        buffers = {v: launches.param(n, v) for v, n in launches.writers.items() if v not in wanted}
        spec = chain_of(members, buffers, members[0].compute.axes[:2], Terms(1, None, 1 << 10, alone=False))
        assert spec
        return {max(specs): spec}

    monkeypatch.setattr(partition, "chained", joined)
    monkeypatch.setattr(partition, "remade", lambda specs, *_: specs)


def means(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A product of a function of scores."""
    return lambda scores, values: function(scores) @ values


@pytest.mark.usefixtures("one_chain")
@pytest.mark.parametrize(
    ("first", "second", "handed"),
    [
        (means(sg.relu), means(sg.relu), False),  # two products of the same values
        (means(sg.relu), means(sg.tanh), False),  # of values that are made of the same scores
        (means(sg.softmax), means(sg.softmax), True),  # weights that another product reads lie in memory
        (means(sg.softmax), means(sg.relu), True),  # and so do scores,
        (means(sg.relu), lambda scores, _: sg.relu(scores).sum(-1), True),  # and values,
        (means(sg.softmax), means(lambda scores: scores), True),  # where weights do not lie in the place of scores,
        (lambda scores, _: sg.logsumexp(scores, -1), means(lambda scores: scores), True),  # for sums as well
    ],
    ids=["one", "two", "weights", "scores", "values", "scores again", "sums"],
)
def test_what_several_read(first: Callable[[Any, Any], Any], second: Callable[[Any, Any], Any], handed: bool) -> None:
    q = sg.placeholder("q", (2, 130, 20))
    k, v, w = (sg.placeholder(name, (2, 100, 20)) for name in "kvw")
    scores = q @ k.transpose(0, 2, 1)
    graph = capture([q, k, v, w], {"a": first(scores, v), "b": second(scores, w)})[0]
    assert (handed_on(graph) > 0) == handed
    arrays = arrays_for(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS["float32"])


@pytest.mark.usefixtures("one_chain")
def test_values_that_are_summed_before_others_take_their_place() -> None:
    q = sg.placeholder("q", (2, 130, 20))
    k, v, w = (sg.placeholder(name, (2, 100, 20)) for name in "kvw")
    values = sg.relu(q @ k.transpose(0, 2, 1))
    graph = capture([q, k, v, w], {"a": values @ v, "b": (values * (q @ w.transpose(0, 2, 1))) @ w})[0]
    assert_in_one(graph)
    arrays = arrays_for(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS["float32"])


@pytest.mark.usefixtures("one_chain")
def test_what_lies_in_memory_is_read_by_row_by_column_and_by_both() -> None:
    """That of a row is read before the pieces, that of a column once for both rows of a thread."""
    rows, columns = 130, 100
    graph = _with_memory(rows, columns)
    assert_in_one(graph)
    arrays = arrays_for(graph)
    assert_near(run_on_shim(graph, arrays, OPTIONS), interpret(graph, arrays), UNITS["float32"])


def _with_memory(rows: int, columns: int) -> Graph:
    q = sg.placeholder("q", (2, rows, 20))
    k, v = (sg.placeholder(name, (2, columns, 20)) for name in "kv")
    row, column = sg.placeholder("row", (2, rows, 1)), sg.placeholder("column", (2, 1, columns))
    both = sg.placeholder("both", (2, rows, columns))
    values = (q @ k.transpose(0, 2, 1) - row * row) * column + both
    return capture([q, k, v, row, column, both], {"y": values @ v})[0]


# ---- what is shown of kernels


@pytest.mark.parametrize("precision", [pytest.param(HIGHEST, marks=pytest.mark.extended), ""], ids=["highest", "cores"])
@pytest.mark.parametrize("arch", [pytest.param("sm_75", marks=pytest.mark.extended), "sm_80", "sm_90a"])
def test_nothing_has_to_be_guarded(arch: str, precision: str) -> None:
    for shape in ((64, 1024, 64), (256, 500, 40), (B, 1030, 64), (B, T, 64)):
        for causal in (False, True):
            assert plan_of(backward(shape, causal=causal), arch, precision).guarded == 0


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_heads_of_any_width_are_carried_out(dtype: str) -> None:
    """Rows of a step have as many vectors as threads can share evenly."""
    for width in (3, 20, 36, 60, 100):
        made = plan_of(backward((B, T, width), dtype, causal=True))
        assert made.guarded == 0
        assert sum(p.role is Role.TEMP for kernel in made.scheduled for p in kernel.params) <= 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("width", [20, 160])
def test_fewer_keys_than_queries(width: int) -> None:
    """Blocks of keys may see no query, or none of the first ones."""
    q, g = (sg.placeholder(name, (B, T, width)) for name in "qg")
    k, v = (sg.placeholder(name, (B, sg.Dim("s"), width)) for name in "kv")
    loss = (sg.attention(q, k, v, causal=True) * g).sum()
    graph = capture([q, k, v, g], dict(zip("qkv", sg.gradients(loss, [q, k, v]), strict=True)))[0]
    assert plan_of(graph).guarded == 0
    for queries, keys in ((70, 130), (130, 70)):
        arrays = arrays_for(graph, b=1, t=queries, s=keys)
        want = gradients_of({name: array.astype(np.float64) for name, array in arrays.items()}, causal=True)
        got = run_on_shim(graph, arrays, OPTIONS)
        assert_near(got, {n: a.astype(np.float32) for n, a in want.items()}, 2 * UNITS["float32"])


def test_gradients_take_memory_for_what_goes_in_and_out() -> None:
    heads, time, width = 64, 1024, 64
    made = plan_of(backward((heads, time, width), causal=True))
    scaled, of_rows, products = heads * time * width, 4 * heads * time, chains.MANY * 64 * width
    assert made.plan.arena_bytes(1) <= (scaled + of_rows + products) * 4 + 1024


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_blocks_have_shared_memory_at_a_time(dtype: str) -> None:
    for width in (64, 128):
        for kernel in plan_of(backward((256, 1024, width), dtype)).legal:
            allocs = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc)]
            shared = [evaluate(b.size, {}) * b.dtype.itemsize for b in allocs if b.space is Space.SHARED]
            assert occupancy(ARCH, 128, 168, sum(shared)).blocks >= 2


@pytest.mark.skipif(not COMPILER, reason="there is no compiler for GPUs")
@pytest.mark.parametrize("width", [pytest.param(32, marks=pytest.mark.extended), 64, 128])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_what_threads_keep_fits_their_registers(arch: str, dtype: str, width: int) -> None:
    together = Together(arch)
    together.add(backward((256, 1024, width), dtype, causal=True), OPTIONS)
    assert "means" in together.text()
    assert_in_registers(together.text(), arch)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("dtype", "pattern"),
    [
        ("float32", r"__syncthreads\(\);"),
        ("float16", r"__syncthreads\(\);"),
        ("float16", r"sg_await_fetches_0\(\);"),
    ],
    ids=["barriers", "barriers of turns", "waits of turns"],
)
def test_what_is_missing_is_found(dtype: str, pattern: str) -> None:
    """Each by itself, in some order in which threads run."""
    graph = gated(dtype)
    arrays, together = arrays_for(graph), Together()
    want, right = interpret(graph, arrays), together.add(graph, OPTIONS)
    text = together.text_of(right)
    places = [place.span() for place in re.finditer(pattern, text)]
    wrong = [together.altered(right, f"{text[:start]};{text[end:]}") for start, end in places]

    def is_right(number: int, seed: int) -> bool:
        try:
            assert_near(together.run(number, arrays, cuda_shim.HostDriver(seed, ARCH)), want, UNITS[dtype])
        except (DeviceError, AssertionError):
            return False
        return True

    assert all(is_right(right, seed) for seed in range(4))
    if "sync" in pattern:
        wrong.pop()  # nothing of the next rows is in the way of what these are done with at last
    missed = [number for number in wrong if all(is_right(number, seed) for seed in range(4))]
    assert not missed, f"of {len(places)}: {[wrong.index(number) for number in missed]}"
