"""What is to be known about a processor: vector width, registers, which instructions it has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sigmagraph.dtypes import DType


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor, as schedules see it.

    Attributes:
        vector_bytes: width of a vector register.
        registers: how many of them there are.
        fma: whether multiply-add is one instruction.
        f16_casts: whether conversions between f16 and f32 are instructions.
    """

    vector_bytes: int
    registers: int
    fma: bool
    f16_casts: bool = False

    def lanes(self, dtype: DType) -> int:
        """Elements of a type in a vector register; narrow types count as 4 bytes, because they meet wider ones."""
        return self.vector_bytes // max(4, dtype.itemsize)


AVX512 = Machine(64, 32, True)
AVX2 = Machine(32, 16, True)
NEON = Machine(16, 32, True, f16_casts=True)
BASELINE = Machine(16, 16, False)


def machine_of(triple: str, features: str) -> Machine:
    """The machine behind an LLVM target triple and feature string."""
    enabled = set(features.split(","))
    if triple.startswith(("aarch64", "arm64")):
        return NEON
    machine = AVX512 if "+avx512f" in enabled else AVX2 if {"+avx2", "+fma"} <= enabled else BASELINE
    return replace(machine, f16_casts="+f16c" in enabled)
