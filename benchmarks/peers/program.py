"""What a peer makes of a workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.networks import Array


@dataclass(frozen=True, slots=True)
class Program:
    """A workload, ready to run.

    Attributes:
        step: runs it once and returns when the work is done; on devices that work by themselves when it is asked for.
        certain: the same without randomness; returns what is compared with other peers: the cost of a training step,
            or all results, images with channels last.
        compile_seconds: what it took to compile; 0 for peers that do not compile.
        note: what was chosen, such as a layout.
        memory: bytes that the program says it needs, parameters included; 0 if it does not say.
        finish: returns when the work of all steps is done.
        kernels: of programs for devices what is launched in a step and nothing else; like a step.
    """

    step: Callable[[], Any]
    certain: Callable[[], Sequence[Array]]
    compile_seconds: float = 0.0
    note: str = ""
    memory: int = 0
    finish: Callable[[], Any] = lambda: None
    kernels: Callable[[], Any] | None = None
