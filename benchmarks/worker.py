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
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TextIO

import numpy as np

from benchmarks.machine import busy_seconds
from benchmarks.program import Program
from benchmarks.workloads import WORKLOADS

CHECKED_STEPS = 3
CHECKED_NUMBERS = 8

PEERS: Mapping[str, str] = MappingProxyType({"sigma": "benchmarks.sigma", "torch": "benchmarks.torch_eager"})


class Worker:
    """One peer on a number of threads."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer = importlib.import_module(PEERS[peer])
        self.threads = threads
        self.program: Program | None = None

    def hello(self) -> dict[str, Any]:
        """Who answers."""
        return {"name": self.peer.NAME, "version": self.peer.version()}

    def prepare(self, workload: str) -> dict[str, Any]:
        """Make the program, run its first steps without randomness, and answer with their results."""
        self.program = None
        gc.collect()
        self.program = self.peer.program(WORKLOADS[workload], self.threads)
        results = [np.asarray(self.program.certain()) for _ in range(CHECKED_STEPS)]
        return {"results": [_sample(r) for r in results], "compile_seconds": self.program.compile_seconds}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Run steps for a while; their times in seconds, and how busy the rest of the machine was (0 idle, 1 fully)."""
        assert self.program is not None
        step, now = self.program.step, time.perf_counter
        step()  # the caches were last used by another peer
        times: list[float] = []
        gc.disable()
        machine, own, begin = busy_seconds(), time.process_time(), now()
        while not times or now() < begin + seconds:
            start = now()
            step()
            times.append(now() - start)
        wall, own, after = now() - begin, time.process_time() - own, busy_seconds()
        gc.enable()
        others = 0.0 if machine is None or after is None else (after - machine - own) / (wall * (os.cpu_count() or 1))
        return {"times": times, "others": max(0.0, others)}


def _sample(result: np.ndarray[Any, Any]) -> list[float]:
    """Some numbers of a result, and its mean size."""
    flat = result.astype(np.float64).ravel()
    picked = flat[np.linspace(0, flat.size - 1, min(CHECKED_NUMBERS, flat.size)).astype(int)]
    return [*picked.tolist(), float(np.abs(flat).mean())]


def serve(worker: Worker, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between answers
    serve(Worker(sys.argv[1], int(sys.argv[2])), sys.stdin, out)
