"""Reads records in blocks, of which a bounded number is in memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.cache import Cache
from sigmagraph.data.digests import digest, natural
from sigmagraph.data.records import Block, Records
from sigmagraph.errors import AttributeValueError, FileFormatError

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_MOST_BYTES = 16 << 20
_MOST_RECORDS = 65_536
_SHARE = 4  # of free memory, that all blocks together may take: one part in so many


class Blocks:
    """Records in blocks. Those that were used last stay in memory; threads may share them.

    Args:
        records: what is read, in whole blocks.
        size: records of a block; by default as many as make 16 MiB, at most 65,536, and fewer where ``keep`` blocks of
            that size would take more than a quarter of the memory that is free.
        keep: blocks in memory at most.
        cache: where blocks are kept on disk.

    Raises:
        AttributeValueError: a size is not a positive number.
    """

    def __init__(self, records: Records, size: int | None, keep: int, cache: Cache | None) -> None:
        self.records = records
        self.count = len(records)
        self.keep = natural(keep, "at least one block is kept in memory", least=1)
        self.size = self._fitting() if size is None else natural(size, "a block has at least one record", least=1)
        self.cache = cache
        self._held: OrderedDict[int, Block] = OrderedDict()
        self._lock = threading.RLock()
        shelf_of = digest("blocks", self.size, records.fingerprint()) if cache else ""
        about = {"name": records.name, "records": self.count, "block": self.size, "sections": list(records.sections)}
        self._shelf = cache.shelf(shelf_of, about) if cache else None

    def __len__(self) -> int:
        return (self.count + self.size - 1) // self.size

    @property
    def held(self) -> int:
        """Blocks in memory now."""
        return len(self._held)

    def get(self, number: int) -> Block:
        """A block by its number, from memory, from the cache or from the records. Its arrays are not to be changed."""
        with self._lock:
            block = self._held.get(number)
            if block is not None:
                self._held.move_to_end(number)
                return block
            # Room is made first, so that there is never one block more.
            while len(self._held) >= self.keep:
                self._held.popitem(last=False)
            block = self._fetch(number)
            self._held[number] = block
            return block

    def fill_cache(self) -> None:
        """Store every block that is not in the cache yet, in order, which is how files are read fastest."""
        with self._lock:
            for number in range(len(self)):
                if self._shelf is not None and number not in self._shelf:
                    self._held.pop(number, None)
                    self.get(number)

    def gather(self, numbers: NDArray | slice) -> Block:
        """Some records by their numbers, or a range of them.

        Raises:
            AttributeValueError: there is no record of that number.
        """
        if isinstance(numbers, slice):
            start, stop, step = numbers.indices(self.count)
            if step == 1:
                return self._put_together(max(0, stop - start), self._range(start, stop))
        chosen = np.arange(self.count)[numbers] if isinstance(numbers, slice) else np.asarray(numbers)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < self.count):
            raise AttributeValueError(
                f"'{self.records.name}' has no such record",
                expected=f"numbers from 0 to {self.count - 1}",
                got=f"{chosen.min()} to {chosen.max()}",
            )
        return self._put_together(len(chosen), self._groups(chosen))

    def _put_together(self, count: int, spans: Iterable[tuple[int, Any, Any]]) -> Block:
        """Records of several blocks; of one, if it is a range, it is a view."""
        out: Block = {}
        with self._lock:
            for number, places, rows in spans:
                for section, array in self.get(number).items():
                    found = array[rows]
                    if len(found) == count:
                        out[section] = found
                    else:
                        out[section] = _put(out.get(section), places, found, count)
        return out or self.records.read(0, 0)

    def _range(self, start: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """For each block of a range: which it is, where its records go, and which of them are wanted."""
        at = start
        while at < stop:
            block, first = divmod(at, self.size)
            count = min(self.size - first, stop - at)
            yield block, slice(at - start, at - start + count), slice(first, first + count)
            at += count

    def _groups(self, numbers: NDArray) -> list[tuple[int, NDArray, NDArray]]:
        """The same for any numbers: blocks in the order that they are first wanted in."""
        if len(numbers) == 0:
            return []
        owner = numbers // self.size
        places = np.argsort(owner, kind="stable")
        owner = owner[places]
        rows = numbers[places] - owner * self.size
        starts = [0, *(np.flatnonzero(owner[1:] != owner[:-1]) + 1).tolist()]
        ends = [*starts[1:], len(numbers)]
        groups = [(int(owner[a]), places[a:b], rows[a:b]) for a, b in zip(starts, ends, strict=True)]
        return sorted(groups, key=_first_place)

    def _fetch(self, number: int) -> Block:
        start, stop = number * self.size, min((number + 1) * self.size, self.count)
        block = self._shelf.load(number, stop - start) if self._shelf else None
        if block is not None:
            return block
        block = {section: np.asarray(array) for section, array in self.records.read(start, stop).items()}
        for section, array in block.items():
            if len(array) != stop - start:
                raise FileFormatError(
                    f"'{self.records.name}' gives another number of '{section}' than it said",
                    expected=f"{stop - start} from {start}",
                    got=len(array),
                )
        if self._shelf:
            self._shelf.store(number, block)
        return {section: _locked(array) for section, array in block.items()}

    def _fitting(self) -> int:
        if self.count == 0:
            return 1
        bytes_ = max(1, sum(array.nbytes for array in self.records.read(0, 1).values()))
        room = min(_MOST_BYTES, free_memory() // _SHARE // self.keep)
        return max(1, min(room // bytes_, _MOST_RECORDS, self.count))


def free_memory() -> int:
    """Bytes that programs can have without others losing theirs; if the system does not say, as much as may be."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 1 << 62


def _first_place(group: tuple[int, NDArray, NDArray]) -> int:
    return int(group[1][0])


def _locked(array: NDArray) -> NDArray:
    """A view that cannot be written, because others will see the same block."""
    view = array.view()
    view.flags.writeable = False
    return view


def _put(out: NDArray | None, places: Any, found: NDArray, count: int) -> NDArray:
    """Put records in their places among ``count`` of them."""
    if out is None:
        out = np.empty((count, *found.shape[1:]), found.dtype)
    elif out.dtype != found.dtype:
        # Blocks of text may differ in width.
        out = out.astype(np.result_type(out, found))
    out[places] = found
    return out
