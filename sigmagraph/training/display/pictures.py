"""Pictures of arrays: text for a terminal, and PNG files."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Sequence
from math import ceil
from os import PathLike, fsync, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_GREYS = " .:-=+*#%@"  # from dark to light, as on a dark terminal
_GAP = 1  # pixels between the images of a gallery


def ascii_picture(array: Any, width: int | None = None) -> str:
    """An image as lines of characters, two for each pixel, as characters are about twice as high as wide.

    Args:
        array: [height, width] of greys, or [height, width, 3] of colours, from 0 (dark) to 1; what is beyond is cut.
        width: columns of text; the image's own when left out. Pixels are then taken from the nearest places.

    Raises:
        AttributeValueError: the width is no even number of 2 or more.
        ShapeError: the array is no image.
        InputError: an element is no finite number.
    """
    image = _resized(_image(array), width)
    grey = image if image.ndim == 2 else image.mean(-1)
    places = np.rint(grey * (len(_GREYS) - 1)).astype(int)
    return "\n".join("".join(2 * _GREYS[place] for place in row) for row in places)


def block_picture(array: Any, width: int | None = None) -> str:
    """An image as lines of upper half blocks in 24-bit colours, for terminals that show UTF-8 and ANSI escapes.

    A character is two pixels, one above the other.

    Args:
        array: as for :func:`ascii_picture`.
        width: columns of text, one for each pixel; the image's own when left out.

    Raises:
        AttributeValueError, ShapeError, InputError: as for :func:`ascii_picture`.
    """
    image = _resized(_image(array), None if width is None else 2 * width)
    colours = _bytes(image if image.ndim == 3 else np.repeat(image[..., None], 3, -1))
    if len(colours) % 2:
        colours = np.concatenate([colours, np.zeros_like(colours[:1])])
    lines = []
    for upper, lower in zip(colours[::2], colours[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m\u2580"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def beside(pictures: Sequence[str], gap: int = 2) -> str:
    """Texts of equally many lines side by side.

    Raises:
        ShapeError: the numbers of lines differ.
    """
    columns = [picture.split("\n") for picture in pictures]
    heights = [len(column) for column in columns]
    if any(height != heights[0] for height in heights):
        raise ShapeError("the pictures do not stand side by side", expected="equally many lines", got=heights)
    return "\n".join((" " * gap).join(parts) for parts in zip(*columns, strict=True))


def save_png(path: str | PathLike[str], images: Any, columns: int | None = None, scale: int = 8) -> None:
    """Write images to a PNG file as a gallery. Until all is on disk, a file that was there stays as it was.

    Args:
        path: of the file.
        images: [images, height, width] of greys or [images, height, width, 3] of colours, from 0 (dark) to 1; what is
            beyond is cut.
        columns: images in a row; all of up to ten when left out.
        scale: pixels of the file along each side of a pixel.

    Raises:
        AttributeValueError: the columns or the scale are no numbers of 1 or more.
        ShapeError: the array holds no images.
        InputError: an element is no finite number, Pillow is missing, or the file cannot be written.
    """
    array = _numbers(images)
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] == 3)) or not array.size:
        raise ShapeError(
            "these are no images", expected="[images, height, width] or [images, height, width, 3]", got=array.shape
        )
    columns = min(len(array), 10) if columns is None else _natural("columns", columns)
    scale = _natural("scale", scale)
    gallery = _gallery(_bytes(_cut(array)), min(columns, len(array)))
    large = gallery.repeat(scale, 0).repeat(scale, 1)
    _write(Path(path), _png(large))


def _gallery(images: NDArray, columns: int) -> NDArray:
    """Images in rows, with a dark gap between."""
    count, height, width, *channels = images.shape
    rows = ceil(count / columns)
    sheet = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, *channels), np.uint8)
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + _GAP), (number % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _png(pixels: NDArray) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            "a PNG file cannot be made", expected="Pillow", got=error, hint='pip install "sigmagraph[data]"'
        ) from error
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _write(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            fsync(file.fileno())
        replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written", got=error.strerror) from error


def _image(array: Any) -> NDArray:
    image = _numbers(array)
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)) or not image.size:
        raise ShapeError("this is no image", expected="[height, width] or [height, width, 3]", got=image.shape)
    return _cut(image)


def _numbers(array: Any) -> NDArray:
    numbers = np.asarray(array)
    if numbers.dtype.kind not in "biuf":
        raise InputError("a picture is made of numbers", expected="floats from 0 to 1", got=numbers.dtype)
    return numbers.astype(np.float64)


def _cut(numbers: NDArray) -> NDArray:
    if not np.isfinite(numbers).all():
        wrong = int(np.count_nonzero(~np.isfinite(numbers)))
        raise InputError("a picture is made of finite numbers", got=f"{wrong} that are NaN or infinite")
    return np.clip(numbers, 0.0, 1.0)


def _bytes(numbers: NDArray) -> NDArray:
    return np.rint(255.0 * numbers).astype(np.uint8)


def _resized(image: NDArray, width: int | None) -> NDArray:
    """The image with half as many pixels in a row as there are columns of text."""
    if width is None:
        return image
    if _natural("width", width) % 2:
        raise AttributeValueError("'width' makes no sense for a picture", expected="an even number", got=width)
    across = width // 2
    down = max(1, round(image.shape[0] * across / image.shape[1]))
    rows = (np.arange(down) + 0.5) * image.shape[0] / down
    places = (np.arange(across) + 0.5) * image.shape[1] / across
    return np.asarray(image[rows.astype(int)][:, places.astype(int)])


def _natural(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise AttributeValueError(
            f"'{name}' makes no sense for a picture", expected="a whole number of 1 or more", got=repr(value)
        )
    return int(value)
