"""What programs need of a device: the protocol that each way to one implements.

Sizes are bytes, addresses are numbers. There are two streams: in each, everything is done in the order in which it was
asked for. All goes into the first but what is uploaded ahead, which goes into the second and is done beside what the
first does; marks bring order between them. What a method does not say that it waits for may still be going on when it
returns. Calls must not overlap, and all but the attributes are called within :meth:`Driver.active`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"

POINTER, INT, LONG = "P", "i", "q"  # letters of a function's signature: an address, 32 bits, 64 bits


class Memory(Protocol):
    """A piece of a device's memory, at a multiple of 256; it is free as soon as nobody holds the object."""

    @property
    def address(self) -> int: ...

    @property
    def size(self) -> int: ...


class Function(Protocol):
    """A function of an image that can be launched."""

    @property
    def symbol(self) -> str: ...


class Image(Protocol):
    """Loaded code; its functions can be launched as long as one of them, or it, is held."""

    def function(self, symbol: str, signature: str, threads: int, shared: int) -> Function:
        """A function.

        Args:
            symbol: its name.
            signature: the kinds of its arguments, a letter each: :data:`POINTER`, :data:`INT`, :data:`LONG`.
            threads: of a block.
            shared: bytes of dynamic shared memory of a block.

        Raises:
            DeviceError: there is none of that name, or it cannot have that many threads or bytes.
        """
        ...


class Graph(Protocol):
    """Launches, copies and fills that were captured, and are done again together."""

    def replay(self) -> None:
        """Do it all again.

        Raises:
            DeviceError: the device refused, or something before failed.
        """
        ...


class Mark(Protocol):
    """A place in a stream: everything that was asked for there before."""

    def wait(self) -> None:
        """Have the host wait until all of that is done.

        Raises:
            DeviceError: something of it failed.
        """
        ...


class Driver(Protocol):
    """The way to one device.

    Attributes:
        name: what people call the device.
        arch: what code is compiled for, such as ``sm_80``.
        place: how DLPack names where its memory is: a kind of device (1: the host, 2: CUDA), and its number.
        stream: the handle of the stream, for others who wait for it; 0 where there is none.
    """

    @property
    def name(self) -> str: ...

    @property
    def arch(self) -> str: ...

    @property
    def place(self) -> tuple[int, int]: ...

    @property
    def stream(self) -> int: ...

    def active(self) -> AbstractContextManager[None]:
        """Have the device at hand for the calls of this thread within a ``with``; may be nested.

        Raises:
            DeviceError: it cannot be had here, such as in the child of a fork.
        """
        ...

    def allocate(self, size: int, what: str) -> Memory:
        """Memory with any contents, which nothing before reads or writes.

        Raises:
            DeviceMemoryError: there is not as much; the error says so of ``what``, and how much there is.
        """
        ...

    def load(self, image: bytes) -> Image:
        """Load code.

        Raises:
            DeviceError: the device does not take it.
        """
        ...

    def upload(self, address: int, array: NDArray) -> None:
        """Copy a contiguous array to the device. It may be changed again when this returns."""
        ...

    def pinned(self, size: int) -> NDArray:
        """Bytes of the host that the device can fetch by itself, with any contents.

        Raises:
            DeviceMemoryError: there are not as many.
        """
        ...

    def upload_ahead(self, address: int, array: NDArray) -> None:
        """Copy bytes of :meth:`pinned` in the second stream; they must stay as they are until that is done."""
        ...

    def mark(self, *, ahead: bool = False) -> Mark:
        """The place where the first stream is now, or with ``ahead`` the second."""
        ...

    def follow(self, mark: Mark, *, ahead: bool = False) -> None:
        """Have what is asked for from now on in the first stream, or the second, begin when a mark is reached."""
        ...

    def download(self, parts: Sequence[tuple[NDArray, int]]) -> None:
        """Fill contiguous arrays from addresses of the device, and wait for it and for everything before.

        Raises:
            DeviceError: something before failed.
        """
        ...

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy within the device; the pieces do not overlap."""
        ...

    def fill(self, address: int, size: int, byte: int) -> None:
        """Set every byte."""
        ...

    def launch(self, function: Function, blocks: int, arguments: Sequence[int]) -> None:
        """Launch a function with one-dimensional blocks, at least one, and the arguments of its signature.

        Raises:
            DeviceError: the device refused, or something before failed.
        """
        ...

    def capture(self, run: Callable[[], None]) -> Graph | None:
        """What ``run`` launches, copies and fills, which is not done by that; None where there are no graphs."""
        ...

    def synchronize(self) -> None:
        """Wait for everything.

        Raises:
            DeviceError: something failed.
        """
        ...

    def wait_for(self, stream: int) -> None:
        """Have what is asked for from now on see what was put before into a stream of somebody else's.

        The host does not wait.
        """
        ...

    def be_waited_for(self, stream: int) -> None:
        """Have what is put from now on into a stream of somebody else's see what was asked for before.

        The host does not wait.
        """
        ...
