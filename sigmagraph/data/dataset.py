"""Records with inputs and targets: split at random, and dealt out in shuffled batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sigmagraph.errors import AttributeValueError, ShapeError

NDArray = np.ndarray[Any, Any]

# Streams of random numbers that one seed yields, so that a split and the order of batches are independent.
_SPLIT, _SHUFFLE = 0, 1


class Batch(NamedTuple):
    """Some records of a dataset."""

    inputs: NDArray
    targets: NDArray


class Dataset:
    """Records in memory: record ``i`` is ``inputs[i]`` with ``targets[i]``.

    Args:
        inputs: array ``[records, ...]``.
        targets: array ``[records, ...]``.
        name: for readers.

    Raises:
        ShapeError: an array has no axis of records, or the numbers of records differ.
    """

    def __init__(self, inputs: NDArray, targets: NDArray, name: str = "dataset") -> None:
        self.inputs = np.asarray(inputs)
        self.targets = np.asarray(targets)
        self.name = name
        if self.inputs.ndim == 0 or self.targets.ndim == 0:
            raise ShapeError(
                f"the dataset '{name}' has no axis of records", expected="arrays of rank 1 or more", got="a number"
            )
        if len(self.inputs) != len(self.targets):
            raise ShapeError(
                f"the dataset '{name}' has another number of targets than of inputs",
                expected=len(self.inputs),
                got=len(self.targets),
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, inputs {_describe(self.inputs)}, targets {_describe(self.targets)})"

    def split(self, *shares: float, seed: int = 0) -> tuple[Dataset, ...]:
        """Datasets of that share of the records each, drawn at random without overlap.

        Shares that sum to one use up all records.

        Raises:
            AttributeValueError: a share is not positive, or they sum to more than one.
        """
        if not shares or not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise AttributeValueError(
                "a dataset cannot be split like this", expected="positive shares, together at most 1", got=shares
            )
        order = _generator(seed, _SPLIT).permutation(len(self))
        ends = np.rint(np.cumsum(shares) * len(self)).astype(int)
        return tuple(self._take(np.sort(part)) for part in np.split(order[: ends[-1]], ends[:-1]))

    def batches(self, size: int, *, seed: int = 0, drop_last: bool = False) -> Batches:
        """All records in batches of ``size``, in another random order each epoch.

        The last batch of an epoch is smaller when the records do not come out even; ``drop_last`` leaves it out.

        Raises:
            AttributeValueError: the size is not a positive number, or so great that no batch is left.
        """
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise AttributeValueError("a batch has at least one record", expected="an int of 1 or more", got=repr(size))
        if len(self) < (size if drop_last else 1):
            raise AttributeValueError(
                f"the dataset '{self.name}' makes no batch", expected=f"{size} records", got=len(self)
            )
        return Batches(self, int(size), seed, drop_last)

    def _take(self, records: NDArray) -> Dataset:
        return Dataset(self.inputs[records], self.targets[records], self.name)


@dataclass(frozen=True, eq=False)
class Batches:
    """A dataset in batches; see :meth:`Dataset.batches`.

    The order of an epoch depends on the seed and the epoch's number alone, so that training can be taken up anywhere.
    """

    dataset: Dataset
    size: int
    seed: int
    drop_last: bool

    def __len__(self) -> int:
        """Batches of one epoch."""
        full, rest = divmod(len(self.dataset), self.size)
        return full + (rest > 0 and not self.drop_last)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, which are counted from 0."""
        order = _generator(self.seed, _SHUFFLE, number).permutation(len(self.dataset))
        for start in range(0, len(self) * self.size, self.size):
            records = order[start : start + self.size]
            yield Batch(self.dataset.inputs[records], self.dataset.targets[records])


def _generator(seed: int, *stream: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise AttributeValueError("this is no seed", expected="an int of 0 or more", got=repr(seed))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((int(seed), *stream))))


def _describe(array: NDArray) -> str:
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"
