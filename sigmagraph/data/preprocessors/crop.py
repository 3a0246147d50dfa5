"""Cuts images out of larger ones at random places, and shifts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sigmagraph.data.digests import natural
from sigmagraph.data.preprocessors.augmentation import Augmentation, Draws
from sigmagraph.errors import AttributeValueError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, eq=False)
class RandomCrop(Augmentation):
    """An image of the wanted size out of the image with a border around it, at a place of its own for each record.

    Attributes:
        padding: pixels of border at each side.
        size: height and width of what is cut out; by default those of the image.
        fill: value of the border.
        axes: height and width among a record's axes: 0 and 1 of ``[height, width, channels]``, 1 and 2 of
            ``[channels, height, width]``.

    Raises:
        AttributeValueError: a number is out of range.
    """

    padding: int = 0
    size: tuple[int, int] | None = None
    fill: float = 0.0
    axes: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        natural(self.padding, "this is no padding")
        for side in self.size or ():
            natural(side, "an image has at least one pixel", least=1)
        check_axes(self.axes)

    def change(self, array: NDArray, draws: Draws) -> NDArray:
        return cut(array, self.axes, (self.padding, self.padding), self.size, self.fill, draws)


@dataclass(frozen=True, eq=False)
class RandomShift(Augmentation):
    """The image moved by up to ``pixels`` up or down and left or right, by whole pixels.

    Attributes:
        pixels: how far at most: one number, or one for rows and one for columns.
        fill: value of pixels that come in from outside.
        axes: height and width among a record's axes, as for :class:`RandomCrop`.

    Raises:
        AttributeValueError: a number is out of range.
    """

    pixels: int | tuple[int, int] = 1
    fill: float = 0.0
    axes: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for pixels in self._reach():
            natural(pixels, "this is no number of pixels")
        check_axes(self.axes)

    def _reach(self) -> tuple[int, int]:
        return self.pixels if isinstance(self.pixels, tuple) else (self.pixels, self.pixels)

    def change(self, array: NDArray, draws: Draws) -> NDArray:
        return cut(array, self.axes, self._reach(), None, self.fill, draws)


def check_axes(axes: tuple[int, ...]) -> None:
    """Make sure that they are axes of a record.

    Raises:
        AttributeValueError: one is there twice or is no number from 0.
    """
    if len(dict.fromkeys(natural(axis, "this is no axis of a record") for axis in axes)) != len(axes):
        raise AttributeValueError("an axis is there twice", expected="different axes", got=axes)


def cut(
    array: NDArray,
    axes: tuple[int, int],
    padding: tuple[int, int],
    size: tuple[int, int] | None,
    fill: float,
    draws: Draws,
) -> NDArray:
    """Pieces of images ``[records, ...]``, each at a random place of its image with a border.

    Args:
        array: the images.
        axes: height and width among a record's axes.
        padding: pixels of border above and below, and left and right.
        size: height and width of a piece; None is that of the images.
        fill: value of the border.
        draws: random numbers for the records.

    Raises:
        ShapeError: the records lack an axis, or are smaller than a piece.
    """
    if array.ndim <= max(axes) + 1:
        raise ShapeError("these are no images", expected=f"records with axes {axes}", got=array.shape[1:])
    images = np.moveaxis(array, [axis + 1 for axis in axes], (1, 2))
    records, height, width = images.shape[:3]
    (up, left), (rows, columns) = padding, size or (height, width)
    room = height + 2 * up - rows, width + 2 * left - columns
    if min(room) < 0:
        raise ShapeError(
            "the images are smaller than what is to be cut out", expected=(rows, columns), got=images.shape[1:3]
        )
    padded = np.full((records, height + 2 * up, width + 2 * left, *images.shape[3:]), fill, images.dtype)
    padded[:, up : up + height, left : left + width] = images
    # Every piece that there is, as a view, so that each record's is copied row by row and not pixel by pixel.
    places = np.moveaxis(sliding_window_view(padded, (rows, columns), axis=(1, 2)), (-2, -1), (3, 4))
    pieces = places[np.arange(records), draws.integers(room[0] + 1), draws.integers(room[1] + 1)]
    return np.ascontiguousarray(np.moveaxis(pieces, (1, 2), [axis + 1 for axis in axes]))
