"""A process that runs one peer on a number of threads, and does what it reads: one JSON request and answer a line.

Every peer has a process of its own, so that none of them shares its threads or its allocator with another; while one
works the others wait for input.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from benchmarks.machine import busy_seconds, cores
from benchmarks.networks import Array
from benchmarks.peers.program import Program
from benchmarks.peers.registry import named
from benchmarks.workloads import WORKLOADS, Workload

CHECKED_STEPS = 3
CHECKED_NUMBERS = 64
MEAN_OF = 1 << 20  # numbers
MOST = 0.95  # of a core
SHORT = 150e-6


class Worker:
    """One peer on a number of threads.

    Attributes:
        workloads: by name what it may be asked for.
        short: steps below so many seconds are timed several at once.
    """

    workloads: Mapping[str, Workload] = WORKLOADS
    short = SHORT

    def __init__(self, key: str, threads: int) -> None:
        self.peer = importlib.import_module(named(key).module)
        self.threads = threads
        self.program: Program | None = None
        self.steps = 1

    def hello(self) -> dict[str, Any]:
        """Which version answers."""
        return {"version": self.peer.version()}

    def prepare(self, workload: str) -> dict[str, Any]:
        """Make the program, run its first steps without randomness, and answer with their results.

        The answer is ``lacks`` for workloads that the peer does not have, and ``failed`` with a reason where it breaks.
        """
        self.program = None
        gc.collect()
        if not self.peer.has(self.workloads[workload]):
            return {"lacks": True}
        try:
            return self._prepared(workload)
        except Exception as error:  # noqa: BLE001  # whatever a peer raises becomes a line of the report
            return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}

    def _prepared(self, workload: str) -> dict[str, Any]:
        program = self.peer.program(self.workloads[workload], self.threads)
        results, times = [], []
        for _ in range(CHECKED_STEPS):
            start = time.perf_counter()
            found = program.certain()
            times.append(time.perf_counter() - start)
            results.append([_sample(np.asarray(array)) for array in found])
        program.step()  # with randomness it may be another program
        program.finish()
        start = time.perf_counter()
        program.step()
        program.finish()
        self.steps = max(1, round(self.short / (time.perf_counter() - start)))
        self.program = program
        return {
            "results": [sample for step in results for sample in step],
            "compile_seconds": program.compile_seconds + max(0.0, times[0] - min(times)),
            "note": program.note,
            "memory": program.memory,
        }

    def measure(self, seconds: float) -> dict[str, Any]:
        """Run steps for a while; their times in seconds, and how busy others kept the same cores (0 idle, 1 fully).

        Steps in which the process did not have most of a core were interrupted. They count if there are no others, on
        one thread with the time for which the process had the core.
        """
        assert self.program is not None
        step, now = self.program.step, time.perf_counter
        step()  # the caches were last used by another peer
        several = range(self.steps)
        times: list[float] = []
        interrupted: list[float] = []
        gc.disable()
        machine, own, begin = busy_seconds(), time.process_time(), now()
        while not (times or interrupted) or now() < begin + seconds:
            processor, start = time.process_time(), now()
            for _ in several:
                step()
            took, worked = now() - start, time.process_time() - processor
            if worked > MOST * took:
                times.append(took / self.steps)
            else:
                interrupted.append((worked if self.threads == 1 else took) / self.steps)
        wall, own, after = now() - begin, time.process_time() - own, busy_seconds()
        gc.enable()
        others = 0.0 if machine is None or after is None else (after - machine - own) / (wall * cores())
        return {"times": times or interrupted, "others": max(0.0, others)}


def _sample(result: Array) -> Sequence[float]:
    """Some numbers of a result, and their mean size; of many every few count."""
    flat = result.ravel()
    picked = flat[np.linspace(0, flat.size - 1, min(CHECKED_NUMBERS, flat.size)).astype(int)]
    some = flat[:: max(1, flat.size // MEAN_OF)]
    return [*picked.astype(np.float64).tolist(), float(np.abs(some.astype(np.float64)).mean())]


def serve(worker: object, requests: TextIO, answers: TextIO) -> None:
    """Answer requests, each by the method that it names, until there are no more."""
    for line in requests:
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between answers
    serve(Worker(sys.argv[1], int(sys.argv[2])), sys.stdin, out)
