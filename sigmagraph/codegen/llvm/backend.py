"""The CPU as a target: schedules for its registers, code through LLVM."""

from __future__ import annotations

from sigmagraph.codegen.llvm.compile import Loaded, processor, version
from sigmagraph.codegen.llvm.generation import Generation
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import machine_of
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.options import Target


class CpuBackend:
    """A processor (see :class:`sigmagraph.codegen.backend.Backend` for what the methods do)."""

    concurrent = False
    again = None

    def __init__(self, target: Target) -> None:
        self.processor = processor(target)
        self.machine = machine_of(self.processor.triple, self.processor.features, self.processor.cpu)

    @property
    def key(self) -> str:
        """Triple, processor, features, and the version of LLVM."""
        return f"{self.processor} {version()}"

    @property
    def foreign(self) -> bool:
        """Whether the triple is another one than this process has."""
        return self.processor.foreign

    def schedule(self, work: Work) -> Kernel:
        """Choose a template."""
        return schedule(work, self.machine)

    def legalize(self, kernel: Kernel) -> Kernel:
        """Write a kernel in what the processor has."""
        return legalize(kernel, self.machine.instructions)

    def generation(self, listing: bool) -> Generation:
        """A module for every kernel, for every callee, and for the entry point."""
        return Generation(self.processor, listing)

    def load(self, code: bytes, symbols: tuple[str, ...]) -> Loaded:
        """Load object code into this process."""
        return Loaded(code, symbols, self.processor, symbols[0])
