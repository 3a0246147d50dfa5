"""Numbers that a compiled program takes at every call: the range in which each makes sense, and how it changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from sigmagraph.dtypes import F32
from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.tensor import Tensor

# The value for a step: of the number of steps, and of (fractions of) epochs, that were made before it.
Schedule: TypeAlias = Callable[[float, float], float]
Number: TypeAlias = float | Schedule


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A run-time scalar of type f32.

    Attributes:
        name: its name among the inputs of the program, such as ``optimiser.learning_rate``.
        default: its first value, or the schedule that it follows at first.
        high: all values are less than this.
        positive: whether 0 is out of range too; NaN and infinities always are.
        low: all values are at least this.
    """

    name: str
    default: Number
    high: float = math.inf
    positive: bool = False
    low: float = 0.0

    def __post_init__(self) -> None:
        _ = self.first

    @property
    def first(self) -> float:
        """Its value at the first step.

        Raises:
            AttributeValueError: it is no number, or out of range.
        """
        return self.at(self.default, 0, 0.0)

    def check(self, value: object) -> float:
        """The value as the program will see it: rounded to f32.

        Raises:
            AttributeValueError: it is no number, or out of range.
        """
        rounded = _as_f32(value)
        if math.isfinite(rounded) and self.low <= rounded < self.high and (rounded or not self.positive):
            return rounded
        left = "(" if self.positive or self.low == -math.inf else "["
        interval = f"a number in {left}{self.low:g}, {self.high:g})"
        raise AttributeValueError(f"'{self.name}' makes no sense with this value", expected=interval, got=repr(value))

    def at(self, value: Number, step: int, epoch: float) -> float:
        """A number, or what a schedule says for a step, as the program will see it.

        Raises:
            AttributeValueError: it is no number, or out of range.
        """
        if not callable(value):
            return self.check(value)
        try:
            return self.check(value(step, epoch))
        except OverflowError:
            return self.check(math.inf)
        except AttributeValueError as error:
            raise error.at(location=f"step {step} of {value}") from None

    def tensor(self) -> Tensor:
        """A placeholder for it."""
        return placeholder(self.name, (), F32)


class Hyperparameters(MutableMapping[str, float]):
    """The values of hyperparameters by name, checked whenever one is set; the names are fixed.

    A compiled program takes them as keyword arguments: ``step(inputs=x, **hyperparameters)``. One that is set to a
    schedule follows it from then on, until it is set again; :meth:`advance` says which step comes next.
    """

    def __init__(self, specifications: Iterable[Hyperparameter]) -> None:
        self._known = {spec.name: spec for spec in specifications}
        self._values: dict[str, float] = {}
        self._schedules: dict[str, Schedule] = {}
        self._now = (0, 0.0)
        for spec in self._known.values():
            self[spec.name] = spec.default

    @classmethod
    def joined(cls, parts: Iterable[Hyperparameters]) -> Self:
        """Those of several parts of a step together, with their first values."""
        return cls(spec for part in parts for spec in part.specifications())

    def specifications(self) -> tuple[Hyperparameter, ...]:
        """Their names and ranges."""
        return tuple(self._known.values())

    def scheduled(self) -> tuple[str, ...]:
        """The names of those that follow a schedule."""
        return tuple(self._schedules)

    def advance(self, step: int, epoch: float) -> None:
        """Give those that follow a schedule their values for a step; nothing changes if one of them makes no sense.

        Args:
            step: number of steps before it.
            epoch: number of epochs before it, with the part of the current one that is done.

        Raises:
            AttributeValueError: a schedule gives something that is no number, or out of range.
        """
        new = {name: self._known[name].at(schedule, step, epoch) for name, schedule in self._schedules.items()}
        self._values.update(new)
        self._now = (step, epoch)

    def __getitem__(self, name: str) -> float:
        return self._values[self._find(name).name]

    def __setitem__(self, name: str, value: Number) -> None:
        self._values[name] = self._find(name).at(value, *self._now)
        if callable(value):
            self._schedules[name] = value
        else:
            self._schedules.pop(name, None)

    def __delitem__(self, name: str) -> None:
        raise IdentifierError(f"the hyperparameter '{name}' cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Hyperparameters({self._values})"

    def _find(self, name: str) -> Hyperparameter:
        if name not in self._known:
            raise IdentifierError(
                f"there is no hyperparameter '{name}'", expected=", ".join(self._known) or "none", got=repr(name)
            )
        return self._known[name]


def _as_f32(value: object) -> float:
    """A number rounded to f32; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return math.nan
    with np.errstate(over="ignore", under="ignore"):
        try:
            return float(np.float32(value))
        except OverflowError:
            return math.inf
