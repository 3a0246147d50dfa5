"""What this machine offers to programs: how many threads, how much memory, which processor."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sigmagraph.runtime.cuda import cuda_devices, probe

_CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


@dataclass(frozen=True, slots=True)
class Device:
    """A device that programs can be compiled for.

    Attributes:
        name: as a target is written.
        description: what it is.
        threads: how many threads of this process a program uses by default.
    """

    name: str
    description: str
    threads: int = 1


def devices() -> tuple[Device, ...]:
    """The devices of this machine, the processor first."""
    description = f"{platform.processor() or platform.machine()}, {platform.system()} {platform.machine()}"
    out = [Device("cpu", description, default_threads())]
    for found in cuda_devices():
        memory = f"{found.memory / (1 << 30):.1f} GiB, {found.processors} multiprocessors"
        out.append(Device(f"cuda:{found.number}", f"{found.name}, {found.arch}, {memory}"))
    return tuple(out)


def missing() -> tuple[str, ...]:
    """Of each kind of device that is not there, the reason."""
    found = probe()
    return () if found.ok else (f"cuda: {found.reason}",)


def default_threads(limit: int = 0) -> int:
    """min(processors this process may use, cgroup quota, limit if there is one); 1 where there are no pools."""
    if not has_threads():
        return 1
    counts = [_affinity()]
    quota = _quota()
    if quota:
        counts.append(quota)
    if limit:
        counts.append(limit)
    return max(1, min(counts))


def has_threads() -> bool:
    """Whether pools of threads can run here: they are written for POSIX threads, which Windows lacks."""
    return os.name == "posix"


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> int:
    """Processors that the control group allows, rounded up; 0 where there is no limit."""
    try:
        if _CGROUP_2.exists():
            quota, period = _CGROUP_2.read_text().split()
        else:
            quota, period = _CGROUP_1.read_text().strip(), _CGROUP_1_PERIOD.read_text().strip()
        return -(-int(quota) // int(period)) if int(quota) > 0 else 0
    except (OSError, ValueError):
        return 0  # no control group, or "max"
