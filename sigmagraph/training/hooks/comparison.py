"""Which of two values is the better one, for hooks that look for the best or wait for a better one."""

from __future__ import annotations

import math
import re
from typing import Literal, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.hooking.hook import Moment

Mode: TypeAlias = Literal["max", "min"]


def mode_of(identifier: str, mode: Mode | None, owner: str) -> Mode:
    """Whether greater or smaller values of an identifier are better.

    Accuracies are to grow and costs to shrink, as the words of the identifier's last part say; for others it has to be
    said.

    Args:
        identifier: what is looked at.
        mode: what the user says, if anything.
        owner: the hook, for the error.

    Raises:
        AttributeValueError: the mode is none, or nothing says which it is.
    """
    if mode in ("max", "min"):
        return mode
    words = re.split(r"[^a-z]+", identifier.rpartition(".")[2].lower())
    if mode is None and "accuracy" in words:
        return "max"
    if mode is None and any(word in words for word in ("cost", "loss", "error")):
        return "min"
    raise AttributeValueError(
        f"{owner}: which values of '{identifier}' are the better ones?",
        expected="mode='max' or mode='min'",
        got=repr(mode),
    )


def better(value: float, best: float | None, mode: Mode, least: float = 0.0) -> bool:
    """Whether a value is better than the best so far (None: there is none) by more than ``least``.

    What is not finite is never better, and anything finite is better than nothing.
    """
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best + least if mode == "max" else value < best - least


def number(now: Moment, identifier: str) -> float:
    """A value that a hook reads, as a number.

    Raises:
        InputError: it is something else, such as the accuracy where targets are no classes.
    """
    value = now[identifier]
    if not is_number(value):
        got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else f"{value!r:.80}"
        raise InputError(f"{now.owner} needs a number", expected=f"'{identifier}' as one", got=got)
    return float(np.asarray(value).reshape(())[()])


def is_number(value: object) -> bool:
    """Whether a value is a real number, or an array of one."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.size == 1 and value.dtype.kind in "biuf"
    return isinstance(value, (bool, int, float))


def check_amount(owner: str, name: str, value: object, below: float = math.inf, *, positive: bool = False) -> None:
    """Check a field of a hook: a number from 0 on (more than 0 if it is to be positive), and less than ``below``.

    Raises:
        AttributeValueError: it is something else.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < below or (positive and not value):  # type: ignore[operator]  # it is a number
        expected = f"a number in {'(' if positive else '['}0, {below:g})"
        raise AttributeValueError(f"{owner}: '{name}' makes no sense", expected=expected, got=repr(value))


def check_count(owner: str, name: str, value: object, least: int = 0) -> None:
    """Check a field of a hook: a whole number from ``least`` on.

    Raises:
        AttributeValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AttributeValueError(
            f"{owner}: '{name}' makes no sense", expected=f"a whole number from {least} on", got=repr(value)
        )
