"""Lets ways to train the network of Sigma.Core's README take turns, and keeps what was found."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.floors import Floors, floors
from benchmarks.machine import pinned
from benchmarks.networks import readme
from benchmarks.peers.registry import named
from benchmarks.processes import Process
from benchmarks.race import agree

MODULE = "benchmarks.epochs"
BATCH = 100  # records, as in the README
PARTS = 10  # of an epoch, at which those who race take turns
ADDED = ("bare", "in order", "shuffled", "streamed", "dealt", "dealt, streamed")
WORKERS = ("one worker", "gradients", "every 10", "epoch")


@dataclass(slots=True)
class Turns:
    """What was measured of one of those who take turns.

    Attributes:
        seconds: of a batch, by part of an epoch and then by round.
        batches: of each part.
        others: how busy others kept the same cores, over all.
        accuracy: after the first round.
    """

    seconds: list[list[float]]
    batches: list[int]
    others: list[float] = field(default_factory=list)
    accuracy: float = float("nan")

    @property
    def step(self) -> float:
        """Seconds of a batch: the median of all turns."""
        return statistics.median(s for part in self.seconds for s in part)

    @property
    def epoch(self) -> float:
        """Seconds of an epoch: the sum of what its parts take, each the median over all rounds."""
        return sum(map(float.__mul__, map(statistics.median, self.seconds), map(float, self.batches)))

    @property
    def epochs(self) -> list[float]:
        """Seconds of the epoch in each round."""
        rounds = zip(*self.seconds, strict=True)
        return [sum(s * n for s, n in zip(one, self.batches, strict=True)) for one in rounds]

    def over(self, other: Turns) -> float:
        """How many times as long it takes as another one: the median over turns, so that busy spells cancel."""
        pairs = (zip(a, b, strict=True) for a, b in zip(self.seconds, other.seconds, strict=True))
        return statistics.median(a / b for pair in pairs for a, b in pair)


@dataclass(frozen=True, slots=True)
class Entry:
    """One of those who take turns: a way to train, in a process, under a key of its own there."""

    process: Process
    key: str

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Have its process do something."""
        return self.process.ask(do=do, key=self.key, **request)


def race(
    entries: Mapping[str, Entry], parts: int, rounds: int, turns: int | None = None, *, judge: bool = False
) -> dict[str, Turns]:
    """Let entries take turns at the parts of epochs, in an order that is drawn for each part.

    Args:
        entries: by name.
        parts: of an epoch.
        rounds: how often each part is done.
        turns: how many of the parts are done; None for all.
        judge: whether they are judged after the first round.
    """
    rng = random.Random(0)
    count = turns or parts
    found = {name: Turns([[] for _ in range(count)], [0] * count) for name in entries}
    for number in range(rounds):
        for part in range(count):
            for name in rng.sample(list(entries), len(entries)):
                # Where not all parts are done, rounds go on with those that are left.
                done = entries[name].ask("go", part=(number * count + part) % parts, parts=parts)
                found[name].seconds[part].append(done["seconds"] / done["batches"])
                found[name].batches[part] = done["batches"]
                found[name].others.append(done["others"])
        if judge and not number:
            for name, entry in entries.items():
                found[name].accuracy = entry.ask("accuracy")["accuracy"]
    return found


@dataclass(slots=True)
class Found:
    """Everything that a run has found out.

    Attributes:
        data: name of the records.
        records, held_out: how many.
        flops: operations of an epoch.
        versions: by library.
        load: the machine's load average at the beginning and at the end.
        floors: by number of threads.
        epochs, added: by number of threads, then by name.
        sizes: by records of a batch, then by name.
        microseconds: that a trainer adds to an iteration.
        workers: by name.
        checkpoint: bytes and seconds.
    """

    data: str = ""
    records: int = 0
    held_out: int = 0
    flops: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    floors: dict[int, Floors] = field(default_factory=dict)
    epochs: dict[int, dict[str, Turns]] = field(default_factory=dict)
    added: dict[int, dict[str, Turns]] = field(default_factory=dict)
    sizes: dict[int, dict[str, Turns]] = field(default_factory=dict)
    microseconds: dict[str, float] = field(default_factory=dict)
    workers: dict[str, Turns] = field(default_factory=dict)
    checkpoint: dict[str, float] = field(default_factory=dict)


def measure(
    folder: str | None, records: int, held_out: int, threads: Sequence[int], rounds: int, sizes: Sequence[int]
) -> Found:
    """Measure everything.

    Raises:
        RuntimeError: PyTorch, on the same batches, finds other costs.
    """
    found = Found(load=[os.getloadavg()[0]])
    peer = not named("torch_eager").missing()
    for count in threads:
        with pinned(count):
            found.floors[count] = floors(count)
        with contextlib.ExitStack() as stack:
            ours = stack.enter_context(Process(MODULE, "sigmagraph", count))
            theirs = stack.enter_context(Process(MODULE, "torch_epochs", count)) if peer else None
            for name, process in (("sigmagraph", ours), ("PyTorch", theirs)):
                if process is not None:
                    found.versions[name] = process.version
                    loaded = process.ask(do="load", folder=folder, records=records, held_out=held_out)
                    found.data, found.records, found.held_out = loaded["name"], loaded["records"], loaded["held_out"]
            found.flops = 3.0 * readme().flops(found.records)  # forward, and twice backward
            _measure(found, ours, theirs, count, rounds, sizes if count == max(threads) else ())
    found.load.append(os.getloadavg()[0])
    return found


def _measure(
    found: Found, ours: Process, theirs: Process | None, threads: int, rounds: int, sizes: Sequence[int]
) -> None:
    """Measure what there is on a number of threads."""
    count = -(-found.records // BATCH)
    parts = min(PARTS, count)
    entries = _contestants(ours, theirs, BATCH)
    _check(entries)
    found.epochs[threads] = _say("epoch", race(entries, parts, rounds, judge=True), threads)
    _end(entries)
    entries = {name: _begin(ours, name, name, BATCH) for name in ADDED}
    finer = min(2 * PARTS, count)
    found.added[threads] = _say("step", race(entries, finer, rounds, min(PARTS, finer)), threads)
    _end(entries)
    if not found.microseconds:
        found.microseconds = ours.ask(do="added")
        found.checkpoint = ours.ask(do="checkpoint")
    if threads == 2:
        entries = {name: _begin(ours, name, name, BATCH) for name in WORKERS}
        found.workers = _say("workers", race(entries, min(PARTS, max(1, count // 2)), rounds), threads)
        _end(entries)
    for size in sizes:
        entries = {k: e for k, e in _contestants(ours, theirs, size).items() if k != "hooks"}
        pieces = max(1, -(-found.records // size) // 20)
        for name, turns in race(entries, pieces, rounds, min(2, pieces)).items():
            found.sizes.setdefault(size, {})[name] = turns
        _end(entries)
        _say(f"batches of {size}", found.sizes[size], threads)


def _begin(process: Process, key: str, way: str, batch: int) -> Entry:
    entry = Entry(process, key)
    entry.ask("begin", way=way, batch=batch)
    return entry


def _contestants(ours: Process, theirs: Process | None, batch: int) -> dict[str, Entry]:
    """The trainer, the trainer with hooks, and PyTorch if it is installed."""
    entries = {name: _begin(ours, name, name, batch) for name in ("shuffled", "hooks")}
    return entries | ({"PyTorch": _begin(theirs, "shuffled", "shuffled", batch)} if theirs else {})


def _check(entries: Mapping[str, Entry]) -> None:
    """Refuse to compare those who do not compute the same."""
    costs = {name: entry.ask("costs")["costs"] for name, entry in entries.items()}
    for name, theirs in costs.items():
        if not agree([[c] for c in costs["shuffled"]], [[c] for c in theirs]):
            raise RuntimeError(f"{name} finds the costs {theirs}, where the trainer finds {costs['shuffled']}")


def _end(entries: Mapping[str, Entry]) -> None:
    for entry in entries.values():
        entry.ask("end")


def _say(what: str, found: dict[str, Turns], threads: int) -> dict[str, Turns]:
    cells = (f"{name} {1e3 * turns.step:.3f}" for name, turns in found.items())
    busy = max(statistics.fmean(turns.others) for turns in found.values())
    print(f"{what}, {threads} threads, ms a batch:", ", ".join(cells), f"(others {100 * busy:.0f} %)", flush=True)
    return found
