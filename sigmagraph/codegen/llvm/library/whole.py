"""Makes one object file of several programs and the functions around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.library.content import Content
from sigmagraph.codegen.library.parts import Layout, Part
from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.compile import Processor, processor
from sigmagraph.codegen.llvm.generation import Modules, module_text
from sigmagraph.codegen.llvm.library.calls import Calls
from sigmagraph.codegen.llvm.library.levels import level_text
from sigmagraph.codegen.llvm.library.options import more_texts
from sigmagraph.codegen.llvm.library.state import state_text
from sigmagraph.codegen.llvm.linked import Group, compile_linked
from sigmagraph.codegen.llvm.native.selftest import SELFTEST_ROUTINES
from sigmagraph.codegen.llvm.native.state_file import STATE_ROUTINES
from sigmagraph.codegen.llvm.native.threads import quota
from sigmagraph.codegen.llvm.native.translate import routines_text
from sigmagraph.codegen.llvm.pool import has_futexes
from sigmagraph.codegen.llvm.systems import system
from sigmagraph.errors import CompileError
from sigmagraph.ir.interface import Interface
from sigmagraph.ir.plan import Program
from sigmagraph.options import Target


class Library:
    """The code of a library in the making.

    Args:
        levels: the processors that there is code for, the least one first.
        pooled: whether programs can run on several threads.
    """

    def __init__(self, levels: Sequence[Processor], *, pooled: bool) -> None:
        self.levels = levels
        # Where there are levels, the functions around programs run before anybody knows what processor is at hand.
        least = processor(Target(triple=levels[0].triple))
        self.processor = least if least.has_levels else levels[0]
        self._pooled = pooled
        self._groups: list[Group] = []

    def modules(self, level: Processor) -> tuple[Modules, list[str]]:
        """What a program is written to that runs on a level of processors, and the texts that come of it."""
        texts: list[str] = []
        return Modules(level, texts.append, pooled=self._pooled), texts

    def add(self, program: Program, texts: Sequence[str]) -> None:
        """Take up a program that was written."""
        plans = [plan for plan in (program.main, program.ahead) if plan is not None]
        self._groups.append(Group(tuple(texts), tuple(plan.name for plan in plans)))

    def finish(self, interface: Interface, layout: Layout, parts: Sequence[Part], content: Content) -> bytes:
        """The object file.

        Raises:
            CompileError: LLVM refuses a module, or has no code for something in it.
            TargetError: LLVM does not know the processor.
        """
        text, contents = self._around(interface, layout, parts, content)
        exports = interface.symbols
        around = (text, *more_texts(interface.triple, interface.threads))
        groups = [*self._groups, Group(around, exports)]
        if self.processor.foreign:
            apart = Apart(self.processor)
            try:
                code = apart.compile_linked(groups, exports)
            finally:
                apart.close()
        else:
            code = compile_linked(groups, exports, self.processor)
        return _filled_in(code, contents)

    def _around(
        self, interface: Interface, layout: Layout, parts: Sequence[Part], content: Content
    ) -> tuple[str, dict[bytes, bytes]]:
        """The module of all functions that are no programs, and the contents of its large constants."""
        declarations: dict[str, str] = {}
        word = system(self.processor.triple).pointer_bits
        texts = []
        for function, part, placed in zip(interface.functions, parts, layout.placed, strict=True):
            outdates = _outdates(part, parts)
            texts.append(Calls(interface, function, part, placed, word, outdates, declarations).text())
        text, contents = state_text(interface, layout, parts, content, word, declarations)
        texts += [text, level_text(self.levels), routines_text(STATE_ROUTINES), routines_text(SELFTEST_ROUTINES)]
        if has_futexes(interface.triple) and interface.threads > 1:
            texts.append(routines_text((quota,)))
        return module_text("\n".join(texts), declarations, self.processor.attributes), contents


def _outdates(part: Part, parts: Sequence[Part]) -> bool:
    """Whether something is made ahead of what a part writes."""
    read = {
        other.stored.get(port.name)
        for other in parts
        for program in other.programs
        if program.ahead
        for port in program.ahead.params
    }
    return not read.isdisjoint(part.updates)


def _filled_in(code: bytes, contents: Mapping[bytes, bytes]) -> bytes:
    """An object file with the large constants in their places."""
    out = bytearray(code)
    for mark, data in contents.items():
        at = code.find(mark)
        if at < 0 or code.find(mark, at + 1) >= 0 or any(code[at + len(mark) : at + len(data)]):
            raise CompileError("there is no place for a constant in the object file", got=f"{len(data)} bytes")
        out[at : at + len(data)] = data
    return bytes(out)
