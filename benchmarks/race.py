"""Lets peers take turns at each workload, after checking that they compute the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

TOLERANCE = 1e-3  # of single numbers, relative to the greatest one compared


@dataclass(frozen=True, slots=True)
class Result:
    """One peer at one workload.

    Attributes:
        peer: its key.
        name, version: what it is.
        compile_seconds: to make the program; 0 where nothing is compiled.
        agrees: whether it computes what the first peer computes.
        rounds: times of single steps in seconds, by turn.
        others: how busy the rest of the machine was, by turn: 0 idle, 1 fully.
    """

    peer: str
    name: str
    version: str
    compile_seconds: float
    agrees: bool
    rounds: list[list[float]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(t for turn in self.rounds for t in turn)

    @property
    def tenth(self) -> float:
        """Seconds that a tenth of the steps stay below."""
        times = sorted(t for turn in self.rounds for t in turn)
        return times[len(times) // 10]

    @property
    def turns(self) -> list[float]:
        """The median of every turn."""
        return [statistics.median(turn) for turn in self.rounds]


@dataclass(frozen=True, slots=True)
class Race:
    """All peers at one workload on a number of threads; sigmagraph is the first."""

    workload: str
    threads: int
    results: tuple[Result, ...]


def race(peers: Sequence[str], workloads: Sequence[str], threads: int, rounds: int, seconds: float) -> Iterator[Race]:
    """Run every workload with all peers in alternation, in an order that is drawn for each round."""
    rng = random.Random(0)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_Process(peer, threads)) for peer in peers]
        names = [p.ask(do="hello") for p in processes]
        for workload in workloads:
            ready = [p.ask(do="prepare", workload=workload) for p in processes]
            results = tuple(
                Result(p.peer, n["name"], n["version"], r["compile_seconds"], agree(r["results"], ready[0]["results"]))
                for p, n, r in zip(processes, names, ready, strict=True)
            )
            for _ in range(rounds):
                for process, result in rng.sample(list(zip(processes, results, strict=True)), len(results)):
                    turn = process.ask(do="measure", seconds=seconds)
                    result.rounds.append(turn["times"])
                    result.others.append(turn["others"])
            yield Race(workload, threads, results)


def agree(results: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> bool:
    """Whether two peers' numbers are the same, up to rounding in float32."""
    pairs = [(a, b) for left, right in zip(results, others, strict=True) for a, b in zip(left, right, strict=True)]
    scale = max(abs(b) for _, b in pairs)
    return all(abs(a - b) <= TOLERANCE * scale for a, b in pairs)


class _Process:
    """A worker process that answers requests."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer = peer
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            RuntimeError: the worker has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of '{self.peer}' has ended while it was asked for {request}")
        answer: dict[str, Any] = json.loads(line)
        return answer
