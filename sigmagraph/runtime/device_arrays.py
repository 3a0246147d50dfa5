"""Arrays in a device's memory: results that are left there, and arrays of other libraries that come from there."""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmagraph.errors import InputError
from sigmagraph.ir.plan import Port
from sigmagraph.runtime.device_driver import Memory, NDArray
from sigmagraph.runtime.layout import APART
from sigmagraph.runtime.mirrors import Device

_EACH = 2  # pieces of memory that are remembered for a result, as on the CPU
_PROTOCOL = 3  # version of the CUDA array interface
_HOST = 1  # DLPack's kDLCPU, which has no streams
_DEFAULT, _UNORDERED = 1, -1  # DLPack's streams: the default one, and none that is to be waited for
_CODES = {"i": 0, "u": 1, "f": 2, "V": 4, "b": 6}  # DLPack's kinds of dtypes by NumPy's; V is bfloat16


class DeviceArray:
    """A result in a device's memory. It comes to the host when NumPy asks for it; others can take it where it is.

    Attributes:
        shape, dtype: as of a NumPy array; elements lie in C order.
    """

    def __init__(self, device: Device, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._device = device
        self._memory = memory

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def address(self) -> int:
        """Where the first element lies on the device."""
        return self._memory.address

    def numpy(self) -> NDArray:
        """The elements on the host.

        Raises:
            DeviceError: what was to compute them failed.
        """
        out = np.empty(self.shape, self.dtype)
        with self._device.active():
            self._device.download([(out, self.address)], "before a result was read")
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("an array on a device has to be copied")
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)} on {self._device.driver.name})"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": _PROTOCOL,
            "stream": self._device.driver.stream or None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device.driver.place

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        """DLPack's way to take it; ``stream`` is the one that will use it, -1 where that is seen to already."""
        if stream != _UNORDERED:
            with self._device.active() as driver:
                if self.__dlpack_device__()[0] == _HOST:
                    with self._device.waiting("before a result was handed on"):
                        driver.synchronize()
                else:
                    driver.be_waited_for(_DEFAULT if stream is None else stream)
        return _capsule(self, self.address, self.__dlpack_device__())


class Results:
    """Memory for the results of one program that are left on a device; it is used again once nobody holds them.

    Args:
        device: where it is.
        count: how many results a call has.
    """

    def __init__(self, device: Device, count: int) -> None:
        self._device = device
        self._most = _EACH * count
        self._blocks: list[Memory] = []

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> DeviceArray:
        """An array with any contents, within :meth:`Device.active`."""
        size = max(math.prod(shape) * dtype.itemsize, 1)
        block = self._unused(size)
        if block is None:
            block = self._device.driver.allocate(size, what)
            if len(self._blocks) == self._most:
                del self._blocks[0]
            self._blocks.append(block)
        return DeviceArray(self._device, block, shape, dtype)

    def _unused(self, size: int) -> Memory | None:
        for block in self._blocks:
            if sys.getrefcount(block) == _UNUSED and 0 <= block.size - size <= size + APART:
                return block
        return None


def _references(blocks: list[Any]) -> int:
    """How often a piece is referred to, seen from where :class:`Results` looks."""
    for block in blocks:
        return sys.getrefcount(block)
    return 0


_UNUSED = _references([object()])


@dataclass(frozen=True, slots=True)
class Foreign:
    """An array that is on the device already.

    Attributes:
        shape: of it.
        address: where its elements lie, in C order.
        nbytes: of all elements.
        stream: the handle of the stream that is to be waited for, or 0.
    """

    shape: tuple[int, ...]
    address: int
    nbytes: int
    stream: int


def foreign(value: Any, port: Port) -> Foreign:
    """An array with a CUDA array interface, as an input.

    Raises:
        InputError: it has another dtype than the input, or its elements are not in C order.
    """
    interface = value.__cuda_array_interface__
    dtype = port.dtype.numpy
    shape = tuple(map(int, interface["shape"]))
    if interface["typestr"] != dtype.str:
        raise InputError(
            f"the input '{port.name}' is on a device and has another dtype",
            expected=f"{port.dtype} ({dtype.str})",
            got=interface["typestr"],
        )
    strides = interface.get("strides")
    size = math.prod(shape) * dtype.itemsize
    expected = tuple(math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape)))
    if strides is not None and size and tuple(strides) != expected:
        raise InputError(
            f"the input '{port.name}' is on a device and not contiguous", expected=expected, got=tuple(strides)
        )
    if interface.get("mask") is not None:
        raise InputError(f"the input '{port.name}' has a mask", expected="an array without one")
    return Foreign(shape, int(interface["data"][0] or 0), size, int(interface.get("stream") or 0))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """DLPack's ``DLManagedTensor``: https://dmlc.github.io/dlpack/latest/c_api.html."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_NAME = b"dltensor"


def _drop(tensor: int) -> None:
    """Give up what a tensor holds: the tuple of everything that it refers to, and itself with it."""
    context = _Tensor.from_address(tensor).context
    ctypes.pythonapi.Py_DecRef(ctypes.cast(context, ctypes.py_object))


def _destroy(capsule: int) -> None:
    """Drop the tensor of a capsule that nobody took; who takes it gives the capsule another name."""
    python = ctypes.pythonapi
    python.PyCapsule_IsValid.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    python.PyCapsule_GetPointer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    if python.PyCapsule_IsValid(capsule, _NAME):
        _drop(python.PyCapsule_GetPointer(capsule, _NAME))


_DROP = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_drop)
_DESTROY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_destroy)


def _capsule(array: DeviceArray, address: int, place: tuple[int, int]) -> Any:
    """A capsule that hands an array's memory out, and holds the array until whoever took it drops it."""
    kind = _Type(_CODES[array.dtype.kind], 8 * array.dtype.itemsize, 1)
    shape = (ctypes.c_int64 * len(array.shape))(*array.shape)
    tensor = _Tensor(data=address, device_type=place[0], device_id=place[1], ndim=len(array.shape), dtype=kind)
    tensor.shape = ctypes.addressof(shape)
    tensor.deleter = ctypes.cast(_DROP, ctypes.c_void_p)
    kept = (array, shape, tensor)
    tensor.context = id(kept)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(ctypes.addressof(tensor), _NAME, ctypes.cast(_DESTROY, ctypes.c_void_p))
