"""Eager PyTorch as a peer, images in the better of its two layouts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.peers import torch_programs
from benchmarks.peers.program import Program
from benchmarks.workloads import Operation, Workload

version = torch_programs.version

_TRIALS = 4  # steps of each layout; the first one does not count
LAYOUTS: Mapping[str, Any] = MappingProxyType(
    {"": torch.contiguous_format, "channels first": torch.contiguous_format, "channels last": torch.channels_last}
)


def has(_: Workload) -> bool:
    """All of them."""
    return True


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads."""
    torch.set_num_threads(threads)
    return program_in(workload, better_layout(workload))


def better_layout(workload: Workload, device: str = "cpu") -> str:
    """The layout in which a few steps take less; empty where there are no images."""
    if not _images(workload):
        return ""
    return min(filter(None, LAYOUTS), key=lambda name: _seconds(program_in(workload, name, device)))


def program_in(workload: Workload, layout: str, device: str = "cpu") -> Program:
    """The workload with images in a layout of :data:`LAYOUTS`, which the program notes."""
    return torch_programs.program(workload, lambda function: function, LAYOUTS[layout], layout, device)


def _images(workload: Workload) -> bool:
    if isinstance(workload, Operation):
        return workload.kind == "convolution"
    return len(workload.network.shape) == 3


def _seconds(program: Program) -> float:
    """The shortest step of a few."""
    times = []
    for _ in range(_TRIALS):
        begin = time.perf_counter()
        program.step()
        program.finish()
        times.append(time.perf_counter() - begin)
    return min(times[1:])
