"""Winograd: which convolutions are written by points, that these are the same sums, and how far fast mode may be off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_checks import graph_of, run_pass

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.targets import backend_for
from sigmagraph.driver import planned
from sigmagraph.errors import PassError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.loader import cache_key
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.pipelines import FAST as FAST_PASSES
from sigmagraph.passes.winograd import Winograd
from sigmagraph.program import CompiledFunction

EXACT, FAST = CompileOptions(cache=False), CompileOptions(cache=False, fast=True)
CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.sg"))
ERROR = 1e-5  # of the greatest result, in float32
SAME = "strides = [1, 1], low = [1, 1], high = [1, 1], dilation = [1, 1], spread = [1, 1]"


def convolution(x: str, w: str, attributes: str = SAME) -> str:
    body = f"%y = convolution(%x, %w) {{{attributes}}}"
    return f"graph @g (%x: input {x}, %w: param {w}) -> (y: %y) {{ {body} }}"


def used(function: CompiledFunction) -> int:
    """How many nodes were written by points."""
    return sum(sum(step.hits.values()) for step in function.passes().steps if step.name == "winograd")


# ---- which


def test_a_convolution_becomes_two_transforms_a_product_and_tiles() -> None:
    out, hits = run_pass(Winograd(), graph_of(convolution("f32[8,16,16,64]", "f32[3,3,64,64]")))
    assert hits == {"convolution": 1}
    made = {node.op.name: out.type(node.outputs[0]).shape for node in out.nodes() if node.op.name != "reshape"}
    assert made == {
        "input": (8, 16, 16, 64),
        "param": (3, 3, 64, 64),
        "transform_windows": (36, 1, 1, 1, 4096),  # of the kernel, which comes last
        "contract": (36, 8, 4, 4, 64),
        "assemble_tiles": (8, 16, 16, 64),
    }


@pytest.mark.parametrize(
    ("x", "w", "changed"),
    [
        ("f32[8,32,32,64]", "f32[3,3,64,64]", ("strides = [1, 1]", "strides = [2, 2]")),
        ("f32[8,16,16,64]", "f32[3,3,64,64]", ("dilation = [1, 1]", "dilation = [1, 2]")),
        ("f32[8,16,16,64]", "f32[3,3,64,64]", ("spread = [1, 1]", "spread = [2, 1]")),
        ("f32[8,16,16,64]", "f32[3,3,64,64]", ("low = [1, 1]", "low = [1, -1]")),
        ("f32[8,16,16,128]", "f32[3,3,64,64]", (SAME, SAME + ", groups = 2")),
        ("f32[8,16,16,64]", "f32[3,5,64,64]", ("", "")),
        ("f32[8,n,16,64]", "f32[3,3,64,64]", ("", "")),
        ("f16[8,16,16,64]", "f16[3,3,64,64]", ("", "")),
        ("bf16[8,16,16,64]", "bf16[3,3,64,64]", ("", "")),
        ("f32[8,16,16,3]", "f32[3,3,3,64]", ("", "")),  # the transforms would take longer than what they save
        ("f32[1,4,4,512]", "f32[3,3,512,512]", ("", "")),  # and so would the larger kernel
    ],
)
def test_other_convolutions_stay(x: str, w: str, changed: tuple[str, str]) -> None:
    graph = graph_of(convolution(x, w, SAME.replace(*changed) if changed[0] else SAME))
    out, hits = run_pass(Winograd(), graph)
    assert out is graph
    assert not hits


def test_a_kernel_that_changes_costs_more() -> None:
    shapes = "f32[16,4,4,256]", "f32[3,3,256,256]"
    assert run_pass(Winograd(), graph_of(convolution(*shapes)))[1]
    assert not run_pass(Winograd(), graph_of(convolution(*shapes).replace("param", "input")))[1]


def test_what_a_kernel_is_at_the_points_is_computed_when_it_changes() -> None:
    x, w = sg.placeholder("x", (8, 16, 16, 64)), sg.parameter("w", np.ones((3, 3, 64, 64), np.float32))
    function = sg.compile([x], {"y": sg.convolution(x, w, padding=1)}, options=FAST)
    made = planned(function.graph, FAST, backend_for(FAST.target))
    assert made.ahead is not None
    assert ["transform" in kernel.name for kernel in made.ahead.legal].count(True) == 1
    assert ["transform" in kernel.name for kernel in made.legal].count(True) == 1
    first = function(np.ones(x.shape, np.float32))["y"]
    w.value[:] = 2.0
    np.testing.assert_allclose(function(np.ones(x.shape, np.float32))["y"], 2 * first, rtol=ERROR)


# ---- what


LINE = "strides = [1], low = [1], high = [1], dilation = [1], spread = [1]"


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ("f64[2,33,5]", "f64[3,5,7]", LINE),
        ("f64[3,3,4]", "f64[3,4,2]", LINE.replace("low = [1], high = [1]", "low = [0], high = [0]")),
        ("f64[2,15,18,3]", "f64[3,3,3,4]", SAME),
        ("f64[1,17,19,5]", "f64[3,3,5,2]", SAME.replace("low = [1, 1], high = [1, 1]", "low = [0, 0], high = [0, 0]")),
        ("f64[1,6,7,3]", "f64[3,3,3,2]", SAME.replace("low = [1, 1]", "low = [5, 0]")),
        ("f64[n,1,2,3]", "f64[3,3,3,4]", SAME),
        ("f64[0,4,5,3]", "f64[3,3,3,4]", SAME),
    ],
)
def test_results_are_the_same_sums(x: str, w: str, attributes: str, tile: int) -> None:
    rng = np.random.default_rng(0)
    shapes = [[3 if s == "n" else int(s) for s in t[4:-1].split(",")] for t in (x, w)]
    arrays = dict(zip(("x", "w"), (rng.standard_normal(shape) for shape in shapes), strict=True))
    before = graph_of(convolution(x, w, attributes).replace("param", "input"))
    y = interpret(before, arrays)["y"]
    g = f"f64[{','.join([x[4:-1].split(',', maxsplit=1)[0], *map(str, y.shape[1:])])}]"
    kernel = ", ".join(["3"] * (y.ndim - 2))
    body = f"%y = convolution_weights(%x, %w) {{kernel = [{kernel}], {attributes}}}"
    weights = graph_of(f"graph @g (%x: input {x}, %w: input {g}) -> (y: %y) {{ {body} }}")
    for graph, operands in ((before, arrays), (weights, {"x": arrays["x"], "w": rng.standard_normal(y.shape)})):
        after, hits = run_pass(Winograd(tile), graph)
        assert sum(hits.values()) == 1
        found, expected = (interpret(made, operands)["y"] for made in (after, graph))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max(initial=1))


def test_there_are_tiles_of_two_sizes() -> None:
    with pytest.raises(PassError, match="no points for such tiles"):
        run_pass(Winograd(3), graph_of(convolution("f32[8,16,16,64]", "f32[3,3,64,64]")))


SHAPES = [
    ((2, 16, 16, 64), 64, "same", 2),
    ((3, 13, 18, 40), 24, "same", 4),
    ((2, 9, 7, 65), 67, "valid", 4),
    ((1, 14, 14, 512), 48, ((2, 0), (0, 1)), 4),
    ((24, 40, 64), 96, "same", 4),
]


def programs(
    shape: tuple[int, ...], filters: int, padding: object, tile: int = 4
) -> tuple[list[CompiledFunction], list[NDArray]]:
    """A convolution and its derivatives in exact and in fast mode, on one and on two threads."""
    rng = np.random.default_rng(1)
    axes = len(shape) - 2
    x, w = sg.placeholder("x", shape), sg.placeholder("w", (*(3,) * axes, shape[-1], filters))
    y = sg.convolution(x, w, padding=padding)  # type: ignore[arg-type]
    g = sg.placeholder("g", y.shape)
    outputs = {"y": y, **dict(zip(("dx", "dw"), sg.vjp([y], [x, w], [g]), strict=True))}
    fast = CompileOptions(cache=False, passes=f"winograd{{tile={tile}}},standard")
    ways = [("cpu:1", EXACT), ("cpu:1", fast), ("cpu:2", fast)]
    arrays = [rng.standard_normal(t.shape).astype(np.float32) for t in (x, w, g)]
    return [sg.compile([x, w, g], outputs, None, target, options=options) for target, options in ways], arrays


@pytest.mark.parametrize(("shape", "filters", "padding", "tile"), SHAPES)
def test_fast_mode_keeps_to_its_error_and_to_its_bits(
    shape: tuple[int, ...], filters: int, padding: object, tile: int
) -> None:
    (exact, fast, threads), arrays = programs(shape, filters, padding, tile)
    assert used(fast) == 3
    right, found, again = (f(*arrays) for f in (exact, fast, threads))
    for name, array in found.items():
        assert 0 < np.abs(array - right[name]).max() < ERROR * np.abs(right[name]).max(), name
        assert array.tobytes() == again[name].tobytes() == fast(*arrays)[name].tobytes(), name


def test_a_nan_is_not_lost() -> None:
    (_, fast, _), (x, w, g) = programs((4, 16, 16, 8), 5, "same")
    x[3, 5, 6, 7] = np.nan
    y = fast(x, w, g)["y"]
    assert np.isnan(y[3, 4:7, 5:8]).all()
    assert not np.isnan(np.delete(y, 3, 0)).any()


def test_numbers_that_are_too_large_do_not_turn_into_others() -> None:
    (_, fast, _), (x, w, g) = programs((4, 16, 16, 8), 5, "same")
    x[0] = 1e38
    assert not np.isfinite(fast(x, w, g)["y"][0]).any()


# ---- fast mode


def test_exact_mode_is_the_default() -> None:
    x, w = sg.placeholder("x", (16, 16, 16, 64)), sg.placeholder("w", (3, 3, 64, 64))
    function = sg.compile([x, w], {"y": sg.convolution(x, w, padding=1)}, options=CompileOptions(cache=False))
    assert not CompileOptions().fast
    assert not any(step.name == "winograd" for step in function.passes().steps)


@pytest.mark.parametrize("file", CORPUS, ids=lambda f: f.stem)
def test_programs_without_such_convolutions_are_those_of_exact_mode(file: Path) -> None:
    graph = parse_graph(file.read_text("utf-8"), OPS, file.name)
    assert all(item.run(graph, PassContext(OPS)) is graph for item in FAST_PASSES)


def test_fast_mode_has_cache_entries_of_its_own() -> None:
    graph, backend = graph_of(convolution("f32[8,16,16,64]", "f32[3,3,64,64]")), backend_for(EXACT.target)
    assert cache_key(graph, EXACT, backend) != cache_key(graph, FAST, backend)


@pytest.mark.extended
def test_a_network_learns_the_same() -> None:
    rng = np.random.default_rng(2)
    data = sg.data.Dataset(rng.random((32, 16, 16, 64), np.float32), rng.integers(10, size=32, dtype=np.int32))
    costs = []
    for options in (EXACT, FAST):
        layers = L.Input(16, 16, 64) + 2 * (L.Conv2d(64, 3, padding="same") + L.BatchNorm() + L.Activation("relu"))
        network = sg.Network("images", layers + L.Flatten() + L.Dense(10) + L.SoftmaxCrossEntropy(), seed=3)
        trainer = sg.Trainer(network, sg.optimisers.SGD(0.01), data.batches(16, seed=1), options=options)
        assert used(trainer.step) == (0 if options is EXACT else 5)  # no derivative by the input
        costs.append(trainer.run(2, bar=False, lines=False).costs)
    assert costs[0] != costs[1]
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-3)
