"""Reads files of records that all have the same number of bytes, behind a header that is skipped."""

from __future__ import annotations

import math
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.positions import Positions
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.errors import AttributeValueError, FileFormatError


class Bytes(Records):
    """Records of the same number of bytes each, behind a header that is skipped.

    A structured dtype makes a section of each of its fields, so that one file has inputs and targets:
    ``np.dtype([("targets", "u1"), ("inputs", "u1", (3, 32, 32))])`` is that of CIFAR-10.

    Args:
        source: the file, as a path or a source, compressed (gz, bz2, xz) or not.
        header: how many bytes to skip at the start.
        record: bytes of a record, of which the array takes the first; as many as the array takes unless given.
        dtype: of the elements, with the byte order of the file; arrays come in the machine's.
        shape: of a record's array.
        section: what the values are called if the dtype has no fields.

    Raises:
        AttributeValueError: the sizes do not fit together, or the dtype is one of objects.
        InputError: (when it is read) there is no file.
        FileFormatError: (when it is read) it does not consist of whole records.
    """

    def __init__(
        self,
        source: Source | str | PathLike[str],
        header: int = 0,
        record: int | None = None,
        dtype: DTypeLike = np.uint8,
        shape: tuple[int, ...] = (),
        *,
        section: str = "inputs",
    ) -> None:
        element = np.dtype(dtype)
        used = element.itemsize * math.prod(shape)
        size = used if record is None else record
        if header < 0 or used < 1 or size < used or element.hasobject or min(shape, default=1) < 1:
            raise AttributeValueError(
                "this is no layout of records",
                expected="a header of 0 bytes or more, records with room for an array of numbers",
                got=f"header {header}, record {record}, {element}{list(shape)} of {used} bytes",
            )
        self._source = Compressed(source, required=False)
        self.name = self._source.name
        self._layout = (header, size, used)
        self._element = element
        self._shape = tuple(shape)
        self._section = section
        self._bytes = Positions(self._source)

    @property
    def sections(self) -> tuple[str, ...]:
        return self._element.names or (self._section,)

    def __len__(self) -> int:
        header, size, _ = self._layout
        records, rest = divmod(self._bytes.size() - header, size)
        if records < 0 or rest:
            raise FileFormatError(
                f"{self.name} does not consist of whole records",
                expected=f"{header} bytes of header, then records of {size} bytes",
                got=f"{self._bytes.size()} bytes",
            )
        return records

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        header, size, used = self._layout
        content = self._bytes.read(header + start * size, (stop - start) * size)
        rows = np.frombuffer(content, np.uint8).reshape(stop - start, size)[:, :used]
        array = np.ascontiguousarray(rows).view(self._element).reshape(stop - start, *self._shape)
        if self._element.names is None:
            return {self._section: _native(array)}
        return {name: _native(array[name]) for name in self._element.names}

    def fingerprint(self) -> str:
        layout = [*self._layout, np.lib.format.dtype_to_descr(self._element), self._shape, self._section]
        return digest("bytes", self._source.fingerprint(), layout)


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(array.dtype.newbyteorder("="))
