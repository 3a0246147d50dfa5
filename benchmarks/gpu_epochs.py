"""A process that trains Sigma.Core's README network on a CUDA device, and does what it reads, as ``epochs`` has it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import sigmagraph as sg
from benchmarks.epochs import Epochs
from benchmarks.peers.sigma_cuda import placed
from benchmarks.ways import RATE, Subject, Trained, Way
from benchmarks.worker import serve
from sigmagraph.runtime.mirrors import Device


class Resident(Way):
    """The compiled step, called on batches that lie on the device; costs are left there."""

    def __init__(self, subject: Subject) -> None:
        graph = subject.network().train_graph(sg.optimisers.Adagrad(learning_rate=RATE))
        hints = {"batch": subject.batch}  # as a trainer has it
        function = sg.compile(graph.inputs, graph.outputs, graph.updates, subject.target, name="resident", hints=hints)
        executor: Any = function.executor
        self._executor = executor
        scalars = dict(graph.hyperparameters)
        device: Device = executor._device
        feeds = (
            {graph.records[0]: placed(device, x), graph.targets[0]: placed(device, y), **scalars}
            for x, y in subject.in_order().epoch(0)
        )
        names = [port.name for port in function.plan.inputs]
        self._batches = [[feed[name] for name in names] for feed in feeds]

    def go(self, part: int, parts: int) -> int:
        count = len(self._batches)
        chosen = self._batches[count * part // parts : count * (part + 1) // parts]
        for batch in chosen:
            cost = self._executor.run_on_device(batch)["cost"]
        float(cost.numpy())
        return len(chosen)


WAYS: Mapping[str, Callable[[Subject], Way]] = MappingProxyType(
    {
        "resident": Resident,
        "shuffled": lambda subject: Trained(subject, subject.shuffled()),
    }
)


class DeviceEpochs(Epochs):
    """One library on a device."""

    device = "cuda"
    ways = WAYS

    def _timed(self, work: Callable[[], int]) -> tuple[int, float, float]:
        """What comes of work, and seconds; the device works, so that nothing is said of who has the cores."""
        begin = time.perf_counter()
        done = work()
        return done, time.perf_counter() - begin, 0.0


if __name__ == "__main__":
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between answers
    serve(DeviceEpochs(sys.argv[1], int(sys.argv[2])), sys.stdin, out)
