"""Reads CSV files and the like: a record a row, fields behind separators, perhaps in quotes (RFC 4180)."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from os import PathLike
from typing import Literal, NamedTuple

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.columns import Columns, Piece, Values
from sigmagraph.data.readers.cursor import Cursor
from sigmagraph.data.readers.table import Table
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.errors import AttributeValueError, DataWarning, FileFormatError

# What stands for nothing in files of several programs; blanks around it do not count.
_NOTHING = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
# Bytes that are no text in the file's encoding come out of the decoder as lone surrogates.
_NO_TEXT = re.compile("[\ud800-\udfff]")


class Csv(Table):
    """Rows of a CSV file as records. ``extract`` makes sections of its columns, ``map_values`` numbers of its texts.

    Without either, all columns make the section ``columns``. Rows end in any line end, but fields in quotes may have
    line ends in them; blank lines are no rows, and blanks around a field do not count. Numbers have a decimal point.
    The file is read in order, and from its start again where it must go back.

    Args:
        source: the file, as a path or a source, compressed (gz, bz2, xz) or not.
        separator: the character between fields.
        header: whether the first row has names of columns.
        missing: a number that stands for missing values, perhaps NaN; without it, they are refused.
        nothing: what stands for a missing value in the file.
        bad_rows: what becomes of rows whose number of columns is not that of the first: ``error``, or ``skip``, which
            leaves them out, counts them and warns of them.
        encoding: of the text, by Python's name.

    Raises:
        AttributeValueError: the separator, the encoding or another argument means nothing.
        InputError: (when it is read) there is no file.
        FileFormatError: (when it is read) a row has another number of columns than the first, a value is missing,
            unknown or no number, quotes are wrong, bytes are no text, or there is no row at all. It names the line.
    """

    def __init__(
        self,
        source: Source | str | PathLike[str],
        separator: str = ",",
        header: bool = False,
        *,
        missing: float | None = None,
        nothing: Sequence[str] = _NOTHING,
        bad_rows: Literal["error", "skip"] = "error",
        encoding: str = "utf-8-sig",
    ) -> None:
        try:
            codecs.lookup(encoding)
            csv.reader((), delimiter=separator)
        except (LookupError, TypeError, ValueError) as error:
            raise AttributeValueError("a CSV file cannot be read like this", got=error) from error
        if bad_rows not in ("error", "skip") or isinstance(nothing, str):
            raise AttributeValueError(
                "a CSV file cannot be read like this",
                expected="bad_rows 'error' or 'skip', nothing a list of texts",
                got=(bad_rows, nothing),
            )
        form = _Form(separator, header, tuple(text.strip() for text in nothing), bad_rows == "skip", encoding)
        self._rows = _Rows(Compressed(source, required=False), form)
        super().__init__(self._rows, {"columns": None}, missing=missing)

    @property
    def skipped_rows(self) -> int:
        """How many rows were left out because they have another number of columns than the first."""
        self._rows.count()
        return self._rows.skipped


class _Form(NamedTuple):
    separator: str
    header: bool
    nothing: tuple[str, ...]
    skip: bool
    encoding: str


class _Row(NamedTuple):
    line: int
    fields: list[str]


class _Rows(Columns):
    def __init__(self, source: Compressed, form: _Form) -> None:
        self.name = source.name
        self.skipped = 0
        self._source = source
        self._form = form
        self._first: list[str] | None = None
        self._records: int | None = None
        self._cursor: Cursor[_Row] | None = None

    def names(self) -> tuple[str, ...]:
        first = self._first_row()
        return tuple(text.strip() for text in first) if self.named() else tuple(map(str, range(len(first))))

    def named(self) -> bool:
        return self._form.header

    def whole(self) -> tuple[int, ...]:
        return ()

    def count(self) -> int:
        if self._records is None:
            width = len(self._first_row())
            skipped: list[int] = []
            self._records = sum(1 for _ in _records(self._source, self._form, width, skipped))
            self.skipped = len(skipped)
            if skipped:
                warnings.warn(
                    f"{self.name}: rows that do not have {width} columns are left out: {len(skipped)}, the first in "
                    f"line {skipped[0]}",
                    DataWarning,
                    stacklevel=2,
                )
        return self._records

    def read(self, start: int, stop: int, columns: Sequence[int]) -> Piece:
        if self._cursor is None:
            begin = partial(_records, self._source, self._form, len(self._first_row()))
            self._cursor = Cursor(self.name, begin)
        rows = self._cursor.take(start, stop)
        nothing = dict.fromkeys(self._form.nothing)
        pieces = []
        for column in columns:
            values = np.empty(len(rows), object)
            values[:] = [row.fields[column].strip() for row in rows]
            pieces.append(Values(values, np.fromiter((text in nothing for text in values), bool, len(rows))))
        return Piece(pieces, lambda record: f"{self.name}:{rows[record].line}")

    def fingerprint(self) -> str:
        return digest("csv", self._source.fingerprint(), self._form)

    def _first_row(self) -> list[str]:
        if self._first is None:
            rows = _rows(self._source, self._form)
            first = next(rows, None)
            rows.close()
            if first is None:
                raise FileFormatError(f"{self.name} has no rows", expected="a first row", got="nothing")
            self._first = first.fields
        return self._first


def _records(source: Compressed, form: _Form, width: int, skipped: list[int] | None = None) -> Generator[_Row]:
    """The rows that are records; the lines of those that are left out are noted."""
    rows = _rows(source, form)
    if form.header:
        next(rows, None)
    for row in rows:
        if len(row.fields) == width:
            yield row
        elif form.skip:
            if skipped is not None:
                skipped.append(row.line)
        else:
            raise FileFormatError(
                f"{source.name}:{row.line}: a row has another number of columns than the first",
                expected=width,
                got=len(row.fields),
            )


def _rows(source: Compressed, form: _Form) -> Generator[_Row]:
    """All rows that are not blank, each with the line that it begins in."""
    with source.open() as stream:
        text = io.TextIOWrapper(stream, form.encoding, errors="surrogateescape", newline="")
        reader = csv.reader(_lines(source.name, text), delimiter=form.separator, strict=True)
        line = 1
        try:
            for fields in reader:
                if fields:
                    yield _Row(line, fields)
                line = reader.line_num + 1
        except csv.Error as error:
            raise FileFormatError(f"{source.name}:{line}: a row is wrong", got=error) from error


def _lines(name: str, text: io.TextIOWrapper) -> Iterator[str]:
    """The lines, each of which is text."""
    number = 0
    try:
        for number, line in enumerate(text, 1):
            if not line.isascii() and _NO_TEXT.search(line):
                raise _no_text(name, number, text.encoding)
            yield line
    except UnicodeError as error:
        raise _no_text(name, number + 1, text.encoding) from error


def _no_text(name: str, line: int, encoding: str) -> FileFormatError:
    return FileFormatError(f"{name}:{line}: bytes that are no text", expected=encoding)
