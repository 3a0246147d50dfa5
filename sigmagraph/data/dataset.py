"""Records with inputs and targets: split at random, and dealt out in shuffled batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, ShapeError

NDArray = np.ndarray[Any, Any]
# One array, or several by the names that a network has for them.
Arrays: TypeAlias = "NDArray | Mapping[str, NDArray]"

# Streams of random numbers that one seed yields, so that a split and the order of batches are independent.
_SPLIT, _SHUFFLE = 0, 1


class Batch(NamedTuple):
    """Some records of a dataset."""

    inputs: Any
    targets: Any


class Dataset:
    """Records in memory: record ``i`` is ``inputs[i]`` with ``targets[i]``.

    Args:
        inputs: array ``[records, ...]``, or several of them by the names of a network's inputs.
        targets: array ``[records, ...]``, or several of them by the names of a network's targets.
        name: for readers.

    Raises:
        ShapeError: an array has no axis of records, or the numbers of records differ.
    """

    def __init__(self, inputs: Arrays, targets: Arrays, name: str = "dataset") -> None:
        self.inputs: Any = _arrays(inputs)
        self.targets: Any = _arrays(targets)
        self.name = name
        arrays = [*_each(self.inputs), *_each(self.targets)]
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ShapeError(
                f"the dataset '{name}' has no axis of records",
                expected="arrays of rank 1 or more",
                got="a number" if arrays else "no arrays",
            )
        self._records = len(arrays[0])
        for array in arrays:
            if len(array) != self._records:
                raise ShapeError(
                    f"the dataset '{name}' has another number of targets than of inputs",
                    expected=self._records,
                    got=len(array),
                )

    def __len__(self) -> int:
        return self._records

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, inputs {_describe(self.inputs)}, targets {_describe(self.targets)})"

    def take(self, records: NDArray | slice) -> Batch:
        """Some records by their numbers."""
        return Batch(_taken(self.inputs, records), _taken(self.targets, records))

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
        return Dataset(*self.take(records), self.name)


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
            yield self.dataset.take(records)


def _generator(seed: int, *stream: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise AttributeValueError("this is no seed", expected="an int of 0 or more", got=repr(seed))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((int(seed), *stream))))


def _arrays(given: Arrays) -> Arrays:
    return {name: np.asarray(v) for name, v in given.items()} if isinstance(given, Mapping) else np.asarray(given)


def _each(arrays: Arrays) -> list[NDArray]:
    return list(arrays.values()) if isinstance(arrays, Mapping) else [arrays]


def _taken(arrays: Arrays, records: NDArray | slice) -> Arrays:
    if isinstance(arrays, Mapping):
        return {name: array[records] for name, array in arrays.items()}
    return arrays[records]


def _describe(arrays: Arrays) -> str:
    if isinstance(arrays, Mapping):
        return ", ".join(f"{name} {_describe(array)}" for name, array in arrays.items())
    return f"{arrays.dtype}[{','.join(map(str, arrays.shape))}]"
