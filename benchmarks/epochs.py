"""A process that trains Sigma.Core's README network in several ways, and does what it reads, as ``worker`` has it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sigmagraph as sg
from benchmarks.images import images
from benchmarks.machine import busy_seconds, cores
from benchmarks.ways import RATE, WAYS, Subject, Way
from benchmarks.worker import MOST, serve
from sigmagraph import layers as L
from sigmagraph.data.batches import Undivided

_TURNS = 7
_CALLS = 500


class Epochs:
    """One library on a number of threads.

    Args:
        key: ``sigmagraph``, or the name of a module among the peers that has ``WAYS`` and ``version()``.
        threads: how many.

    Attributes:
        device: where everything is computed.
        ways: how our own trains, by name.
    """

    device = "cpu"
    ways: Mapping[str, Callable[[Subject], Way]] = WAYS

    def __init__(self, key: str, threads: int) -> None:
        self._threads = threads
        self._ways: dict[str, Way] = {}
        self._folder = tempfile.TemporaryDirectory()
        ours = key == "sigmagraph"
        self._peer = None if ours else importlib.import_module(f"benchmarks.peers.{key}")
        self._known = self.ways if self._peer is None else self._peer.WAYS

    def hello(self) -> dict[str, Any]:
        """Which version answers."""
        return {"version": sg.__version__ if self._peer is None else self._peer.version()}

    def load(self, folder: str | None, records: int, held_out: int) -> dict[str, Any]:
        """Read or generate the records."""
        self._images = images(folder, records, held_out)
        train, test = self._images.train, self._images.held_out
        return {"name": train.name, "records": len(train), "held_out": len(test)}

    def begin(self, way: str, key: str, batch: int) -> dict[str, Any]:
        """Get ready to train in some way, which is called ``key`` from now on."""
        where = Path(self._folder.name) / key.replace(",", "").replace(" ", "-")
        where.mkdir(exist_ok=True)
        with _quiet():
            self._ways[key] = self._known[way](Subject(self._images, batch, self._threads, where, self.device))
        return {}

    def costs(self, key: str) -> dict[str, Any]:
        """Costs of the first iterations if nothing is dropped."""
        with _quiet():
            return {"costs": self._ways[key].costs()}

    def end(self, key: str) -> dict[str, Any]:
        """Forget a way."""
        del self._ways[key]
        gc.collect()
        return {}

    def go(self, key: str, part: int, parts: int) -> dict[str, Any]:
        """Train for one of equal parts of an epoch: seconds of a batch, and how busy others kept the same cores."""
        with _quiet():
            batches, seconds, others = self._timed(lambda: self._ways[key].go(part, parts))
        return {"batches": batches, "seconds": seconds, "others": others}

    def _timed(self, work: Callable[[], int]) -> tuple[int, float, float]:
        """What comes of work, seconds, and how busy others were: 0 not at all, 1 fully.

        On one thread what counts is the time for which the process had the core, if it did not have most of it.
        """
        machine, own, begin = busy_seconds(), time.process_time(), time.perf_counter()
        done = work()
        wall, own, after = time.perf_counter() - begin, time.process_time() - own, busy_seconds()
        others = (
            0.0 if machine is None or after is None else min(1.0, max(0.0, after - machine - own) / (wall * cores()))
        )
        interrupted = self._threads == 1 and own < MOST * wall
        return done, own if interrupted else wall, others

    def accuracy(self, key: str) -> dict[str, Any]:
        """The share of held-out records that are right now."""
        return {"accuracy": self._ways[key].accuracy()}

    def added(self) -> dict[str, Any]:
        """Microseconds that the trainer adds to an iteration, without hooks and with two that are not due.

        Measured where the step itself takes next to nothing, so that nothing is lost in what a step varies by.
        """
        network = sg.Network("tiny", L.Input(4) + L.Dense(3) + L.SoftmaxCrossEntropy())
        records = 100 * _CALLS
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, records).astype(np.int32)
        dataset = sg.data.Dataset(rng.random((records, 4), np.float32), labels)
        optimiser = sg.optimisers.Adagrad(learning_rate=RATE)
        plain, hooked = (sg.Trainer(network, optimiser, Undivided(dataset, 100), target="cpu:1") for _ in range(2))
        hooked.add(sg.hooks.Report("optimiser.cost", every=f"{10 * _CALLS * _TURNS} iterations"))
        hooked.add(sg.hooks.Report("optimiser.cost", every=f"{10 * _TURNS} epochs"))
        step, scalars = plain.step, dict(plain.hyperparameters)
        batches = list(plain.data.epoch(0))

        def bare() -> None:
            for x, y in batches:
                step(inputs=x, targets=y, **scalars)

        ways = (bare, lambda: plain.run(1, bar=False, lines=False), lambda: hooked.run(1, bar=False, lines=False))
        turns = [[_seconds(way) / _CALLS for way in ways] for _ in range(_TURNS)]
        alone, *others = (statistics.median(times) for times in zip(*turns, strict=True))
        none, two = (1e6 * (other - alone) for other in others)
        return {"none": none, "two": two}

    def checkpoint(self) -> dict[str, Any]:
        """The size of a checkpoint of this network in bytes, and the seconds to write and to resume from it."""
        images, path = self._images, Path(self._folder.name) / "checkpoint.safetensors"
        trainer = sg.Trainer(
            Subject(images, 100, self._threads, path.parent).network(),
            sg.optimisers.Adagrad(learning_rate=RATE),
            images.train.batches(100, seed=0),
            target=f"cpu:{self._threads}",
        )
        trainer.run(iterations=2, bar=False, lines=False)
        works = {
            "write": lambda: trainer.save(path),
            "resume": lambda: trainer.resume(path),
        }
        times = {name: statistics.median(_seconds(work) for _ in range(_TURNS)) for name, work in works.items()}
        return {"bytes": path.stat().st_size, **times}


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Let what hooks say cost what it costs to say it, and be seen by nobody."""
    return contextlib.redirect_stdout(io.StringIO())


if __name__ == "__main__":
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between answers
    serve(Epochs(sys.argv[1], int(sys.argv[2])), sys.stdin, out)
