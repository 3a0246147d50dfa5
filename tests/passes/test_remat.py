"""Remat: cheap values are computed again instead of kept, groups run early that free memory, and no bit changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_checks import check_same_numbers, graph_of, run_pass

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.targets import backend_for
from sigmagraph.dims import evaluate
from sigmagraph.driver import planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.plan import Plan
from sigmagraph.options import CompileOptions, Target
from sigmagraph.passes.remat import Remat
from sigmagraph.tensor.capture import capture

SIZES = {"batch": 64}
KEPT, RENEWED = CompileOptions(cache=False), CompileOptions(cache=False, remat=True)


def perceptron() -> sg.Network:
    layers: L.Layer | L.Chain = L.Input(32)
    for _ in range(4):
        layers += L.Dense(32) + L.LayerNorm() + L.Activation("gelu")
    return sg.Network("perceptron", layers + L.Dense(10) + L.SoftmaxCrossEntropy(), seed=3)


def images() -> sg.Network:
    layers: L.Layer | L.Chain = L.Input(8, 8, 3)
    for _ in range(3):
        layers += L.Conv2d(8, 3, padding="same") + L.BatchNorm() + L.Activation("silu")
    return sg.Network("images", layers + L.Flatten() + L.Dense(10) + L.SoftmaxCrossEntropy(), seed=3)


def plan(network: sg.Network, remat: bool) -> Plan:
    step = network.train_graph(sg.optimisers.Momentum(0.1))
    options = CompileOptions(Target(cpu="haswell", features="+avx2,+fma"), remat=remat)
    return planned(capture(step.inputs, step.outputs, step.updates)[0], options, backend_for(options.target)).plan


@pytest.mark.parametrize(("make", "part"), [(perceptron, 0.65), pytest.param(images, 0.75, marks=pytest.mark.extended)])
def test_a_training_step_needs_less_memory(make: Callable[[], sg.Network], part: float) -> None:
    kept, renewed = (evaluate(plan(make(), remat).arena_bytes(1), SIZES) for remat in (False, True))
    assert renewed < part * kept


def test_training_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    records, labels = rng.random((20, 32), np.float32), rng.integers(10, size=20, dtype=np.int32)
    found = []
    for options in (KEPT, RENEWED):
        network = perceptron()
        step = network.train_graph(sg.optimisers.Momentum(0.1))
        function = sg.compile(step.inputs, step.outputs, step.updates, options=options)
        arrays = {step.records[0]: records, step.targets[0]: labels}
        costs = [function(**arrays, **step.hyperparameters)["cost"] for _ in range(3)]
        found.append([*costs, *(p.copy() for p in network.parameters().values())])
    for kept, renewed in zip(*found, strict=True):
        np.testing.assert_array_equal(kept, renewed)


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes()]


def test_what_is_cheap_is_computed_again_where_it_is_read_later() -> None:
    """While %b is alive, which is large, %h need not be."""
    head = "(%x: input f32[n,8], %w: input f32[8,8], %u: input f32[8,512], %v: input f32[512,8]) -> (y: %y)"
    graph = graph_of(
        f"""graph @g stage(primitive) {head} {{
        %h = exp(%x) %a = matmul(%h, %w) : f32[n,8]  %b = matmul(%a, %u) : f32[n,512]
        %s = matmul(%b, %v) : f32[n,8]  %y = mul(%s, %h)
        }}"""
    )
    out, hits = run_pass(Remat(), graph)
    assert hits == {"recomputed": 1}
    assert names(out) == ["input"] * 4 + ["exp", *["matmul"] * 3, "exp", "mul"]
    check_same_numbers(graph, out)


@pytest.mark.parametrize(
    "body",
    [
        "%y = exp(%x)",
        "%a = exp(%x) %y = reduce_sum(%a) {axes = [0, 1]}",
        "%a = neg(%x) %b = transpose(%a) {axes = [1, 0]} %y = matmul(%b, %a)",
    ],
)
def test_where_nothing_is_gained_nothing_changes(body: str) -> None:
    graph = graph_of(f"graph @g stage(primitive) (%x: input f32[n,4]) -> (y: %y) {{ {body} }}")
    out, hits = run_pass(Remat(), graph)
    assert out is graph
    assert not hits


def test_new_values_of_parameters_are_made_as_soon_as_they_can() -> None:
    """A gradient that waits for the last one to be used takes memory all the time."""
    graph = graph_of(
        """graph @g stage(primitive) (%x: input f32[n,64], %p: param f32[64,64], %q: param f32[64,64])
            -> (p: %a updates %p, q: %b updates %q) {
        %t = transpose(%x) {axes = [1, 0]} %g = matmul(%t, %x) : f32[64,64]  %h = matmul(%g, %g) : f32[64,64]
        %i = matmul(%h, %h) : f32[64,64]  %j = matmul(%i, %i) : f32[64,64]  %b = sub(%q, %j)
        %e = matmul(%g, %h) : f32[64,64]  %a = sub(%p, %e)
        }"""
    )
    out, hits = run_pass(Remat(), graph)
    assert hits == {"ordered": 1}
    operands = [node.inputs for node in out.nodes() if node.op.name == "matmul"]
    assert operands[2] == (operands[1][0], out.node(operands[2][1]).outputs[0])  # %e reads %g before %i is made
    check_same_numbers(graph, out, exact=False)
