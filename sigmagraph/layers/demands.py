"""What layers demand of what they are made from and of what they are called on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sigmagraph.dims import Size
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError, SigmaError
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.windows import Numbers, Padding, numbers, paddings


@contextmanager
def making(layer: str) -> Iterator[None]:
    """Say in errors which layer cannot be made."""
    try:
        yield
    except SigmaError as error:
        error.message = f"the layer '{layer}' cannot be made: {error.message}"
        raise


def check_count(value: Any, what: str) -> None:
    """Raise AttributeValueError unless a value is a whole number of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise AttributeValueError(f"'{what}' is out of range", expected="an int of 1 or more", got=repr(value))


def check_number(value: Any, what: str, high: float = float("inf")) -> None:
    """Raise AttributeValueError unless a value is a finite number from 0 to ``high``."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= high
        or value == float("inf")
    ):
        expected = "a finite number of 0 or more" if high == float("inf") else f"a number from 0 to {high}"
        raise AttributeValueError(f"'{what}' is out of range", expected=expected, got=repr(value))


def check_each(given: Numbers, what: str) -> None:
    """Raise AttributeValueError unless it is a whole number of at least 1, or such ones for some spatial axes."""
    numbers(given, len(given) if isinstance(given, Sequence) else 1, what)


def check_padding(given: Padding) -> None:
    """Raise AttributeValueError unless it is a padding of some spatial axes."""
    ones = (1,) * (len(given) if isinstance(given, Sequence) and not isinstance(given, str) else 1)
    paddings(given, ones, ones, ones, ones)


def check_floats(x: Tensor) -> None:
    """Raise DTypeError unless a tensor holds floats."""
    if not x.dtype.is_float:
        raise DTypeError("it reckons with floats", expected="a float type", got=x.dtype)


def check_images(x: Tensor, axes: int | None, channels_first: bool) -> None:
    """Raise ShapeError unless a tensor has a batch, channels and so many spatial axes; None means one or more."""
    if x.ndim < 3 or axes not in (None, x.ndim - 2):
        spatial = ["*spatial"] if axes is None else [f"spatial{i}" for i in range(axes)]
        names = ["batch", "channels", *spatial] if channels_first else ["batch", *spatial, "channels"]
        raise ShapeError("the number of axes is another one", expected=f"[{', '.join(names)}]", got=x.type)


def known(size: Size, what: str) -> int:
    """A size that must be a number.

    Raises:
        ShapeError: it is symbolic.
    """
    if not isinstance(size, int):
        raise ShapeError(f"{what} must be known", expected="a number", got=size)
    return size


def format_of(channels_first: bool) -> str:
    """The word that tensor functions have for it."""
    return "channels_first" if channels_first else "channels_last"
