"""Counts what happens in this process: compilations, cache hits, allocations, preparations, runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache


@dataclass(slots=True)
class Counters:
    """Numbers that only grow; tests compare them before and after, people read them in reports.

    Among the runs are those of preparations.
    """

    compilations: int = 0
    cache_hits: int = 0
    arena_allocations: int = 0
    result_allocations: int = 0
    preparations: int = 0
    runs: int = 0

    def since(self, earlier: Counters) -> Counters:
        """What was counted after a :func:`snapshot`."""
        before = asdict(earlier)
        return Counters(**{name: value - before[name] for name, value in asdict(self).items()})


@cache
def counters() -> Counters:
    """The counters of this process."""
    return Counters()


def snapshot() -> Counters:
    """A copy of the counters as they are now."""
    return Counters(**asdict(counters()))
