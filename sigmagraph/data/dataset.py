"""Records with inputs and targets: split at random, and dealt out in shuffled batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.batches import Batch, Batches, Minibatches
from sigmagraph.data.digests import SHUFFLE, SPLIT, array_digest, digest, generator
from sigmagraph.errors import AttributeValueError, ShapeError

__all__ = ["Batch", "Batches", "Dataset"]

NDArray: TypeAlias = "np.ndarray[Any, Any]"
# One array, or several by the names that a network has for them.
Arrays: TypeAlias = "NDArray | Mapping[str, NDArray]"


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
        order = generator(seed, SPLIT).permutation(len(self))
        ends = np.rint(np.cumsum(shares) * len(self)).astype(int)
        return tuple(self._take(np.sort(part)) for part in np.split(order[: ends[-1]], ends[:-1]))

    def batches(self, size: int, *, seed: int | None = None, drop_last: bool = False) -> Batches:
        """All records in batches of ``size``, in another random order each epoch.

        The last batch of an epoch is smaller when the records do not come out even; ``drop_last`` leaves it out.

        Raises:
            AttributeValueError: the size is not a positive number, or so great that no batch is left.
        """
        return Minibatches(self, size, seed, drop_last)

    def order(self, seed: int, epoch: int, start: int) -> Iterator[NDArray]:
        """The numbers of all records in the random order of an epoch, from place ``start`` on."""
        yield generator(seed, SHUFFLE, epoch).permutation(len(self))[start:]

    def deal(self, records: NDArray | slice, seed: int, epoch: int) -> Batch:  # noqa: ARG002
        """Some records by their numbers, as they are to be learnt from in that epoch."""
        return self.take(records)

    def fingerprint(self) -> str:
        """A digest of the arrays' types, shapes and bytes, as they are when it is first asked for."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        parts = (_named("inputs", self.inputs), _named("targets", self.targets))
        return digest(
            "dataset", *[[name, array_digest(array)] for part in parts for name, array in sorted(part.items())]
        )

    def _take(self, records: NDArray) -> Dataset:
        return Dataset(*self.take(records), self.name)


def _arrays(given: Arrays) -> Arrays:
    return {name: np.asarray(v) for name, v in given.items()} if isinstance(given, Mapping) else np.asarray(given)


def _named(part: str, arrays: Arrays) -> dict[str, NDArray]:
    """Arrays by the names of their sections."""
    return {f"{part}.{name}": a for name, a in arrays.items()} if isinstance(arrays, Mapping) else {part: arrays}


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
