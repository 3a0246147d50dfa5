"""Records in memory, with inputs and targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.batches import Batch, Batches
from sigmagraph.data.deck import Deck, batch_of
from sigmagraph.data.digests import SHUFFLE, array_digest, digest, generator
from sigmagraph.data.preprocessors.augmentation import Augmentation
from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.data.records import Block
from sigmagraph.errors import ShapeError

__all__ = ["Batch", "Batches", "Dataset"]

NDArray: TypeAlias = "np.ndarray[Any, Any]"
# One array, or several by the names that a network has for them.
Arrays: TypeAlias = "NDArray | Mapping[str, NDArray]"

# Bytes of a block, where it matters which records lie together.
_BLOCK_BYTES = 1 << 20


class Dataset(Deck):
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
        arrays = [*self._sections().values()]
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ShapeError(
                f"the dataset '{name}' has no axis of records",
                expected="arrays of rank 1 or more",
                got="a number" if arrays else "no arrays",
            )
        for array in arrays:
            if len(array) != len(arrays[0]):
                raise ShapeError(
                    f"the dataset '{name}' has another number of targets than of inputs",
                    expected=len(arrays[0]),
                    got=len(array),
                )

    def __len__(self) -> int:
        return len(next(iter(self._sections().values())))

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, inputs {_describe(self.inputs)}, targets {_describe(self.targets)})"

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(self._sections())

    @property
    def block(self) -> int:
        """As many records as make up 1 MiB."""
        bytes_ = sum(array.nbytes for array in self._sections().values())
        return max(1, min(len(self), _BLOCK_BYTES * len(self) // max(1, bytes_)))

    def gather(self, records: NDArray | slice) -> Block:
        """Some records by their numbers."""
        return {name: array[records] for name, array in self._sections().items()}

    def order(self, seed: int, epoch: int, start: int) -> Iterator[NDArray]:
        """The numbers of all records in the random order of an epoch, from place ``start`` on."""
        yield generator(seed, SHUFFLE, epoch).permutation(len(self))[start:]

    def _content(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        """Of the arrays' types, shapes and bytes, as they are when it is first asked for."""
        return digest("dataset", *[[name, array_digest(array)] for name, array in sorted(self._sections().items())])

    def _sections(self) -> dict[str, NDArray]:
        return _named("inputs", self.inputs) | _named("targets", self.targets)

    def _selected(self, records: NDArray) -> Self:
        return self._of(self.gather(records))

    def _preprocessed(self, preprocessors: tuple[Preprocessor, ...]) -> Self:
        block = self._sections()
        for preprocessor in preprocessors:
            block = preprocessor.apply(block)
        return self._of(block)

    def _augmented(self, augmentations: tuple[Augmentation, ...]) -> Self:
        other = copy(self)
        other.augmentations = augmentations
        return other

    def _of(self, block: Block) -> Self:
        """The same with other records."""
        other = copy(self)
        other.__dict__.pop("_digest", None)
        other.inputs, other.targets = batch_of(block)
        return other


def _arrays(given: Arrays) -> Arrays:
    return {name: np.asarray(v) for name, v in given.items()} if isinstance(given, Mapping) else np.asarray(given)


def _named(part: str, arrays: Arrays) -> dict[str, NDArray]:
    """Arrays by the names of their sections."""
    return {f"{part}.{name}": a for name, a in arrays.items()} if isinstance(arrays, Mapping) else {part: arrays}


def _describe(arrays: Arrays) -> str:
    if isinstance(arrays, Mapping):
        return ", ".join(f"{name} {_describe(array)}" for name, array in arrays.items())
    return f"{arrays.dtype}[{','.join(map(str, arrays.shape))}]"
