"""Reads IDX files, the format of MNIST and its relatives, gzipped or not.

The format: two zero bytes, a byte for the element type, a byte for the rank, the sizes as big-endian 32-bit numbers,
then the elements in row-major order, big-endian (Y. LeCun, "The MNIST database", section FILE FORMATS).
"""

from __future__ import annotations

import gzip
import math
import zlib
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from sigmagraph.errors import FileFormatError, InputError

_ELEMENT = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


def read_idx(path: str | PathLike[str]) -> np.ndarray[Any, Any]:
    """The array in an IDX file, in the machine's byte order.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is no IDX file, or has fewer or more bytes than its header says.
    """
    file = Path(path)
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            return _read(cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(f"{file} is damaged", expected="a complete gzip file", got=error) from error
    except OSError as error:
        raise InputError(f"{file} cannot be read", got=error.strerror) from error


def _read(stream: BinaryIO, file: Path) -> np.ndarray[Any, Any]:
    magic = _take(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _ELEMENT:
        raise FileFormatError(
            f"{file} is no IDX file", expected="00 00, a type from 08 to 0e, a rank", got=magic.hex(" ")
        )
    element, rank = np.dtype(_ELEMENT[magic[2]]), magic[3]
    header = _take(stream, 4 * rank)
    if len(header) < 4 * rank:
        raise _wrong_length(file, f"{4 + 4 * rank} bytes of header", f"{4 + len(header)}")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    size = math.prod(shape) * element.itemsize
    elements = _take(stream, size + 1)
    if len(elements) != size:
        got = "more" if len(elements) > size else len(elements)
        raise _wrong_length(file, f"{size} bytes for {list(shape)} elements of {element.itemsize} bytes", f"{got}")
    return np.frombuffer(elements, element).reshape(shape).astype(element.newbyteorder("="))


def _wrong_length(file: Path, expected: str, got: str) -> FileFormatError:
    return FileFormatError(f"{file} has another length than its header says", expected=expected, got=got)


def _take(stream: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes, in pieces: a damaged header must not make us ask for memory that no file fills."""
    out = bytearray()
    while len(out) < size and (piece := stream.read(min(_PIECE, size - len(out)))):
        out += piece
    return bytes(out)
