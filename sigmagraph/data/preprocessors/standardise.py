"""Gives the numbers at every index a mean of 0 and a standard deviation of 1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.affine import affine, numbers, of_section
from sigmagraph.data.preprocessors.base import Learner
from sigmagraph.data.preprocessors.moments import measure
from sigmagraph.data.records import Records
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Standardise(Learner):
    """``(x - mean) / deviation`` at each index of a record; 0 where the deviation is 0.

    Attributes:
        mean, deviation: arrays of a record's shape (or one number for all of it), or such by the names of sections.
            Without them, ``fit`` learns them; the deviation is that of the records themselves (divided by their
            number).

    Raises:
        AttributeValueError: only one of the two is given, a number is not finite, or a deviation is negative.
    """

    mean: Any = None
    deviation: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        mean, deviation = numbers(self.mean, "mean"), numbers(self.deviation, "deviation")
        each = deviation.values() if isinstance(deviation, dict) else [] if deviation is None else [deviation]
        if (mean is None) != (deviation is None) or any((array < 0).any() for array in each):
            raise AttributeValueError(
                "Standardise has no mean and deviation", expected="both, deviation >= 0", got=(mean, deviation)
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "deviation", deviation)

    @property
    def ready(self) -> bool:
        return self.mean is not None

    def fit(self, records: Records) -> Self:
        """The same with the means and deviations of records, which are read once, in order and in pieces."""
        found = measure(records, self.concerned(records.sections))
        for section, moments in found.items():
            moments.check_complete(section, records.name)
        return replace(
            self, mean={s: m.mean for s, m in found.items()}, deviation={s: m.deviation for s, m in found.items()}
        )

    def change(self, section: str, array: NDArray) -> NDArray:
        mean, deviation = of_section(self.mean, section), of_section(self.deviation, section)
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        return affine(array, mean, scale, 0.0)
