"""Columns as records: which of them make a section, what their texts mean, and what stands for missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.columns import Column, Columns, Piece, Values
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError

NDArray: TypeAlias = "np.ndarray[Any, Any]"
# One column, which gives [records]; or a range with both its ends, or several of both, which give [records, columns].
Chosen: TypeAlias = "Column | tuple[Column, Column] | Sequence[Column | tuple[Column, Column]]"
Meanings: TypeAlias = "Sequence[str] | Mapping[str, int | float]"


class Table(Records):
    """Records of columns; made by readers such as :class:`Csv`.

    Values are f32, but i32 in a section whose columns are all of whole numbers by their type or their meaning, which
    suits class numbers; ``extract`` may say otherwise. A value that its type cannot hold is refused.

    Args:
        columns: where the values come from.
        sections: which columns make which section; all of them make one unless given.
        meanings: of texts, by column.
        dtypes: of sections, where they are others.
        missing: stands for what is missing; without it, missing values are refused.
    """

    def __init__(
        self,
        columns: Columns,
        sections: Mapping[str, Chosen | None],
        meanings: tuple[tuple[Column, Mapping[str, int | float]], ...] = (),
        dtypes: Mapping[str, DTypeLike] | None = None,
        missing: float | None = None,
    ) -> None:
        self.name = columns.name
        self._columns = columns
        self._chosen = dict(sections)
        self._meanings = meanings
        self._dtypes = {section: _dtype(dtype) for section, dtype in (dtypes or {}).items()}
        self._missing = missing
        if unknown := [section for section in self._dtypes if section not in self._chosen]:
            raise AttributeValueError("a dtype is for no section", expected=", ".join(self._chosen), got=unknown)

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(self._chosen)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the file; their numbers, from 0, if it names none."""
        return self._columns.names()

    def __len__(self) -> int:
        return self._columns.count()

    def extract(self, *, dtypes: Mapping[str, DTypeLike] | None = None, **sections: Chosen) -> Table:
        """The table with sections made of columns, such as ``extract(inputs=[0, (2, 4)], targets="species")``.

        Args:
            dtypes: of sections, where they should not be f32 or, of nothing but whole numbers, i32.
            sections: a column's name or number (negative ones count from the end) gives ``[records]``; a tuple is a
                range with both its ends, a list has columns and ranges, and both give ``[records, columns]``.

        Raises:
            AttributeValueError: there are no sections; (when it is read) there is no such column.
            DTypeError: a dtype is not one of numbers.
        """
        if not sections:
            raise AttributeValueError("nothing is extracted", expected="inputs=[0, 1], targets=2", got="no sections")
        return Table(self._columns, sections, self._meanings, dtypes, self._missing)

    def map_values(self, column: Column, meanings: Meanings) -> Table:
        """The table with numbers for a column's texts; a text without one is refused when it is read.

        Args:
            column: its name or number.
            meanings: the texts in the order of their numbers, from 0, or numbers by text.

        Raises:
            AttributeValueError: a text is there twice, or a number is not finite; (when it is read) there is no such
                column.
        """
        given = meanings if isinstance(meanings, Mapping) else {text: i for i, text in enumerate(meanings)}
        texts = isinstance(meanings, str) or not all(isinstance(text, str) for text in given)
        if texts or not given or len(given) < len(meanings) or not all(map(math.isfinite, given.values())):
            raise AttributeValueError(
                "these are no meanings", expected="texts, each once, or finite numbers by text", got=repr(meanings)
            )
        stripped = {text.strip(): number for text, number in given.items()}
        return Table(self._columns, self._chosen, (*self._meanings, (column, stripped)), self._dtypes, self._missing)

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        numbers = {section: self._numbers(chosen) for section, chosen in self._chosen.items()}
        wanted = list(dict.fromkeys(number for some in numbers.values() for number in some))
        meanings = self._meanings_by_number()
        piece = self._columns.read(start, stop, wanted)
        block = {}
        for section, some in numbers.items():
            dtype = self._dtype(section, some, meanings)
            parts = [self._column(piece, wanted.index(n), n, meanings.get(n), dtype) for n in some]
            single = isinstance(self._chosen[section], (int, str))
            block[section] = parts[0] if single else np.stack(parts, axis=1)
        return block

    def fingerprint(self) -> str:
        dtypes = {section: dtype.str for section, dtype in self._dtypes.items()}
        meanings = [[column, list(given.items())] for column, given in self._meanings]
        sections = [[section, chosen] for section, chosen in self._chosen.items()]
        return digest("table", self._columns.fingerprint(), sections, meanings, dtypes, self._missing)

    def _numbers(self, chosen: Chosen | None) -> list[int]:
        if chosen is None:
            return list(range(len(self._columns.names())))
        parts = chosen if isinstance(chosen, list) else [chosen]
        out: list[int] = []
        for part in parts:
            if isinstance(part, tuple):
                if len(part) != 2:
                    raise AttributeValueError("this is no range", expected="(first, last)", got=part)
                first, last = map(self._columns.number, part)
                out += range(first, last + 1)
            else:
                out.append(self._columns.number(part))  # type: ignore[arg-type]
        if not out:
            raise AttributeValueError(f"a section of {self.name} has no columns", expected="one or more", got=chosen)
        return out

    def _meanings_by_number(self) -> dict[int, Mapping[str, int | float]]:
        return {self._columns.number(column): given for column, given in self._meanings}

    def _dtype(
        self, section: str, numbers: list[int], meanings: Mapping[int, Mapping[str, int | float]]
    ) -> np.dtype[Any]:
        if section in self._dtypes:
            return self._dtypes[section]
        by_type = self._columns.whole()
        whole = all(_whole(meanings[n]) if n in meanings else n in by_type for n in numbers)
        return np.dtype(np.int32 if whole else np.float32)

    def _column(
        self, piece: Piece, at: int, number: int, meanings: Mapping[str, int | float] | None, dtype: np.dtype[Any]
    ) -> NDArray:
        """A column's values as numbers of a type."""

        def refuse(record: int, what: str, expected: str) -> FileFormatError:
            where = f"column {number}" + (f" ({self.columns[number]})" if self._columns.named() else "")
            value = "nothing" if missing[record] else repr(column.values[record])
            return FileFormatError(f"{piece.place(record)}: {what} in {where}", expected=expected, got=value)

        column = piece.columns[at]
        values, missing, unknown = _numbers_of(column, meanings)
        if unknown.any():
            expected = ", ".join(meanings) if meanings else "a number"
            raise refuse(int(unknown.argmax()), "an unknown value" if meanings else "no number", expected)
        if missing.any():
            if self._missing is None:
                raise refuse(int(missing.argmax()), "a missing value", "a value, or missing=... for what stands for it")
            values = np.where(missing, np.asarray(self._missing), values)
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
            bad = ~np.isfinite(cast) if dtype.kind == "f" else cast != values
        bad &= ~(missing & np.isnan(cast)) if dtype.kind == "f" else True
        if bad.any():
            raise refuse(int(bad.argmax()), f"a value that is no finite {dtype}", f"a number that {dtype} can hold")
        return cast


def _numbers_of(column: Values, meanings: Mapping[str, int | float] | None) -> tuple[NDArray, NDArray, NDArray]:
    """Numbers, where there are none because values are missing, and where texts are none."""
    if meanings is not None:
        texts = [str(value).strip() for value in column.values.tolist()]
        known = np.fromiter((text in meanings for text in texts), bool, len(texts))
        missing = column.missing & ~known
        whole = _whole(meanings)
        found = np.array([meanings.get(text, 0) for text in texts], np.int64 if whole else np.float64)
        return found, missing, ~known & ~missing
    if column.values.dtype != object:
        return column.values, column.missing, np.zeros(len(column.values), bool)
    values = np.zeros(len(column.values))
    unknown = np.zeros(len(column.values), bool)
    texts = column.values.tolist()
    if not column.missing.any() and _all_numbers(texts, values):
        return values, column.missing, unknown
    for record, (text, missing) in enumerate(zip(texts, column.missing.tolist(), strict=True)):
        if not missing:
            unknown[record] = not _all_numbers([text], values[record : record + 1])
    return values, column.missing, unknown


def _all_numbers(texts: list[str], out: NDArray) -> bool:
    """Whether all texts are numbers, which ``out`` then has. Python reads numbers without regard to the locale.

    It also reads ``1_000``, which no other program writes.
    """
    try:
        out[:] = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return False
    return not any(map(str.__contains__, texts, repeat("_")))


def _whole(meanings: Mapping[str, int | float]) -> bool:
    return all(isinstance(number, (int, np.integer)) for number in meanings.values())


def _dtype(given: DTypeLike) -> np.dtype[Any]:
    dtype = np.dtype(given)
    if dtype.kind not in "iuf":
        raise DTypeError("a section is not of this type", expected="integers or floating-point numbers", got=dtype)
    return dtype
