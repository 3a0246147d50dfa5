"""What a call of a program needs besides its arrays, in the memory where native code finds it.

The native function ``i32 sg_call(frame, arrays, results)`` takes two lists of arrays. It compares the first ones with
what the frame expects, puts addresses of elements into tables and runs the program; it returns -1 where anything is not
as expected, and has done nothing then. It reads Python's lists and NumPy's arrays by their binary interfaces; whether
they are as it thinks is tried when this module is loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sigmagraph.runtime.state import address_of

WELL_BEHAVED = 0x101  # NumPy's flags C_CONTIGUOUS and ALIGNED

_CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)


class CallerCode(Protocol):
    """The native function; it can be called as long as this object lives."""

    address: int


class _Fields(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("entry", "arena", "params", "dims", "inputs", "outputs", "pool")),
        ("in_count", ctypes.c_int64),
        ("out_count", ctypes.c_int64),
        ("ranges", ctypes.c_void_p),
        ("range_count", ctypes.c_int64),
        ("expected", ctypes.c_void_p),
    )


class Frame:
    """The frame of one program.

    Args:
        code: what is called with it.
        entry: address of the program's entry point.
        params: address of the table of its parameters.
        inputs, outputs: tables of addresses, which calls fill in.
        state: where parameters lie, ranges from the first to behind the last byte; inputs must not lie there.
    """

    def __init__(
        self,
        code: CallerCode,
        entry: int,
        params: int,
        inputs: ctypes.Array[ctypes.c_void_p],
        outputs: ctypes.Array[ctypes.c_void_p],
        state: Sequence[tuple[int, int]],
    ) -> None:
        self.fields = _Fields(entry=entry, params=params, in_count=len(inputs), out_count=len(outputs))
        ranges = (ctypes.c_int64 * (2 * len(state)))(*(end for pair in state for end in pair))
        self.fields.ranges, self.fields.range_count = ctypes.addressof(ranges), len(state)
        self.fields.inputs, self.fields.outputs = ctypes.addressof(inputs), ctypes.addressof(outputs)
        self._keep: tuple[object, ...] = (code, inputs, outputs, ranges)
        self._expected: object = None
        self.address = ctypes.addressof(self.fields)
        self.call = _CALL(code.address)

    def expect(self, dims: int, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        """Expect arrays like these from now on, for which the table of dims lies at an address."""
        words: list[int] = []
        for array in arrays:
            words += [id(np.ndarray), id(array.dtype), WELL_BEHAVED, array.ndim, *array.shape]
        table = (ctypes.c_int64 * len(words))(*words)
        self._expected = table
        self.fields.dims, self.fields.expected = dims, ctypes.addressof(table)


def _read(kind: Any, address: int) -> Any:
    return kind.from_address(address).value


def _is_known() -> bool:
    """Whether lists and arrays are what the native function takes them for."""
    array = np.zeros((2, 3), np.float32)
    items, at, word = [array], id(array), ctypes.c_void_p
    if object.__basicsize__ != 2 * ctypes.sizeof(word) or ctypes.sizeof(word) != 8 or np.ndarray.__basicsize__ < 72:
        return False
    return (
        _read(word, _read(word, id(items) + 24)) == at
        and _read(word, at + 8) == id(np.ndarray)
        and _read(word, at + 16) == address_of(array)
        and _read(ctypes.c_int, at + 24) == 2
        and [_read(ctypes.c_int64, _read(word, at + 32) + 8 * n) for n in range(2)] == [2, 3]
        and _read(word, at + 56) == id(array.dtype)
        and _read(ctypes.c_int, at + 64) == array.flags.num
    )


IS_KNOWN = _is_known()
