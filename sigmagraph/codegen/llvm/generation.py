"""Makes the code of a program: a module for each kernel, for each callee and for the entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from sigmagraph.codegen.backend import Code
from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Processor
from sigmagraph.codegen.llvm.copying import copy_text
from sigmagraph.codegen.llvm.emit import KernelCode, emit_callee, emit_kernel
from sigmagraph.codegen.llvm.entry import emit_entry
from sigmagraph.codegen.llvm.units import Units
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.plan import Plan


class Modules:
    """Writes the modules of a program.

    Args:
        processor: what code is written for.
        add: takes each module's text.
        pooled: whether entry points can run on several threads.
    """

    def __init__(self, processor: Processor, add: Callable[[str], None], *, pooled: bool = True) -> None:
        self._processor = processor
        self._add = add
        self._pooled = pooled
        self._codes: dict[str, KernelCode] = {}
        self._callees: dict[str, Kernel] = {}

    def begin(self, kernel: Kernel) -> None:
        """Write its module, and those of its callees if they are new."""
        for callee in kernel.callees:
            self._callee(callee)
        declarations: dict[str, str] = {}
        self._codes[kernel.name] = code = emit_kernel(kernel, declarations)
        self._write(code.text, declarations)

    def _callee(self, callee: Kernel) -> None:
        known = self._callees.get(callee.name)
        if known is None:
            declarations: dict[str, str] = {}
            self._callees[callee.name] = callee
            self._write(emit_callee(callee, declarations), declarations)
        elif known is not callee and known != callee:
            raise CompileError(f"two different kernels are called '@{callee.name}'")

    def enter(self, plan: Plan, kernels: Sequence[Kernel], constants: Sequence[bytes]) -> Plan:
        """Write the module of an entry point, and those of kernels that were not begun."""
        for kernel in kernels:
            if kernel.name not in self._codes:
                self.begin(kernel)
        declarations: dict[str, str] = {}
        copying = copy_text(self._processor)
        entry = emit_entry(plan, self._codes, constants, declarations, copying, pooled=self._pooled)
        self._write(entry, declarations)
        return plan

    def _write(self, text: str, declarations: Mapping[str, str]) -> None:
        self._add(module_text(text, declarations, self._processor.attributes))


class Generation(Modules):
    """Code of a program in the making (see :class:`sigmagraph.codegen.backend.Generation` for what the methods do)."""

    def __init__(self, processor: Processor, listing: bool) -> None:
        super().__init__(processor, self._compile)
        self._listing = listing
        self._units = Units(processor, listing)
        self._texts: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._units.close()

    def finish(self) -> Code:
        """Wait for LLVM."""
        codes = self._units.codes()
        listings = {
            "program.ll": "\n".join(self._texts),
            "program.opt.ll": "\n".join(c.optimised for c in codes),
            "program.s": "\n".join(c.assembly for c in codes),
        }
        return Code(pack(c.object for c in codes), listings if self._listing else {})

    def _compile(self, text: str) -> None:
        self._texts.append(text)
        self._units.add(text)


def module_text(functions: str, declarations: Mapping[str, str], attributes: str) -> str:
    """A module: what its functions need, the functions, and what is said about all of them."""
    needed = (declarations[name] for name in sorted(declarations))
    return "\n".join([*needed, functions, f"attributes #0 = {{ {attributes} }}", ""])
