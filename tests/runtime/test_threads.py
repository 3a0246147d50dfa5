"""Pools of threads: they end with the interpreter, survive a fork, and keep to what the machine offers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import sigmagraph as sg
from sigmagraph import execution
from sigmagraph.runtime import devices

PROGRAM = """
import os, sys, warnings
import numpy as np
import sigmagraph as sg
from sigmagraph.options import CompileOptions

x = sg.placeholder("x", (500, 300))
w = sg.parameter("w", np.ones((300, 200), np.float32))
f = sg.compile([x], {"y": x @ w}, target="cpu:2", options=CompileOptions(cache=False))
a = np.ones((500, 300), np.float32)
assert (f(a)["y"] == 300).all()
if "fork" in sys.argv:
    warnings.simplefilter("ignore")  # of threads and fork, which is what is tested
    child = os.fork()
    assert (f(a)["y"] == 300).all()
    if child:
        assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_programs_with_threads_end(mode: str) -> None:
    if mode == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout


def test_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= devices.default_threads() <= (os.cpu_count() or 1)
    assert devices.default_threads(1) == 1
    monkeypatch.setattr(devices, "_quota", lambda: 1)
    assert devices.default_threads() == 1


def test_without_posix_threads_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (devices, execution):
        monkeypatch.setattr(module, "has_threads", lambda: False)
    assert devices.default_threads() == 1
    x = sg.placeholder("x", (3,))
    with pytest.raises(sg.errors.TargetError, match="no pools of threads"):
        sg.compile([x], {"y": x * 3.0}, target="cpu:2")


@pytest.mark.parametrize(("text", "threads"), [("200000 100000", 2), ("150000 100000", 2), ("max 100000", 0), ("", 0)])
def test_the_control_group_is_read(tmp_path, monkeypatch: pytest.MonkeyPatch, text: str, threads: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    monkeypatch.setattr(devices, "_CGROUP_2", file)
    assert devices._quota() == threads


def test_devices_are_listed() -> None:
    cpu, *others = devices.devices()
    assert bool(others) != bool(devices.missing())  # what is not there has a reason
    assert cpu.name == "cpu"
    assert cpu.threads >= 1
    assert cpu.description
