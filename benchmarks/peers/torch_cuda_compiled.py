"""PyTorch through torch.compile on the first CUDA device: training steps and what memory limits, as CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch

from benchmarks.peers import torch_compiled, torch_cuda, torch_programs
from benchmarks.peers.program import Program
from benchmarks.worker import CHECKED_STEPS
from benchmarks.workloads import Operation, Workload

version = torch_cuda.version

# Without the search for the best matrix product, which takes minutes. What a graph is made of is written to the same
# memory every time, which is what sigmagraph does.
_MODES: Mapping[str, str] = MappingProxyType({"graphs": "reduce-overhead", "no graphs": "default"})


def has(workload: Workload) -> bool:
    """Training, without LSTMs, which it hands to eager PyTorch, and operations that memory limits."""
    if isinstance(workload, Operation):
        return bool(workload.bytes) and workload.kind != "adam"
    return torch_compiled.has(workload)


def program(workload: Workload, _threads: int, device: str = torch_cuda.DEVICE) -> Program:
    """The workload; its first steps compile it. Where PyTorch cannot make graphs of it the note says so."""
    try:
        return _program(workload, "graphs", device)
    except RuntimeError:
        return _program(workload, "no graphs", device)


def _program(workload: Workload, note: str, device: str) -> Program:
    torch_cuda.prepare(workload)
    torch.compiler.reset()
    made = torch_programs.program(
        workload, lambda f: torch.compile(f, dynamic=False, mode=_MODES[note]), torch.contiguous_format, note, device
    )
    begin = time.perf_counter()
    found = [made.certain() for _ in range(CHECKED_STEPS)]
    seconds = time.perf_counter() - begin
    for _ in range(3):  # where nothing is dropped it was another graph
        made.step()
    made.finish()
    return replace(made, certain=iter(found).__next__, compile_seconds=seconds)
