"""Training steps of small networks on the CUDA shim: they learn what the same steps on the processor learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cuda_shim
import numpy as np
import pytest
from cuda_programs import on_shim

from sigmagraph import layers as L
from sigmagraph.dims import evaluate, names
from sigmagraph.driver import compile_graph
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.plan import Plan
from sigmagraph.optimisers import Adagrad, ClipByNorm
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.training.network import Network

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
OPTIONS = CompileOptions(cache=False, precision="highest")
CLASSES = 5


def perceptron() -> L.Chain:
    return (
        L.Input(20)
        + L.Dropout(0.2)
        + L.Dense(33, activation="relu", name="fc1")
        + L.Dense(CLASSES, name="fc2")
        + L.SoftmaxCrossEntropy()
    )


def step_of(layers: L.Chain, optimiser: Adagrad) -> tuple[Graph, Mapping[str, Variable]]:
    step = Network("network", layers, seed=1).train_graph(optimiser)
    return capture(step.inputs, step.outputs, step.updates)


def batch(plan: Plan, seed: int) -> list[NDArray]:
    """Random examples; classes and characters are numbers below CLASSES."""
    rng = np.random.default_rng(seed)
    sizes = {"batch": 6, "time": 7}
    out: list[NDArray] = []
    for port in plan.inputs:
        shape = [evaluate(size, {n: sizes[n] for n in names(size)}) for size in port.shape]
        if port.dtype.is_float:
            out.append(rng.standard_normal(shape).astype(port.dtype.numpy))
        else:
            out.append(rng.integers(0, CLASSES, shape).astype(port.dtype.numpy))
    return out


@pytest.mark.parametrize("network", [perceptron])
def test_steps_are_those_of_the_processor(network: Callable[[], L.Chain]) -> None:
    optimiser = Adagrad(learning_rate=0.02, clip=ClipByNorm(1))
    graph, here = step_of(network(), optimiser)
    native = compile_graph(graph, here, CompileOptions(Target(threads=1), cache=False)).executor
    graph, there = step_of(network(), optimiser)
    driver = cuda_shim.HostDriver(seed=3)
    device = on_shim(graph, there, OPTIONS, driver)
    for number in range(3):
        arrays = batch(native.plan, number)
        want, got = native.run(list(arrays)), device.run(list(arrays))
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-5, err_msg=name)
    for name, variable in here.items():
        np.testing.assert_allclose(there[name].value, variable.value, rtol=1e-4, atol=1e-5, err_msg=name)
    # One step by itself, one while it is noted, and one from the notes.
    assert driver.counts["captures"] == 1
    assert driver.counts["replays"] == 2
