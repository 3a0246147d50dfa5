"""Arrays in memory as records, and several records side by side."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sigmagraph.data.digests import digest
from sigmagraph.data.readers.ranges import check_range
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError, ShapeError


class Arrays(Records):
    """Arrays ``[records, ...]`` in memory, by the names of their sections.

    What is read are views that cannot be written. Who changes the arrays themselves changes the records.

    Args:
        name: for readers.
        sections: arrays, equally long.

    Raises:
        ShapeError: an array has no axis of records, or their numbers of records differ.
    """

    def __init__(self, name: str = "arrays", /, **sections: ArrayLike) -> None:
        self.name = name
        self._arrays = {section: np.asarray(values) for section, values in sections.items()}
        lengths = {section: len(a) if a.ndim else None for section, a in self._arrays.items()}
        if not lengths or None in lengths.values() or len(dict.fromkeys(lengths.values())) > 1:
            raise ShapeError(f"'{name}' does not consist of records", expected="arrays, equally long", got=lengths)

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(self._arrays)

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        block = {section: array[start:stop] for section, array in self._arrays.items()}
        for view in block.values():
            view.flags.writeable = False
        return block

    def fingerprint(self) -> str:
        parts = [[section, array.dtype.str, array.shape, _checksum(array)] for section, array in self._arrays.items()]
        return digest("arrays", parts)


class Joined(Records):
    """Records side by side: record ``i`` is that of all parts, such as images of one file and labels of another.

    A part of one section gives the section of its name; one of several gives ``name.section`` for each.

    Args:
        parts: records, equally many.

    Raises:
        AttributeValueError: there are none.
        ShapeError: (when they are counted) they are not equally many.
    """

    def __init__(self, **parts: Records) -> None:
        if not parts:
            raise AttributeValueError("nothing is joined", expected="records by name", got="none")
        self._parts = parts
        self.name = " and ".join(dict.fromkeys(part.name for part in parts.values()))

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(name for part in self._parts for name in self._names(part).values())

    def __len__(self) -> int:
        lengths = {name: len(part) for name, part in self._parts.items()}
        if len(dict.fromkeys(lengths.values())) > 1:
            raise ShapeError(f"{self.name} do not fit together", expected="equally many records", got=lengths)
        return next(iter(lengths.values()))

    def read(self, start: int, stop: int) -> Block:
        check_range(self, start, stop)
        block = {}
        for name, part in self._parts.items():
            values = part.read(start, stop)
            block.update({ours: values[theirs] for theirs, ours in self._names(name).items()})
        return block

    def fingerprint(self) -> str:
        return digest("joined", [[name, part.fingerprint()] for name, part in self._parts.items()])

    def _names(self, part: str) -> dict[str, str]:
        theirs = self._parts[part].sections
        return {theirs[0]: part} if len(theirs) == 1 else {section: f"{part}.{section}" for section in theirs}


def _checksum(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()
