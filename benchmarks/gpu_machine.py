"""What is known of the GPU that a run takes place on, and what it can do at best: copies, and what a call costs."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import sigmagraph as sg
from benchmarks.peers.sigma_cuda import TARGET
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.mirrors import Device

COPIED = 256 << 20  # bytes; many times the last cache
_REPEATS = 20
_ROUNDS = 5
_CALLS = 300
_ASKED = ("driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem", "power.limit", "pstate")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name, arch: of the device.
        state: what ``nvidia-smi`` says of driver, clocks and power right after copies.
        copy: 10^9 bytes a second read and written by copies within the device of arrays that fit no cache.
        upload, download: 10^9 bytes a second from and to the host.
        call: seconds of a call of one element, from an array of the host to an array of the host.
        queued: seconds of a call whose input and result stay on the device, one of many that nobody waits for.
    """

    name: str
    arch: str
    state: str
    copy: float
    upload: float
    download: float
    call: float
    queued: float

    @property
    def slug(self) -> str:
        """A name for files."""
        return re.sub(r"[^a-z0-9]+", "-", f"gpu {self.name}".lower()).strip("-")


def measure(size: int = COPIED, repeats: int = _REPEATS, calls: int = _CALLS) -> Gpu:
    """Look at the first CUDA device.

    Args:
        size: bytes of what is copied.
        repeats: copies that are waited for together.
        calls: of a function.

    Raises:
        TargetError: there is none.
    """
    x = sg.placeholder("x", (1,))
    function = sg.compile([x], {"y": x + 1}, target=TARGET, name="one", options=CompileOptions(cache=False))
    executor: Any = function.executor
    device: Device = executor._device
    one = np.zeros(1, np.float32)
    resident = executor.run_on_device([one])["y"]
    call = _each(lambda: function(one), lambda: None, calls)
    array = np.zeros(size, np.uint8)
    with device.active() as driver:
        queued = _each(lambda: executor.run_on_device([resident]), driver.synchronize, calls)
        source, target = (driver.allocate(size, "a copy") for _ in range(2))
        driver.fill(source.address, size, 1)
        copy = _each(lambda: driver.copy(target.address, source.address, size), driver.synchronize, repeats)
        state = _state()
        upload = _each(lambda: driver.upload(target.address, array), driver.synchronize, 2)
        download = _each(lambda: driver.download([(array, source.address)]), driver.synchronize, 2)
        name, arch = driver.name, driver.arch
    return Gpu(
        *(name, arch, state),
        copy=2 * size / copy / 1e9,
        upload=size / upload / 1e9,
        download=size / download / 1e9,
        call=call,
        queued=queued,
    )


def _each(action: Callable[[], object], finish: Callable[[], object], count: int) -> float:
    """Seconds of an action: the median of a few rounds of many, each of which is waited for at its end."""
    times = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(count):
            action()
        finish()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times[1:])


def _state() -> str:
    """Driver, clocks and power, as the driver's own tool has them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "nvidia-smi is not there to ask"
    done = subprocess.run(
        [tool, "--id=0", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    values = [value.strip() for value in done.stdout.split(",")]
    if done.returncode or len(values) != len(_ASKED):
        return f"nvidia-smi does not say ({(done.stderr or done.stdout).strip() or done.returncode})"
    return ", ".join(f"{name} {value}" for name, value in zip(_ASKED, values, strict=True))
