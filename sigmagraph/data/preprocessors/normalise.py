"""Maps numbers from the range that they have to one that is wanted: one range for all of a section, or one an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.affine import affine, numbers, of_section
from sigmagraph.data.preprocessors.base import Learner
from sigmagraph.data.preprocessors.moments import Moments, measure
from sigmagraph.data.records import Records
from sigmagraph.errors import AttributeValueError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Normalise(Learner):
    """``out_low + (x - low) * (out_high - out_low) / (high - low)``; ``out_low`` where ``low`` is ``high``.

    What lies outside of the range is mapped by the same line, not cut off.

    Attributes:
        low, high: the range of the records: numbers, or numbers by the names of sections. Without them, ``fit`` learns
            each section's.
        out_low, out_high: the range that is wanted.

    Raises:
        AttributeValueError: only one of ``low`` and ``high`` is given, a number is not finite, or ``low`` exceeds
            ``high``.
    """

    low: Any = None
    high: Any = None
    out_low: float = 0.0
    out_high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = numbers(self.low, "low"), numbers(self.high, "high")
        self._check(low, high)
        for name, value in (("low", low), ("high", high)):
            object.__setattr__(self, name, value)
        for name in ("out_low", "out_high"):
            object.__setattr__(self, name, float(numbers(getattr(self, name), name)))

    def _check(self, low: Any, high: Any) -> None:
        lows, highs = _by_section(low), _by_section(high)
        same = list(lows) == list(highs) and all(lows[name].shape == highs[name].shape for name in lows)
        if not same or any((lows[name] > highs[name]).any() for name in lows):
            raise AttributeValueError(
                f"{type(self).__name__} has no range", expected="both low and high, low <= high", got=(low, high)
            )

    @property
    def ready(self) -> bool:
        return self.low is not None

    def fit(self, records: Records) -> Self:
        """The same with the ranges that records have, which are read once, in order and in pieces."""
        found = measure(records, self.concerned(records.sections))
        for section, moments in found.items():
            moments.check_complete(section, records.name)
        low, high = ({s: part(m) for s, m in found.items()} for part in (self._lowest, self._highest))
        return replace(self, low=low, high=high)

    def _lowest(self, moments: Moments) -> NDArray:
        return np.asarray(moments.low.min(initial=np.inf))

    def _highest(self, moments: Moments) -> NDArray:
        return np.asarray(moments.high.max(initial=-np.inf))

    def change(self, section: str, array: NDArray) -> NDArray:
        low, high = of_section(self.low, section), of_section(self.high, section)
        reach = high - low
        # A range of one value has no slope: what is in it becomes ``out_low``.
        scale = np.divide(self.out_high - self.out_low, reach, out=np.zeros_like(reach), where=reach > 0)
        return affine(array, low, scale, self.out_low)


@dataclass(frozen=True, eq=False)
class PerIndexNormalise(Normalise):
    """As :class:`Normalise`, with a range for every index of a record.

    Attributes:
        low, high: arrays of a record's shape, or such by the names of sections. Without them, ``fit`` learns them.
    """

    def _lowest(self, moments: Moments) -> NDArray:
        return moments.low

    def _highest(self, moments: Moments) -> NDArray:
        return moments.high


def _by_section(value: Any) -> dict[str, NDArray]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"": value}
