"""The workloads as programs of sigmagraph in fast mode, as far as that makes other programs of them."""

from __future__ import annotations

from benchmarks.peers import sigma
from benchmarks.peers.program import Program
from benchmarks.workloads import Workload
from sigmagraph.options import CompileOptions
from sigmagraph.passes.pipelines import FAST

_FAST = CompileOptions(cache=False, fast=True)
version = sigma.version


def has(workload: Workload) -> bool:
    """Those of which a pass of fast mode makes something."""
    passes = {p.name for p in FAST}
    made = sigma.compiled(workload, 1, _FAST).function
    return any(step.hits for step in made.passes().steps if step.name in passes)


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads."""
    return sigma.program(workload, threads, _FAST)
