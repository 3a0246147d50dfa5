"""Eager PyTorch on the first CUDA device as a peer, images in the better of its two layouts."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.peers import torch_eager, torch_programs
from benchmarks.peers.program import Program
from benchmarks.workloads import Operation, Workload

has = torch_eager.has
DEVICE = "cuda"


def version() -> str:
    """Of PyTorch, its CUDA and its cuDNN.

    Raises:
        RuntimeError: it finds no CUDA device.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device")
    cudnn: Any = torch.backends.cudnn
    return f"{torch_programs.version()}, CUDA {torch.version.cuda}, cuDNN {cudnn.version()}"


def program(workload: Workload, _threads: int, device: str = DEVICE) -> Program:
    """The workload; a step returns at once."""
    prepare(workload)
    return torch_eager.program_in(workload, torch_eager.better_layout(workload, device), device)


def prepare(workload: Workload) -> None:
    """Let products of float32 be those of tf32, unless they have to be exact, and cuDNN look for its best way."""
    tf32 = not (isinstance(workload, Operation) and workload.exact)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
