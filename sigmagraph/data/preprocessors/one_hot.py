"""Turns each of some known values into a row with a single one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.digests import natural
from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.errors import AttributeValueError, InputError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class OneHot(Preprocessor):
    """f32[records, ..., n]: at a new last axis, 1 at the value's place among the n known ones and 0 elsewhere.

    Attributes:
        values: those that there are, numbers or text; or how many, for the numbers from 0.
        sections: by default ``targets``.

    Raises:
        AttributeValueError: there are no values, or one twice.
    """

    values: Any
    sections: tuple[str, ...] = field(default=("targets",), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.ndim(self.values) == 0:
            count = natural(self.values, "OneHot has no values", least=1)
            object.__setattr__(self, "values", np.arange(count))
            return
        values = np.array(self.values)
        if (
            values.ndim != 1
            or len(values) == 0
            or values.dtype.kind not in "biufSU"
            or len(np.unique(values)) != len(values)
        ):
            raise AttributeValueError(
                "OneHot has no values", expected="numbers or text, each once", got=repr(self.values)
            )
        object.__setattr__(self, "values", values)

    def change(self, section: str, array: NDArray) -> NDArray:
        order = np.argsort(self.values)
        known = self.values[order]
        if (array.dtype.kind in "SU") != (known.dtype.kind in "SU"):
            raise self._unknown(section, array, np.zeros(1, np.intp))
        places = np.minimum(np.searchsorted(known, array), len(known) - 1)
        wrong = known[places] != array
        if wrong.any():
            raise self._unknown(section, array, np.argwhere(wrong)[0])
        out = np.zeros((*array.shape, len(known)), np.float32)
        np.put_along_axis(out, order[places][..., None], 1, axis=-1)
        return out

    def _unknown(self, section: str, array: NDArray, where: NDArray) -> InputError:
        got = array[tuple(where)] if array.size else array.dtype
        return InputError(
            f"section '{section}' has a value that OneHot does not know, in record {where[0]} of those given",
            expected=f"one of {self.values.tolist()[:20]}",
            got=repr(got.item() if isinstance(got, np.generic) else got),
        )
