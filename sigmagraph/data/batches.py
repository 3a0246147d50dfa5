"""How records are dealt out: in shuffled batches, in whole blocks, or all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from sigmagraph.data.digests import digest, natural
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class Batch(NamedTuple):
    """Some records of a dataset."""

    inputs: Any
    targets: Any


class Dealer(Protocol):
    """What batches are dealt from: records by number, which know in what order an epoch goes through them."""

    name: str

    def __len__(self) -> int:
        """Number of records."""

    def fingerprint(self) -> str:
        """A digest of everything that the records, their order and what is done to them depend on."""

    def order(self, seed: int, epoch: int, start: int) -> Iterator[NDArray]:
        """The numbers of the records in the random order of an epoch from place ``start`` on, in pieces."""

    def deal(self, records: NDArray | slice, seed: int, epoch: int) -> Batch:
        """Some records by their numbers, as they are to be learnt from in that epoch."""


@dataclass(frozen=True, eq=False)
class Batches(ABC):
    """A dataset in batches; see :meth:`Dataset.batches`.

    What an epoch consists of depends on the seed and the epoch's number alone, so that training can be taken up
    anywhere.

    Attributes:
        dataset: where the records come from.
        size: records of a batch.
        seed: of all random numbers; None is 0, until :meth:`seeded` says otherwise.
        drop_last: leave a batch out that is smaller than the others.

    Raises:
        AttributeValueError: the size is not a positive number, or so great that no batch is left.
    """

    dataset: Dealer
    size: int
    seed: int | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", natural(self.size, "a batch has at least one record", least=1))
        if self.seed is not None:
            object.__setattr__(self, "seed", natural(self.seed, "this is no seed"))
        if self.records < (self.size if self.drop_last else 1):
            raise AttributeValueError(
                f"the dataset '{self.dataset.name}' makes no batch",
                expected=f"{self.size} records",
                got=self.records,
            )

    @property
    def records(self) -> int:
        """Records of the dataset."""
        return len(self.dataset)

    def __len__(self) -> int:
        """Batches of one epoch."""
        full, rest = divmod(self.records, self.size)
        return full + (rest > 0 and not self.drop_last)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, both counted from 0, from batch ``start`` on. Nothing before it is read.

        Raises:
            AttributeValueError: there is no such epoch or batch; ``len(batches)`` is the end of the epoch.
        """
        number = natural(number, "this is no epoch")
        start = natural(start, "this is no batch")
        if start > len(self):
            raise AttributeValueError(
                "the epoch has fewer batches", expected=f"a start from 0 to {len(self)}", got=start
            )
        return self._from(number, start)

    def _from(self, number: int, start: int) -> Iterator[Batch]:
        for records in islice(self._numbers(number, start), len(self) - start):
            yield self.dataset.deal(records, self.seed or 0, number)

    @abstractmethod
    def _numbers(self, epoch: int, start: int) -> Iterator[NDArray | slice]:
        """The numbers of each batch's records, perhaps with a smaller batch at the end that is not wanted."""

    def seeded(self, seed: int) -> Batches:
        """The same with another seed."""
        return replace(self, seed=seed)

    def sized(self, size: int) -> Batches:
        """The same with another number of records in a batch."""
        return replace(self, size=size)

    def fingerprint(self) -> str:
        """A digest of everything that the batches depend on; equal ones mean equal batches in every epoch."""
        parts = (type(self).__name__, self.size, self.seed or 0, self.drop_last)
        return digest("batches", *parts, self.dataset.fingerprint())


class Minibatches(Batches):
    """Every record once an epoch, in an order of its own in each."""

    def _numbers(self, epoch: int, start: int) -> Iterator[NDArray | slice]:
        held: NDArray = np.empty(0, np.intp)
        for piece in self.dataset.order(self.seed or 0, epoch, start * self.size):
            held = np.concatenate([held, piece]) if len(held) else piece
            full = len(held) // self.size * self.size
            for first in range(0, full, self.size):
                yield held[first : first + self.size]
            held = held[full:]
        if len(held):
            yield held


class Undivided(Batches):
    """Whole blocks of records, in the order that they stand in."""

    def _numbers(self, epoch: int, start: int) -> Iterator[NDArray | slice]:  # noqa: ARG002
        for first in range(start * self.size, self.records, self.size):
            yield slice(first, min(first + self.size, self.records))


class Unified(Undivided):
    """All records as one batch, which must fit into memory."""

    def sized(self, size: int) -> Batches:
        """Refused, unless it is the number of all records.

        Raises:
            AttributeValueError: a batch of all records cannot have another size.
        """
        if size != self.records:
            raise AttributeValueError(
                "a unified batch has all records", expected=self.records, got=size, hint="use dataset.batches(size)"
            )
        return self
