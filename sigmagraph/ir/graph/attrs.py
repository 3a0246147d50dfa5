"""Attribute values of nodes: immutable, comparable, hashable, and writable as text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

import numpy as np

from sigmagraph.dims import Dim
from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.errors import AttributeValueError


@dataclass(frozen=True, slots=True)
class Array:
    """A constant array: element type, shape and the bytes of its elements in row-major order."""

    dtype: DType
    shape: tuple[int, ...]
    data: bytes

    @staticmethod
    def of(value: Any, dtype: DType | None = None) -> Array:
        """An Array from anything NumPy takes."""
        array = np.ascontiguousarray(np.asarray(value, None if dtype is None else dtype.numpy))
        return Array(as_dtype(array.dtype), tuple(np.shape(value)), array.tobytes())

    @property
    def numpy(self) -> np.ndarray[Any, Any]:
        """A read-only NumPy view."""
        return np.frombuffer(self.data, self.dtype.numpy).reshape(self.shape)

    @property
    def repeated(self) -> Array | None:
        """The element that all elements (two or more) are, to the last bit, as an array without axes."""
        element = self.data[: self.dtype.itemsize]
        if len(self.data) <= len(element) or self.data != element * (len(self.data) // len(element)):
            return None
        return Array(self.dtype, (), element)


class Region(ABC):
    """A graph as an attribute, such as the body of a loop; never changed, compared by its canonical text.

    It may speak of the symbolic dims of the graph around it, and of nothing else there: what it reads is an operand.
    The one implementation is :class:`sigmagraph.ir.graph.body.Body`; attributes stand below graphs.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The canonical text of the graph."""

    @abstractmethod
    def readable(self, *, locations: bool) -> str:
        """The graph as it stands within the text of another one, without a header."""

    @abstractmethod
    def bound(self, dims: Mapping[str, int]) -> Region:
        """The same graph where dims have these values."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and (self is other or self.canonical == other.canonical)

    def __hash__(self) -> int:
        return hash(self.canonical)


AttrValue: TypeAlias = Union[bool, int, float, str, DType, Dim, Array, Region, "tuple[AttrValue, ...]"]


class Attrs(Mapping[str, AttrValue]):
    """The attributes of a node: an immutable, hashable mapping in sorted order."""

    __slots__ = ("_hash", "_items", "_keyed")

    def __init__(self, items: Mapping[str, AttrValue] | None = None) -> None:
        self._items = dict(sorted((items or {}).items()))
        self._keyed: tuple[Any, ...] | None = None
        self._hash: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _key(self) -> tuple[Any, ...]:
        # 1, 1.0 and True are equal in Python and different in a graph; so are 0.0 and -0.0, and NaN equals NaN.
        if self._keyed is None:
            self._keyed = tuple([(k, _tagged(v)) for k, v in self._items.items()])
        return self._keyed

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self._key())
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Attrs) and self._key() == other._key())

    def __repr__(self) -> str:
        return f"Attrs({self._items})"


def _tagged(value: AttrValue) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return ("tuple", *[_tagged(v) for v in value])
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, Region):
        return ("graph", value)
    return (type(value).__name__, value)


_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class AttrSpec:
    """One attribute that an op takes.

    Attributes:
        name: as it stands in text.
        kind: ``int``, ``float``, ``bool``, ``str``, ``dtype``, ``array``, ``axis``, ``axes``, ``ints``, ``size`` (an
            int or a Dim), ``shape`` (a tuple of these) or ``graph``.
        default: left out means this; without a default it must be given.
        doc: what it says, in one phrase.
    """

    name: str
    kind: str
    doc: str = ""
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED

    def canonical(self, value: Any) -> AttrValue:
        """The value as it is stored.

        Raises:
            AttributeValueError: the value is of another kind.
        """
        out: AttrValue | None = _CANONICAL[self.kind](value)
        if out is None:
            raise AttributeValueError(
                f"the attribute '{self.name}' is not what the op takes", expected=self.kind, got=repr(value)
            )
        return out


def _int(value: Any) -> int | None:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        return None
    return int(value.__index__())


def _float(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_, str)) or not hasattr(value, "__float__"):
        return None
    return float(value)


def _bool(value: Any) -> bool | None:
    return bool(value) if isinstance(value, (bool, np.bool_)) else None


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _dtype(value: Any) -> DType | None:
    return as_dtype(value)


def _array(value: Any) -> Array | None:
    return value if isinstance(value, Array) else Array.of(value)


def _region(value: Any) -> Region | None:
    return value if isinstance(value, Region) else None


def _size(value: Any) -> int | Dim | None:
    return value if isinstance(value, Dim) else _int(value)


def _tuple_of(element: Any) -> Any:
    def canonical(value: Any) -> tuple[Any, ...] | None:
        items = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
        out = tuple(element(v) for v in items)
        return None if any(v is None for v in out) else out

    return canonical


_CANONICAL: Mapping[str, Any] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "dtype": _dtype,
    "array": _array,
    "axis": _int,
    "axes": _tuple_of(_int),
    "ints": _tuple_of(_int),
    "size": _size,
    "shape": _tuple_of(_size),
    "graph": _region,
}
