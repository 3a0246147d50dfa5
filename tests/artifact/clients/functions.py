"""functions.py FOLDER: exports compiled functions for a GPU, and compares what the artifact gives with what they give.

The process has the stand-in for the driver's library, see test_device_artifacts.py, whose backend it takes.
"""

from __future__ import annotations

import sys
from typing import Any

import cuda_shim
import numpy as np
from test_device_artifacts import ShimBackend

import sigmagraph as sg
from sigmagraph import exporter


def state_functions() -> dict[str, Any]:
    """A step that changes what predictions prepare: the norm of a matrix, and its square."""
    n = sg.Dim("n")
    x, rate = sg.placeholder("x", (n, 12)), sg.placeholder("rate", ())
    w = sg.parameter("w", np.linspace(0.1, 1, 36, dtype=np.float32).reshape(12, 3))
    scaled = (w * w).sum() * w
    step = sg.compile([x, rate], {"loss": (x @ w).sum()}, {w: w - rate * w})
    return {"step": step, "predict": sg.compile([x], {"y": x @ scaled})}


def kinds() -> Any:
    """Scalars of all kinds, and a value of 16 bits."""
    n = sg.Dim("n")
    names = ("float16", "bfloat16", "bool", "uint8", "int8", "int64", "float64")
    scalars = [sg.placeholder(name, (), dtype=name) for name in names]
    a = sg.placeholder("a", (n, n), dtype="float16")
    half, brain, flag, u8, i8, i64, f64 = scalars
    mix = sg.where(flag, a * half, a + brain.astype("float16"))
    whole = u8.astype("int64") + i8.astype("int64") + i64
    return sg.compile([a, *scalars], {"mix": mix, "sum": whole, "not": ~flag, "double": f64 * 2})


def loops() -> Any:
    """A loop over rows, in each turn of which one of two things happens, and indices that are looked at."""
    m = sg.Dim("m")
    x, index = sg.placeholder("x", (m, 4)), sg.placeholder("index", (m,), dtype="int32")
    table = sg.parameter("table", np.arange(20, dtype=np.float32).reshape(5, 4) / 8)

    def turn(state: Any, row: Any) -> Any:
        chosen = sg.cond(row.sum() > 0, lambda s, r: s * 0.5 + r, lambda s, r: s - r * r, state, row)
        return chosen, chosen * 2

    last, all_turns = sg.scan(turn, sg.take(table, index, axis=0).sum(axis=0), x)
    return sg.compile([x, index], {"last": last, "all": all_turns})


def compare(artifact: Any, compiled: dict[str, Any], name: str, *inputs: Any) -> None:
    wanted, got = compiled[name](*inputs), getattr(artifact, name)(*inputs)
    assert list(wanted) == list(got)
    for key, value in wanted.items():
        assert got[key].dtype == value.dtype
        np.testing.assert_allclose(got[key], value, rtol=2e-5, atol=1e-6, err_msg=f"{name}: {key}")


def main() -> None:
    """Export, load and compare."""
    cuda_shim._runtime()
    exporter.backend_for = ShimBackend  # type: ignore[assignment]
    compiled = {**state_functions(), "kinds": kinds(), "loops": loops()}
    export = sg.export(sys.argv[1], name="f", functions=compiled, target="cuda:sm_80", embed_weights=True)
    assert export.tested
    artifact = sg.load(export.folder)
    rng = np.random.default_rng(1)
    for count in (3, 3, 3, 300, 3):
        x = rng.random((count, 12), np.float32)
        for _ in range(2):
            compare(artifact, compiled, "predict", x)
        compare(artifact, compiled, "step", x, 0.1)
        compare(artifact, compiled, "predict", x)
    np.testing.assert_allclose(artifact.state["w"], compiled["step"].source.variables["w"].value, rtol=1e-6)
    a = np.linspace(-2, 2, 16).astype(np.float16).reshape(4, 4)
    for flag in (True, False):
        compare(artifact, compiled, "kinds", a, 0.3, 1.7, flag, 200, -100, 1 << 40, np.pi)
    for count in (5, 5, 5, 1, 0):
        index = np.arange(count, dtype=np.int32)
        compare(artifact, compiled, "loops", rng.standard_normal((count, 4)).astype(np.float32), index)
    sys.stdout.write("ended well\n")


if __name__ == "__main__":
    main()
