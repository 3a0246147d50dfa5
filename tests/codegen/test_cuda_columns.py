"""Columns on GPUs: short ones are walked down by a thread for a vector of neighbours."""

from __future__ import annotations

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.nests import Nest, nests_of
from sigmagraph.dims import Dim
from sigmagraph.driver import planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.kernel import For, LoopKind, Space
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

OPTIONS = CompileOptions(target=Target("cuda", cpu=ARCH), cache=False)
MANY = 1 << 17


def graph_of(*shapes: tuple[Dim | int, int]) -> Graph:
    """Means of columns, by which something else is multiplied."""
    inputs: list[Tensor] = []
    outputs: dict[str, Tensor] = {}
    for number, (rows, columns) in enumerate(shapes):
        x, y = sg.placeholder(f"x{number}", (rows, columns)), sg.placeholder(f"y{number}", (columns,))
        inputs += [x, y]
        outputs[f"z{number}"] = sg.tanh(x.mean(0) * y)
    return capture(inputs, outputs)[0]


def nests(graph: Graph) -> list[Nest]:
    (kernel,) = planned(graph, OPTIONS, CudaBackend(OPTIONS.target)).legal
    return list(nests_of(kernel))


def has_vectors(nest: Nest) -> bool:
    return any(isinstance(s, For) and s.kind is LoopKind.VECTORIZED for s in nest.statements)


def test_short_columns_are_walked_down_in_vectors() -> None:
    (one,) = nests(graph_of((5, MANY)))
    assert has_vectors(one)
    assert (one.blocks, one.threads, one.memory(Space.SHARED)) == (MANY // 4 // 256, 256, 0)
    tasks, rest = nests(graph_of((Dim("n"), MANY)))
    assert has_vectors(tasks)
    assert has_vectors(rest)
    assert (rest.blocks, rest.threads) == (MANY // 4 // 256, 256)


def test_few_columns_are_walked_down_by_several_threads_each() -> None:
    (few,) = nests(graph_of((60, 1000)))
    assert not has_vectors(few)
    assert few.memory(Space.SHARED) > 0


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_what_comes_out_is_what_the_interpreter_finds() -> None:
    graph = graph_of((Dim("n"), MANY), (3, 1001))
    rng = np.random.default_rng(1)
    shapes = {"x0": (2, MANY), "y0": (MANY,), "x1": (3, 1001), "y1": (1001,)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    got = run_on_shim(graph, inputs, OPTIONS)
    for name, value in interpret(graph, inputs).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
