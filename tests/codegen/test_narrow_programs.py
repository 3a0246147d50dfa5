"""Whole programs with 16-bit floats as inputs, parameters and outputs."""

from __future__ import annotations

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import CompileOptions

FRESH = CompileOptions(cache=False)
UNFUSED = CompileOptions(cache=False, fuse=False)

every_half = pytest.mark.parametrize("half", [DType.F16, DType.BF16], ids=str)


@every_half
@pytest.mark.parametrize("options", [FRESH, UNFUSED], ids=["fused", "unfused"])
def test_a_step_of_regression(half: DType, options: CompileOptions) -> None:
    batch = sg.Dim("batch")
    x, y = sg.placeholder("x", (batch, 19), half), sg.placeholder("y", (batch, 37), half)
    w = sg.parameter("w", np.linspace(-1, 1, 19 * 37).reshape(19, 37).astype(half.numpy))
    b = sg.parameter("b", np.zeros(37, half.numpy))
    loss = ((sg.relu(x @ w + b) - y) ** 2).mean()
    dw, db = sg.gradients(loss, [w, b])
    assert {loss.dtype, dw.dtype, db.dtype} == {half}
    step = sg.compile([x, y], {"loss": loss, "dw": dw, "db": db}, {w: w - 0.5 * dw, b: b - 0.5 * db}, options=options)
    rng = np.random.default_rng(1)
    for rows in (5, 64, 1):
        inputs = {n: rng.standard_normal((rows, k)).astype(half.numpy) for n, k in (("x", 19), ("y", 37))}
        params = {"w": w.value.copy(), "b": b.value.copy()}
        want = interpret(step.graph, inputs, params)
        got = step(**inputs)
        for name, value in got.items():
            assert value.dtype == half.numpy
            expected = want[name].astype(np.float64)
            slack = 16 * 2.0 ** (-10 if half is DType.F16 else -7)
            np.testing.assert_allclose(value.astype(np.float64), expected, rtol=slack, atol=slack * abs(expected).max())
        assert w.value.dtype == half.numpy
        assert not np.array_equal(w.value, params["w"])


@every_half
def test_sums_are_taken_in_f32(half: DType) -> None:
    """Sums of so many ones stick at 2048 or 256 when every partial sum is rounded to 16 bits."""
    x, y = sg.placeholder("x", (40, 3000), half), sg.placeholder("y", (3000, 40), half)
    outputs = {"product": sg.relu(x @ y), "rows": x.sum(axis=1) * 2, "columns": y.sum(axis=0), "mean": x.mean()}
    out = sg.compile([x, y], outputs, options=FRESH)(np.ones((40, 3000)), np.ones((3000, 40)))
    for name, value in {"product": 3000, "rows": 6000, "columns": 3000, "mean": 1}.items():
        np.testing.assert_array_equal(out[name].astype(np.float32), np.float32(np.float32(value).astype(half.numpy)))


@every_half
@pytest.mark.parametrize("threads", [1, 3])
def test_random_numbers_are_those_of_the_interpreter(half: DType, threads: int) -> None:
    key = sg.placeholder("key", (2,), "int64")
    numbers = sg.random_uniform(key, (7, 1000), half, stream=5)
    program = sg.compile([key], {"numbers": numbers}, target=f"cpu:{threads}", options=FRESH)
    inputs = {"key": np.array([3, 2**40 + 1])}
    got, want = program(**inputs)["numbers"], interpret(program.graph, inputs)["numbers"]
    assert got.tobytes() == want.tobytes()
    assert 0 <= got.min() < 0.01 < 0.98 < got.max() < 1


def test_types_are_converted_into_each_other() -> None:
    """Also by the program, whose inputs take any floats."""
    x, y = sg.placeholder("x", (6,), "float16"), sg.placeholder("y", (6,), "bfloat16")
    outputs = {"wide": x + y, "there": x.astype("bfloat16"), "back": y.astype("float16"), "whole": y.astype("int8")}
    assert outputs["wide"].dtype is DType.F32
    values = np.array([1.0, -2.75, 1e-7, 300.0, np.inf, 0.1], np.float32)
    out = sg.compile([x, y], outputs, options=FRESH)(values, values.tolist())
    f16, bf16 = values.astype(np.float16), values.astype(as_dtype("bfloat16").numpy)
    np.testing.assert_array_equal(out["wide"], f16.astype(np.float32) + bf16.astype(np.float32))
    np.testing.assert_array_equal(out["there"], f16.astype(bf16.dtype))
    np.testing.assert_array_equal(out["back"], bf16.astype(np.float16))
    np.testing.assert_array_equal(out["whole"], [1, -2, 0, 127, 127, 0])


@every_half
def test_constants_of_16_bits(half: DType) -> None:
    x = sg.placeholder("x", (3,), half)
    table = sg.constant(np.array([0.5, -1.5, 3.0]).astype(half.numpy))
    out = sg.compile([x], {"scaled": x * 0.1, "shifted": x + table, "table": table}, options=FRESH)(np.ones(3))
    tenth = np.float32(0.1).astype(half.numpy)
    np.testing.assert_array_equal(out["scaled"].astype(np.float32), np.full(3, np.float32(tenth)))
    np.testing.assert_array_equal(out["shifted"].astype(np.float32), [1.5, -0.5, 4.0])
    np.testing.assert_array_equal(out["table"].astype(np.float32), [0.5, -1.5, 3.0])
