"""Where the elements of a step of a factor lie in shared memory.

Rows of a factor are those of the matrix that is multiplied, or columns of the second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType

_CORE = 8  # rows of a core matrix


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one row's summed indices, or of one summed index's rows.

    What is read at once is in different banks of memory, whether it lies beside each other or below. Rows of matrices
    are 16 bytes; single words of one line, and those of four lines, are read beside each other.

    Attributes:
        dtype: of the elements.
        rows, depth: how many rows and summed indices there are.
        deep: whether summed indices lie side by side.
        lines: so many of them are written at a time, at least.
    """

    dtype: DType
    rows: int
    depth: int
    deep: bool
    lines: ClassVar[int] = 1

    @property
    def pitch(self) -> int:
        """Elements from one line to the next."""
        near = self.deep or self.dtype.itemsize == 2
        return (self.depth if self.deep else self.rows) + (16 if near else 32) // self.dtype.itemsize

    @property
    def size(self) -> int:
        """Elements of a step."""
        return (self.rows if self.deep else self.depth) * self.pitch

    def at(self, row: Size, deep: Size) -> Size:
        """Where an element lies, seen from the first one of the step."""
        return row * self.pitch + deep if self.deep else deep * self.pitch + row


@dataclass(frozen=True, slots=True)
class Cores:
    """Matrices of eight lines of 16 bytes, as warpgroups take them (see ``warpgroup.py``).

    Threads side by side write to one line of matrices side by side, which are 16 bytes further apart than they are
    long: so these lines are in different banks.

    Attributes:
        dtype: of the elements.
        rows, depth: how many rows and summed indices there are.
        deep: whether summed indices lie side by side.
        lines: so many of them are written at a time, at least: those of whole matrices.
    """

    dtype: DType
    rows: int
    depth: int
    deep: bool
    lines: ClassVar[int] = _CORE

    @property
    def line(self) -> int:
        """Elements of 16 bytes."""
        return 16 // self.dtype.itemsize

    @property
    def near(self) -> int:
        """Elements from one matrix to the next along summed indices."""
        return self._apart if self.deep else self.rows // _CORE * self._apart

    @property
    def far(self) -> int:
        """Elements from one matrix to the next along rows."""
        return self.depth // self.line * self._apart if self.deep else self._apart

    @property
    def _apart(self) -> int:
        return (_CORE + 1) * self.line

    @property
    def size(self) -> int:
        """Elements of a step."""
        return (self.rows // _CORE) * (self.depth // self.line) * self._apart

    def at(self, row: Size, deep: Size) -> Size:
        """Where an element lies, seen from the first one of the step."""
        inner = row % _CORE * self.line + deep % self.line if self.deep else deep % _CORE * _CORE + row % _CORE
        along = deep // self.line if self.deep else deep // _CORE
        return row // _CORE * self.far + along * self.near + inner
