"""What files of columns give to tables: raw values of some columns, and where they stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"
# A column by its name or its number (from 0; negative ones count from the end).
Column: TypeAlias = "int | str"


@dataclass(frozen=True)
class Values:
    """What stands in a column.

    Attributes:
        values: numbers, or an array of objects that are all texts.
        missing: where there is nothing, whatever ``values`` has there.
    """

    values: NDArray
    missing: NDArray


@dataclass(frozen=True)
class Piece:
    """Some records of some columns.

    Attributes:
        columns: as they were asked for.
        place: says where a record stands, by its number in the piece.
    """

    columns: list[Values]
    place: Callable[[int], str]


class Columns(ABC):
    """A file of columns.

    Attributes:
        name: for readers and errors.
    """

    name: str

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of all columns; their numbers, from 0, if they have none."""

    @abstractmethod
    def named(self) -> bool:
        """Whether the columns have names."""

    @abstractmethod
    def whole(self) -> tuple[int, ...]:
        """The columns whose values are whole numbers by their type."""

    @abstractmethod
    def count(self) -> int:
        """How many records there are."""

    @abstractmethod
    def read(self, start: int, stop: int, columns: Sequence[int]) -> Piece:
        """Some records of some columns."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of what the values depend on."""

    def number(self, column: Column) -> int:
        """The number of a column.

        Raises:
            AttributeValueError: there is no such column, or more than one.
        """
        names = self.names()
        if isinstance(column, str):
            if self.named() and names.count(column) == 1:
                return names.index(column)
        elif not isinstance(column, bool) and -len(names) <= column < len(names):
            return int(column) % len(names)
        raise AttributeValueError(
            f"{self.name} has no such column, or several",
            expected=f"{', '.join(names)}, or a number below {len(names)}",
            got=repr(column),
        )
