"""loaded.py FOLDER OUT: loads an artifact for GPUs, predicts, trains one step, and leaves what came out in a folder.

The process has the stand-in for the driver's library, see test_device_artifacts.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cuda_shim
import numpy as np

import sigmagraph as sg
from sigmagraph.errors import IndexRangeError, InputError


def fails(error: type[Exception], action: Callable[[], object]) -> str:
    """The text of an error that has to come."""
    try:
        action()
    except error as caught:
        return str(caught)
    raise AssertionError(f"no {error.__name__}")


def main() -> None:
    """Load, compute and save."""
    cuda_shim._runtime()
    folder, out = map(Path, sys.argv[1:])
    artifact = sg.load(folder)
    artifact.selftest()
    rng = np.random.default_rng(3)
    x, targets = rng.standard_normal((5, 4, 3)).astype(np.float32), np.array([0, 1, 2, 2, 1])
    np.save(out / "before.npy", artifact.predict(x)["prediction"])
    text = fails(IndexRangeError, lambda: artifact.train_step(x, targets + 1, learning_rate=0.01))
    assert "out of range" in text
    assert fails(InputError, lambda: artifact.predict(x[0]))
    np.save(out / "cost.npy", artifact.train_step(x, targets, learning_rate=0.01)["cost"])
    artifact.prepare()
    artifact.save_state(out / "state.safetensors")
    assert artifact.state["course/iteration"] == 1
    assert artifact.info["levels"] == ["sm_80"]
    artifact.close()
    assert fails(InputError, lambda: artifact.predict(x))
    sys.stdout.write("ended well\n")


if __name__ == "__main__":
    main()
