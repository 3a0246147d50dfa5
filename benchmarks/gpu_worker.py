"""A process that runs one peer on a CUDA device, and does what it reads, as ``worker`` has it.

Steps only ask for work; what is timed on the host's clock is many of them and the wait for the last one.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu_workloads import WORKLOADS
from benchmarks.worker import Worker, serve


class DeviceWorker(Worker):
    """One peer on a device."""

    workloads = WORKLOADS
    short = 5e-3  # a wait takes some 10 us

    def measure(self, seconds: float) -> dict[str, Any]:
        """Run steps for a while; their times in seconds, and those of what they launch, without anything else."""
        assert self.program is not None
        program = self.program
        program.step()
        program.finish()
        gc.disable()
        times = self._loops(program.step, program.finish, seconds)
        kernels = [] if program.kernels is None else self._loops(program.kernels, program.finish, seconds / 2)
        gc.enable()
        return {"times": times, "others": 0.0, "kernels": kernels}

    def _loops(self, step: Callable[[], object], finish: Callable[[], object], seconds: float) -> list[float]:
        """Seconds of a step, by loop."""
        several, now = range(self.steps), time.perf_counter
        times: list[float] = []
        begin = now()
        while not times or now() < begin + seconds:
            start = now()
            for _ in several:
                step()
            finish()
            times.append((now() - start) / self.steps)
        return times


if __name__ == "__main__":
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between answers
    serve(DeviceWorker(sys.argv[1], int(sys.argv[2])), sys.stdin, out)
