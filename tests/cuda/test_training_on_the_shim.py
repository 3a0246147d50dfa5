"""Training steps of small networks on the CUDA shim: they compute what the graph says, as the processor's steps do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cuda_shim
import numpy as np
import pytest
from cuda_programs import COMPILER, Together, assert_in_registers, on_shim
from ladder import Point, Program, live
from small_networks import CLASSES, NETWORKS, SIZES, step_of
from sparse import some

from sigmagraph.dims import evaluate
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.options import CompileOptions, Target

OPTIONS = CompileOptions(cache=False, precision="highest")
every_network = pytest.mark.parametrize("name", some(tuple(NETWORKS), ("perceptron",)))
needs_shim = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def batch(graph: Graph, seed: int) -> dict[str, NDArray]:
    """Random examples; classes and characters are numbers below CLASSES."""
    rng = np.random.default_rng(seed)
    out: dict[str, NDArray] = {}
    for value in graph.inputs:
        type = graph.type(value)
        shape = [evaluate(size, SIZES) for size in type.shape]
        floats = rng.standard_normal(shape) if type.dtype.is_float else rng.integers(0, CLASSES, shape)
        out[graph.node(value).name] = floats.astype(type.dtype.numpy)
    return out


@needs_shim
@every_network
def test_steps_compute_what_the_graph_says(name: str) -> None:
    """From the same values, on the shim and on the processor, within what rounding explains for this very step."""
    graph, variables = step_of(name)
    driver = cuda_shim.HostDriver(seed=3)
    device = on_shim(graph, variables, OPTIONS, driver)
    graph = live(graph)
    updates = {o.name: o.updates for o in graph.outputs if o.updates is not None}
    here = Program(graph, CompileOptions(Target(threads=1), cache=False))
    for number in range(3):
        inputs, before = batch(graph, number), {n: v.value.copy() for n, v in variables.items()}
        at = Point(graph, SIZES, inputs, before, interpret(graph, inputs, before))
        results = device.run([inputs[port.name] for port in device.plan.inputs])
        after = {out: variables[updated].value.copy() for out, updated in updates.items()}
        at.check({**results, **after}, f"step {number} of {name} on the shim")
        at.check(here.results(at), f"step {number} of {name} on the processor")
        same = variables.keys() - {*updates.values()}
        assert all(variables[n].value.tobytes() == before[n].tobytes() for n in sorted(same))
    # One step by itself, one while it is noted, and one from the notes.
    assert driver.counts["captures"] == 1
    assert driver.counts["replays"] == 2


@pytest.mark.skipif(not COMPILER, reason="neither NVRTC nor nvcc is on this machine")
@pytest.mark.parametrize("precision", ["highest", ""], ids=["highest", "tensor cores"])
@pytest.mark.parametrize("arch", some(("sm_75", "sm_80", "sm_90", "sm_90a"), ()))
def test_steps_compile_and_stay_in_their_registers(arch: str, precision: str) -> None:
    together = Together(arch)
    for name in NETWORKS:
        together.add(step_of(name)[0], replace(OPTIONS, precision=precision))
    # A bundle's stack.
    assert_in_registers(together.text(), arch, {"optimiser_reduce_sum_sub": 32} if arch == "sm_75" else {})
