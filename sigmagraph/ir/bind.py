"""Finds the numbers that symbolic dims stand for from the shapes of arrays, and checks that the shapes agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sigmagraph.dims import Dim, Size, coefficient, evaluate, names
from sigmagraph.errors import DimError, InputError
from sigmagraph.ir.plan import Port


class Shaped(Protocol):
    """An array, wherever its elements are."""

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class _Solution:
    """The dim ``name`` follows from an axis of a port: size == slope * name + rest, and rest is known by then."""

    name: str
    port: int
    axis: int
    slope: int
    rest: Size


def bind_dims(
    ports: Sequence[Port], arrays: Sequence[Shaped], known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The numbers for the dims in the shapes of ``ports`` that make them the shapes of ``arrays``.

    A dim follows from an axis whose size is a whole multiple of it plus what is known already, be it from elsewhere.

    Raises:
        InputError: an array has another number of axes or another size than its port.
        DimError: two axes disagree about a dim.
    """
    for port, array in zip(ports, arrays, strict=True):
        if len(array.shape) != len(port.shape):
            raise InputError(
                f"the input '{port.name}' has another number of axes",
                expected=f"{len(port.shape)} ({_text(port.shape)})",
                got=f"{len(array.shape)} ({_text(array.shape)})",
            )
    dims = dict(known or {})
    origins = {name: f"{name} is {value}" for name, value in dims.items()}
    for found in _solutions(ports, dims):
        size = arrays[found.port].shape[found.axis]
        value, remainder = divmod(size - evaluate(found.rest, dims), found.slope)
        if remainder or value < 0:
            port = ports[found.port]
            raise DimError(
                f"the input '{port.name}' does not fit along axis {found.axis}: no '{found.name}' gives that size",
                expected=port.shape[found.axis],
                got=size,
            )
        dims[found.name] = value
        origins[found.name] = f"{found.name} is {value} by axis {found.axis} of '{ports[found.port].name}'"
    for port, array in zip(ports, arrays, strict=True):
        for axis, (wanted, got) in enumerate(zip(port.shape, array.shape, strict=True)):
            _check(port, axis, wanted, got, dims, origins)
    return dims


def unbound_dims(ports: Sequence[Port], wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the ``wanted`` dims that no shape of ``ports`` determines."""
    bound = {found.name for found in _solutions(ports)}
    return tuple(name for name in wanted if name not in bound)


def _solutions(ports: Sequence[Port], given: Iterable[str] = ()) -> Iterator[_Solution]:
    """For each dim that can be found the axis that gives it, in an order in which they can be found."""
    known = set(given)
    waiting = [(i, axis, size) for i, port in enumerate(ports) for axis, size in enumerate(port.shape)]
    waiting.sort(
        key=lambda entry: not (isinstance(entry[2], Dim) and entry[2].is_name)
    )  # plain names make plain errors
    while True:
        for i, axis, size in waiting:
            unknown = [name for name in names(size) if name not in known]
            split = coefficient(size, unknown[0]) if len(unknown) == 1 else None
            if split is not None and isinstance(split[0], int) and split[0] != 0:
                known.add(unknown[0])
                yield _Solution(unknown[0], i, axis, split[0], split[1])
                break
        else:
            return


def _check(port: Port, axis: int, size: Size, got: int, dims: dict[str, int], origins: dict[str, str]) -> None:
    missing = [name for name in names(size) if name not in dims]
    if missing:
        raise DimError(
            f"the dim '{missing[0]}' does not follow from the shapes of the inputs",
            expected=f"an axis whose size is a multiple of {missing[0]} plus known sizes",
            got=f"{_text(port.shape)} of '{port.name}'",
        )
    expected = evaluate(size, dims)
    if expected == got:
        return
    if isinstance(size, int):
        raise InputError(f"the input '{port.name}' has another size along axis {axis}", expected=expected, got=got)
    because = ", ".join(origins[name] for name in names(size))
    raise DimError(
        f"the input '{port.name}' does not fit along axis {axis}: {because}",
        expected=f"{expected} ({size})",
        got=got,
    )


def _text(shape: Sequence[Size]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
