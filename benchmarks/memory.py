"""Memory of training steps: sigmagraph's by its plan, PyTorch's by what its allocator tells its profiler."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

from benchmarks.peers import sigma
from benchmarks.workloads import WORKLOADS, Training

ROOT = Path(__file__).resolve().parent.parent


class Row(TypedDict):
    """Bytes of both for a workload."""

    workload: str
    ours: int
    theirs: int


def training_rows() -> list[Row]:
    """All training workloads on one thread."""
    names = [name for name, workload in WORKLOADS.items() if isinstance(workload, Training)]
    return [
        {"workload": name, "ours": sigma.compiled(WORKLOADS[name], 1).memory, "theirs": in_process(name)}
        for name in names
    ]


def in_process(workload: str) -> int:
    """PyTorch's bytes, measured in a process of its own, so that the allocator holds nothing else."""
    command = [sys.executable, "-m", "benchmarks.memory", workload]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()[-1])


def allocated_by_torch(workload: Training) -> int:
    """The highest total of the CPU allocator during a step, after one that made the optimiser's memory."""
    import torch

    from benchmarks.peers import torch_eager

    program = torch_eager.program(workload, 1)
    program.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        program.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    totals: list[int] = [e["args"]["Total Allocated"] for e in events if e.get("name") == "[memory]"]
    return max(totals)


if __name__ == "__main__":
    wanted = WORKLOADS[sys.argv[1]]
    assert isinstance(wanted, Training)
    print(allocated_by_torch(wanted))
