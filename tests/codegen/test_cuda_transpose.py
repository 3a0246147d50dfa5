"""Computes on GPUs that read along another axis than they write: neighbouring threads have neighbouring elements in both."""

from __future__ import annotations

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.templates.pieces import slope
from sigmagraph.dims import Dim, Size
from sigmagraph.driver import planned
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.expr import Load, walk
from sigmagraph.ir.kernel.kernel import Kernel, Let, Store, statements
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

OPTIONS = CompileOptions(target=Target("cuda", cpu=ARCH), cache=False)


def kernel_of(x: Tensor, y: Tensor) -> Kernel:
    (kernel,) = planned(capture([x], {"y": y})[0], OPTIONS, CudaBackend(OPTIONS.target)).legal
    return kernel


def steps(kernel: Kernel) -> dict[str, set[Size | None]]:
    """By how much what is read or written of each parameter moves from a thread to the next."""
    out: dict[str, set[Size | None]] = {p.name: set() for p in kernel.params}
    for stmt in statements(kernel.body):
        if isinstance(stmt, Store) and stmt.buffer in out:
            out[stmt.buffer].add(slope(stmt.index[0], "%x"))
        for e in walk(stmt.value) if isinstance(stmt, (Let, Store)) else ():
            if isinstance(e, Load) and e.buffer in out:
                out[e.buffer].add(slope(e.index[0], "%x"))
    return out


def test_neighbouring_threads_read_and_write_neighbours() -> None:
    x = sg.placeholder("x", (Dim("n"), 300))
    assert steps(kernel_of(x, sg.exp(x.transpose((1, 0))))) == {"%a0": {1}, "%o0": {1}}
    x = sg.placeholder("x", (8, 96, 128))
    assert steps(kernel_of(x, x.transpose((0, 2, 1)))) == {"%a0": {1}, "%o0": {1}}


def test_what_is_small_or_narrow_or_not_transposed_needs_no_tiles() -> None:
    x = sg.placeholder("x", (100, 100))
    assert "%tile0" not in str(kernel_of(x, x.transpose((1, 0))))
    x = sg.placeholder("x", (10000, 8))
    assert "%tile0" not in str(kernel_of(x, x.transpose((1, 0))))
    x = sg.placeholder("x", (4, 64, 32, 32))
    assert "%tile0" not in str(kernel_of(x, x.transpose((0, 2, 1, 3))))


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_what_comes_out_is_what_the_interpreter_finds() -> None:
    n, m = Dim("n"), Dim("m")
    a, b, c = sg.placeholder("a", (n, m)), sg.placeholder("b", (m, n)), sg.placeholder("c", (2, n, 3, 40), "float16")
    graph, _ = capture([a, b, c], {"sum": a.transpose((1, 0)) * 2 + b, "moved": c.transpose((3, 2, 0, 1))})
    rng = np.random.default_rng(1)
    inputs = {
        "a": rng.standard_normal((37, 70)).astype(np.float32),
        "b": rng.standard_normal((70, 37)).astype(np.float32),
        "c": rng.standard_normal((2, 37, 3, 40)).astype(np.float16),
    }
    got = run_on_shim(graph, inputs, OPTIONS)
    for name, value in interpret(graph, inputs).items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
