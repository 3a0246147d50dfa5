"""Puts records into a random order, once and for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.digests import PERMUTE, generator, natural
from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.data.records import Block

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Shuffle(Preprocessor):
    """Every order of the records is as likely; all sections stay together, whatever ``sections`` says.

    It must see all records at once: streamed ones cannot be shuffled so (their batches are, anew in each epoch).

    Attributes:
        seed: that the order depends on, with the number of records.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", natural(self.seed, "this is no seed"))

    @property
    def whole(self) -> bool:
        return True

    def apply(self, block: Block) -> Block:
        """All sections of the records in the same new order."""
        return {name: self.change(name, array) for name, array in block.items()}

    def change(self, section: str, array: NDArray) -> NDArray:  # noqa: ARG002
        return array[generator(self.seed, PERMUTE).permutation(len(array))]
