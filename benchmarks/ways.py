"""Ways to train the network of Sigma.Core's README, each of which goes through an epoch part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

import sigmagraph as sg
from benchmarks.images import Images
from sigmagraph import hooks
from sigmagraph.data.batches import Batches, Undivided
from sigmagraph.training.demo import readme_network
from sigmagraph.training.operators.operator import Operator

RATE = 0.02
SEED = 0  # of networks and of the order of records
CHECKED = 3  # iterations
REPORTED = "100 iterations"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is trained.

    Attributes:
        images: what is learnt from.
        batch: records of an iteration.
        threads: how many work.
        folder: for files, one of its own for every way.
        device: where: ``cpu``, or ``cuda`` for the first device of that kind.
    """

    images: Images
    batch: int
    threads: int
    folder: Path
    device: str = "cpu"

    @property
    def target(self) -> str:
        """What code is made for."""
        return f"cpu:{self.threads}" if self.device == "cpu" else self.device

    @property
    def count(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.images.train) // self.batch)

    def network(self) -> sg.Network:
        """The network with its first values."""
        return readme_network(*self.images.train.inputs.shape[1:], seed=SEED)

    def shuffled(self) -> Batches:
        """The records in the random order that all programs share."""
        return self.images.train.batches(self.batch, seed=SEED)

    def in_order(self) -> Batches:
        """The records as they lie, so that a batch is a view and takes no time to gather."""
        return Undivided(self.images.train, self.batch)


class Way(ABC):
    """A way to train."""

    @abstractmethod
    def go(self, part: int, parts: int) -> int:
        """Do one of equal parts of an epoch, the next one; how many batches that were."""

    def costs(self) -> list[float]:
        """Costs of the first iterations if nothing is dropped, to see that all do the same; none by default."""
        return []

    def accuracy(self) -> float:
        """The share of held-out records that the network gets right as it is now; NaN by default."""
        return float("nan")


class Bare(Way):
    """The compiled step, called on batches that lie ready."""

    def __init__(self, subject: Subject) -> None:
        graph = subject.network().train_graph(sg.optimisers.Adagrad(learning_rate=RATE))
        hints = {"batch": subject.batch}  # as a trainer has it
        self._step = sg.compile(graph.inputs, graph.outputs, graph.updates, subject.target, name="bare", hints=hints)
        self._scalars = dict(graph.hyperparameters)
        self._batches = list(subject.in_order().epoch(0))

    def go(self, part: int, parts: int) -> int:
        chosen = self._batches[slice(*_bounds(len(self._batches), part, parts))]
        for x, y in chosen:
            float(self._step(inputs=x, targets=y, **self._scalars)["cost"])
        return len(chosen)


class Dealt(Way):
    """Batches that are gathered and not learnt from."""

    def __init__(self, data: Batches) -> None:
        self._data = data

    def go(self, part: int, parts: int) -> int:
        start, end = _bounds(len(self._data), part, parts)
        return sum(1 for _ in islice(self._data.epoch(0, start), end - start))


class Trained(Way):
    """A trainer.

    Args:
        subject: what it trains.
        data: what it learns from.
        operator: how it is carried out, if not by one worker.
        attached: its hooks.
    """

    def __init__(
        self,
        subject: Subject,
        data: Batches,
        operator: Operator | None = None,
        attached: tuple[hooks.Hook, ...] = (),
    ) -> None:
        self._subject = subject
        self._trainer = self._made(data, operator)
        self._trainer.add_dataset("held-out", subject.images.held_out)
        for each in attached:
            self._trainer.add(each)
        self._trainer.crew.prepare(())
        self._trainer.judge("held-out")  # compiles what judges

    def _made(self, data: Batches, operator: Operator | None) -> sg.Trainer:
        optimiser, target = sg.optimisers.Adagrad(learning_rate=RATE), self._subject.target
        if operator is None:
            return sg.Trainer(self._subject.network(), optimiser, data, target=target)
        return sg.Trainer(self._subject.network(), optimiser, data, target=target, operator=operator)

    def go(self, part: int, parts: int) -> int:
        trainer = self._trainer
        done = trainer.course.batch
        _, end = _bounds(len(trainer.data), part, parts)
        trainer.run(iterations=-(-(end - done) // trainer.crew.takes), bar=False, lines=False)
        return end - done

    def costs(self) -> list[float]:
        trainer = self._made(self._subject.shuffled(), None)
        for name in trainer.hyperparameters:
            if name.endswith("-dropout.rate"):
                trainer.hyperparameters[name] = 0.0
        trainer.run(iterations=CHECKED, bar=False, lines=False)
        return list(trainer.course.costs)

    def accuracy(self) -> float:
        return self._trainer.evaluate(self._subject.images.held_out).accuracy or 0.0


def _bounds(count: int, part: int, parts: int) -> tuple[int, int]:
    return count * part // parts, count * (part + 1) // parts


def streamed(subject: Subject) -> Batches:
    """The records in two npy files, read in blocks."""
    names = {"inputs": subject.images.train.inputs, "targets": subject.images.train.targets}
    for name, array in names.items():
        path = subject.folder / f"{name}.npy"
        if not path.exists():
            np.save(path, array)
    parts = {name: sg.data.Npy(subject.folder / f"{name}.npy", name) for name in names}
    return sg.data.StreamedDataset(sg.data.Joined(**parts)).batches(subject.batch, seed=SEED)


def with_hooks(subject: Subject) -> Way:
    """A trainer with the hooks that most trainings have."""
    attached = (
        hooks.Report("optimiser.cost", every=REPORTED),
        hooks.Accuracy("held-out", quiet=True),
        hooks.Checkpoint(subject.folder / "run", keep_last=1),
    )
    return Trained(subject, subject.shuffled(), attached=attached)


def _workers(merge: Literal["gradients", "epoch"] | int) -> Callable[[Subject], Way]:
    def made(subject: Subject) -> Way:
        operator = Operator(workers=2, merge=merge, threads=1)
        return Trained(subject, subject.shuffled(), operator)

    return made


WAYS: Mapping[str, Callable[[Subject], Way]] = MappingProxyType(
    {
        "bare": Bare,
        "in order": lambda subject: Trained(subject, subject.in_order()),
        "shuffled": lambda subject: Trained(subject, subject.shuffled()),
        "streamed": lambda subject: Trained(subject, streamed(subject)),
        "hooks": with_hooks,
        "dealt": lambda subject: Dealt(subject.shuffled()),
        "dealt, streamed": lambda subject: Dealt(streamed(subject)),
        "one worker": lambda subject: Trained(subject, subject.shuffled(), Operator(workers=1, threads=1)),
        "gradients": _workers("gradients"),
        "every 10": _workers(10),
        "epoch": _workers("epoch"),
    }
)
