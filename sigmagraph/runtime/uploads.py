"""Brings inputs to a device while it works on something else, from memory that the device fetches from by itself.

A batch lies in a slot: memory of the device, and pinned memory of the host of the same size. The second stream copies
between them. It waits until the run is done with the slot that had it before, and the run that takes the batch waits
until the copy is done; both by marks, so that the host waits for neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmagraph.errors import InputError
from sigmagraph.runtime.device_driver import Driver, Mark, Memory, NDArray
from sigmagraph.runtime.layout import APART, apart

_FREE = 2  # slots that nobody uses, from which on one of them is used again


@dataclass(slots=True, eq=False)
class Slot:
    """Where a batch lies.

    Attributes:
        memory: on the device.
        pinned: on the host.
        ready: when the last copy is done, in the second stream.
        used: when the last run that took something is done with it, in the first.
    """

    memory: Memory
    pinned: NDArray
    ready: Mark | None = None
    used: Mark | None = None


class Upload:
    """A batch on its way; the first run that takes one of its arrays has it, and it is over then.

    Args:
        uploads: where the slot goes afterwards.
        slot: where it lies.
    """

    def __init__(self, uploads: Uploads, slot: Slot) -> None:
        self._uploads = uploads
        self._slot: Slot | None = slot

    def begin(self, driver: Driver) -> None:
        """Have the first stream wait until it is there.

        Raises:
            InputError: another run has taken it.
        """
        if self._slot is None:
            raise InputError("an uploaded batch was taken by a run already", hint="upload it again")
        if self._slot.ready is not None:
            driver.follow(self._slot.ready)

    def end(self, driver: Driver) -> None:
        """Have nobody write there before the first stream has come to this place."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.used = driver.mark()
            self._uploads.take_back(slot)

    def __del__(self) -> None:
        if self._slot is not None:
            self._uploads.take_back(self._slot)


@dataclass(frozen=True, slots=True, eq=False)
class Uploaded:
    """An array of a batch on its way.

    Attributes:
        shape, dtype: as of a NumPy array; elements lie in C order.
        address: where the first one lies on the device.
        upload: the batch.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    address: int
    upload: Upload

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Uploads:
    """The slots of a device, of which there are as many as batches that are on their way or in use at a time."""

    def __init__(self) -> None:
        self._free: list[Slot] = []

    def upload(self, driver: Driver, arrays: Mapping[str, NDArray], what: str) -> dict[str, Uploaded]:
        """Begin to bring contiguous arrays to the device; they may be changed when this returns.

        Args:
            driver: the way to the device, which is active.
            arrays: by name.
            what: what errors call them.

        Raises:
            DeviceMemoryError: there is not enough, there or here.
        """
        starts, size = apart((array.nbytes for array in arrays.values()), 0)
        slot = self._slot(driver, max(size, APART), what)
        if slot.ready is not None:
            slot.ready.wait()  # the pinned bytes are read until then, which was long ago
        for array, start in zip(arrays.values(), starts, strict=True):
            slot.pinned[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        if slot.used is not None:
            driver.follow(slot.used, ahead=True)
            slot.used = None
        driver.upload_ahead(slot.memory.address, slot.pinned[:size])
        slot.ready = driver.mark(ahead=True)
        upload = Upload(self, slot)
        return {
            name: Uploaded(array.shape, array.dtype, slot.memory.address + start, upload)
            for (name, array), start in zip(arrays.items(), starts, strict=True)
        }

    def take_back(self, slot: Slot) -> None:
        """A slot that nobody uses any more, from whatever thread."""
        self._free.append(slot)

    def _slot(self, driver: Driver, size: int, what: str) -> Slot:
        """The slot that was used the longest ago; while there is but one, the last run is perhaps not done with it."""
        if len(self._free) < _FREE:
            return Slot(driver.allocate(size, what), driver.pinned(size))
        slot = self._free.pop(0)
        if slot.memory.size >= size:
            return slot
        if slot.ready is not None:
            slot.ready.wait()
        del slot  # before there is another one
        return Slot(driver.allocate(size, what), driver.pinned(size))
