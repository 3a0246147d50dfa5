"""Reads NumPy's files: npy, mapped into memory where it is a file, and npz."""

from __future__ import annotations

from os import PathLike
from typing import Any, BinaryIO

import numpy as np

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.archive import Archive
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.data.sources.file import as_source
from sigmagraph.data.sources.guarded import guarded
from sigmagraph.errors import AttributeValueError, FileFormatError

NDArray = np.ndarray[Any, Any]
_SUFFIX = ".npy"


class Npy(Records):
    """The array of an npy file, ``array[i]`` being record ``i``.

    A file is mapped into memory, and only what is asked for is read; what is compressed or in an archive is read whole.

    Args:
        source: the file, as a path or a source, compressed (gz, bz2, xz) or not.
        section: what the values are called.

    Raises:
        InputError: (when it is read) there is no file.
        FileFormatError: (when it is read) it is no npy file, is damaged, or holds objects, which would be pickled.
    """

    def __init__(self, source: Source | str | PathLike[str], section: str = "inputs") -> None:
        self._source = Compressed(source, required=False)
        self.name = self._source.name
        self._section = section
        self._loaded: NDArray | None = None

    @property
    def sections(self) -> tuple[str, ...]:
        return (self._section,)

    def __len__(self) -> int:
        return len(self._array())

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        return {self._section: np.array(self._array()[start:stop])}

    def fingerprint(self) -> str:
        return digest("npy", self._source.fingerprint(), self._section)

    def _array(self) -> NDArray:
        if self._loaded is None:
            with self._source.open() as stream:
                path = self._source.local()
                if path is None:
                    self._loaded = _load(stream, self.name)
                else:
                    _check_magic(stream.read(6), self.name)
                    with guarded(self.name):
                        array = np.load(path, mmap_mode="r", allow_pickle=False)
                    self._loaded = _with_records(array, self.name)
        return self._loaded


class Npz(Records):
    """Arrays of an npz file, equally long. Each is read whole when it is first used, and stays in memory.

    Args:
        source: the file, as a path or a source.
        sections: which array makes which section, such as ``inputs="images", targets="labels"``; all by their own names
            unless given.

    Raises:
        InputError: (when it is read) there is no file.
        AttributeValueError: (when it is read) it holds no array of that name.
        FileFormatError: (when it is read) it is no npz file, is damaged, holds objects, which would be pickled, or
            arrays that are not equally long.
    """

    def __init__(self, source: Source | str | PathLike[str], **sections: str) -> None:
        self._source = as_source(source)
        self.name = self._source.name
        self._chosen = sections
        self._loaded: dict[str, NDArray] | None = None

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(self._chosen or self._arrays())

    def __len__(self) -> int:
        return len(next(iter(self._arrays().values())))

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        return {section: np.array(array[start:stop]) for section, array in self._arrays().items()}

    def fingerprint(self) -> str:
        return digest("npz", self._source.fingerprint(), self._chosen)

    def _arrays(self) -> dict[str, NDArray]:
        if self._loaded is None:
            archive = Archive(self._source)
            held = {name.removesuffix(_SUFFIX): name for name in archive.files() if name.endswith(_SUFFIX)}
            chosen = self._chosen or {name: name for name in held}
            arrays = {section: self._load(archive, held, name) for section, name in chosen.items()}
            lengths = {section: len(array) for section, array in arrays.items()}
            if len(dict.fromkeys(lengths.values())) != 1:
                raise FileFormatError(
                    f"{self.name} does not consist of records", expected="arrays, equally long", got=lengths
                )
            self._loaded = arrays
        return self._loaded

    def _load(self, archive: Archive, held: dict[str, str], name: str) -> NDArray:
        if name not in held:
            raise AttributeValueError(f"{self.name} has no such array", expected=", ".join(held), got=name)
        with archive.open(held[name]) as stream:
            return _load(stream, f"{self.name}/{name}")


def _load(stream: BinaryIO, name: str) -> NDArray:
    with guarded(name):
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise FileFormatError(f"{name} is longer than its header says")
    return _with_records(array, name)


def _with_records(array: NDArray, name: str) -> NDArray:
    if array.ndim == 0:
        raise FileFormatError(f"{name} has no axis of records", expected="rank 1 or more", got="a number")
    return array


def _check_magic(head: bytes, name: str) -> None:
    if head != b"\x93NUMPY":
        raise FileFormatError(f"{name} is no npy file", expected="93 4e 55 4d 50 59", got=head.hex(" "))
