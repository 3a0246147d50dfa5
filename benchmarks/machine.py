"""What is known about the machine that a run takes place on, and which of its cores are used."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the software that all peers share.

    Attributes:
        processor: as it calls itself.
        cores: that this process may use.
        system: operating system and architecture.
        python, numpy: versions.
    """

    processor: str
    cores: int
    system: str
    python: str
    numpy: str

    @property
    def slug(self) -> str:
        """A name for files."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.processor} {self.cores} cores".lower()).strip("-")


def describe() -> Machine:
    """The machine at hand."""
    system = f"{platform.system()} {platform.machine()}"
    return Machine(_processor(), cores(), system, platform.python_version(), np.__version__)


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Let processes that are started inside run on the first cores of this one only, one for each thread."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_seconds() -> float | None:
    """Seconds that the cores of this process have spent working since their start; None where nobody counts them."""
    counts = Path("/proc/stat")
    if not counts.exists():
        return None
    mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = (line.split() for line in counts.read_text(encoding="utf-8").splitlines())
    return sum(map(_busy, (numbers for name, *numbers in lines if name in mine))) / os.sysconf("SC_CLK_TCK")


def _busy(numbers: list[str]) -> int:
    user, nice, system, _idle, _iowait, *interrupts = map(int, numbers[:8])
    return user + nice + system + sum(interrupts)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", listing.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()
