"""How many launches programs take, and that what one launch does of several is what each of them does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, on_shim

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.dims import Dim
from sigmagraph.driver import build
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.plan import Launch, Plan, flat_steps
from sigmagraph.optimisers import Adam
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.runner import Runner
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.training.network import Network

on_the_shim = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
OPTIONS = CompileOptions(cache=False, precision="highest")


def perceptron() -> Network:
    layers = L.Input(12) + L.Dense(33, activation="relu", name="fc1") + L.Dense(40, activation="relu", name="fc2")
    return Network("network", layers + L.Dense(5, name="fc3") + L.SoftmaxCrossEntropy(), seed=1)


def launches(plan: Plan) -> list[Launch]:
    return [step for step in flat_steps(plan.steps) if isinstance(step, Launch)]


def handed(plan: Plan, suffix: str) -> list[str]:
    """The launches that are handed a parameter whose name ends so."""
    wanted = {n for n, port in enumerate(plan.params) if port.name.endswith(suffix)}
    return [s.kernel for s in launches(plan) if any(p.space == "param" and p.index in wanted for p in s.places)]


class TextBackend(CudaBackend):
    """The target as it is, but the text is not compiled."""

    def generation(self, listing: bool) -> Generation:
        return Generation(self.arch, lambda _: Compiled(b"", "", (), "none", 0.0), listing)


def test_all_parameters_are_updated_by_one_launch() -> None:
    step = perceptron().train_graph(Adam(0.01))
    graph, _ = capture(step.inputs, step.outputs, step.updates)
    options = replace(OPTIONS, target=Target("cuda", cpu=ARCH))
    plan = build(graph, options, TextBackend(options.target))[0].main
    assert len({p.name for p in plan.params if p.name.endswith((".mean", ".squares"))}) == 12
    assert len(set(handed(plan, ".mean") + handed(plan, ".squares"))) == 1
    # Forward 3, of which the check of the classes is a part; backward, with the cost, 3; counters and updates 2.
    assert len(launches(plan)) <= 8


def several() -> tuple[Runner, Mapping[str, NDArray], Mapping[str, NDArray]]:
    """Things that have nothing to do with each other, sizes being known or not: the program, inputs, what comes out."""
    n = Dim("n")
    a, b = sg.placeholder("a", (n, 7)), sg.placeholder("b", (5, n))
    c, d = sg.placeholder("c", (40,)), sg.placeholder("d", (300,))
    outputs: dict[str, Tensor] = {
        "a": sg.exp(a) + 1,
        "b": sg.softmax(b),
        "c": sg.tanh(c) * 2,
        "d": sg.tanh(d) * 2,
        "sum": d.sum(),
        "long": (b * b).sum(0),
    }
    graph, variables = capture([a, b, c, d], outputs)
    rng = np.random.default_rng(1)
    shapes = {"a": (70, 7), "b": (5, 70), "c": (40,), "d": (300,)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return on_shim(graph, variables, OPTIONS), inputs, interpret(graph, inputs)


@on_the_shim
def test_small_works_that_do_not_depend_on_each_other_are_one_launch() -> None:
    runner, inputs, want = several()
    assert len(launches(runner.plan)) == 1
    for name, value in runner.run([inputs[port.name] for port in runner.plan.inputs]).items():
        np.testing.assert_allclose(value, want[name], rtol=2e-6, atol=1e-6, err_msg=name)


@on_the_shim
def test_copies_of_a_loop_are_done_beside_other_work() -> None:
    start, rows = sg.placeholder("start", (Dim("n"), 6)), sg.placeholder("rows", (3, Dim("n"), 6))
    last, before = sg.scan(lambda state, row: (sg.matmul(state, sg.eye(6)[::-1]) + row, state), start, rows)
    graph, variables = capture([start, rows], {"last": last, "before": before})
    driver = cuda_shim.HostDriver(seed=2)
    runner = on_shim(graph, variables, OPTIONS, driver)
    rng = np.random.default_rng(1)
    inputs = {
        "start": rng.standard_normal((5, 6)).astype(np.float32),
        "rows": rng.standard_normal((3, 5, 6)).astype(np.float32),
    }
    want = interpret(graph, inputs)
    for name, value in runner.run([inputs[port.name] for port in runner.plan.inputs]).items():
        np.testing.assert_allclose(value, want[name], rtol=2e-6, atol=1e-6, err_msg=name)
    # A turn is a launch, which keeps the state as well, and a copy of the new one.
    assert (driver.counts["launches"], driver.counts["copies"]) == (3, 4)
