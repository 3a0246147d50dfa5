"""Records that need not fit into memory: read in blocks, from wherever they come."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from os import PathLike
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.blocks import Blocks
from sigmagraph.data.cache import Cache
from sigmagraph.data.deck import Deck
from sigmagraph.data.digests import BLOCKS, SHUFFLE, array_digest, digest, generator, natural
from sigmagraph.data.preprocessors.augmentation import Augmentation
from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.data.preprocessors.preprocessed import Preprocessed
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class StreamedDataset(Deck):
    """Records that are read in blocks, of which a bounded number is in memory.

    What :meth:`split` and :meth:`split_blocks` give are views that share the blocks in memory; a view keeps the numbers
    of its records, 8 bytes each. What :meth:`preprocess` gives has blocks of its own, and its own place in the cache.

    The order of an epoch is not uniform over all records: blocks come in a random order, and the records of
    ``shuffle_blocks`` of them at a time are mixed. Every record comes exactly once, batches go across the borders of
    blocks, and no block is read twice. The order depends on the seed, the epoch and the size of blocks alone; where
    training is to be taken up on other machines, say the size, because the automatic one depends on free memory where
    that is scarce.

    Args:
        records: what is read; sections ``inputs`` and ``targets``, or ``inputs.<name>`` and ``targets.<name>``.
        name: for readers; by default that of the records.
        block: records of a block; by default as many as make 16 MiB, at most 65,536, and fewer where ``keep`` blocks of
            that size would take more than a quarter of the memory that is free.
        keep: blocks in memory at most, for this and all its views together.
        cache: a folder, or a :class:`Cache`, where blocks are kept on disk under the fingerprint of all that they
            depend on.
        shuffle_blocks: blocks whose records are mixed; by default as many as are kept.

    Attributes:
        cache: where blocks are kept on disk, or None.

    Raises:
        AttributeValueError: a number is out of range, or the sections are others.
    """

    def __init__(
        self,
        records: Records,
        name: str | None = None,
        block: int | None = None,
        keep: int = 4,
        cache: Cache | str | PathLike[str] | None = None,
        shuffle_blocks: int | None = None,
    ) -> None:
        others = [s for s in records.sections if s.partition(".")[0] not in ("inputs", "targets")]
        if others or not records.sections:
            raise AttributeValueError(
                f"'{records.name}' has no inputs and targets",
                expected="sections 'inputs' and 'targets', or 'inputs.<name>' and 'targets.<name>'",
                got=records.sections,
                hint="records.extract(inputs=..., targets=...)",
            )
        self.name = records.name if name is None else name
        self.cache = cache if cache is None or isinstance(cache, Cache) else Cache(cache)
        self._blocks = Blocks(records, block, keep, self.cache)
        self._mixed = (
            self._blocks.keep
            if shuffle_blocks is None
            else natural(shuffle_blocks, "the records of at least one block are mixed", least=1)
        )
        if self._mixed > self._blocks.keep:
            raise AttributeValueError(
                "records of more blocks cannot be mixed than are in memory",
                expected=f"at most keep={keep}",
                got=shuffle_blocks,
            )
        self._numbers: NDArray | None = None  # of the records, rising; None is all

    def __len__(self) -> int:
        return self._blocks.count if self._numbers is None else len(self._numbers)

    def __repr__(self) -> str:
        return f"StreamedDataset({self.name!r}, {len(self)} records in blocks of {self.block})"

    @property
    def sections(self) -> tuple[str, ...]:
        return self._blocks.records.sections

    @property
    def block(self) -> int:
        return self._blocks.size

    @property
    def held(self) -> int:
        """Blocks in memory now, of this and all views that share them."""
        return self._blocks.held

    def fill_cache(self) -> None:
        """Read everything once, in order, into the cache: worth it where files can only be read from their start.

        Raises:
            AttributeValueError: there is no cache.
        """
        if self.cache is None:
            raise AttributeValueError(f"the dataset '{self.name}' has no cache", hint="StreamedDataset(cache=folder)")
        self._blocks.fill_cache()

    def gather(self, records: NDArray | slice) -> Block:
        """Some records by their numbers."""
        return self._blocks.gather(records if self._numbers is None else self._numbers[records])

    def order(self, seed: int, epoch: int, start: int) -> Iterator[NDArray]:
        """The numbers of all records in the random order of an epoch from place ``start`` on, some blocks at a time."""
        starts, ends = self._spans()
        shuffled = generator(seed, BLOCKS, epoch).permutation(len(starts))
        for first in range(0, len(shuffled), self._mixed):
            window = shuffled[first : first + self._mixed]
            count = int((ends[window] - starts[window]).sum())
            if start < count:
                numbers = np.concatenate([np.arange(starts[i], ends[i]) for i in window])
                # Stream 0 of an epoch would be that of records in memory.
                yield generator(seed, SHUFFLE, epoch, first + 1).permutation(numbers)[start:]
            start = max(0, start - count)

    def _spans(self) -> tuple[NDArray, NDArray]:
        """Which of its own numbers lie in one block: where each run of them starts and ends."""
        if self._numbers is None:
            starts = np.arange(0, len(self), self.block)
        else:
            owner = self._numbers // self.block
            starts = np.flatnonzero(np.diff(owner, prepend=-1))
        return starts, np.append(starts[1:], len(self))[: len(starts)]

    def _content(self) -> str:
        selected = None if self._numbers is None else array_digest(self._numbers)
        return digest("streamed", self.block, self._mixed, selected, self._blocks.records.fingerprint())

    def _selected(self, records: NDArray) -> Self:
        other = copy(self)
        other._numbers = records if self._numbers is None else self._numbers[records]
        return other

    def _preprocessed(self, preprocessors: tuple[Preprocessor, ...]) -> Self:
        other = copy(self)
        records = Preprocessed(self._blocks.records, preprocessors)
        other._blocks = Blocks(records, self.block, self._blocks.keep, self.cache)
        return other

    def _augmented(self, augmentations: tuple[Augmentation, ...]) -> Self:
        other = copy(self)
        other.augmentations = augmentations
        return other
