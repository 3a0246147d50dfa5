"""Puts the axes of records into another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.base import Preprocessor
from sigmagraph.errors import AttributeValueError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class Permute(Preprocessor):
    """Axis ``i`` of a record becomes what was its axis ``axes[i]``; ``Permute((2, 0, 1))`` puts channels first.

    Attributes:
        axes: each axis of a record once, from 0; the axis of records is not counted.

    Raises:
        AttributeValueError: an axis is missing or there twice.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = tuple(self.axes)
        if sorted(axes) != list(range(len(axes))):
            raise AttributeValueError("this is no order of axes", expected="0, 1, ... each once", got=axes)
        object.__setattr__(self, "axes", tuple(int(axis) for axis in axes))

    def change(self, section: str, array: NDArray) -> NDArray:
        if array.ndim != len(self.axes) + 1:
            raise ShapeError(
                f"records of '{section}' have another rank", expected=len(self.axes), got=max(0, array.ndim - 1)
            )
        return np.ascontiguousarray(array.transpose(0, *[axis + 1 for axis in self.axes]))
