"""What is known about the machine that a run took place on."""

from __future__ import annotations

import os
import platform
import re
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        _processor(), cores, f"{platform.system()} {platform.machine()}", platform.python_version(), np.__version__
    )


def busy_seconds() -> float | None:
    """Processor seconds that all of the machine has spent working since its start; None where nobody counts them."""
    counts = Path("/proc/stat")
    if not counts.exists():
        return None
    user, nice, system, _idle, _iowait, *interrupts = map(int, counts.read_text(encoding="utf-8").split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", listing.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()
