"""The verifier is right: kernels that pass stay in bounds and compute the same in every order of iterations."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sigmagraph.dims import evaluate
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

HEAD = "sigmagraph 1 kernel @k stage(loops) dims(n, m) params(%x: in i32[n], %y: inout i32[n], %z: inout i32[n,m], %f: inout i32[n*m])"
OUTER = ("n", "m", "n*m", "(n//3)", "((n+2)//3)", "4", "((n+1)//2)*m", "n-1", "min(n, m)")
INNER = ("n", "m", "3", "min(3, n-3*%p)", "n-%p", "%p", "m-1", "((m+1)//2)", "min(2, m-2*%p)")
ROWS = ("%p", "%q", "n-1-%p", "3*%p+%q", "(%p//m)", "%p-n*(%p//n)", "%p+%q", "%p+1", "(%p//2)", "0", "n-1", "min(%p, n-1)",
        "%j", "2*%p+%q", "(%p//m)+%q", "%p-%q")  # fmt: skip
COLUMNS = ("%q", "%p", "0", "m-1-%q", "%p-m*(%p//m)", "(%p//n)", "min(%q, m-1)", "m-1", "2*%p+%q", "2*(%p-m*(%p//m))")
FLATS = (
    "%p",
    "%p*m+%q",
    "%q*n+%p",
    "%q*m+%p",
    "3*%p+%q",
    "n*m-1-%p",
    "m*%p+m*%q",
    "2*%p+%q",
    "n*%p+%q",
    "(%p//m)*m+%q",
)
GUARDS = ("n-1-%p", "n-1-3*%p-%q", "-%q", "%p-1", "m-1-%q", "%q-1", "n*m-1-%p*m-%q", "%p-n+1", "n-2*%p-%q-1", "1-%q", "n-2-%p",
          "m-2*%p-%q-1", "%p-m*(%p//m)-m+1")  # fmt: skip


def random_text(rng: random.Random) -> str:
    def access(written: bool) -> str:
        name = rng.choice("yzf" if written else "xyzf")
        index = {"x": ROWS, "y": ROWS, "f": FLATS}.get(name)
        at = rng.choice(index) if index else f"{rng.choice(ROWS)}, {rng.choice(COLUMNS)}"
        guard = f" when({', '.join(rng.sample(GUARDS, rng.randint(1, 2)))})" if rng.random() < 0.6 else ""
        return f"%{name}[{at}]{guard}"

    def statement() -> str:
        target = access(written=True)
        source = rng.choice((target, access(written=False), f"%x[0] when({rng.choice(GUARDS)})"))
        value = f"add({source}, cast(index(7*%p+%q+1), i32))"
        store = f"{target} = {value}"
        return (
            store
            if rng.random() < 0.6
            else f"if ({rng.choice(GUARDS)}) {{ {store} }} else {{ %y[0] when(-1-%p) = 0:i32 }}"
        )

    kinds = [rng.choice(("parallel", "parallel", "")), rng.choice(("", "parallel"))]
    if kinds[0]:
        kinds[1] = ""
    clamp = "let %j: i64 = max(0:i64, min(index(n-1), cast(%x[0], i64)))"
    body = " ".join(statement() for _ in range(rng.randint(1, 2)))
    return f"{HEAD} {{ {clamp} for %p in {rng.choice(OUTER)} {kinds[0]} {{ for %q in {rng.choice(INNER)} {kinds[1]} {{ {body} }} }} }}"


def run(kernel: Kernel, dims: Mapping[str, int], shuffle: int | None) -> list[Any]:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 9, [evaluate(s, dims) for s in p.shape], np.int32) for p in kernel.params]
    interpret_kernel(kernel, arrays, dims, shuffle=shuffle)
    return [a.tolist() for a in arrays]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_verified_runs_in_bounds_and_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    passed = 0
    for _ in range(80):
        text = random_text(rng)
        kernel = parse_kernel(text)
        try:
            verify_kernel(kernel)
        except VerifyError:
            continue
        passed += 1
        for n, m in itertools.product((1, 2, 5), (1, 2, 3)):
            in_order = run(kernel, {"n": n, "m": m}, None)
            for shuffle in range(2):
                assert run(kernel, {"n": n, "m": m}, shuffle) == in_order, text
    assert passed > 5
