"""When something happens in training: every so many events of a scale, and at most so many times."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sigmagraph.errors import AttributeValueError

_FORMS = "such as every(10, TimeScale.ITERATION), '1 epoch', '10 iterations', 'stop' or (2, 'epochs')"


class TimeScale(Enum):
    """What is counted. ``INDETERMINATE`` is for what happens when its owner says so."""

    EPOCH = "epoch"
    ITERATION = "iteration"
    START = "start"
    STOP = "stop"
    RESUME = "resume"
    PAUSE = "pause"
    RESET = "reset"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class TimeStep:
    """Every ``count`` events of a scale, at most ``live`` times.

    It holds no countdown: how many events were seen and how often it fired are two numbers that whoever uses it keeps.

    Attributes:
        count: 1 for every event.
        scale: what is counted.
        live: how often it fires at most; None for no end.

    Raises:
        AttributeValueError: a number is none of 1, 2, 3, ..., or the scale is none.
    """

    count: int
    scale: TimeScale
    live: int | None = None

    def __post_init__(self) -> None:
        for what, number in (("count", self.count), ("live time", self.live)):
            if what == "live time" and number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise AttributeValueError(
                    f"this is no {what} of a time step", expected="1, 2, 3, ...", got=repr(number)
                )
        if not isinstance(self.scale, TimeScale):
            raise AttributeValueError("this is no time scale", expected="one of TimeScale", got=repr(self.scale))

    def due(self, seen: int, fired: int) -> bool:
        """Whether it fires at the next event.

        Args:
            seen: how many events of its scale there were before.
            fired: at how many of them it fired.
        """
        return not self.spent(fired) and (seen + 1) % self.count == 0

    def spent(self, fired: int) -> bool:
        """Whether it never fires again, after it has fired so often."""
        return self.live is not None and fired >= self.live

    def __str__(self) -> str:
        events = self.scale.value if self.count == 1 else f"{self.count} {self.scale.value}s"
        times = "" if self.live is None else ", once" if self.live == 1 else f", {self.live} times"
        return f"every {events}{times}"


TimeStepLike: TypeAlias = "TimeStep | TimeScale | str | tuple[int, TimeScale | str]"


def every(count: int, scale: TimeScale | str, live: int | None = None) -> TimeStep:
    """Every ``count`` events of a scale.

    Args:
        count: 1 for every event.
        scale: a :class:`TimeScale` or its name, such as ``"epoch"`` or ``"epochs"``.
        live: how often it fires at most; None for no end.

    Raises:
        AttributeValueError: a number is none of 1, 2, 3, ..., or there is no such scale.
    """
    return TimeStep(count, _scale(scale), live)


def after(count: int, scale: TimeScale | str) -> TimeStep:
    """Once, at event number ``count`` of a scale.

    Raises:
        AttributeValueError: the number is none of 1, 2, 3, ..., or there is no such scale.
    """
    return every(count, scale, live=1)


def as_time_step(value: TimeStepLike) -> TimeStep:
    """A time step from what stands for one.

    Args:
        value: a time step; a scale or its name, for each event; ``"10 iterations"``; ``(10, "iterations")``.

    Raises:
        AttributeValueError: it is none of these.
    """
    if isinstance(value, TimeStep):
        return value
    if isinstance(value, TimeScale):
        return TimeStep(1, value)
    if isinstance(value, tuple) and len(value) == 2:
        return every(value[0], value[1])
    words = value.split() if isinstance(value, str) else []
    if len(words) == 1:
        return every(1, words[0])
    if len(words) == 2 and words[0].isascii() and words[0].isdigit():
        return every(int(words[0]), words[1])
    raise AttributeValueError("this is no time step", expected=_FORMS, got=repr(value))


def _scale(scale: TimeScale | str) -> TimeScale:
    if isinstance(scale, TimeScale):
        return scale
    names = {known.value: known for known in TimeScale}
    name = scale.lower() if isinstance(scale, str) else ""
    found = names.get(name) or names.get(name.removesuffix("s"))
    if found is None:
        from difflib import get_close_matches

        close = get_close_matches(name, names, 1, 0.5) or list(names)
        raise AttributeValueError("this is no time scale", expected=", ".join(close), got=repr(scale), hint=_FORMS)
    return found
