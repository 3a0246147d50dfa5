"""A device that the programs of a process share, and the copies of variables' values on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sigmagraph.runtime.device_driver import Driver, Memory, NDArray
from sigmagraph.runtime.state import Variable, newer_values

APART = 256  # what is allocated together stands at multiples of it
_NEVER = -1


class Device:
    """One device, with everything on it that several programs use.

    Args:
        driver: the way to it; nobody else uses it.
        careful: whether programs wait after every launch, so that errors name it.
    """

    def __init__(self, driver: Driver, careful: bool = False) -> None:
        self.driver = driver
        self.careful = careful
        self._lock = threading.RLock()
        self._mirrors: WeakKeyDictionary[Variable, DeviceMirror] = WeakKeyDictionary()

    @contextmanager
    def active(self) -> Iterator[Driver]:
        """Have the driver for oneself; may be nested.

        Raises:
            DeviceError: the device cannot be had here, such as in the child of a fork.
        """
        with self._lock, self.driver.active():
            yield self.driver

    def mirrors(self, variables: Sequence[Variable], what: str) -> tuple[DeviceMirror, ...]:
        """The mirrors of variables; those that are new get memory from one allocation, which errors call ``what``.

        Raises:
            DeviceMemoryError: there is not enough.
        """
        with self.active() as driver:
            new = [v.origin for v in variables if v.origin not in self._mirrors]
            sizes = [-(-v.bytes // APART) * APART for v in new]
            if new:
                block = driver.allocate(sum(sizes), what)
                start = 0
                for variable, size in zip(new, sizes, strict=True):
                    self._mirrors[variable] = DeviceMirror(self, block, start)
                    variable.mirrored = True
                    start += size
            return tuple(self._mirrors[v.origin] for v in variables)


class DeviceMirror:
    """The copy of a variable's value on a device; all programs of the device have the same.

    It has the variable's value if it has its version. While somebody holds the live array nobody knows when the value
    changes, and it is copied before every run.

    Args:
        device: where it is.
        block, start: a piece of memory, and the first byte in it.
    """

    def __init__(self, device: Device, block: Memory, start: int) -> None:
        self.address = block.address + start
        self._block = block
        self._device = device
        self._version = _NEVER

    def refresh(self, variable: Variable) -> None:
        """Copy the variable's value to the device, if it may be another one; within :meth:`Device.active`."""
        if variable.version == self._version:
            return
        held, version = variable.held, variable.version
        variable.settle()  # another device may have it
        if version:
            self._device.driver.upload(self.address, variable.memory)
        else:
            self._device.driver.fill(self.address, variable.bytes, 0)
        self._version = _NEVER if held else version

    def written(self, variable: Variable) -> list[tuple[NDArray, int]]:
        """Take notice that a program wrote here; the parts that must be downloaded at once."""
        variable.version += 1
        held = variable.held
        self._version = _NEVER if held else variable.version
        if held:
            return [(variable.memory, self.address)]
        variable.newer = self
        newer_values().count += variable.addressed
        return []

    def fetch(self, memory: NDArray) -> None:
        """Copy the value into a variable's memory."""
        with self._device.active() as driver:
            driver.download([(memory, self.address)])
