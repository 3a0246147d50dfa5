"""Artifacts of every ABI that there was: they load, and give what they gave when they were made."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
VERSIONS = sorted(path.name for path in ARTIFACTS.glob("v*"))


def test_there_is_an_artifact_of_the_first_abi() -> None:
    assert "v1" in VERSIONS


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the artifacts are for x86-64 Linux"
)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_artifact_gives_what_it_gave(version: str) -> None:
    artifact = sg.load(ARTIFACTS / version)
    artifact.selftest()
    with np.load(ARTIFACTS / version / "results.npz") as results:
        x, y = results["x"], results["y"]
        np.testing.assert_array_equal(artifact.predict(x)["prediction"], results["before"])
        for number, cost in enumerate(results["costs"]):
            some = slice(9 * number, 9 * number + 9)
            assert artifact.train_step(x[some], y[some], learning_rate=0.02)["cost"] == cost
        np.testing.assert_array_equal(artifact.predict(x[:1])["prediction"], results["after"])
    assert artifact.state["course/iteration"] == 10
