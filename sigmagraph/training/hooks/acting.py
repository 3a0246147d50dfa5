"""What hooks have in common that act on a training as a whole: they fire once for all workers, while nothing runs."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.hook import Hook

# Priorities. What ends training comes after those that look and report; then what changes values, so that all before it
# have seen the same network; then what goes back; and what writes everything down comes last.
LATE = 10_000
CHANGING = 15_000
GOING_BACK = 20_000
LAST = 1_000_000


@dataclass(frozen=True)
class ActingHook(Hook):
    """A hook that changes the course of training, or writes it down; arguments as those of :class:`Hook`.

    Raises:
        AttributeValueError: it is to be local, or in the background; or as for :class:`Hook`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scope != "global":
            raise AttributeValueError(
                f"{type(self).__name__} acts on all workers at once", expected="scope='global'", got=repr(self.scope)
            )
        if self.background:
            raise AttributeValueError(
                f"{type(self).__name__} cannot run beside training", expected="background=False", got="True"
            )
