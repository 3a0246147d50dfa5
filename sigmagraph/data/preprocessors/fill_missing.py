"""Puts a number where one is missing, which records say by NaN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.affine import numbers, of_section
from sigmagraph.data.preprocessors.base import Learner
from sigmagraph.data.preprocessors.moments import measure
from sigmagraph.data.records import Records
from sigmagraph.errors import InputError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class FillMissing(Learner):
    """Puts ``value`` in place of every NaN.

    Attributes:
        value: a number, an array of a record's shape, or such by the names of sections. Without it, ``fit`` learns the
            mean of what is there at each index.

    Raises:
        AttributeValueError: a number is not finite.
    """

    value: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "value", numbers(self.value, "value"))

    @property
    def ready(self) -> bool:
        return self.value is not None

    def fit(self, records: Records) -> Self:
        """The same with the means of records, which are read once, in order and in pieces.

        Raises:
            InputError: there is an index without any value.
        """
        found = measure(records, self.concerned(records.sections))
        for section, moments in found.items():
            if (moments.count == 0).any():
                where = tuple(int(i) for i in np.argwhere(moments.count == 0)[0])
                raise InputError(
                    f"section '{section}' of '{records.name}' has no value at all at an index",
                    expected="at least one number to learn from",
                    got=f"NaN only at {list(where)}",
                )
        return replace(self, value={section: moments.mean for section, moments in found.items()})

    def change(self, section: str, array: NDArray) -> NDArray:
        if array.dtype.kind in "iubSUO":
            return array
        value = of_section(self.value, section)
        if value.ndim and value.shape != array.shape[1:]:
            raise ShapeError(
                "the records have another shape than those learnt from", expected=value.shape, got=array.shape[1:]
            )
        return np.where(np.isnan(array), value.astype(array.dtype), array)
