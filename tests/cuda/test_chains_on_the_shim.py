"""Chains by blocks of threads on the CUDA shim: attention without a matrix of all scores, and its backward pass."""

from __future__ import annotations

import re
from typing import Any

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, Together, on_shim, run_on_shim
from sparse import some

import sigmagraph as sg
from sigmagraph.codegen import chain as chain_module
from sigmagraph.codegen.cuda import chains
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.tiles import PROCESSORS
from sigmagraph.codegen.templates import contraction
from sigmagraph.dims import Size, evaluate
from sigmagraph.driver import planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Chain
from sigmagraph.ir.kernel.kernel import For, LoopKind, statements
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.options import HIGHEST, CompileOptions, Target
from sigmagraph.tensor.capture import capture

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
OPTIONS = CompileOptions(cache=False, precision=HIGHEST)
N, T, S = sg.Dim("n"), sg.Dim("t"), sg.Dim("s")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains whatever the size, in tiles however small, by three blocks, which take several turns."""
    for name, value in {"LARGE": 1, "TASKS": 1, "MOST_ROWS": 16, "LEAST_ROWS": 1}.items():
        monkeypatch.setattr(chain_module, name, value)
    monkeypatch.setattr(contraction, "SMALL", 0)
    monkeypatch.setattr(chains, "PROCESSORS", 1)
    monkeypatch.setattr(chains, "MANY", 3)
    monkeypatch.setattr(chains, "FEW", 3)


def attention(shape: tuple[Any, ...], keys: Any = None, values: int | None = None, **options: Any) -> Graph:
    *batch, t, d = shape
    s, mask, dtype = t if keys is None else keys, options.pop("mask", None), options.pop("dtype", "float32")
    operands = [
        sg.placeholder("q", (*batch, t, d), dtype),
        sg.placeholder("k", (*batch, s, d), dtype),
        sg.placeholder("v", (*batch, s, values or d), dtype),
    ]
    if mask:
        operands.append(sg.placeholder("mask", (*batch, t, s), mask))
    return capture(operands, {"y": sg.attention(*operands, **options)})[0]


def arrays_for(graph: Graph, **dims: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(7)
    out = {}
    for value in graph.inputs:
        type = graph.type(value)
        shape = [evaluate(size, dims) for size in type.shape]
        array = rng.random(shape) < 0.7 if str(type.dtype) == "bool" else rng.standard_normal(shape)
        out[graph.node(value).name] = array.astype(type.dtype.numpy)
    return out


CASES: dict[str, tuple[Graph, dict[str, int]]] = {
    "even": (attention((2, 48, 8)), {}),
    "a rest": (attention((2, 50, 8), causal=True), {}),
    "fewer keys": (attention((2, 70, 5), keys=40, values=9, causal=True, mask="bool"), {}),
    "no axis in front": (attention((37, 8), mask="float32", causal=True), {}),
    "any time": (attention((3, T, 8), causal=True), {"t": 40}),
    "any size": (attention((N, T, 8), keys=S, causal=True, mask="bool"), {"n": 2, "t": 41, "s": 35}),
    "no keys": (attention((N, T, 8), keys=S, causal=True, mask="float32"), {"n": 2, "t": 41, "s": 0}),
    "f64": (attention((2, 50, 8), causal=True, dtype="float64"), {}),
    "bf16": (attention((2, T, 8), causal=True, dtype="bfloat16"), {"t": 41}),
}
MORE = ("fewer keys", "no axis in front", "any time", "any size", "no keys", "f64", "bf16")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.extended if n in MORE else ()) for n in CASES])
def test_attention_is_that_of_the_interpreter(name: str) -> None:
    graph, dims = CASES[name]
    arrays = arrays_for(graph, **dims)
    want, got = interpret(graph, arrays)["y"], run_on_shim(graph, arrays, OPTIONS)["y"]
    unit = {"f64": 1e-14, "bf16": 2**-7}.get(name, 2e-6)  # a rounding to the type, or of sums of some dozen numbers
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=unit, atol=unit)


def gradients(shape: tuple[Any, ...], dtype: str = "float32", **options: Any) -> Graph:
    """Those of an attention for queries, keys and values, given that of its result."""
    q, k, v, g = (sg.placeholder(name, shape, dtype) for name in "qkvg")
    loss = (sg.attention(q, k, v, **options) * g).sum()
    return capture([q, k, v, g], dict(zip("qkv", sg.gradients(loss, [q, k, v]), strict=True)))[0]


BACKWARD: dict[str, tuple[Graph, dict[str, int]]] = {
    "even": (gradients((2, 48, 8)), {}),
    "a rest": (gradients((2, 101, 12), causal=True), {}),
    "any size": (gradients((N, 2, T, 8), causal=True), {"n": 2, "t": 70}),
    "a short time": (gradients((N, 2, T, 8)), {"n": 1, "t": 3}),
    "bf16": (gradients((2, 70, 8), "bfloat16", causal=True), {}),
    "f16": (gradients((2, 70, 8), "float16"), {}),
    "f64": (gradients((2, 70, 8), "float64"), {}),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("precision", [HIGHEST, ""], ids=["highest", "tensor cores"])
@pytest.mark.parametrize("name", some(tuple(BACKWARD), ["a rest", "any size", "bf16"]))
def test_the_backward_pass_is_that_of_the_interpreter(name: str, precision: str) -> None:
    """Statistics of rows, gradients of queries, gradients of keys and values: a chain each, which make scores again."""
    graph, dims = BACKWARD[name]
    arrays = arrays_for(graph, **dims)
    options = CompileOptions(cache=False, target=Target("cuda", cpu=ARCH), precision=precision)
    made = planned(graph, options, CudaBackend(options.target, precision))
    assert sum(isinstance(work, Chain) for work in made.parts.works) == 4
    assert made.guarded == 0
    want, got = interpret(graph, arrays), run_on_shim(graph, arrays, options)
    # Gradients are sums of products of about a hundred numbers; tf32 rounds the factors of up to four products, and
    # what is handed on from one to the next is rounded to the type.
    narrow = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-11 if not precision else 0}
    unit = 4 * narrow.get(str(want["q"].dtype), 0) + (1e-14 if name == "f64" else 1e-5)
    for output in "qkv":
        size = np.abs(want[output].astype(np.float64)).max()
        difference = got[output].astype(np.float64) - want[output].astype(np.float64)
        np.testing.assert_allclose(difference, 0, atol=unit * size, rtol=0)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("causal", [False, True])
def test_the_backward_pass_is_that_of_numpy(causal: bool) -> None:
    graph = gradients((2, 100, 20), causal=causal)
    arrays = arrays_for(graph)
    got = run_on_shim(graph, arrays, OPTIONS)
    q, k, v, g = (arrays[name].astype(np.float64) for name in "qkvg")
    weights = weights_of(arrays, causal)
    change = weights * (g @ v.swapaxes(-1, -2) - (weights * (g @ v.swapaxes(-1, -2))).sum(-1, keepdims=True))
    want = {"q": change @ k, "k": change.swapaxes(-1, -2) @ q, "v": weights.swapaxes(-1, -2) @ g}
    for name, scale in {"q": 20**-0.5, "k": 20**-0.5, "v": 1}.items():
        np.testing.assert_allclose(got[name], scale * want[name], rtol=0, atol=1e-5 * np.abs(want[name]).max())


def weights_of(arrays: dict[str, Any], causal: bool) -> Any:
    """Those of keys, for each query, in float64."""
    q, k = (arrays[name].astype(np.float64) for name in "qk")
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_of(arrays: dict[str, Any], causal: bool) -> Any:
    """The same in float64."""
    return weights_of(arrays, causal) @ arrays["v"].astype(np.float64)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [  # what the type of factors rounds by: those of both products, and for 16 bits the scaled queries and the result
        ("float32", 2 * 2**-11),
        pytest.param("bfloat16", 4 * 2**-9, marks=pytest.mark.extended),
        pytest.param("float16", 4 * 2**-11, marks=pytest.mark.extended),
    ],
)
def test_scores_and_weights_stay_in_registers(dtype: str, unit: float, causal: bool) -> None:
    """Two pieces of columns, the last of which is not full, and blocks of rows likewise."""
    graph = attention((2, 100, 20), causal=causal, dtype=dtype)
    arrays = arrays_for(graph)
    runner = on_shim(graph, {}, CompileOptions(cache=False))
    got = runner.run([arrays[port.name] for port in runner.plan.inputs])["y"]
    want = attention_of(arrays, causal)
    np.testing.assert_allclose(got.astype(np.float64), want, atol=unit * np.abs(want).max(), rtol=unit)
    # What is left to be handed on is the scaled queries, of three blocks.
    assert runner.plan.arena_bytes(1) <= 3 * 64 * 20 * 4 + 128


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_rows(spoilt: float) -> None:
    graph = attention((1, 70, 8))
    arrays = arrays_for(graph)
    arrays["q"][0, 3, 2] = spoilt
    want = interpret(graph, arrays)["y"]
    got = run_on_shim(graph, arrays, CompileOptions(cache=False))["y"]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("hidden", [-np.inf, np.finfo(np.float32).min, -1e10, -1e9, -1e4])
def test_masks_of_any_size_are_those_of_the_interpreter(hidden: float) -> None:
    """Rows of which nothing, the first piece or all is hidden: only -inf makes no difference between the last two."""
    graph = attention((1, 140, 8), mask="float32")
    arrays = arrays_for(graph)
    arrays["q"], arrays["k"], arrays["v"] = (SCALARS["round_tf32"].evaluate(arrays[name]) for name in "qkv")
    arrays["mask"][0] = 0
    arrays["mask"][0, 30:60, :70] = arrays["mask"][0, 60:90] = hidden
    want = interpret(graph, arrays)["y"].copy()
    if np.isfinite(hidden) and abs(hidden) >= 1e9:  # in f32 scores of such rows are all the same
        want[0, 60:90] = arrays["v"][0].mean(0)
    got = run_on_shim(graph, arrays, CompileOptions(cache=False))["y"]
    # Queries and weights are rounded to 10 bits of fraction. A score, a sum of 8 products with keys, is off by as much
    # of it; where it is added to a mask of some size, sums are rounded to other neighbours besides.
    size = np.abs(arrays["q"][0]) @ np.abs(arrays["k"][0]).T / np.sqrt(8)
    unit = 2.0**-11 * (1 + 2 * size.max()) + (np.spacing(np.float32(abs(hidden))) if abs(hidden) == 1e4 else 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * unit * np.abs(arrays["v"]).max())


@pytest.mark.usefixtures("eager")
def test_powers_of_two_are_far_below_the_rounding_of_factors() -> None:
    """What tensor cores are given is rounded before: what is left is the exponential, weights and the order of sums."""
    graph = attention((1, 140, 8), scale=0.5)
    arrays = {name: SCALARS["round_tf32"].evaluate(array) for name, array in arrays_for(graph).items()}
    want = interpret(graph, arrays)["y"]
    got = run_on_shim(graph, arrays, CompileOptions(cache=False))["y"]
    # Half the queries are exact, and so are products. Of the weights, whose total is formed before, 2^-11 each is lost;
    # powers are off by 2^-22, multiply-adds by 2^-24 of some dozens, sums by less than that.
    np.testing.assert_allclose(got, want, rtol=0, atol=(2**-11 + 2**-18) * np.abs(arrays["v"]).max())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("size", [0, 3e6, 5e7, -5e7, 2e8, -2e8])
def test_rows_whose_shift_grows_are_those_of_the_interpreter(size: float) -> None:
    """Scores of some size, which are floats beside each other but for their pieces: each piece has a greater shift."""
    graph = attention((1, 140, 8), mask="float32")
    arrays = arrays_for(graph)
    arrays["q"][:], arrays["v"] = 0, SCALARS["round_tf32"].evaluate(arrays["v"])
    step = max(np.spacing(np.float32(abs(size))), 1)  # of scores from one piece of 64 to the next
    arrays["mask"][:] = size + step * (np.arange(140) // 64)
    weights = np.exp(arrays["mask"] - np.float64(size) - 2 * step)
    want = weights @ arrays["v"] / weights.sum(-1, keepdims=True)
    got = run_on_shim(graph, arrays, CompileOptions(cache=False))["y"]
    # Weights are rounded to 10 bits of fraction; beyond 2^27 those other than 1 are 2^-16 or less, of 64 keys beside 12.
    far = 2 * 64 / 12 * 2.0**-16 if abs(size) > 2**27 else 0
    np.testing.assert_allclose(got, want, rtol=0, atol=(2**-11 + 2**-18 + far) * np.abs(arrays["v"]).max())


@pytest.mark.usefixtures("eager")
def test_weights_of_great_scores_fit_f16() -> None:
    """Powers that are off by as much as products of such scores are rounded by would be infinite, or 0."""
    graph = attention((1, 70, 8), dtype="float16")
    arrays = arrays_for(graph)
    arrays["q"][:] = arrays["k"][:] = 28000
    got = run_on_shim(graph, arrays, CompileOptions(cache=False))["y"]
    want = np.broadcast_to(arrays["v"].astype(np.float64).mean(1, keepdims=True), got.shape)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=0, atol=2**-11)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("precision", "approximated"), [("", True), (HIGHEST, False)])
def test_powers_of_two_are_approximated_on_tensor_cores_only(precision: str, approximated: bool) -> None:
    target = Target("cuda", cpu=ARCH)
    options = CompileOptions(cache=False, target=target, precision=precision)
    (kernel,) = planned(CASES["even"][0], options, CudaBackend(target, precision)).legal
    assert ("exp2_approx" in print_kernel(kernel)) == approximated


def test_scores_take_memory_for_the_blocks_that_run_and_no_more() -> None:
    target = Target("cuda", cpu=ARCH)
    sizes = []
    for heads in (64, 256):
        graph = attention((heads, 1024, 64), causal=True)
        made = planned(graph, CompileOptions(cache=False, target=target), CudaBackend(target))
        assert len(made.plan.steps) == 1
        assert made.guarded == 0
        sizes.append(made.plan.arena_bytes(1))
    assert sizes == [0, 0]


@pytest.mark.parametrize(
    ("batch", "precision", "blocks"),
    [
        (40, "", 640),  # a block for each 64 rows
        (40, HIGHEST, chains.FEW),  # these hand on scores
        (sg.Dim("B"), "", 16 * sg.Dim("B")),
        (sg.Dim("B"), HIGHEST, chains.FEW),
    ],
)
def test_devices_deal_rows_out_where_blocks_need_no_memory(batch: Size, precision: str, blocks: Size) -> None:
    target = Target("cuda", cpu=ARCH)
    options = CompileOptions(cache=False, target=target, precision=precision)
    (kernel,) = planned(attention((batch, 1024, 64)), options, CudaBackend(target, precision)).legal
    found = {s.extent for s in statements(kernel.body) if isinstance(s, For) and s.kind is LoopKind.BLOCK_X}
    assert found == {blocks}
    loops = [s for s in statements(kernel.body) if isinstance(s, For) and s.var.startswith(chains.TURN)]
    assert bool(loops) == (precision == HIGHEST)


def test_products_take_turns_though_their_rows_are_computed() -> None:
    """Queries are scaled when they are brought; keys and values are fetched, one while the other one is multiplied."""
    together = Together()
    number = together.add(attention((64, 1024, 64), dtype="bfloat16"), CompileOptions(cache=False))
    text = together.text_of(number)
    assert " kept" not in text
    assert "sg_index step" not in text
    assert len(re.findall(r"sg_await_fetches_0\(\);", text)) == 2


@pytest.mark.parametrize(("batch", "blocks"), [(1, PROCESSORS), (10, 160), (50, chains.FEW)])
def test_blocks_that_need_memory_are_those_of_usual_sizes(batch: int, blocks: int) -> None:
    """A block for each multiprocessor at least, as there may be more rows."""
    options = CompileOptions(target=Target("cuda", cpu=ARCH), precision=HIGHEST, hints=(("B", batch),))
    graph = attention((sg.Dim("B"), 1024, 64))
    (kernel,) = planned(graph, options, CudaBackend(options.target, HIGHEST)).legal
    assert {s.extent for s in statements(kernel.body) if isinstance(s, For) and s.kind is LoopKind.BLOCK_X} == {blocks}


@pytest.mark.parametrize("precision", ["highest", ""], ids=["highest", "tensor cores"])
@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90a"])
def test_nothing_has_to_be_guarded(arch: str, precision: str) -> None:
    """Even columns, odd ones, and as many as one likes; all, or those before each row."""
    target = Target("cuda", cpu=arch)
    options = CompileOptions(cache=False, target=target, precision=precision)
    for shape in ((64, 1024, 64), (70, 100, 40), (sg.Dim("B"), 130, 64)):
        for causal in (False, True):
            made = planned(attention(shape, causal=causal), options, CudaBackend(target, precision))
            assert made.guarded == 0


def test_few_rows_run_one_member_after_the_other() -> None:
    target = Target("cuda", cpu=ARCH)
    graph = attention((1, 1024, 64))  # sixteen blocks of rows
    made = planned(graph, CompileOptions(cache=False, target=target), CudaBackend(target))
    (kernel,) = made.legal
    assert len(kernel.body) == 4
