"""What is to be known about a processor: vector width, registers, which instructions it has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.dtypes import F64, DType


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor, as schedules see it.

    One without vectors is seen as if groups of its registers were some: LLVM takes the vectors apart again, which
    leaves loops of so many independent steps.

    Attributes:
        vector_bytes: width of a vector register.
        registers: how many of them there are.
        instructions: those that it has.
    """

    vector_bytes: int
    registers: int
    instructions: Instructions

    def lanes(self, dtype: DType) -> int:
        """Elements of a type in a vector register; narrow types count as 4 bytes, because they meet wider ones."""
        return self.vector_bytes // max(4, dtype.itemsize)

    def fuses(self, dtype: DType) -> bool:
        """Whether a product and a sum of the type are one instruction."""
        return dtype.is_float and (self.instructions.fma_f64 if dtype is F64 else self.instructions.fma)


_BARE = Instructions(fma=False, fma_f64=False, rounding=False, rounding_f64=False)

AVX512 = Machine(64, 32, Instructions())
AVX2 = Machine(32, 16, Instructions())
NEON = Machine(16, 32, Instructions(f16_casts=True))
BASELINE = Machine(16, 16, _BARE)
SIMD128 = Machine(16, 16, replace(_BARE, rounding=True, rounding_f64=True))  # the engine's machine has 16 or 32
SCALAR = Machine(16, 8, Instructions())  # 32 registers, four to a group
CORTEX_M7 = SCALAR
CORTEX_M4 = Machine(16, 8, Instructions(fma_f64=False, rounding=False, rounding_f64=False, f64=False))


def machine_of(triple: str, features: str, cpu: str = "") -> Machine:
    """The machine behind an LLVM target triple, feature string and processor."""
    architecture = triple.partition("-")[0]
    if architecture in ("aarch64", "arm64"):
        return NEON
    if architecture == "wasm32":
        return SIMD128
    if architecture == "riscv64":
        return SCALAR
    if architecture.startswith("thumb"):
        return CORTEX_M7 if cpu == "cortex-m7" else CORTEX_M4
    return _x86(features)


def _x86(features: str) -> Machine:
    enabled: set[str] = set()
    for feature in filter(None, features.split(",")):
        (enabled.add if feature[0] == "+" else enabled.discard)(feature[1:])
    machine = AVX512 if "avx512f" in enabled else AVX2 if {"avx2", "fma"} <= enabled else BASELINE
    has = replace(machine.instructions, f16_casts="f16c" in enabled)
    if machine is BASELINE and not enabled.isdisjoint(("sse4.1", "sse4.2", "avx", "avx2")):
        has = replace(has, rounding=True, rounding_f64=True)
    return replace(machine, instructions=has)
