"""Records that can be learnt from: split, preprocessed, augmented and dealt out, wherever they lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.batches import Batch, Batches, Minibatches, Undivided, Unified
from sigmagraph.data.digests import SPLIT, digest, generator, natural
from sigmagraph.data.preprocessors.augmentation import Augmentation
from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


def batch_of(block: Block) -> Batch:
    """A block's sections as inputs and targets: arrays, or dicts of them where there are several."""
    return Batch(_part(block, "inputs"), _part(block, "targets"))


def _part(block: Block, part: str) -> Any:
    if part in block:
        return block[part]
    return {name.removeprefix(f"{part}."): array for name, array in block.items() if name.startswith(f"{part}.")}


class Deck(Records):
    """Records whose sections are ``inputs`` and ``targets``, or ``inputs.<name>`` and ``targets.<name>``.

    Attributes:
        name: for readers and errors.
        block: records that lie together.
        augmentations: what is done to records whenever they are dealt out to be learnt from.
    """

    augmentations: tuple[Augmentation, ...] = ()

    @property
    @abstractmethod
    def block(self) -> int:
        """Records that lie together: those of a block."""

    @abstractmethod
    def gather(self, records: NDArray | slice) -> Block:
        """Some records by their numbers."""

    @abstractmethod
    def order(self, seed: int, epoch: int, start: int) -> Iterator[NDArray]:
        """The numbers of all records in the random order of an epoch from place ``start`` on, in pieces."""

    @abstractmethod
    def _content(self) -> str:
        """A digest of everything that the records and their order depend on."""

    @abstractmethod
    def _selected(self, records: NDArray) -> Self:
        """The same with some of the records, by numbers that rise."""

    @abstractmethod
    def _preprocessed(self, preprocessors: tuple[Preprocessor, ...]) -> Self:
        """The same with what preprocessors make of the records."""

    @abstractmethod
    def _augmented(self, augmentations: tuple[Augmentation, ...]) -> Self:
        """The same with augmentations."""

    def fingerprint(self) -> str:
        """A digest of everything that the records, their order and what is done to them depend on."""
        done = [a.fingerprint() for a in self.augmentations]
        return digest("augmented", self._content(), *done) if done else self._content()

    def read(self, start: int, stop: int) -> Block:
        """Records from ``start`` up to but without ``stop``."""
        if not 0 <= start <= stop <= len(self):
            raise AttributeValueError(
                f"'{self.name}' has no such records", expected=f"a range in [0, {len(self)}]", got=(start, stop)
            )
        return self.gather(slice(start, stop))

    def take(self, records: NDArray | slice) -> Batch:
        """Some records by their numbers, as they are."""
        return batch_of(self.gather(records))

    def deal(self, records: NDArray | slice, seed: int, epoch: int) -> Batch:
        """Some records by their numbers, as they are to be learnt from in that epoch: augmented."""
        if not self.augmentations:
            return self.take(records)
        numbers = np.arange(*records.indices(len(self))) if isinstance(records, slice) else records
        block = self.gather(records)
        for place, augmentation in enumerate(self.augmentations):
            block = augmentation.apply(block, numbers, seed, epoch, place)
        return batch_of(block)

    def split(self, *shares: float, seed: int = 0) -> tuple[Self, ...]:
        """Datasets of that share of the records each, drawn at random without overlap.

        Shares that sum to one use up all records.

        Raises:
            AttributeValueError: a share is not positive, or they sum to more than one.
        """
        if not shares or not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise AttributeValueError(
                "a dataset cannot be split like this", expected="positive shares, together at most 1", got=shares
            )
        order = generator(seed, SPLIT).permutation(len(self))
        ends = np.rint(np.cumsum(shares) * len(self)).astype(int)
        return tuple(self._selected(np.sort(part)) for part in np.split(order[: ends[-1]], ends[:-1]))

    def split_blocks(self, *parts: int, block: int | None = None) -> tuple[Self, ...]:
        """Datasets of whole blocks in turn: ``split_blocks(1, 4)`` gives every fifth block, and the other four.

        Args:
            parts: how many blocks in turn go to each.
            block: records of a block; by default the dataset's own.

        Raises:
            AttributeValueError: a part is not a positive number, or there are too few blocks for it to get any.
        """
        whole = [natural(part, "a dataset cannot be split like this", least=1) for part in parts]
        size = self.block if block is None else natural(block, "a block has at least one record", least=1)
        if not whole or sum(whole[:-1]) * size >= len(self):
            raise AttributeValueError(
                f"the dataset '{self.name}' cannot be split like this",
                expected="a number of blocks for each part, and enough blocks that every part gets some",
                got=f"parts {parts} of {-(-len(self) // size)} blocks",
                hint="make blocks smaller: split_blocks(..., block=...)",
            )
        turn = np.arange(len(self)) // size % sum(whole)
        ends = np.cumsum(whole).tolist()
        starts = [0, *ends[:-1]]
        return tuple(
            self._selected(np.flatnonzero((turn >= start) & (turn < end)))
            for start, end in zip(starts, ends, strict=True)
        )

    def preprocess(self, *preprocessors: Preprocessor) -> Self:
        """The same records after preprocessors, one after the other.

        Raises:
            AttributeValueError: one has yet to learn something from data: ``preprocessor.fit(train)`` does it.
        """
        for preprocessor in preprocessors:
            preprocessor.check_ready()
        return self._preprocessed(preprocessors) if preprocessors else self

    def augment(self, *augmentations: Augmentation) -> Self:
        """The same records, changed at random each time that batches deal them out; ``chunks`` gives them unchanged."""
        return self._augmented((*self.augmentations, *augmentations))

    def batches(self, size: int, *, seed: int | None = None, drop_last: bool = False) -> Batches:
        """All records in batches of ``size``, in another random order each epoch.

        The last batch of an epoch is smaller when the records do not come out even; ``drop_last`` leaves it out.

        Raises:
            AttributeValueError: the size is not a positive number, or so great that no batch is left.
        """
        return Minibatches(self, size, seed, drop_last)

    def undivided(self) -> Batches:
        """All records in whole blocks, in the order that they stand in."""
        return Undivided(self, self.block)

    def unified(self) -> Batches:
        """All records as one batch."""
        return Unified(self, max(1, len(self)))

    def chunks(self, size: int) -> Iterator[Batch]:
        """All records in order, ``size`` at a time and without augmentation, to judge a network by.

        Raises:
            AttributeValueError: the size is not a positive number.
        """
        size = natural(size, "a batch has at least one record", least=1)
        return (self.take(slice(start, min(start + size, len(self)))) for start in range(0, len(self), size))
