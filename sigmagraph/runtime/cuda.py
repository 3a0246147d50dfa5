"""The way to a CUDA device through PyCUDA, which is imported when the first program runs and not before."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from sigmagraph.errors import DeviceError, DeviceMemoryError, TargetError
from sigmagraph.runtime.device_driver import NDArray

_OPT_IN = 49152  # bytes of shared memory from which on a function has to be told
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream, nor that for it
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING
_CUDA = 2  # DLPack's kDLCUDA
_SEGMENT = 1 << 21  # bytes of a piece of the staging memory
_SEGMENTS = 4
_LINE = 256


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether there is a CUDA device, and if not why not."""

    ok: bool
    reason: str = ""


@cache
def probe() -> Probe:
    """See once in a process whether there is everything that programs for CUDA devices need."""
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError as error:
        return Probe(False, f'PyCUDA is not installed ({error}): pip install "sigmagraph[cuda]"')
    except ImportError as error:
        return Probe(False, f"the CUDA driver is not installed, or PyCUDA is made for another one ({error})")
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        return Probe(False, f"the CUDA driver finds no device ({error})")
    return Probe(True) if count else Probe(False, "the CUDA driver finds no device (it counts 0)")


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """A CUDA device of this machine.

    Attributes:
        number: of the device.
        name: what its maker calls it.
        arch: what code for it is compiled for, such as ``sm_80`` (see :func:`arch_of`).
        memory: bytes.
        processors: how many multiprocessors it has.
    """

    number: int
    name: str
    arch: str
    memory: int
    processors: int


def cuda_devices() -> tuple[CudaDevice, ...]:
    """All CUDA devices; none where :func:`probe` says why there are none."""
    if not probe().ok:
        return ()
    import pycuda.driver as cuda

    found = []
    for number in range(cuda.Device.count()):
        device = cuda.Device(number)
        processors = device.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT)
        found.append(CudaDevice(number, device.name(), _arch(device), device.total_memory(), processors))
    return tuple(found)


def _arch(device: Any) -> str:
    return arch_of(*device.compute_capability())


def arch_of(major: int, minor: int) -> str:
    """The architecture of a compute capability, with what its successors lack: that is ``sm_90a`` for 9.0.

    Only code for sm_90a has products of warpgroups, and it runs on devices of that capability alone.
    """
    return "sm_90a" if (major, minor) == (9, 0) else f"sm_{major}{minor}"


def open_device(number: int) -> CudaDriver:
    """The way to a device.

    Raises:
        TargetError: there is no such device; the error says what is missing.
    """
    found = probe()
    if not found.ok:
        raise TargetError("there is no CUDA device here", got=found.reason)
    count = len(cuda_devices())
    if number >= count:
        raise TargetError("there is no such CUDA device", expected=f"0 .. {count - 1}", got=number)
    return CudaDriver(number)


class CudaMemory:
    """Memory of a device."""

    def __init__(self, driver: CudaDriver, allocation: Any, size: int) -> None:
        self.address = int(allocation)
        self.size = size
        self._driver = driver
        self._allocation = allocation

    def __del__(self) -> None:
        self._driver.release(self._allocation)


@dataclass(frozen=True, slots=True)
class CudaFunction:
    """A function, prepared for its arguments."""

    symbol: str
    launch: Callable[..., None]
    threads: tuple[int, int, int]
    shared: int
    image: CudaImage  # sees to the end of the module, whoever is last to hold a part of it


class CudaImage:
    """A loaded module."""

    def __init__(self, driver: CudaDriver, module: Any) -> None:
        self._driver = driver
        self._module = module

    def __del__(self) -> None:
        self._driver.outlive(self._module)

    def function(self, symbol: str, signature: str, threads: int, shared: int) -> CudaFunction:
        """A function, made ready for its block size and shared memory."""
        cuda = self._driver.cuda
        with self._driver.errors(f"the function '{symbol}' cannot be had"):
            function = self._module.get_function(symbol)
            if shared > _OPT_IN:
                function.set_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
            function.prepare(signature)
        return CudaFunction(symbol, function.prepared_async_call, (threads, 1, 1), shared, self)


class CudaGraph:
    """A captured graph."""

    def __init__(self, driver: CudaDriver, handle: ctypes.c_void_p) -> None:
        self._driver = driver
        self._handle = handle

    def replay(self) -> None:
        """Put it into the stream."""
        self._driver.call("cuGraphLaunch", self._handle, ctypes.c_void_p(self._driver.stream))

    def __del__(self) -> None:
        if self._driver.is_usable:
            with contextlib.suppress(DeviceError), self._driver.active():
                self._driver.call("cuGraphExecDestroy", self._handle)


class CudaMark:
    """An event that was recorded."""

    def __init__(self, driver: CudaDriver, event: Any) -> None:
        self._driver = driver
        self.event = event

    def wait(self) -> None:
        """Wait on the host."""
        with self._driver.errors("a copy ahead failed"):
            self.event.synchronize()

    def __del__(self) -> None:
        self._driver.reuse(self.event)


class CudaDriver:
    """One device: its primary context, which other libraries of the process use too, and one stream of ours in it.

    Args:
        number: of the device.
    """

    def __init__(self, number: int) -> None:
        import pycuda.driver as cuda

        self.cuda = cuda
        device = cuda.Device(number)
        self.name = str(device.name())
        self.arch = _arch(device)
        self.place = (_CUDA, number)
        self._process = os.getpid()
        self._library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        self._capturing = False
        self._late: list[Any] = []  # memory that was given up while a graph was captured
        self._outlived: list[Any] = []  # what PyCUDA must not take down any more
        self._events: list[Any] = []  # that are free
        self._pinned: weakref.WeakValueDictionary[int, NDArray] = weakref.WeakValueDictionary()
        os.register_at_fork(after_in_child=partial(_keep_for_ever, weakref.ref(self)))
        with self.errors("the device's context cannot be had"):
            self._context = device.retain_primary_context()
        with self.active():
            self._stream = cuda.Stream(_NON_BLOCKING)
            self._copies = cuda.Stream(_NON_BLOCKING)
            self.stream = int(self._stream.handle)
            self._staging = _Staging(cuda, self._stream)

    @property
    def is_usable(self) -> bool:
        """Whether there is still something that can be asked for: not in the child of a fork, nor at the very end."""
        return os.getpid() == self._process and not sys.is_finalizing()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Have the context pushed; whatever happens within, it is popped."""
        if os.getpid() != self._process:
            raise DeviceError(
                "a CUDA device cannot be used in the child of a fork",
                hint='start processes with multiprocessing.get_context("spawn")',
            )
        with self.errors("the device's context cannot be had"):
            self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Errors of PyCUDA as ours."""
        try:
            yield
        except self.cuda.Error as error:
            raise DeviceError(what, got=str(error)) from error

    def call(self, name: str, *arguments: Any) -> None:
        """A function of the driver that PyCUDA lacks."""
        status = getattr(self._library, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            raise DeviceError(f"{name} failed", got=f"{(text.value or b'').decode()} ({status})")

    def allocate(self, size: int, what: str) -> CudaMemory:
        """Memory of the device."""
        size = max(size, 1)
        try:
            return CudaMemory(self, self.cuda.mem_alloc(size), size)
        except self.cuda.MemoryError as error:
            free, total = self.cuda.mem_get_info()
            raise DeviceMemoryError(
                f"the device has not enough memory for {what}",
                expected=f"{size:,} bytes",
                got=f"{free:,} free of {total:,} bytes on {self.name}",
            ) from error
        except self.cuda.Error as error:
            raise DeviceError(f"no memory could be had for {what}", got=str(error)) from error

    def release(self, allocation: Any) -> None:
        """Give memory back, from whatever thread; a device that failed has nothing that could be given back."""
        if self._capturing:
            self._late.append(allocation)
            return
        if not self.is_usable:
            self.outlive(allocation)
            return
        with contextlib.suppress(DeviceError, self.cuda.Error), self.active():
            allocation.free()

    def outlive(self, thing: Any) -> None:
        """Keep something that PyCUDA would take down, where there is nothing any more that could be asked to do so.

        It would throw where C++ allows no exception, which ends the process.
        """
        if not self.is_usable:
            self._outlived.append(thing)
            if len(self._outlived) == 1:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._outlived))

    def reuse(self, event: Any) -> None:
        """Take an event that nobody waits for any more, from whatever thread."""
        self._events.append(event)

    def load(self, image: bytes) -> CudaImage:
        """Load a module."""
        with self.errors(f"{self.name} ({self.arch}) does not take the code"):
            return CudaImage(self, self.cuda.module_from_buffer(image))

    def upload(self, address: int, array: NDArray) -> None:
        """Copy through staging memory."""
        with self.errors("an upload failed"):
            self._staging.upload(address, _bytes(array))

    def pinned(self, size: int) -> NDArray:
        """Page-locked memory, which fetching from does not take the processor."""
        try:
            pinned: NDArray = self.cuda.pagelocked_empty(max(size, 1), np.uint8)
        except self.cuda.MemoryError as error:
            raise DeviceMemoryError(
                "the host has not enough page-locked memory", expected=f"{size:,} bytes", got=str(error)
            ) from error
        self._pinned[id(pinned)] = pinned
        return pinned

    def upload_ahead(self, address: int, array: NDArray) -> None:
        """Copy in the second stream."""
        with self.errors("an upload failed"):
            self.cuda.memcpy_htod_async(address, array, self._copies)

    def mark(self, *, ahead: bool = False) -> CudaMark:
        """Record an event."""
        with self.errors("an event cannot be recorded"):
            event = self._events.pop() if self._events else self.cuda.Event(self.cuda.event_flags.DISABLE_TIMING)
            event.record(self._copies if ahead else self._stream)
        return CudaMark(self, event)

    def follow(self, mark: Any, *, ahead: bool = False) -> None:
        """Wait for an event on the device."""
        with self.errors("an event cannot be waited for"):
            (self._copies if ahead else self._stream).wait_for_event(mark.event)

    def download(self, parts: Sequence[tuple[NDArray, int]]) -> None:
        """Have all copies done, and wait once."""
        with self.errors("a kernel or a copy failed"):
            self._staging.download([(_bytes(array), address) for array, address in parts if array.size])

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy within the device."""
        with self.errors("a copy failed"):
            self.cuda.memcpy_dtod_async(target, source, size, self._stream)

    def fill(self, address: int, size: int, byte: int) -> None:
        """Set bytes."""
        if size:
            with self.errors("a fill failed"):
                self.cuda.memset_d8_async(address, byte, size, self._stream)

    def launch(self, function: Any, blocks: int, arguments: Sequence[int]) -> None:
        """Launch a prepared function."""
        try:
            function.launch((blocks, 1), function.threads, self._stream, *arguments, shared_size=function.shared)
        except self.cuda.Error as error:
            raise DeviceError(
                f"'{function.symbol}' cannot be launched",
                got=f"{error} ({blocks} blocks of {function.threads[0]} threads, {function.shared} bytes shared)",
            ) from error

    def capture(self, run: Callable[[], None]) -> CudaGraph:
        """Capture what goes into the stream; PyCUDA knows no graphs, but has the stream's handle."""
        stream, graph, ready = ctypes.c_void_p(self.stream), ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", stream, _RELAXED)
        self._capturing = True
        try:
            run()
        finally:
            self._capturing = False
            self.call("cuStreamEndCapture", stream, ctypes.byref(graph))
            late, self._late = self._late, []
            for allocation in late:
                self.release(allocation)
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return CudaGraph(self, ready)

    def synchronize(self) -> None:
        """Wait for the stream."""
        with self.errors("a kernel or a copy failed"):
            self._stream.synchronize()

    def wait_for(self, stream: int) -> None:
        """Have our stream wait for one of somebody else's, which PyCUDA cannot name; 1 and 2 are default streams."""
        self._order(stream, self.stream)

    def be_waited_for(self, stream: int) -> None:
        """Have a stream of somebody else's wait for ours."""
        self._order(self.stream, stream)

    def _order(self, before: int, behind: int) -> None:
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), _NO_TIMING)
        try:
            self.call("cuEventRecord", event, ctypes.c_void_p(before))
            self.call("cuStreamWaitEvent", ctypes.c_void_p(behind), event, 0)
        finally:
            self.call("cuEventDestroy_v2", event)  # it goes once it was reached


def _keep_for_ever(driver: weakref.ref[CudaDriver]) -> None:
    """In the child of a fork: have nothing of a driver taken down, which needs a device that the child has not."""
    found = driver()
    if found is not None:
        for thing in (found, *found._pinned.values()):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class _Staging:
    """Page-locked memory that copies go through, so that the processor works on while they are on their way.

    It is a ring of segments. One is used again when the copies from it are done, which an event says.
    """

    def __init__(self, cuda: Any, stream: Any) -> None:
        self._cuda = cuda
        self._stream = stream
        self._segments = [cuda.pagelocked_empty(_SEGMENT, np.uint8) for _ in range(_SEGMENTS)]
        self._back = cuda.pagelocked_empty(_SEGMENT, np.uint8)
        self._events: list[Any] = [None] * _SEGMENTS
        self._now = 0
        self._used = 0

    def upload(self, address: int, data: NDArray) -> None:
        """Copy bytes to the device, in pieces."""
        start = 0
        while start < data.size:
            if self._used == _SEGMENT:
                self._turn()
            size = min(data.size - start, _SEGMENT - self._used)
            piece = self._segments[self._now][self._used : self._used + size]
            piece[:] = data[start : start + size]
            self._cuda.memcpy_htod_async(address + start, piece, self._stream)
            start += size
            self._used = min(-(-(self._used + size) // _LINE) * _LINE, _SEGMENT)

    def _turn(self) -> None:
        """Go on to the next segment, once it is free."""
        event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        event.record(self._stream)
        self._events[self._now] = event
        self._now, self._used = (self._now + 1) % _SEGMENTS, 0
        if self._events[self._now] is not None:
            self._events[self._now].synchronize()

    def download(self, parts: Sequence[tuple[NDArray, int]]) -> None:
        """Copy bytes to the host: small ones through staging memory, so that there is but one wait for all of them."""
        staged, start = [], 0
        for data, address in parts:
            if data.size <= _SEGMENT - start:
                piece = self._back[start : start + data.size]
                self._cuda.memcpy_dtoh_async(piece, address, self._stream)
                staged.append((data, piece))
                start = min(-(-(start + data.size) // _LINE) * _LINE, _SEGMENT)
            else:
                self._cuda.memcpy_dtoh_async(data, address, self._stream)
        self._stream.synchronize()
        for data, piece in staged:
            data[:] = piece


def _bytes(array: NDArray) -> NDArray:
    return array.reshape(-1).view(np.uint8)
