"""Memory of training steps: sigmagraph's by its plan, PyTorch's by what its allocator tells its profiler."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from benchmarks.peers import sigma
from benchmarks.workloads import WORKLOADS, Training
from sigmagraph.dims import evaluate
from sigmagraph.options import CompileOptions
from sigmagraph.program import MemoryReport

OPTIONS = CompileOptions(cache=False)
ROOT = Path(__file__).resolve().parent.parent


class Row(TypedDict):
    """Bytes of both for a workload: ours, the state among them, ours with values computed again, theirs."""

    workload: str
    ours: int
    state: int
    remat: int
    theirs: int


def training_rows() -> list[Row]:
    """All training workloads on one thread."""
    names = [name for name, workload in WORKLOADS.items() if isinstance(workload, Training)]
    return [row(name) for name in names]


def row(workload: str) -> Row:
    """The bytes of a workload."""
    plain, remat = (sigma.compiled(WORKLOADS[workload], 1, replace(OPTIONS, remat=r)).report for r in (False, True))
    return {
        "workload": workload,
        "ours": planned(plain),
        "state": plain.state,
        "remat": planned(remat),
        "theirs": in_process(workload),
    }


def planned(report: MemoryReport) -> int:
    """Bytes of parameters, optimiser memory, states, arena and outputs."""
    return report.state + evaluate(report.arena, {}) + evaluate(report.outputs, {})


def in_process(workload: str) -> int:
    """PyTorch's bytes, measured in a process of its own, so that the allocator does nothing else."""
    command = [sys.executable, "-m", "benchmarks.memory", workload]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()[-1])


def allocated_by_torch(workload: Training) -> int:
    """Bytes of parameters, optimiser memory and states, and what the allocator adds to them at most during a step."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.peers import torch_eager, torch_programs

    layout = torch_eager.LAYOUTS[torch_eager.better_layout(workload)]
    made = torch_programs.trained(workload, lambda function: function, layout)
    made.step()  # makes the optimiser's memory
    memory = [value for state in made.optimiser.state.values() for value in state.values()]
    kept = [t for t in (*made.model.parameters(), *made.model.buffers(), *memory) if isinstance(t, torch.Tensor)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        made.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    added: list[int] = [e["args"]["Total Allocated"] for e in events if e.get("name") == "[memory]"]
    return int(sum(tensor.nbytes for tensor in kept) + max(added))


if __name__ == "__main__":
    wanted = WORKLOADS[sys.argv[1]]
    assert isinstance(wanted, Training)
    print(allocated_by_torch(wanted))
