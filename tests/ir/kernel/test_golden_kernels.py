"""Three kernels that were written in text before the kernel IR was fixed: they parse, verify, print and compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from kernel_runs import GOLDEN, golden

from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

NAMES = ("matmul_bias_relu", "row_sums_gpu", "softmax_rows")
SHUFFLES = (None, 0, 1)


def test_all_golden_kernels_are_tested() -> None:
    assert sorted(p.stem for p in GOLDEN.glob("*.sgk")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_in_canonical_form(name: str) -> None:
    text = (GOLDEN / f"{name}.sgk").read_text("utf-8")
    code = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert print_kernel(golden(name)) == code


@pytest.mark.parametrize("name", NAMES)
def test_it_verifies(name: str) -> None:
    verify_kernel(golden(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_its_text(name: str) -> None:
    assert parse_kernel(print_kernel(golden(name))) == golden(name)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize(
    "dims", [{"m": 13, "n": 19, "k": 5}, {"m": 25, "n": 16, "k": 1}, {"m": 1, "n": 33, "k": 3}], ids=str
)
def test_matmul(dims: Mapping[str, int], shuffle: int | None) -> None:
    m, n, k = dims["m"], dims["n"], dims["k"]
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    bias, out = rng.standard_normal(n, np.float32), np.empty((m, n), np.float32)
    interpret_kernel(golden("matmul_bias_relu"), (a, b, bias, out), dims, shuffle=shuffle)
    exact = np.maximum(a.astype(np.float64) @ b + bias, 0)
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5)
    assert (out == 0).any()
    assert (out > 0).any()


@pytest.mark.parametrize(
    "dims", [{"m": 2, "n": 3, "k": 0}, {"m": 0, "n": 3, "k": 2}, {"m": 3, "n": 0, "k": 2}], ids=str
)
def test_matmul_of_nothing(dims: Mapping[str, int]) -> None:
    m, n, k = dims["m"], dims["n"], dims["k"]
    bias, out = np.ones(n, np.float32), np.empty((m, n), np.float32)
    interpret_kernel(
        golden("matmul_bias_relu"), (np.ones((m, k), np.float32), np.ones((k, n), np.float32), bias, out), dims
    )
    np.testing.assert_array_equal(out, np.ones((m, n)))


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("n", [1, 7, 8, 21])
def test_softmax(n: int, shuffle: int | None) -> None:
    x = np.random.default_rng(n).normal(scale=30, size=(3, n)).astype(np.float32)
    x[1, n // 2] = -np.inf
    out = np.empty_like(x)
    with np.errstate(invalid="ignore"):
        shifted = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
        exact = shifted / shifted.sum(1, keepdims=True)
    interpret_kernel(golden("softmax_rows"), (x, out), {"rows": 3, "n": n}, shuffle=shuffle)
    np.testing.assert_allclose(out, exact, rtol=3e-6, atol=1e-30)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("n", [1, 255, 600])
def test_row_sums_on_a_gpu(n: int, shuffle: int | None) -> None:
    x = np.random.default_rng(n).standard_normal((2, n), np.float32)
    out = np.empty(2, np.float32)
    interpret_kernel(golden("row_sums_gpu"), (x, out), {"rows": 2, "n": n}, shuffle=shuffle)
    np.testing.assert_allclose(out, x.sum(1, dtype=np.float64), rtol=1e-5, atol=1e-5)
