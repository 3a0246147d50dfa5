"""What NVIDIA's data sheets say of a GPU for each architecture, and what that makes the least time of a work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPU as it is sold.

    Attributes:
        name: what it is called.
        source: which data sheet the figures are from.
        processors: multiprocessors that are enabled.
        bandwidth: of its memory, 10^9 bytes a second.
        teraflops: 10^12 operations a second, a multiply-add being two, without sparsity: ``f32`` outside of tensor
            cores, in them ``tf32`` and ``bf16`` (of T4, which has neither: float16). Where tensor cores lack a type,
            that of f32.
    """

    name: str
    source: str
    processors: int
    bandwidth: float
    teraflops: Mapping[str, float]

    def seconds(self, flops: float, bytes: float, kind: str) -> tuple[float, str]:
        """The least time of a work, and which of ``compute`` and ``memory`` is its limit."""
        compute, memory = flops / self.teraflops[kind] / 1e12, bytes / self.bandwidth / 1e9
        return max((compute, "compute"), (memory, "memory"))


CHIPS: Mapping[str, Chip] = MappingProxyType(
    {
        "sm_75": Chip(
            "T4",
            "NVIDIA T4 Tensor Core GPU, data sheet; Turing architecture white paper",
            40,
            320,
            {"f32": 8.1, "tf32": 8.1, "bf16": 65},
        ),
        "sm_80": Chip(
            "A100 80 GB SXM",
            "NVIDIA A100 Tensor Core GPU, data sheet; A100 architecture white paper",
            108,
            2039,
            {"f32": 19.5, "tf32": 156, "bf16": 312},
        ),
        "sm_90a": Chip(
            "H200 SXM",
            "NVIDIA H200 Tensor Core GPU, data sheet (halved where it counts sparsity); H100 architecture white paper",
            132,
            4800,
            {"f32": 67, "tf32": 494.5, "bf16": 989.5},
        ),
    }
)
