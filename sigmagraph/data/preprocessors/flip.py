"""Mirrors records at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.preprocessors.augmentation import Augmentation, Draws
from sigmagraph.data.preprocessors.crop import check_axes
from sigmagraph.errors import AttributeValueError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class RandomFlip(Augmentation):
    """Each record turned around along an axis, or not.

    Attributes:
        axis: of a record, from 0: 1 of ``[height, width, channels]`` swaps left and right.
        probability: that a record is mirrored.

    Raises:
        AttributeValueError: a number is out of range.
    """

    axis: int = 1
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axes((self.axis,))
        if not 0 <= self.probability <= 1:
            raise AttributeValueError("this is no probability", expected="a number from 0 to 1", got=self.probability)

    def change(self, array: NDArray, draws: Draws) -> NDArray:
        if array.ndim <= self.axis + 1:
            raise ShapeError("records lack the axis to mirror along", expected=self.axis, got=array.shape[1:])
        turned = draws.uniform() < self.probability
        out = array.copy()
        out[turned] = np.flip(array[turned], self.axis + 1)
        return out
