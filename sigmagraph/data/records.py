"""What all data is to those who use it: records that can be read from any place, in blocks of sections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"
# Some records: arrays ``[records, ...]`` by the names of their sections, such as ``inputs`` and ``targets``.
Block: TypeAlias = dict[str, NDArray]


class Records(ABC):
    """Records by number. The same range gives the same bits whenever and in whatever order it is read.

    Attributes:
        name: for readers and errors.
    """

    name: str

    @property
    @abstractmethod
    def sections(self) -> tuple[str, ...]:
        """Names of what each record consists of."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are; a pass over a file may be needed to know it."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Block:
        """Records from ``start`` up to but without ``stop``, which both lie in ``[0, len(self)]``.

        Raises:
            InputError, FileFormatError: what they come from cannot be read, or is damaged.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of everything that the values depend on; equal ones mean equal records."""
