"""What a peer makes of a workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Program:
    """A workload, ready to run.

    Attributes:
        step: runs it once and returns when the work is done.
        certain: the same without randomness; returns what is compared with other peers: the cost, or the product.
        compile_seconds: what it took to compile; 0 for peers that do not compile.
    """

    step: Callable[[], Any]
    certain: Callable[[], Any]
    compile_seconds: float = 0.0
