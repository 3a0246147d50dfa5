"""Reads IDX files, the format of MNIST and its relatives, compressed or not.

The format: two zero bytes, a byte for the element type, a byte for the rank, the sizes as big-endian 32-bit numbers,
then the elements in row-major order, big-endian (Y. LeCun, "The MNIST database", section FILE FORMATS).
"""

from __future__ import annotations

import io
import math
from os import PathLike
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.positions import Positions, take
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.errors import FileFormatError

_ELEMENT = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LONGEST_HEADER = 4 + 4 * 255


class _Header(NamedTuple):
    element: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.element.itemsize

    def array(self, elements: bytes, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return np.frombuffer(elements, self.element).reshape(shape).astype(self.element.newbyteorder("="))

    def wrong_length(self, name: str, got: int) -> FileFormatError:
        return _wrong_length(
            name,
            f"{self.size} bytes for {list(self.shape)} elements of {self.element.itemsize} bytes",
            "more" if got > self.size else str(got),
        )


def read_idx(path: Source | str | PathLike[str]) -> np.ndarray[Any, Any]:
    """The array in an IDX file, in the machine's byte order.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no IDX file, or has fewer or more bytes than its header says.
    """
    source = Compressed(path, required=False)
    with source.open() as stream:
        header = _header(stream, source.name)
        elements = take(stream, header.size + 1)
    if len(elements) != header.size:
        raise header.wrong_length(source.name, len(elements))
    return header.array(elements, header.shape)


class Idx(Records):
    """The array of an IDX file as records, ``array[i]`` being record ``i``.

    Records of a file that is not compressed are read from where they are; a compressed one is read in order.

    Args:
        source: the file, as a path or a source, compressed (gz, bz2, xz) or not.
        section: what the values are called.

    Raises:
        InputError: (when it is read) there is no file.
        FileFormatError: (when it is read) it is no IDX file, or has fewer or more bytes than its header says.
    """

    def __init__(self, source: Source | str | PathLike[str], section: str = "inputs") -> None:
        self._source = Compressed(source, required=False)
        self.name = self._source.name
        self._section = section
        self._bytes = Positions(self._source)
        self._known: _Header | None = None

    @property
    def sections(self) -> tuple[str, ...]:
        return (self._section,)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape; the first axis is that of the records."""
        return self._header().shape

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        header = self._header()
        record = header.size // len(self) if len(self) else 0
        first, last = header.start + start * record, header.start + stop * record
        # Whether there is too much is seen when the last record is read: one more byte is asked for.
        content = self._bytes.read(first, last - first + (stop == len(self)))
        if len(content) != last - first:
            raise header.wrong_length(self.name, first + len(content) - header.start)
        return {self._section: header.array(content, (stop - start, *header.shape[1:]))}

    def fingerprint(self) -> str:
        return digest("idx", self._source.fingerprint(), self._section)

    def _header(self) -> _Header:
        if self._known is None:
            header = _header(io.BytesIO(self._bytes.read(0, _LONGEST_HEADER)), self.name)
            if not header.shape:
                raise FileFormatError(f"{self.name} has no axis of records", expected="rank 1 or more", got="a number")
            self._known = header
        return self._known


def _header(stream: BinaryIO, name: str) -> _Header:
    magic = take(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _ELEMENT:
        raise FileFormatError(
            f"{name} is no IDX file", expected="00 00, a type from 08 to 0e, a rank", got=magic.hex(" ")
        )
    rank = magic[3]
    sizes = take(stream, 4 * rank)
    if len(sizes) < 4 * rank:
        raise _wrong_length(name, f"{4 + 4 * rank} bytes of header", f"{4 + len(sizes)}")
    return _Header(np.dtype(_ELEMENT[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist()))


def _wrong_length(name: str, expected: str, got: str) -> FileFormatError:
    return FileFormatError(f"{name} has another length than its header says", expected=expected, got=got)
