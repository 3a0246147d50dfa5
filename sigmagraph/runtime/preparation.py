"""Keeps what parameters alone decide up to date: it is computed again when one of them may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.state import Variable

_VERSION = attrgetter("version")
_NEVER = -1


class Runs(Protocol):
    """A program without inputs and results."""

    variables: tuple[Variable, ...]

    def run(self, arrays: list[Any], /) -> object:
        """Run it on no arrays."""
        ...


class Preparation:
    """What is done ahead of calls.

    Args:
        program: writes what is kept.
        sources: the parameters that it reads.
    """

    def __init__(self, program: Runs, sources: Sequence[Variable]) -> None:
        self.program = program
        self.sources = tuple(sources)
        self.kept = tuple(v for v in program.variables if v not in self.sources)
        self._state = _NEVER

    def refresh(self) -> None:
        """Run the program if a source may have changed since it ran; calls must not overlap.

        While somebody holds the live array of a source nobody knows when it changes, and the program runs every time.
        """
        state = sum(map(_VERSION, self.sources))  # versions only grow
        if state != self._state:
            self.program.run([])
            counters().preparations += 1
            self._state = _NEVER if any(source.held for source in self.sources) else state
