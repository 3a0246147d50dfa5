"""Runs kernels on random arrays in the interpreter, for tests that compare two kernels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sigmagraph.dims import evaluate
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel, Role
from sigmagraph.ir.kernel.parser import parse_kernel

Array = np.ndarray[Any, Any]

GOLDEN = Path(__file__).parent / "golden" / "kernel"
GOLDEN_DIMS: Mapping[str, tuple[Mapping[str, int], ...]] = {
    "matmul_bias_relu": ({"m": 13, "n": 19, "k": 5}, {"m": 12, "n": 16, "k": 4}, {"m": 1, "n": 1, "k": 1}),
    "softmax_rows": ({"rows": 3, "n": 19}, {"rows": 2, "n": 8}, {"rows": 1, "n": 3}),
    "row_sums_gpu": ({"rows": 2, "n": 300}, {"rows": 1, "n": 7}),
}


def golden(name: str) -> Kernel:
    """A kernel of tests/golden/kernel."""
    path = GOLDEN / f"{name}.sgk"
    return parse_kernel(path.read_text(encoding="utf-8"), path.name)


def run(kernel: Kernel, dims: Mapping[str, int], seed: int = 0) -> list[Array]:
    """The arrays of all parameters after a run; what the kernel reads is random."""
    rng = np.random.default_rng(seed)
    arrays = []
    for param in kernel.params:
        shape = [evaluate(s, dims) for s in param.shape]
        if param.role is Role.OUT:
            arrays.append(np.empty(shape, param.dtype.numpy))
        elif param.dtype.is_float:
            arrays.append(rng.standard_normal(shape).astype(param.dtype.numpy))
        else:
            arrays.append(rng.integers(0, 7, shape).astype(param.dtype.numpy))
    interpret_kernel(kernel, arrays, dims)
    return arrays


def same_bits(a: Kernel, b: Kernel, dims: Mapping[str, int]) -> None:
    """Assert that two kernels leave the same bytes in every parameter."""
    for param, left, right in zip(a.params, run(a, dims), run(b, dims), strict=True):
        assert left.tobytes() == right.tobytes(), param.name
