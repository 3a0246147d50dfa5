"""What hooks have in common that find something out for others: there is one place for it, whatever the workers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.hook import Hook, Moment
from sigmagraph.training.hooking.timing import TimeScale

# Priorities: what is found out comes before what uses it, and where training stands is said before all else.
FIRST = -10_000
EARLY = -1000

_NAME = re.compile(r"[^\s.*?<>]+")


@dataclass(frozen=True)
class SharingHook(Hook):
    """A hook that shares values; arguments as those of :class:`Hook`.

    Raises:
        AttributeValueError: it is to be local; or as for :class:`Hook`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_global(self)


def _check_global(hook: Hook) -> None:
    if hook.scope != "global":
        raise AttributeValueError(
            f"{type(hook).__name__} is about all workers together", expected="scope='global'", got=repr(hook.scope)
        )


def check_prompt(hook: Hook) -> None:
    """Check that a hook can say what another one shares at the same event.

    Values that hooks share beside training arrive at a later event, so that it would say older ones.

    Raises:
        AttributeValueError: it is to be local, or in the background.
    """
    _check_global(hook)
    if hook.background:
        raise AttributeValueError(
            f"{type(hook).__name__} says what was found out at the same event", expected="background=False", got="True"
        )


def check_name(owner: str, name: object) -> None:
    """Check what a hook is told to call a value.

    Raises:
        AttributeValueError: it cannot be a part of an identifier.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AttributeValueError(
            f"{owner}: this is no name", expected="text without blanks, dots and *?<>", got=repr(name)
        )


def position(now: Moment) -> str:
    """Where training stands, in words. An iteration is part of the epoch that is not finished yet."""
    epoch = now.epoch + 1 if now.scale is TimeScale.ITERATION else now.epoch
    return f"epoch {epoch}, iteration {now.iteration}"
