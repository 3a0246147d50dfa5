"""The CPU as a target: schedules for its registers, code through LLVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.backend import Code
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor, version
from sigmagraph.codegen.llvm.entry import emit_module
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import machine_of
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.plan import Plan
from sigmagraph.options import Target


class CpuBackend:
    """A processor (see :class:`sigmagraph.codegen.backend.Backend` for what the methods do)."""

    def __init__(self, target: Target) -> None:
        self.processor = processor(target)
        self.machine = machine_of(self.processor.triple, self.processor.features)

    @property
    def key(self) -> str:
        """Triple, processor, features, and the version of LLVM."""
        return f"{self.processor} {version()}"

    def schedule(self, work: Work) -> Kernel:
        """Choose a template."""
        return schedule(work, self.machine)

    def legalize(self, kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
        """Write kernels in what the processor has."""
        return legalize(kernels, self.machine.f16_casts)

    def generate(self, plan: Plan, kernels: Mapping[str, Kernel], constants: Sequence[bytes], listing: bool) -> Code:
        """LLVM IR, and the object code that LLVM makes of it."""
        text = emit_module(plan, kernels, constants, self.processor.attributes)
        code = compile_module(text, self.processor, listing)
        texts = {"program.ll": text, "program.opt.ll": code.optimised, "program.s": code.assembly}
        return Code(code.object, texts if listing else {})

    def load(self, code: bytes, symbols: tuple[str, ...]) -> Loaded:
        """Load object code into this process."""
        return Loaded(code, symbols, self.processor, symbols[0])
