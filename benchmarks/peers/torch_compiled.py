"""PyTorch through torch.compile as a peer for training; it chooses the layout of images itself."""

from __future__ import annotations

import torch

from benchmarks.networks import LSTM
from benchmarks.peers import torch_programs
from benchmarks.peers.program import Program
from benchmarks.workloads import Training, Workload

version = torch_programs.version


def has(workload: Workload) -> bool:
    """Training: compiling takes long, and other peers predict faster. LSTMs it hands to eager PyTorch."""
    return isinstance(workload, Training) and not any(isinstance(layer, LSTM) for layer in workload.network.layers)


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads; the first step compiles it."""
    torch.set_num_threads(threads)
    torch.compiler.reset()
    return torch_programs.program(workload, lambda f: torch.compile(f, dynamic=False), torch.contiguous_format)
