"""Rows on GPUs: what several sweeps over one need is read and computed once, and kept in registers."""

from __future__ import annotations

from collections.abc import Mapping

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.cuda.nests import nests_of
from sigmagraph.dims import Dim
from sigmagraph.driver import planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.expr import Apply, Load, walk
from sigmagraph.ir.kernel.kernel import Kernel, Let, Space, Store, statements
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

OPTIONS = CompileOptions(target=Target("cuda", cpu=ARCH), cache=False)


def kernel_of(graph: Graph) -> Kernel:
    (kernel,) = planned(graph, OPTIONS, CudaBackend(OPTIONS.target)).legal
    return kernel


def graph_of(inputs: list[Tensor], **outputs: Tensor) -> Graph:
    return capture(inputs, outputs)[0]


def reads(kernel: Kernel) -> Mapping[str, int]:
    """How many loads of each parameter the text of a kernel has."""
    values = [s.value for s in statements(kernel.body) if isinstance(s, (Let, Store))]
    loads = [e.buffer for value in values for e in walk(value) if isinstance(e, Load)]
    return {p.name: loads.count(p.name) for p in kernel.params}


@pytest.mark.parametrize("n", [64, 300, 8192, 32768])
def test_a_softmax_reads_once_and_computes_exponentials_once(n: int) -> None:
    x = sg.placeholder("x", (Dim("rows"), n))
    kernel = kernel_of(graph_of([x], y=sg.softmax(x)))
    assert reads(kernel) == {"%a0": 1, "%o0": 0}
    # An exponential puts its result together in bits.
    values = [s.value for s in statements(kernel.body) if isinstance(s, (Let, Store))]
    assert sum(isinstance(e, Apply) and e.op == "shl" for value in values for e in walk(value)) == 1
    (nest,) = nests_of(kernel)
    assert nest.memory(Space.LOCAL) <= 4 * 80
    assert nest.threads == {64: 256, 300: 64, 8192: 256, 32768: 1024}[n]


def test_rows_of_a_size_that_is_not_known_and_rows_that_are_too_long_are_read_again() -> None:
    # In sixteens, and of a size that is not known what is left of them.
    for n, each in ((Dim("n"), 2), (1 << 16, 1)):
        x = sg.placeholder("x", (Dim("rows"), n))
        assert reads(kernel_of(graph_of([x], y=sg.softmax(x)))) == {"%a0": 3 * each, "%o0": 0}


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_rows_that_are_kept_are_what_the_interpreter_finds() -> None:
    rows = Dim("rows")
    a, b, c = sg.placeholder("a", (rows, 300)), sg.placeholder("b", (3, 2100)), sg.placeholder("c", (rows, 77))
    g = sg.placeholder("g", (3, 2100))
    scale, shift = sg.placeholder("scale", (77,)), sg.placeholder("shift", (77,))
    graph = graph_of(
        [a, b, c, g, scale, shift],
        a=sg.softmax(a),
        b=sg.vjp([sg.softmax(b)], [b], [g])[0],
        c=sg.layer_norm(c, scale, shift),
    )
    rng = np.random.default_rng(1)
    shapes = {"a": (5, 300), "b": (3, 2100), "c": (5, 77), "g": (3, 2100), "scale": (77,), "shift": (77,)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    got = run_on_shim(graph, inputs, OPTIONS)
    for name, value in interpret(graph, inputs).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
