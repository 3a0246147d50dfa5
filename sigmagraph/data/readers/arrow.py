"""Reads tables of Apache Arrow: Parquet files by row groups, and Arrow (Feather) files by record batches."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from os import PathLike
from types import ModuleType
from typing import Any

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.columns import Columns, NDArray, Piece, Values
from sigmagraph.data.readers.table import Table
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.file import as_source
from sigmagraph.errors import DTypeError, FileFormatError, InputError


class Parquet(Table):
    """Rows of a Parquet file as records; ``extract`` makes sections of its columns.

    Without that, all columns make the section ``columns``. Of a file, only the row groups and columns that are asked
    for are read; what is compressed as a whole or in an archive is held in memory. Numbers, truth values (0 and 1) and
    texts are read; ``map_values`` makes numbers of texts. NaN counts as missing.

    Args:
        source: the file, as a path or a source.
        missing: a number that stands for missing values, perhaps NaN; without it, they are refused.

    Raises:
        InputError: (when it is read) there is no file, or pyarrow is not installed.
        DTypeError: (when it is read) a column is of another type.
        FileFormatError: (when it is read) it is no Parquet file or is damaged, or a value is missing or unknown.
    """

    def __init__(self, source: Source | str | PathLike[str], *, missing: float | None = None) -> None:
        super().__init__(_RowGroups(as_source(source)), {"columns": None}, missing=missing)


class ArrowFile(Table):
    """Rows of an Arrow IPC file (Feather, version 2) as records; ``extract`` makes sections of its columns.

    Without that, all columns make the section ``columns``. A file is mapped into memory, and only the record batches
    that are asked for are read. Numbers, truth values (0 and 1) and texts are read; ``map_values`` makes numbers of
    texts. NaN counts as missing.

    Args:
        source: the file, as a path or a source.
        missing: a number that stands for missing values, perhaps NaN; without it, they are refused.

    Raises:
        InputError: (when it is read) there is no file, or pyarrow is not installed.
        DTypeError: (when it is read) a column is of another type.
        FileFormatError: (when it is read) it is no Arrow file or is damaged, or a value is missing or unknown.
    """

    def __init__(self, source: Source | str | PathLike[str], *, missing: float | None = None) -> None:
        super().__init__(_Batches(as_source(source)), {"columns": None}, missing=missing)


class _Groups(Columns):
    """Columns of a file that consists of groups of rows; the last group that was read stays in memory."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._opened: Any = None
        self._ends: NDArray = np.zeros(0, np.int64)
        self._last: tuple[Any, list[Values]] = (None, [])

    @abstractmethod
    def _open(self, arrow: ModuleType, file: Any) -> Any:
        """What reads the file."""

    @abstractmethod
    def _counts(self, opened: Any) -> list[int]:
        """How many rows each group has."""

    @abstractmethod
    def _group(self, opened: Any, number: int, columns: list[int]) -> list[Any]:
        """Columns of a group."""

    @abstractmethod
    def _schema(self, opened: Any) -> Any:
        """Names and types."""

    def names(self) -> tuple[str, ...]:
        return tuple(self._schema(self._file()).names)

    def named(self) -> bool:
        return True

    def whole(self) -> tuple[int, ...]:
        types = _arrow().types
        kinds = enumerate(self._schema(self._file()).types)
        return tuple(column for column, kind in kinds if types.is_integer(kind) or types.is_boolean(kind))

    def count(self) -> int:
        self._file()
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, start: int, stop: int, columns: Sequence[int]) -> Piece:
        self._file()
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right") if stop > start else (0, -1)
        pieces: list[list[Values]] = [[_empty()] for _ in columns]
        for number in range(int(first), int(last) + 1):
            begin = int(self._ends[number - 1]) if number else 0
            rows = slice(max(start - begin, 0), stop - begin)
            for out, values in zip(pieces, self._values(number, list(columns)), strict=True):
                out.append(Values(values.values[rows], values.missing[rows]))
        joined = [_joined(parts[1:] or parts) for parts in pieces]
        return Piece(joined, lambda record: f"{self.name}: record {start + record}")

    def fingerprint(self) -> str:
        return digest("arrow", self._source.fingerprint())

    def _file(self) -> Any:
        if self._opened is None:
            arrow = _arrow()
            path = self._source.local()
            if path is not None and not path.is_file():
                raise InputError(f"{path} cannot be read", expected="a file", got="nothing")
            try:
                if path is not None:
                    file = arrow.memory_map(str(path))
                else:
                    with self._source.open() as stream:
                        file = arrow.BufferReader(stream.read())
                opened = self._open(arrow, file)
                self._ends = np.cumsum(np.array(self._counts(opened), np.int64))
            except (arrow.ArrowException, OSError) as error:
                raise FileFormatError(f"{self.name} cannot be used", expected="a whole file", got=error) from error
            weakref.finalize(self, file.close)
            self._opened = opened
        return self._opened

    def _values(self, number: int, columns: list[int]) -> list[Values]:
        key = (number, columns)
        known, values = self._last
        if known != key:
            arrow = _arrow()
            try:
                arrays = self._group(self._opened, number, columns)
                where = [f"{self.name}: column {column}" for column in columns]
                values = [_values(arrow, array, place) for array, place in zip(arrays, where, strict=True)]
            except (arrow.ArrowException, OSError) as error:
                raise FileFormatError(f"{self.name} is damaged", expected="a whole file", got=error) from error
            self._last = (key, values)
        return values


class _RowGroups(_Groups):
    def _open(self, arrow: ModuleType, file: Any) -> Any:
        return arrow.parquet.ParquetFile(file)

    def _counts(self, opened: Any) -> list[int]:
        return [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]

    def _schema(self, opened: Any) -> Any:
        return opened.schema_arrow

    def _group(self, opened: Any, number: int, columns: list[int]) -> list[Any]:
        names = self.names()
        table = opened.read_row_group(number, columns=list(dict.fromkeys(names[column] for column in columns)))
        return [table.column(names[column]) for column in columns]


class _Batches(_Groups):
    def _open(self, arrow: ModuleType, file: Any) -> Any:
        return arrow.ipc.open_file(file)

    def _counts(self, opened: Any) -> list[int]:
        return [opened.get_batch(i).num_rows for i in range(opened.num_record_batches)]

    def _schema(self, opened: Any) -> Any:
        return opened.schema

    def _group(self, opened: Any, number: int, columns: list[int]) -> list[Any]:
        batch = opened.get_batch(number)
        return [batch.column(column) for column in columns]


def _arrow() -> ModuleType:
    try:
        import pyarrow as pa
        from pyarrow import ipc, parquet, types  # noqa: F401 - loads them, as attributes of pyarrow
    except ImportError as error:
        raise InputError(
            "reading Parquet and Arrow files needs pyarrow", got=error, hint='pip install "sigmagraph[data]"'
        ) from error
    return pa  # type: ignore[no-any-return]


def _values(arrow: ModuleType, column: Any, where: str) -> Values:
    types = arrow.types
    array = column.combine_chunks() if isinstance(column, arrow.ChunkedArray) else column
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if types.is_string(kind) or types.is_large_string(kind):
        return Values(array.fill_null("").to_numpy(zero_copy_only=False).astype(object), missing)
    if types.is_boolean(kind):
        array = array.cast(arrow.uint8())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        raise DTypeError(f"{where} is of another type", expected="numbers, truth values or texts", got=kind)
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    return Values(values, missing | np.isnan(values) if values.dtype.kind == "f" else missing)


def _empty() -> Values:
    return Values(np.zeros(0), np.zeros(0, bool))


def _joined(parts: list[Values]) -> Values:
    return Values(np.concatenate([p.values for p in parts]), np.concatenate([p.missing for p in parts]))
