"""What an augmentation is: it changes records at random, by numbers that belong to the record and the epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.digests import AUGMENT, sequence
from sigmagraph.data.preprocessors.base import Sectional
from sigmagraph.data.records import Block

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Draws:
    """Random numbers for records: a function of seed, epoch, place in the pipeline and record number, nothing else.

    SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", 2014), whose n-th number
    is a function of n, so that those of any records are made at once and without those of others.

    Args:
        records: their numbers.
        seed, epoch, place: what the numbers depend on besides.
    """

    def __init__(self, records: NDArray, seed: int, epoch: int, place: int) -> None:
        self._records = np.asarray(records).astype(np.uint64)
        self._stream = (seed, epoch, place)
        self._used = 0

    def uniform(self) -> NDArray:
        """A number in [0, 1) for each record, f64[records]; others at each call."""
        # Products wrap around, which is meant; for arrays NumPy does so without a word.
        x = (self._records + np.uint64(1)) * _GOLDEN + _key(*self._stream, self._used)
        self._used += 1
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
        bits: NDArray = (x ^ (x >> np.uint64(31))) >> np.uint64(11)
        return np.ldexp(bits.astype(np.float64), -53)

    def integers(self, count: int) -> NDArray:
        """A whole number from 0 to ``count - 1`` for each record, i64[records]; others at each call."""
        return (self.uniform() * count).astype(np.int64)


@lru_cache(maxsize=256)
def _key(seed: int, epoch: int, place: int, call: int) -> np.uint64:
    """Where the numbers of a call start; made once an epoch and not for every batch."""
    return np.uint64(sequence(seed, AUGMENT, epoch, place, call).generate_state(1, np.uint64)[0])


class Augmentation(Sectional, ABC):
    """Changes records at random when they are dealt out; the same record in the same epoch always alike."""

    def apply(self, block: Block, records: NDArray, seed: int, epoch: int, place: int) -> Block:
        """A block after the augmentation, all its sections by the same random numbers.

        Args:
            block: what is changed; its arrays stay as they are.
            records: the numbers of the block's records.
            seed: of the batches.
            epoch: from 0.
            place: which of a dataset's augmentations this is, from 0.

        Raises:
            AttributeValueError: the block lacks a section.
            ShapeError: a section has another shape than it takes.
        """
        concerned = self.concerned(tuple(block))
        return {
            name: self.change(array, Draws(records, seed, epoch, place)) if name in concerned else array
            for name, array in block.items()
        }

    @abstractmethod
    def change(self, array: NDArray, draws: Draws) -> NDArray:
        """The records ``[records, ...]`` of one section, changed by random numbers."""
