"""Launches that run as one for blocks of rows: when they do, what they come to, and what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from evaluators import assert_agree, kernels, scheduled
from sparse import pairs, some

import sigmagraph as sg
from sigmagraph.codegen import chain as chain_module
from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.limits import column_limit
from sigmagraph.codegen.schedule.machine import AVX2, AVX512, BASELINE, NEON, Machine
from sigmagraph.codegen.transform.secure import secure
from sigmagraph.dims import Dim, evaluate
from sigmagraph.driver import compile_graph
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Chain, Work
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.program import CompiledFunction
from sigmagraph.tensor.capture import capture

N, T, S = sg.Dim("n"), sg.Dim("t"), sg.Dim("s")
Arrays = Mapping[str, np.ndarray[Any, Any]]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains whatever the size, in blocks of 16 rows, so that small examples have several blocks and a rest."""
    for name, value in {"LARGE": 1, "TASKS": 1, "MOST_ROWS": 16, "LEAST_ROWS": 1}.items():
        monkeypatch.setattr(chain_module, name, value)


def graph_of(output: sg.Tensor, *inputs: sg.Tensor) -> Graph:
    return capture(list(inputs), {"y": output})[0]


def attention(
    shape: tuple[Any, ...],
    *,
    keys: Any = None,
    values: int | None = None,
    causal: bool = False,
    mask: str | None = None,
    dtype: str = "float32",
) -> Graph:
    *batch, t, d = shape
    s = t if keys is None else keys
    q, k = sg.placeholder("q", (*batch, t, d), dtype), sg.placeholder("k", (*batch, s, d), dtype)
    operands = [q, k, sg.placeholder("v", (*batch, s, values or d), dtype)]
    if mask:
        operands.append(sg.placeholder("mask", (*batch, t, s), mask))
    return graph_of(sg.attention(*operands, causal=causal), *operands)


def operands(graph: Graph, **dims: int) -> Arrays:
    rng = np.random.default_rng(7)
    out = {}
    for value in graph.inputs:
        type = graph.type(value)
        shape = [evaluate(size, dims) for size in type.shape]
        array = rng.random(shape) < 0.7 if str(type.dtype) == "bool" else rng.standard_normal(shape)
        out[graph.node(value).name] = array.astype(type.dtype.numpy)
    return out


def works(graph: Graph) -> tuple[Work, ...]:
    return partition(PassManager(STANDARD, OPS).run(graph)).works


def compiled(graph: Graph, threads: int = 1) -> CompiledFunction:
    return compile_graph(graph, {}, CompileOptions(cache=False, target=Target(threads=threads)))


def the_chain(graph: Graph) -> Chain:
    (chain,) = works(graph)
    assert isinstance(chain, Chain)
    return chain


# ---- when


@pytest.mark.parametrize(
    "shape", [(4, 1024, 64), (2, 2, 1000, 32), (3, T, 64), (N, 2, T, 64), (1, 8, 2048, 64)], ids=str
)
@pytest.mark.parametrize("causal", [False, True])
def test_an_attention_with_large_scores_is_one_launch(shape: tuple[Any, ...], causal: bool) -> None:
    chain = the_chain(attention(shape, causal=causal))
    assert len(chain.kept) == 3
    assert chain.rows[-1].extent == shape[-2]


def test_scores_take_no_memory_of_their_own() -> None:
    function = compiled(attention((4, 1024, 64)))
    scores, operand = 4 * 4 * 1024**2, 4 * 4 * 1024 * 64
    assert len(function.plan.steps) == 1
    # Panels of keys and of values, and the scores of a block, which weights take the place of.
    assert function.plan.arena_bytes(1) <= 2.5 * operand + 2 * 64 * 1024 < scores / 4


@pytest.mark.parametrize("graph", [attention((4, 64, 32)), attention((8, 4, 64, 32), causal=True)], ids=["1", "8"])
def test_small_scores_stay_in_the_cache_by_themselves(graph: Graph) -> None:
    assert not any(isinstance(work, Chain) for work in works(graph))


def test_what_is_read_by_others_too_is_no_chain() -> None:
    a, b, c = sg.placeholder("a", (2048, 64)), sg.placeholder("b", (64, 2048)), sg.placeholder("c", (2048, 64))
    scores = sg.softmax(a @ b)
    graph, _ = capture([a, b, c], {"scores": scores, "y": scores @ c})
    found = [work for work in works(graph) if isinstance(work, Chain)]
    # The maxima read products, which nobody else does; what they come to is returned.
    assert not any("%kept1" in str(chain.kept) for chain in found)


def test_large_weights_are_not_read_again_for_every_block() -> None:
    x, a, b = sg.placeholder("x", (4096, 512)), sg.placeholder("a", (512, 2048)), sg.placeholder("b", (2048, 512))
    graph = graph_of(sg.relu(x @ a) @ b, x, a, b)
    assert len(works(graph)) == 2


@pytest.mark.parametrize("size", [128, 1024])
def test_products_around_an_attention_join_it_where_keys_are_small(size: int) -> None:
    """Queries are made by a product along the same rows, and so is what becomes of the result."""
    x, a, b = sg.placeholder("x", (2048, 128)), sg.placeholder("a", (128, size)), sg.placeholder("b", (size, size))
    keys, values = sg.placeholder("k", (2048, size)), sg.placeholder("v", (2048, size))
    graph = graph_of(sg.attention(x @ a, keys, values, causal=True) @ b, x, a, b, keys, values)
    found = [work for work in works(graph) if isinstance(work, Chain)]
    assert sum(len(chain.members) for chain in found) == (5 if size == 128 else 0)
    arrays = {name: 0.1 * array for name, array in operands(graph).items()}
    if size == 128:
        assert_agree(compiled(graph)(**arrays)["y"], interpret(graph, arrays)["y"], sums=True)


@pytest.mark.parametrize("batch", [4, N])
def test_an_attention_between_layers_is_a_chain(batch: Any) -> None:
    """Heads lie beside each other in what layers make and read; only their scores are handed on row by row."""
    x = sg.placeholder("x", (batch, 1024, 128))
    w = [sg.placeholder(f"w{n}", (128, 128)) for n in range(4)]
    q, k, v = ((x @ a).reshape(batch, 1024, 4, 32).transpose(0, 2, 1, 3) for a in w[:3])
    y = sg.attention(q, k, v, causal=True).transpose(0, 2, 1, 3).reshape(batch, 1024, 128) @ w[3]
    chain = next(work for work in works(graph_of(y, x, *w)) if isinstance(work, Chain))
    assert [axis.extent for axis in chain.rows] == [batch, 4, 1024]
    assert column_limit(chain) is not None


def test_rows_of_an_axis_along_which_products_are_batches_are_not_taken_in_blocks() -> None:
    """Scores [t, h, s]: their heads come last of what all launches share, but make no block of a product."""
    q, k, v = (sg.placeholder(name, (1024, 8, 16)) for name in "qkv")
    scores = sg.softmax(sg.einsum("thd,shd->ths", q, k))
    chain = the_chain(graph_of(sg.einsum("ths,shd->thd", scores, v), q, k, v))
    assert [axis.extent for axis in chain.rows] == [1024]


def test_equal_layers_share_a_chain() -> None:
    q, k, v = (sg.placeholder(name, (4, 1024, 64)) for name in "qkv")
    layers = {"0": sg.attention(q, k, v)}
    for n in range(1, 4):
        layers[str(n)] = sg.attention(layers[str(n - 1)], k, v)
    # The first one scales its queries, the others find them scaled; the last one scales nothing for another.
    assert sum(isinstance(work, Chain) for work in works(capture([q, k, v], layers)[0])) == 3


def test_without_fusion_there_are_no_chains() -> None:
    graph = attention((4, 512, 64))
    function = compile_graph(graph, {}, CompileOptions(cache=False, fuse=False))
    assert len(function.plan.steps) > 4


# ---- what they come to

CASES: dict[str, tuple[Graph, dict[str, int]]] = {
    "even": (attention((2, 48, 8)), {}),
    "a rest": (attention((2, 50, 8), causal=True), {}),
    "more keys": (attention((2, 49, 5), keys=70, causal=True), {}),
    "fewer keys": (attention((2, 70, 5), keys=40, values=9, causal=True, mask="bool"), {}),
    "no axis in front": (attention((37, 8), mask="float32", causal=True), {}),
    "axes of size 1": (attention((1, 3, 1, 33, 8), causal=True), {}),
    "any time": (attention((3, T, 8), causal=True), {"t": 40}),
    "a short time": (attention((3, T, 8), causal=True), {"t": 7}),
    "no time": (attention((3, T, 8), causal=True), {"t": 0}),
    "any batch": (attention((N, T, 8)), {"n": 2, "t": 41}),
    "any size": (attention((N, T, 8), keys=S, causal=True, mask="bool"), {"n": 2, "t": 41, "s": 35}),
    "no keys": (attention((N, T, 8), keys=S, causal=True, mask="float32"), {"n": 2, "t": 41, "s": 0}),
    "f64": (attention((2, 50, 8), causal=True, dtype="float64"), {}),
    "f16": (attention((2, 50, 8), causal=True, dtype="float16"), {}),
    "bf16": (attention((2, T, 8), causal=True, dtype="bfloat16"), {"t": 41}),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", CASES)
def test_programs_agree_with_the_interpreter(name: str) -> None:
    graph, dims = CASES[name]
    arrays = operands(graph, **dims)
    the_chain(graph)
    assert_agree(compiled(graph)(**arrays)["y"], interpret(graph, arrays)["y"], sums=True)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", some(["a rest", "fewer keys", "any size", "no keys", "bf16"], ["any size", "no keys"]))
def test_loops_and_scheduled_kernels_agree_and_are_verified(name: str) -> None:
    graph, dims = CASES[name]
    arrays = operands(graph, **dims)
    expected = interpret(graph, arrays)["y"]
    for run in (kernels(STANDARD), kernels(STANDARD, scheduled(BASELINE))):
        assert_agree(run(graph, arrays)["y"], expected, sums=True)


@pytest.mark.usefixtures("eager")
def test_heads_that_share_keys_and_a_mask_for_all_of_them() -> None:
    q, k, v = (sg.placeholder(name, (2, heads, 33, 8)) for name, heads in (("q", 4), ("k", 2), ("v", 2)))
    mask = sg.placeholder("mask", (33, 33), "bool")
    graph = graph_of(sg.attention(q, k, v, mask, causal=True), q, k, v, mask)
    arrays = operands(graph)
    assert any(isinstance(work, Chain) for work in works(graph))
    assert_agree(compiled(graph)(**arrays)["y"], interpret(graph, arrays)["y"], sums=True)


@pytest.mark.parametrize(("dtype", "mask"), pairs(["float32", "float64", "float16", "bfloat16"], [None, "bool"]))
def test_where_no_column_is_left_out_the_bits_are_those_of_single_launches(
    dtype: str, mask: str | None, request: pytest.FixtureRequest
) -> None:
    graph = attention((2, 83, 24), mask=mask, dtype=dtype)
    arrays = operands(graph)
    single = compiled(graph)
    assert len(single.plan.steps) == 4
    request.getfixturevalue("eager")
    chain = compiled(graph)
    assert len(chain.plan.steps) == 1
    np.testing.assert_array_equal(chain(**arrays)["y"], single(**arrays)["y"])


@pytest.mark.parametrize("causal", [False, True])
def test_threads_change_no_bit(causal: bool) -> None:
    graph = attention((2, 1100, 64), causal=causal)
    the_chain(graph)
    arrays = operands(graph)
    one, *others = (compiled(graph, threads)(**arrays)["y"] for threads in (1, 2, 3))
    for other in others:
        np.testing.assert_array_equal(other, one)


@pytest.mark.usefixtures("eager")
def test_a_query_that_sees_no_key_gives_zero() -> None:
    graph = attention((40, 8), causal=True, mask="bool")
    arrays = dict(operands(graph))
    arrays["mask"][[0, 17, 39]] = False
    y = compiled(graph)(**arrays)["y"]
    np.testing.assert_array_equal(y[[0, 17, 39]], 0)
    assert_agree(y, interpret(graph, arrays)["y"], sums=True)


@pytest.mark.usefixtures("eager")
def test_other_products_along_the_same_rows() -> None:
    """Two products with an activation between them, their weights small, a sum of the rows at the end."""
    x, a, b = sg.placeholder("x", (100, 8)), sg.placeholder("a", (8, 300)), sg.placeholder("b", (300, 8))
    graph = graph_of(sg.sum(sg.gelu(x @ a) @ b, axis=-1), x, a, b)
    arrays = operands(graph)
    assert any(isinstance(work, Chain) for work in works(graph))
    assert_agree(compiled(graph)(**arrays)["y"], interpret(graph, arrays)["y"], sums=True)


# ---- what they leave out


def test_columns_behind_the_last_row_are_left_out() -> None:
    chain = the_chain(attention((4, 1024, 64), causal=True))
    limit = column_limit(chain)
    assert limit is not None
    assert limit.edge == Dim(chain.rows[-1].var) + 1
    assert limit.behind
    assert sorted(limit.columns) == [1, 2, 3]


def test_columns_that_only_such_members_read_are_left_out_as_well() -> None:
    """The first product knows nothing of the comparison."""
    chain = the_chain(gated_by_columns(lambda row, column: row >= column))
    assert [len(member.axes) for member in chain.members] == [2, 2, 2]
    limit = column_limit(chain)
    assert limit is not None
    assert sorted(limit.columns) == [0, 1, 2]


def test_columns_before_the_first_row_are_left_out_where_that_is_asked_for() -> None:
    chain = the_chain(gated_by_columns(lambda row, column: row <= column))
    assert column_limit(chain) is None
    limit = column_limit(chain, before=True)
    assert limit is not None
    assert (limit.edge, limit.behind) == (Dim(chain.rows[-1].var), False)
    assert sorted(limit.columns) == [0, 1, 2]


def gated_by_columns(seen: Callable[[sg.Tensor, sg.Tensor], sg.Tensor]) -> Graph:
    """A product of two products, of which some columns are hidden in the second one."""
    q, k, v, w, z = (sg.placeholder(name, (2048, 16)) for name in "qkvwz")
    row, column = sg.arange(2048).reshape(2048, 1), sg.arange(2048)
    hidden = sg.where(seen(row, column), w @ v.T, sg.full((2048, 2048), 0.0))
    return graph_of((q @ k.T) * hidden @ z, q, k, v, w, z)


@pytest.mark.parametrize("mask", [None, "bool", "float32"])
def test_there_is_no_limit_without_a_comparison_of_indices(mask: str | None) -> None:
    # As many bytes as a mask of floats has must not be more than what is spared: values are few here.
    assert column_limit(the_chain(attention((4, 1024, 16), mask=mask))) is None


@pytest.mark.parametrize(
    ("hidden", "after", "found"),
    [
        (-np.inf, sg.softmax, True),
        (0.0, sg.relu, True),
        (0.0, lambda x: x * 3.0, True),
        (-1e9, sg.softmax, False),  # its exponential is 0 in f32, but nobody counts on that
        (0.0, sg.softmax, False),
        (1.0, sg.relu, False),
    ],
)
def test_what_is_hidden_has_to_be_nothing_for_those_who_read_it(hidden: float, after: Any, found: bool) -> None:
    q, k, v = (sg.placeholder(name, (2048, 16)) for name in "qkv")
    i, j = sg.arange(2048).reshape(2048, 1), sg.arange(2048)
    scores = sg.where(i >= j, q @ k.T, sg.full((2048, 2048), hidden))
    chain = the_chain(graph_of(after(scores) @ v, q, k, v))
    assert (column_limit(chain) is not None) is found


@pytest.mark.usefixtures("eager")
def test_what_no_row_of_a_block_sees_is_not_read() -> None:
    graph = attention((48, 8), causal=True)
    arrays = dict(operands(graph))
    arrays["v"][16:] = np.nan
    y = compiled(graph)(**arrays)["y"]
    assert np.isfinite(y[:16]).all()
    assert np.isnan(y[16:]).all()


@pytest.mark.parametrize("machine", [BASELINE, AVX2, AVX512, NEON], ids=["baseline", "avx2", "avx512", "neon"])
@pytest.mark.parametrize("time", [800, T], ids=str)
def test_chains_are_verified_on_every_machine(machine: Machine, time: Any) -> None:
    kernel = schedule(the_chain(attention((2, 1, time, 48), causal=True, mask="bool")), machine)
    assert secure(kernel) == (kernel, 0)
