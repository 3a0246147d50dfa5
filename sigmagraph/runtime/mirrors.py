"""A device that the programs of a process share, and the copies of variables' values on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sigmagraph.errors import DeviceError, DeviceMemoryError
from sigmagraph.runtime.device_driver import Driver, Memory, NDArray
from sigmagraph.runtime.device_faults import failed_since, largest_of, suspects
from sigmagraph.runtime.device_plan import Started
from sigmagraph.runtime.layout import apart
from sigmagraph.runtime.state import Variable, newer_values
from sigmagraph.runtime.uploads import Uploads

_NEVER = -1


class Device:
    """One device, with everything on it that several programs use.

    Args:
        driver: the way to it; nobody else uses it.
        careful: whether programs wait after every launch, so that errors name it.

    Attributes:
        lock: held by the thread that has the device for itself.
        uploads: inputs that are brought there while it works.
        started: the programs that were begun since somebody waited for it, of which each may have failed.
        blamed: what is known to have failed, after which a device takes nothing more.
    """

    def __init__(self, driver: Driver, careful: bool = False) -> None:
        self.driver = driver
        self.careful = careful
        self.uploads = Uploads()
        self.started: dict[int, Started] = {}
        self.blamed = ""
        self.lock = threading.RLock()
        self._mirrors: WeakKeyDictionary[Variable, DeviceMirror] = WeakKeyDictionary()

    @contextmanager
    def active(self) -> Iterator[Driver]:
        """Have the driver for oneself; may be nested.

        Raises:
            DeviceError: the device cannot be had here, such as in the child of a fork.
        """
        with self.lock, self.driver.active():
            yield self.driver

    def mirrors(self, variables: Sequence[Variable], what: str) -> tuple[DeviceMirror, ...]:
        """The mirrors of variables; those that are new get memory from one allocation, which errors call ``what``.

        Raises:
            DeviceMemoryError: there is not enough.
        """
        with self.active() as driver:
            new = [v.origin for v in variables if v.origin not in self._mirrors]
            if new:
                starts, size = apart((v.bytes for v in new), 0)
                block = self._allocate(driver, size, what, new)
                for variable, start in zip(new, starts, strict=True):
                    self._mirrors[variable] = DeviceMirror(self, block, start)
                    variable.mirrored = True
            return tuple(self._mirrors[v.origin] for v in variables)

    def _allocate(self, driver: Driver, size: int, what: str, variables: Sequence[Variable]) -> Memory:
        try:
            return driver.allocate(size, what)
        except DeviceMemoryError as error:
            raise error.at(node=largest_of([(v.name, v.bytes) for v in variables])) from None

    def download(self, parts: Sequence[tuple[NDArray, int]], when: str) -> None:
        """Fill arrays from addresses, and wait for that and for everything before; within :meth:`active`.

        Args:
            parts: contiguous arrays, and addresses.
            when: what an error says of the time when something was seen to have failed.

        Raises:
            DeviceError: something before failed; the error names what that may be.
        """
        with self.waiting(when):
            self.driver.download(parts)

    @contextmanager
    def waiting(self, when: str) -> Iterator[None]:
        """Within it somebody waits for everything; what fails is said to have failed some time since the last wait."""
        try:
            yield
        except DeviceError as error:
            raise failed_since(error, when, self.blamed or suspects(self.started.values())) from error
        self.started.clear()
        self.blamed = ""


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
        with self._device.active():
            self._device.download([(memory, self.address)], "before the value of a parameter was read")
