"""Large values that are made again for each reader: when they are, in which form, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluators import Stage, assert_agree, kernels, scheduled
from sparse import some

import sigmagraph as sg
from sigmagraph.codegen import chain as chain_module
from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.clones import storing
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.partition import Partition, Task, partition
from sigmagraph.codegen.schedule.limits import column_limit
from sigmagraph.codegen.schedule.machine import BASELINE
from sigmagraph.dims import evaluate
from sigmagraph.driver import planned
from sigmagraph.dtypes import BF16, F16, F32, F64
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Chain, Compute
from sigmagraph.ir.kernel.kernel import Role
from sigmagraph.ops.registry import OPS
from sigmagraph.options import HIGHEST, CompileOptions, Target
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

N, T, S = sg.Dim("n"), sg.Dim("t"), sg.Dim("s")
# As a GPU with tensor cores for f32.
AGAIN = Again({F64: 16, F32: 64, F16: 128, BF16: 128}, operations=16, cached=6, tasks=54)
CUDA = Target("cuda", cpu="sm_80")
Arrays = Mapping[str, np.ndarray[Any, Any]]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values whatever their size, in blocks of 16 rows."""
    for name, value in {"LARGE": 1, "TASKS": 1, "MOST_ROWS": 16, "LEAST_ROWS": 1}.items():
        monkeypatch.setattr(chain_module, name, value)


def attention_gradients(
    shape: tuple[Any, ...],
    *,
    keys: Any = None,
    values: int | None = None,
    mask: Any = None,
    dtype: str = "float32",
    **options: Any,
) -> Graph:
    """The gradients of an attention of queries [..., t, d] and keys [..., s, d]."""
    *batch, t, d = shape
    s = t if keys is None else keys
    q, g = (sg.placeholder(name, (*batch, t, n), dtype) for name, n in (("q", d), ("g", values or d)))
    k = sg.placeholder("k", (*batch, s, d), dtype)
    v = sg.placeholder("v", (*batch, s, values or d), dtype)
    masks = [] if mask is None else [sg.placeholder("mask", mask, "float32")]
    loss = (sg.attention(q, k, v, *masks, **options) * g).sum()
    return capture([q, k, v, g, *masks], dict(zip("qkv", sg.gradients(loss, [q, k, v]), strict=True)))[0]


def shared_keys() -> Graph:
    """Four heads of queries, two of keys, and a mask for all."""
    q, g = (sg.placeholder(name, (2, 4, 19, 5)) for name in "qg")
    k, v = (sg.placeholder(name, (2, 2, 34, 5)) for name in "kv")
    mask = sg.placeholder("mask", (19, 34), "bool")
    loss = (sg.attention(q, k, v, mask) * g).sum()
    return capture([q, k, v, g, mask], dict(zip("qkv", sg.gradients(loss, [q, k, v]), strict=True)))[0]


def operands(graph: Graph, **dims: int) -> Arrays:
    rng = np.random.default_rng(7)
    out = {}
    for value in graph.inputs:
        type = graph.type(value)
        array = rng.standard_normal([evaluate(size, dims) for size in type.shape])
        out[graph.node(value).name] = array < 0.5 if str(type.dtype) == "bool" else array.astype(type.dtype.numpy)
    return out


def cut(graph: Graph, again: Again | None = AGAIN) -> Partition:
    return partition(PassManager(STANDARD, OPS).run(graph), again=again)


def chains(parts: Partition) -> list[Chain]:
    return [work for work in parts.works if isinstance(work, Chain)]


def backward(parts: Partition) -> list[Chain]:
    """The chains but that of the attention itself, the softmax of which has three sweeps."""
    return [c for c in chains(parts) if max(len(m.sweeps) for m in c.members) < 3]


def largest(parts: Partition, **dims: int) -> int:
    """The elements of the largest value that lies in memory."""
    return max(evaluate(b.size, dims) for t in parts.tasks if isinstance(t, Task) for b in t.work.params)


# ---- when


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (8, 8, 1024, 64),
        (64, 128, 64),
        (100, 300, 40),
        (8, 8, T, 64),
        (N, T, 64),
        (N, 2, 512, 128),
        (32, 1024, 256),
        (4, 20000, 64),
    ],
    ids=str,
)
def test_gradients_of_an_attention_write_no_scores_down(shape: tuple[Any, ...], causal: bool) -> None:
    """Statistics of rows, gradients of queries along rows, those of keys and values along columns, in one launch."""
    parts = cut(attention_gradients(shape, causal=causal))
    statistics, queries, keys = backward(parts)
    assert [len(c.kept) for c in (statistics, queries, keys)] == [1, 2, 3]
    assert [[len(m.axes) - len(c.rows) for m in c.members] for c in (statistics, queries, keys)] == [
        [1, 0],
        [1, 1, 1],
        [1, 1, 1, 1],
    ]
    assert all(c.rows[-1].extent == shape[-2] for c in (statistics, queries, keys))
    for chain in (statistics, queries, keys):
        assert all(b.shape[: len(chain.rows)] == tuple(a.extent for a in chain.rows) for b in chain.kept)
        assert all(m.axes[: len(chain.rows)] == chain.rows for m in chain.members)
    assert [sum(b.role is Role.OUT for b in c.params) for c in (statistics, queries, keys)] == [2, 1, 2]
    if shape[-1] <= 128:  # beyond, forwards, keys and values would be read too often
        dims = {"n": 300, "t": 2000}
        *batch, time, _ = (evaluate(size, dims) for size in shape)
        assert largest(parts, **dims) < math.prod(batch) * time**2


@pytest.mark.parametrize("time", [64, 256, 1024, T], ids=str)
def test_an_attention_between_layers_learns_alike(time: Any) -> None:
    """Gradients are summed over few queries where these are few, but nothing is made again of sums over weights."""
    x, g = (sg.placeholder(name, (64, time, 128)) for name in "xg")
    w = [sg.placeholder(f"w{n}", (128, 128)) for n in range(4)]
    q, k, v = ((x @ a).reshape(64, time, 4, 32).transpose(0, 2, 1, 3) for a in w[:3])
    y = sg.attention(q, k, v, causal=True).transpose(0, 2, 1, 3).reshape(64, time, 128) @ w[3]
    gradients = sg.gradients((y * g).sum(), [x, *w])
    graph, _ = capture([x, g, *w], {f"d{n}": d for n, d in enumerate(gradients)})
    assert [len(c.kept) for c in backward(cut(graph))] == [1, 2, 3]


@pytest.mark.parametrize("causal", [False, True])
def test_what_rows_do_not_see_is_not_made_again(causal: bool) -> None:
    statistics, queries, keys = backward(cut(attention_gradients((8, 8, 1024, 64), causal=causal)))
    assert [column_limit(c) is not None for c in (statistics, queries)] == [causal, causal]
    assert column_limit(keys) is None  # they see the last rows: what is left out would be first


def test_memory_grows_with_time_not_with_its_square() -> None:
    def arena(time: int) -> int:
        graph = attention_gradients((8, 8, time, 64), causal=True)
        return planned(graph, CompileOptions(cache=False, target=CUDA), CudaBackend(CUDA)).plan.arena_bytes(1)

    one, two = arena(2048), arena(4096)
    assert two <= 2.1 * one
    assert two < 4 * 8 * 8 * 4096**2 / 4  # what scores take


def test_processors_make_all_once() -> None:
    graph = attention_gradients((8, 8, 1024, 64))
    assert CpuBackend(Target(threads=1)).again is None
    made = planned(graph, CompileOptions(cache=False), CpuBackend(Target(threads=1))).parts
    assert [work.name for work in made.works] == [work.name for work in cut(graph, None).works]
    assert len(chains(made)) == 1


@pytest.mark.parametrize(
    ("precision", "head", "found"),
    [("", 64, True), ("", 256, True), ("", 512, False), (HIGHEST, 64, True), (HIGHEST, 128, False)],
)
def test_products_are_made_again_if_they_are_short(precision: str, head: int, found: bool) -> None:
    graph = attention_gradients((8, 8, 1024, head))
    assert len(backward(cut(graph, CudaBackend(CUDA, precision).again))) == (3 if found else 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_how_long_products_may_be_depends_on_how_fast_they_are(dtype: str) -> None:
    """In 16 bits they take half the time, and so do the bytes."""
    slow = replace(AGAIN, sums=dict.fromkeys(AGAIN.sums, 32))
    graph = attention_gradients((8, 8, 1024, 256), dtype=dtype)
    assert [len(backward(cut(graph, again))) for again in (AGAIN, slow)] == [3, 0]


@pytest.mark.parametrize(
    ("mask", "found"),
    [((1024, 1024), [1, 2, 3]), ((8, 1, 1024, 1024), [1, 2, 3]), ((8, 8, 1024, 1024), [1, 2])],
    ids=str,
)
def test_what_reads_more_than_it_makes_is_not_made_again(mask: tuple[int, ...], found: list[int]) -> None:
    """With a mask for each head scores are written down, but weights and gradients, which are two, are not."""
    parts = cut(attention_gradients((8, 8, 1024, 16), mask=mask))
    assert [len(c.kept) for c in backward(parts)] == found


def test_few_rows_are_not_worth_it() -> None:
    assert not backward(cut(attention_gradients((1, 1024, 64))))  # sixteen blocks
    assert backward(cut(attention_gradients((4, 1024, 64))))


def of_scores(ends: Callable[..., dict[str, sg.Tensor]], size: int = 4096, length: int = 16) -> Partition:
    """What becomes of a square product and a matrix of few columns."""
    x, y = (sg.placeholder(name, (size, length)) for name in "xy")
    w = sg.placeholder("w", (size, 16))
    return cut(capture([x, y, w], ends(sg.relu(x @ y.T), w))[0])


def made_by(parts: Partition) -> list[list[str]]:
    """What members of chains hand on, and out."""
    found = [[[b.name[1:] for b in m.params if b.role is Role.OUT] for m in c.members] for c in chains(parts)]
    return [["+".join(names) for names in chain] for chain in found]


def test_a_value_that_one_launch_reads_across_is_made_across() -> None:
    parts = of_scores(lambda s, w: {"y": s.T @ w})
    assert made_by(parts) == [["kept0", "o3"]]
    assert largest(parts) == 4096 * 16


def test_readers_of_other_rows_have_chains_of_their_own() -> None:
    parts = of_scores(lambda s, w: {"a": s.T @ w, "b": s @ w})
    assert made_by(parts) == [["kept0", "o3"]] * 2
    assert largest(parts) == 4096 * 16


def test_readers_of_the_same_rows_share_a_chain() -> None:
    parts = of_scores(lambda s, w: {"a": s @ w, "b": s.max(-1)})
    assert made_by(parts) == [["kept0", "o3", "o4"]]


def test_what_is_read_by_rows_of_one_reader_alone_is_left_to_other_rules() -> None:
    assert len(chains(of_scores(lambda s, w: {"a": s @ w}))) == 1
    # Weights would be read again for all rows: as many bytes as are spared.
    assert not chains(of_scores(lambda s, w: {"a": s @ sg.concatenate([w] * 8, -1)}, length=128))


@pytest.mark.parametrize(
    "ends",
    [
        lambda s, w: {"a": s.T @ w, "s": s},
        lambda s, w: {"a": s.T @ w, "b": s[:4000].max(-1)},
        lambda s, w: {"a": s.T @ w, "b": s.reshape(2048, 8192).max(-1)},
        lambda s, w: {"a": s.T @ w, "b": s.max(-1), "c": sg.sort(s)},
        lambda s, w: {"a": s.T @ w, "b": (s * s.T) @ w},
    ],
    ids=["returned", "a part", "other rows", "loops of an op", "two elements"],
)
def test_what_somebody_needs_as_a_whole_is_written_down(ends: Callable[..., dict[str, sg.Tensor]]) -> None:
    assert not chains(of_scores(ends))


def test_what_depends_on_each_other_is_not_one_launch() -> None:
    """The second reads what the first made, of all rows, as it is or by a loop in between."""

    def directly(s: sg.Tensor, w: sg.Tensor) -> dict[str, sg.Tensor]:
        a = s @ w
        return {"a": a, "b": s @ a}

    def by_loop(s: sg.Tensor, w: sg.Tensor) -> dict[str, sg.Tensor]:
        a = s @ w
        return {"a": a, "b": s @ sg.scan(lambda h, x: (h * x, h * x), sg.zeros((16,)), a)[1]}

    assert made_by(of_scores(directly)) == made_by(of_scores(by_loop)) == [["kept0", "o3"]] * 2


@pytest.mark.parametrize(("length", "found"), [(160, 3), (320, 0)])
def test_what_is_made_again_twice_takes_twice_as_long(length: int, found: int) -> None:
    def three(s: sg.Tensor, w: sg.Tensor) -> dict[str, sg.Tensor]:
        a = s @ w
        return {"a": a, "b": s @ a, "c": s.T @ w}

    assert len(chains(of_scores(three, length=length))) == found


def test_a_long_product_does_not_spoil_what_comes_of_a_short_one() -> None:
    """Elements that are products themselves are written down, but scores are made again for them and for others."""
    x, y, u, v = (sg.placeholder(name, (4096, 16 if name in "xy" else 1024)) for name in "xyuv")
    w = sg.placeholder("w", (4096, 16))
    scores = x @ y.T
    elements = scores * (u @ v.T)
    graph, _ = capture([x, y, u, v, w], {"a": scores.T @ w, "b": elements.T @ w, "c": elements @ w})
    parts = cut(graph, replace(AGAIN, cached=100))
    assert made_by(parts) == [["kept0", "o4"], ["kept0", "o3"]]
    assert [len(c.rows) for c in chains(parts)] == [1, 1]  # of as many elements as there are columns
    assert largest(parts) == 4096**2


def test_products_of_heads_that_are_not_first_are_batches() -> None:
    """Rows are queries of one head, though heads come behind them in what lies in memory."""
    q, k, v = (sg.placeholder(name, (1024, 8, 16)) for name in "qkv")
    scores = sg.relu(sg.einsum("thd,shd->ths", q, k))
    y, z = sg.einsum("ths,shd->thd", scores, v), sg.einsum("ths,thd->shd", scores, v)
    found = chains(cut(capture([q, k, v], {"y": y, "z": z})[0]))
    assert [[axis.extent for axis in c.rows] for c in found] == [[8, 1024]] * 2


def test_convolutions_are_not_made_again() -> None:
    """Few summed elements, but each input is read for nine of them."""
    x, w = sg.placeholder("x", (64, 64, 64, 4)), sg.placeholder("w", (3, 3, 4, 64))
    y = sg.convolution(x, w)
    graph, _ = capture([x, w], {"a": y.max((1, 2)), "b": y.max((0, 1)), "c": y.max(-1)})
    assert not chains(cut(graph))


def test_clones_do_what_is_needed_for_their_outputs_alone() -> None:
    parts = cut(attention_gradients((8, 8, 1024, 64)), None)
    product = next(
        w
        for w in parts.works
        if isinstance(w, Compute) and sum(b.role is Role.OUT for b in w.params) == 2 and len(w.axes) == 4
    )
    weights, gradients = (b.name for b in product.params if b.role is Role.OUT)
    assert storing(product, [gradients]).sweeps == product.sweeps
    assert [b.name for b in product.params if b not in storing(product, [gradients]).params] == [weights]
    alone = storing(product, [weights])
    assert not alone.sweeps
    assert len(alone.params) == 4  # scores, statistics, weights
    assert len(alone.lets) < len(product.lets)
    assert storing(product, [weights, gradients]) == product


def test_clones_keep_what_stands_before_a_sweep_that_they_do_not_need() -> None:
    """The greatest of a row, which is replaced if it is -inf: between the sweeps for it and for the sum."""
    parts = cut(attention_gradients((8, 8, 1024, 64)), None)
    statistics = next(w for w in parts.works if isinstance(w, Compute) and len(w.sweeps) == 2)
    greatest = storing(statistics, [statistics.stores[0].buffer])
    assert [fold.op for sweep in greatest.sweeps for fold in sweep.folds] == ["max"]
    assert greatest.lets == statistics.sweeps[1].before


# ---- what comes of it

CASES: dict[str, tuple[Graph, dict[str, int]]] = {
    "even": (attention_gradients((2, 32, 8)), {}),
    "a rest": (attention_gradients((2, 21, 5), causal=True), {}),
    "more keys": (attention_gradients((2, 19, 5), keys=34, causal=True), {}),
    "fewer keys": (attention_gradients((3, 2, 34, 5), keys=19, mask=(34, 19)), {}),
    "shared keys": (shared_keys(), {}),
    "any size": (attention_gradients((N, T, 5), keys=S, causal=True), {"n": 2, "t": 20, "s": 33}),
    "one key": (attention_gradients((N, T, 5), keys=S), {"n": 2, "t": 20, "s": 1}),
    "f64": (attention_gradients((2, 20, 5), dtype="float64", causal=True), {}),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", some(tuple(CASES), ["a rest", "more keys", "shared keys", "any size"]))
@pytest.mark.parametrize("stage", [naive_kernel, scheduled(BASELINE)], ids=["loops", "scheduled"])
def test_kernels_agree_with_the_interpreter(name: str, stage: Stage) -> None:
    graph, dims = CASES[name]
    arrays = operands(graph, **dims)
    again = replace(AGAIN, tasks=1)
    assert len(chains(cut(graph, again))) >= 3
    expected = interpret(graph, arrays)
    for output, array in kernels(STANDARD, stage, again)(graph, arrays).items():
        assert_agree(array, expected[output], sums=True)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("stage", [naive_kernel, scheduled(BASELINE)], ids=["loops", "scheduled"])
def test_other_readers_get_what_the_interpreter_says(stage: Stage) -> None:
    """Along rows and across, of a product whose factors are not alike, and of what is made of it: some read both."""
    shapes = {"x": (50, 6), "y": (70, 6), "u": (50, 5), "v": (70, 5), "a": (50, 4), "b": (70, 3)}
    x, y, u, v, a, b = (sg.placeholder(name, shape) for name, shape in shapes.items())
    scores = x @ y.T
    weights = scores * (u @ v.T)
    outputs = {"a": weights.T @ a, "b": weights @ b, "c": scores.max(-1), "d": scores.T @ a}
    graph, _ = capture([x, y, u, v, a, b], outputs)
    again = replace(AGAIN, tasks=1)
    assert largest(cut(graph, again)) < 50 * 70
    arrays = operands(graph)
    expected = interpret(graph, arrays)
    for output, array in kernels(STANDARD, stage, again)(graph, arrays).items():
        assert_agree(array, expected[output], sums=True)
