"""Numbers that a compiled program takes at every call, and the range in which each makes sense."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass

import numpy as np

from sigmagraph.dtypes import F32
from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A run-time scalar of type f32.

    Attributes:
        name: its name among the inputs of the program, such as ``optimiser.learning_rate``.
        default: its first value.
        high: all values are less than this.
        positive: whether 0 is out of range too; negative numbers and NaN always are.
    """

    name: str
    default: float
    high: float = math.inf
    positive: bool = False

    def __post_init__(self) -> None:
        self.check(self.default)

    def check(self, value: object) -> float:
        """The value as the program will see it: rounded to f32.

        Raises:
            AttributeValueError: it is no number, or out of range.
        """
        rounded = _as_f32(value)
        if (rounded > 0 if self.positive else rounded >= 0) and rounded < self.high:
            return rounded
        interval = f"a number in {'(' if self.positive else '['}0, {self.high})"
        raise AttributeValueError(f"'{self.name}' makes no sense with this value", expected=interval, got=repr(value))

    def tensor(self) -> Tensor:
        """A placeholder for it."""
        return placeholder(self.name, (), F32)


class Hyperparameters(MutableMapping[str, float]):
    """The values of hyperparameters by name, checked whenever one is set; the names are fixed.

    A compiled program takes them as keyword arguments: ``step(inputs=x, **hyperparameters)``.
    """

    def __init__(self, specifications: Iterable[Hyperparameter]) -> None:
        self._known = {spec.name: spec for spec in specifications}
        self._values = {spec.name: spec.check(spec.default) for spec in self._known.values()}

    def __getitem__(self, name: str) -> float:
        return self._values[self._find(name).name]

    def __setitem__(self, name: str, value: float) -> None:
        self._values[name] = self._find(name).check(value)

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
