"""16-bit floats on GPUs are converted by instructions, and give the bits that they give everywhere."""

from __future__ import annotations

import cuda_shim
import ml_dtypes
import numpy as np
import pytest
from cuda_programs import ARCH, run_on_shim

import sigmagraph as sg
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.driver import planned
from sigmagraph.dtypes import BF16, F32
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.expr import Cast, walk
from sigmagraph.ir.kernel.kernel import Let, Store, statements
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture

OPTIONS = CompileOptions(target=Target("cuda", cpu=ARCH), cache=False)


def bf16_graph() -> Graph:
    x, y, z = (
        sg.placeholder("x", (50,), "bfloat16"),
        sg.placeholder("y", (50,), "float64"),
        sg.placeholder("z", (50,), "int32"),
    )
    outputs = {
        "sum": x * x + x,
        "of f64": y.astype("bfloat16"),
        "of i32": z.astype("bfloat16"),
        "to i32": x.astype("int32"),
    }
    return capture([x, y, z], outputs)[0]


def test_conversions_are_instructions() -> None:
    kernels = planned(bf16_graph(), OPTIONS, CudaBackend(OPTIONS.target)).legal
    values = [s.value for k in kernels for s in statements(k.body) if isinstance(s, (Let, Store))]
    casts = [(e.value.dtype, e.dtype) for value in values for e in walk(value) if isinstance(e, Cast)]
    halves = [pair for pair in casts if BF16 in pair]
    assert halves
    assert all(F32 in pair for pair in halves)


@pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
def test_bits_are_those_of_the_interpreter() -> None:
    rng = np.random.default_rng(2)
    inputs = {
        "x": (rng.standard_normal(50) * 100).astype(ml_dtypes.bfloat16),
        "y": rng.standard_normal(50) * 1e-40,
        "z": rng.integers(-(1 << 31), 1 << 31, 50).astype(np.int32),
    }
    graph = bf16_graph()
    got = run_on_shim(graph, inputs, OPTIONS)
    for name, value in interpret(graph, inputs).items():
        assert got[name].tobytes() == value.tobytes(), name
