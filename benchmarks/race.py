"""Lets peers take turns at each workload, after checking that they compute the same."""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.peers.registry import Peer
from benchmarks.processes import Process

TOLERANCE = 1e-3  # of single numbers, relative to the greatest one of an array
Numbers = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Result:
    """One peer at one workload.

    Attributes:
        name, version: what it is.
        compile_seconds: to make the program; 0 where nothing is compiled.
        agrees: whether it computes what most peers compute.
        note: what it chose, such as a layout.
        memory: bytes that its program says it needs; 0 if it does not say.
        rounds: times of single steps in seconds, by turn.
        others: how busy others kept the same cores, by turn: 0 idle, 1 fully.
        kernels: of programs for devices, seconds of what a step launches alone, by turn.
    """

    name: str
    version: str
    compile_seconds: float
    agrees: bool
    note: str = ""
    memory: int = 0
    rounds: list[list[float]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    kernels: list[float] = field(default_factory=list)

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

    def lead(self, other: Result) -> float:
        """How many times as long the other takes: the median over turns, so that busy spells of the machine cancel."""
        return statistics.median(self.leads(other))

    def leads(self, other: Result) -> list[float]:
        """The same by turn."""
        return [b / a for a, b in zip(self.turns, other.turns, strict=True)]


@dataclass(frozen=True, slots=True)
class Race:
    """All peers at one workload on a number of threads.

    Attributes:
        workload: its name.
        threads: how many.
        results: those that have it; sigmagraph's is the first.
        failures: a line for each peer that broke.
    """

    workload: str
    threads: int
    results: tuple[Result, ...]
    failures: tuple[str, ...] = ()

    @property
    def ours(self) -> Result:
        """What sigmagraph did."""
        return self.results[0]

    @property
    def fastest(self) -> Result | None:
        """The fastest peer that computes the right thing; None if there is none, or sigmagraph does not."""
        right = [r for r in self.results[1:] if r.agrees]
        return min(right, key=lambda r: r.median) if right and self.ours.agrees else None


def race(peers: Sequence[Peer], workloads: Sequence[str], threads: int, rounds: int, seconds: float) -> Iterator[Race]:
    """Run every workload with all peers in alternation, in an order that is drawn for each round.

    Raises:
        RuntimeError: the first peer, sigmagraph, breaks.
    """
    with contextlib.ExitStack() as stack:
        runners = [stack.enter_context(_Process(peer, threads)) for peer in peers]
        yield from among(runners, workloads, threads, rounds, seconds)


def among(
    runners: Sequence[Runner],
    workloads: Sequence[str],
    threads: int,
    rounds: int,
    seconds: float,
    tolerance: Callable[[str], float] = lambda _: TOLERANCE,
) -> Iterator[Race]:
    """The same of those who run peers; ``tolerance`` says by how much the numbers of a workload may differ.

    Raises:
        RuntimeError: the first of them breaks.
    """
    rng = random.Random(0)
    for workload in workloads:
        ready = {p: p.ask(do="prepare", workload=workload) for p in runners}
        failures = tuple(f"{p.peer.name} fails: {r['failed']}" for p, r in ready.items() if "failed" in r)
        running = {p: r for p, r in ready.items() if "results" in r}
        if runners[0] not in running:
            raise RuntimeError(f"{workload}: {failures[0]}")
        results = dict(zip(running, _checked(running, tolerance(workload)), strict=True))
        for _ in range(rounds):
            for process in rng.sample(list(running), len(running)):
                turn = process.ask(do="measure", seconds=seconds)
                results[process].rounds.append(turn["times"])
                results[process].others.append(turn["others"])
                results[process].kernels.extend(turn.get("kernels", ()))
        yield Race(workload, threads, tuple(results.values()), failures)


def _checked(ready: dict[Runner, dict[str, Any]], tolerance: float) -> Iterator[Result]:
    """Results without times, compared with what most peers have."""
    right = consensus([answer["results"] for answer in ready.values()], tolerance)
    for process, answer in ready.items():
        agrees = agree(answer["results"], right, tolerance)
        seconds, note, memory = answer["compile_seconds"], answer["note"], answer["memory"]
        yield Result(process.peer.name, process.version, seconds, agrees, note, memory)


def consensus(results: Sequence[Numbers], tolerance: float = TOLERANCE) -> Numbers:
    """The numbers that most others agree with; of equally many the first ones."""
    return max(results, key=lambda r: sum(agree(other, r, tolerance) for other in results), default=())


def agree(results: Numbers, others: Numbers, tolerance: float = TOLERANCE) -> bool:
    """Whether two peers' arrays are the same, up to rounding."""
    return len(results) == len(others) and all(_close(a, b, tolerance) for a, b in zip(results, others, strict=True))


def _close(array: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    scale = max(map(abs, other))
    pairs = zip(array, other, strict=False)
    return len(array) == len(other) and all(abs(a - b) <= tolerance * scale for a, b in pairs)


class Runner(Protocol):
    """Who runs a peer: asked to ``prepare`` a workload, and to ``measure`` it for some seconds."""

    @property
    def peer(self) -> Peer: ...

    @property
    def version(self) -> str: ...

    def ask(self, **request: Any) -> dict[str, Any]: ...


class _Process(Process):
    """A worker process of a peer."""

    def __init__(self, peer: Peer, threads: int) -> None:
        self.peer = peer
        super().__init__("benchmarks.worker", peer.key, threads)
