"""Hooks that turn arrays of a training into one number, and the functions that do it for a single array."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.hooking.criteria import is_numeric
from sigmagraph.training.hooking.hook import Moment, When
from sigmagraph.training.hooks.listing import listed
from sigmagraph.training.hooks.sharing import EARLY, SharingHook, check_name

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_UPDATES = "optimiser.updates."
_LAYERS = "network.layers."


def norm(array: NDArray) -> float:
    """The Euclidean norm: the root of the sum of all squares."""
    return float(np.linalg.norm(array.astype(np.float64).ravel()))


def mean(array: NDArray) -> float:
    """The mean of all elements."""
    return float(array.mean(dtype=np.float64))


def std(array: NDArray) -> float:
    """The standard deviation of all elements, by their number (not by one less)."""
    return float(array.astype(np.float64).std())


def sparsity(array: NDArray) -> float:
    """The share of elements that are 0."""
    return 1.0 - np.count_nonzero(array) / array.size


@dataclass(frozen=True)
class Metric(SharingHook):
    """Share the mean of a number over several arrays: ``Metric("optimiser.gradients.**", norm, "gradient_norms")``.

    It is shared as ``shared.<name>``, and so among the metrics of the run. Arrays without elements do not count;
    without any array nothing is shared.

    Args:
        identifiers: an identifier or pattern of arrays and numbers, or several; lists and mappings of arrays count by
            what is in them.
        function: from an array to a number.
        name: what the result is called below ``shared.``.

    Raises:
        AttributeValueError: one of these makes no sense; or as for :class:`Hook`.
    """

    identifiers: str | tuple[str, ...]
    function: Callable[[NDArray], float]
    name: str
    _: KW_ONLY
    every: When = "1 iteration"
    priority: int = EARLY

    def __post_init__(self) -> None:
        super().__post_init__()
        identifiers = (self.identifiers,) if isinstance(self.identifiers, str) else tuple(self.identifiers)
        if not identifiers:
            raise AttributeValueError("Metric: there is nothing to look at", expected="identifiers", got="none")
        if not callable(self.function):
            raise AttributeValueError(
                "Metric: this is no metric", expected="a function of an array", got=repr(self.function)
            )
        check_name("Metric", self.name)
        object.__setattr__(self, "identifiers", identifiers)

    def reads(self) -> tuple[str, ...]:
        return tuple(self.identifiers)

    def provides(self) -> tuple[str, ...]:
        return (f"shared.{self.name}",)

    def invoke(self, now: Moment, /) -> None:
        arrays = [array for name, value in listed(now, self.reads()).items() for array in _arrays(name, value)]
        found = [float(self.function(array)) for array in arrays if array.size]
        if found:
            now.share(self.provides()[0], math.fsum(found) / len(found))


@dataclass(frozen=True)
class UpdateRatio(SharingHook):
    """Share how far an iteration moved parameters: the mean of norm(update) / norm(parameter), as ``shared.<name>``.

    Around 0.001 is usual where training goes well. A parameter that is 0 throughout does not count.

    Args:
        parameters: an identifier or pattern of parameters, such as ``"*.weights"``.
        name: what the result is called below ``shared.``.

    Raises:
        AttributeValueError: the name is none; or as for :class:`Hook`.
    """

    parameters: str = "**"
    name: str = "update_ratio"
    _: KW_ONLY
    every: When = "1 iteration"
    priority: int = EARLY

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("UpdateRatio", self.name)

    def reads(self) -> tuple[str, ...]:
        return (f"{_UPDATES}{self.parameters}", f"{_LAYERS}{self.parameters}")

    def provides(self) -> tuple[str, ...]:
        return (f"shared.{self.name}",)

    def invoke(self, now: Moment, /) -> None:
        updates, values = (now.find(pattern) for pattern in self.reads())
        ratios = []
        for identifier, update in updates.items():
            size = norm(np.asarray(values[_LAYERS + identifier.removeprefix(_UPDATES)]))
            if size:
                ratios.append(norm(np.asarray(update)) / size)
        if ratios:
            now.share(self.provides()[0], math.fsum(ratios) / len(ratios))


def _arrays(identifier: str, value: Any) -> Iterator[NDArray]:
    """The arrays that a value is, or is made of.

    Raises:
        InputError: there is something else.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _arrays(identifier, part)
        return
    array = np.asarray(value)
    if not is_numeric(array.dtype):
        raise InputError("Metric looks at numbers", expected=f"'{identifier}' as an array", got=repr(value))
    yield array
