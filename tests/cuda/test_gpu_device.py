"""On a CUDA device: graphs, sizes, values, memory, other libraries, and errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_checks
import gpu_table
import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.compile import compile_text
from sigmagraph.runtime.cuda import open_device
from sigmagraph.runtime.devices import devices

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parents[2]
FAILING = Path(__file__).parent / "driver" / "failing.py"


@pytest.fixture(autouse=True)
def noted(record_property: Callable[..., None]) -> None:
    record_property(*gpu_table.noted("the device", ""))


def test_the_device_is_listed() -> None:
    assert any(device.name == "cuda:0" for device in devices())


def test_sizes_may_change() -> None:
    gpu_checks.sizes_may_change()


def test_launches_are_replayed() -> None:
    gpu_checks.launches_are_replayed()


def test_values_follow_each_other() -> None:
    gpu_checks.values_follow_each_other()


def test_results_may_stay() -> None:
    gpu_checks.results_may_stay()


def test_warpgroups_multiply() -> None:
    driver = open_device(0)
    if not Chip.of(driver.arch, narrow=True).groups:
        pytest.skip(f"{driver.name} has no products of warpgroups")
    gpu_checks.warpgroups_multiply(driver, lambda text: compile_text(text, driver.arch).cubin)


def test_too_much_memory_is_told() -> None:
    gpu_checks.too_much_memory_is_told(rows=46_000, results=40)  # 677 GB


def test_arrays_go_to_pytorch_and_back() -> None:
    torch: Any = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device")
    x = sg.placeholder("x", (6, 5))
    function = sg.compile([x], {"y": x * 2.0}, target="cuda", options=gpu_checks.OPTIONS)
    array = np.arange(30, dtype=np.float32).reshape(6, 5)
    executor: Any = function.executor
    theirs = torch.from_dlpack(executor.run_on_device([array])["y"])
    assert theirs.device.type == "cuda"
    theirs = theirs + 1.0  # in PyTorch's stream; ours is to wait for it
    ours = executor.run_on_device([theirs])["y"]
    np.testing.assert_array_equal(np.asarray(ours), 2 * (2 * array + 1))
    np.testing.assert_array_equal(torch.as_tensor(ours, device="cuda").cpu().numpy(), 2 * (2 * array + 1))
    assert executor.run([theirs])["y"].tolist() == (2 * (2 * array + 1)).tolist()


def test_a_failing_kernel_is_named_and_ends_no_process(request: pytest.FixtureRequest) -> None:
    paths = os.pathsep.join([str(ROOT), *sys.path])
    pretended = ["--host-code"] if request.config.pluginmanager.hasplugin("host_code") else []
    done = subprocess.run(
        [sys.executable, str(FAILING), *pretended],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended well" in done.stdout
