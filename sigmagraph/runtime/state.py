"""Where parameters, optimiser memory and counters live: variables, and the one aligned block that holds them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np

from sigmagraph.dtypes import DType
from sigmagraph.errors import InputError

ALIGNMENT = 64


def aligned_bytes(size: int) -> np.ndarray[Any, Any]:
    """``size`` zero bytes whose first one stands at a multiple of ALIGNMENT."""
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


_HEAD = object.__basicsize__
_pointer_at = ctypes.c_void_p.from_address


def address_of(array: np.ndarray[Any, Any]) -> int:
    """The address of an array's first element.

    ``ndarray.ctypes`` takes over a microsecond. The address stands right behind the object's head, which is part of
    NumPy's binary interface; where that is not so, the slow way is taken.
    """
    return _pointer_at(id(array) + _HEAD).value  # type: ignore[return-value]  # arrays have an address


def _slow_address_of(array: np.ndarray[Any, Any]) -> int:
    return int(array.ctypes.data)


_PROBE = np.zeros(1)
if address_of(_PROBE) != _PROBE.ctypes.data:
    address_of = _slow_address_of


class Variable:
    """The value of one parameter; compiled programs read and write it in place.

    Attributes:
        name: the parameter's name.
        dtype, shape: of the value; the shape has no symbolic dims.
        placed: whether the value stays where it is in memory.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], value: Any = 0) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.placed = False
        self._array = self._view(aligned_bytes(self.bytes))
        self.assign(value)

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The live value; writing to the array writes to the parameter.

        Once it was handed out the value is not moved any more, so that the array stays live.
        """
        self.placed = True
        return self._array

    def assign(self, value: Any) -> None:
        """Copy a value in.

        Raises:
            InputError: its shape does not fit, or it cannot be cast without changing kind.
        """
        new = np.asarray(value)
        if new.shape != self.shape and new.shape != ():
            raise InputError(f"the value of '{self.name}' has another shape", expected=self.shape, got=new.shape)
        if not np.can_cast(new.dtype, self.dtype.numpy, "same_kind"):
            raise InputError(
                f"the value of '{self.name}' has another kind of dtype", expected=self.dtype, got=new.dtype
            )
        self._array[...] = new

    def place(self, memory: np.ndarray[Any, Any]) -> None:
        """Move the value to other memory, once, before any program has its address."""
        view = self._view(memory)
        view[...] = self._array
        self._array = view
        self.placed = True

    def _view(self, memory: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return memory[: self.bytes].view(self.dtype.numpy).reshape(self.shape)


def place_together(variables: Iterable[Variable]) -> None:
    """Put all variables that no program uses yet into one new block, each at a multiple of ALIGNMENT."""
    new = [v for v in variables if not v.placed]
    sizes = [-(-v.bytes // ALIGNMENT) * ALIGNMENT for v in new]
    block = aligned_bytes(sum(sizes))
    start = 0
    for variable, size in zip(new, sizes, strict=True):
        variable.place(block[start : start + size])
        start += size
