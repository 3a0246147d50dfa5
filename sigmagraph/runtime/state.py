"""Where parameters, optimiser memory and counters live: variables, and the one aligned block that holds them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

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


@dataclass(slots=True)
class NewerValues:
    """How often a device has left a newer value in a mirror of a variable whose address a program here has.

    Programs compare the number with the one of their last run, which takes less time than to look at every variable.
    """

    count: int = 0


@cache
def newer_values() -> NewerValues:
    """The count of this process."""
    return NewerValues()


class Mirror(Protocol):
    """The copy of a variable's value on a device."""

    def fetch(self, memory: np.ndarray[Any, Any]) -> None:
        """Copy the value into a variable's memory."""
        ...


class Variable:
    """The value of one parameter; compiled programs read and write it in place, or in a mirror on their device.

    Attributes:
        name: the parameter's name.
        dtype, shape: of the value; the shape has no symbolic dims.
        placed: whether the value stays where it is in memory.
        version: grows with everything that writes to the value, or may do so from now on; 0 while it is the zeros that
            it begins with if no value is given.
        newer: the mirror that has the value, where the memory here has an older one.
        addressed: whether programs on the processor have the address of the memory; they look at
            :func:`newer_values` before they run.
        mirrored: whether there are mirrors.
    """

    newer: Mirror | None = None
    addressed: bool = False
    mirrored: bool = False

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], value: Any = None) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.placed = False
        self.version = 0
        self._memory = _apart(aligned_bytes(self.bytes))
        if value is not None:
            self.assign(value)

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The live value; writing to the array writes to the parameter.

        Once it was handed out the value is not moved any more, so that the array stays live. While it is held, programs
        on devices bring each new value here.
        """
        self.settle()
        self.placed = True
        self.version += 1
        return self._live()

    def read(self) -> np.ndarray[Any, Any]:
        """The value to be looked at, in an array that cannot be written to; later values may show in it.

        Nobody takes the value for another one afterwards, as they do when :attr:`value` was handed out.
        """
        self.settle()
        array = self._live()
        if self.mirrored:  # while a view is held, programs on devices would bring each new value here
            array = array.copy()
        array.flags.writeable = False
        return array

    @property
    def address(self) -> int:
        """Where the first element lies; what has a program is not moved any more."""
        self.settle()
        self.placed = True
        self.addressed = True
        return address_of(self._memory)

    @property
    def held(self) -> bool:
        """Whether somebody holds a live array, who may write to it at any time."""
        return sys.getrefcount(self._memory) > _ALONE

    @property
    def memory(self) -> np.ndarray[Any, Any]:
        """The bytes here, for who copies between them and a mirror; the value may be a newer one."""
        return self._memory

    @property
    def origin(self) -> Variable:
        """The variable that the memory belongs to, where this is another name of it."""
        return self

    def settle(self) -> None:
        """Bring the value here, if it is in a mirror only."""
        if self.newer is not None:
            self.newer.fetch(self._memory)
            self.newer = None

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
        self._live()[...] = new
        self.newer = None  # all of it is overwritten
        self.version += 1

    def place(self, memory: np.ndarray[Any, Any]) -> None:
        """Move the value to other memory, which is zero, once, before any program has its address."""
        self.settle()
        value = self._live()
        self._memory = _apart(memory[: self.bytes])
        if self.version:  # zeros lie there already, and pages that nobody touched take no time
            self._live()[...] = value
        self.placed = True

    def _live(self) -> np.ndarray[Any, Any]:
        return self._memory.view(self.dtype.numpy).reshape(self.shape)


class Renamed(Variable):
    """A variable under another name: the same memory, the same version.

    Programs tell their parameters apart by name. One that reads the variables of several copies of a network, which
    have equal names, takes them renamed. A program must not take a variable twice, as it would not know that a write
    to one is a write to the other.
    """

    def __init__(self, origin: Variable, name: str) -> None:
        self._origin = origin
        self.name, self.dtype, self.shape = name, origin.dtype, origin.shape

    @property
    def placed(self) -> bool:
        return self._origin.placed

    @placed.setter
    def placed(self, value: bool) -> None:
        self._origin.placed = value

    @property
    def origin(self) -> Variable:
        return self._origin.origin

    @property
    def newer(self) -> Mirror | None:
        return self._origin.newer

    @newer.setter
    def newer(self, value: Mirror | None) -> None:
        self._origin.newer = value

    @property
    def addressed(self) -> bool:
        return self._origin.addressed

    @addressed.setter
    def addressed(self, value: bool) -> None:
        self._origin.addressed = value

    @property
    def mirrored(self) -> bool:
        return self._origin.mirrored

    @mirrored.setter
    def mirrored(self, value: bool) -> None:
        self._origin.mirrored = value

    @property
    def version(self) -> int:
        return self._origin.version

    @version.setter
    def version(self, value: int) -> None:
        self._origin.version = value

    @property
    def _memory(self) -> np.ndarray[Any, Any]:
        return self._origin._memory

    @_memory.setter
    def _memory(self, value: np.ndarray[Any, Any]) -> None:
        self._origin._memory = value


def _apart(memory: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same bytes as an array that all views of it refer to, and not to the block that it is a part of."""
    return np.frombuffer(memory.data, np.uint8)


def _references(variable: Variable) -> int:
    """How often a value's memory is referred to, seen from where :class:`Variable` looks."""
    return sys.getrefcount(variable._memory)


_TRIAL = Variable("", DType.I64, (2,))
_ALONE = _references(_TRIAL)
_VIEW = _TRIAL.value[:1]
if _references(_TRIAL) <= _ALONE:  # views do not count: every value is taken to be held
    _ALONE = -1
del _TRIAL, _VIEW


def place_together(variables: Iterable[Variable]) -> None:
    """Put all variables that no program uses yet into one new block, each at a multiple of ALIGNMENT."""
    new = [v for v in variables if not v.placed]
    sizes = [-(-v.bytes // ALIGNMENT) * ALIGNMENT for v in new]
    block = aligned_bytes(sum(sizes))
    start = 0
    for variable, size in zip(new, sizes, strict=True):
        variable.place(block[start : start + size])
        start += size
