"""Schedules for every machine that there are schedules for, run by the kernel interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from evaluators import kernels, legal
from sparse import pairs

import sigmagraph as sg
from sigmagraph.codegen.schedule.machine import (
    AVX2,
    AVX512,
    BASELINE,
    CORTEX_M4,
    CORTEX_M7,
    NEON,
    SCALAR,
    SIMD128,
    Machine,
    machine_of,
)
from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

MACHINES = {"baseline": BASELINE, "neon": NEON, "avx2": AVX2, "avx512": AVX512, "scalar": SCALAR}


def graph_of_a_step() -> Graph:
    """Products with edges on every side, reductions along rows and columns, an epilogue, more rows than a task has."""
    batch = sg.Dim("batch")
    x = sg.placeholder("x", (batch, 7))
    y = sg.placeholder("y", (batch,), dtype="int32")
    w = sg.placeholder("w", (7, 37))
    v = sg.placeholder("v", (37, 11))
    hidden = sg.relu(x @ w)
    loss = sg.losses.softmax_cross_entropy(hidden @ v, y).mean()
    dw, dv = sg.gradients(loss, [w, v])
    outputs = {"loss": loss, "dw": w - dw, "dv": v - dv, "columns": hidden.sum(axis=0), "rows": hidden.max(axis=1)}
    return capture([x, y, w, v], outputs)[0]


@pytest.mark.parametrize(("machine", "batch"), pairs(MACHINES, [17, 1]))
def test_every_machine_computes_the_same(machine: Machine, batch: int) -> None:
    graph = graph_of_a_step()
    rng = np.random.default_rng(batch)
    inputs = {
        "x": rng.standard_normal((batch, 7)).astype(np.float32),
        "y": rng.integers(0, 11, batch).astype(np.int32),
        "w": rng.standard_normal((7, 37)).astype(np.float32),
        "v": rng.standard_normal((37, 11)).astype(np.float32),
    }
    expected = interpret(graph, inputs)
    got = kernels(STANDARD, legal(machine))(graph, inputs)
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("triple", "features", "machine"),
    [
        ("x86_64-unknown-linux-gnu", "+sse2", BASELINE),
        ("x86_64-unknown-linux-gnu", "+avx,+avx2,+fma", AVX2),
        ("x86_64-unknown-linux-gnu", "+avx2,+fma,+avx512f", AVX512),
        ("x86_64-unknown-linux-gnu", "+avx2,-avx512f", SIMD128),  # no fused multiply-add
        ("aarch64-unknown-linux-gnu", "+neon", NEON),
        ("arm64-apple-darwin", "", NEON),
        ("wasm32-unknown-unknown", "+simd128", SIMD128),
        ("riscv64-unknown-linux-gnu", "+d", SCALAR),
    ],
)
def test_machines_are_known_by_their_features(triple: str, features: str, machine: Machine) -> None:
    assert machine_of(triple, features) == machine


def test_machines_have_what_their_processors_have() -> None:
    x86 = "x86_64-unknown-linux-gnu"
    assert not BASELINE.instructions.rounding
    for features in ("+sse4.1", "+avx", "+sse3,+sse4.1,+sse4.2"):
        has = machine_of(x86, features).instructions
        assert has.rounding
        assert has.rounding_f64
        assert not has.fma
    assert not machine_of(x86, "+sse4.1,-sse4.1").instructions.rounding
    assert machine_of(x86, "+avx2,+fma,+f16c").instructions.f16_casts
    m4, m7 = (machine_of("thumbv7em-unknown-none-eabihf", "", f"cortex-m{n}") for n in (4, 7))
    assert (m4, m7) == (CORTEX_M4, CORTEX_M7)
    assert m4.fuses(F32)
    assert not m4.fuses(F64)
    assert m7.fuses(F64)
    assert not SCALAR.fuses(I32)
    assert SCALAR.lanes(F64) == 2
