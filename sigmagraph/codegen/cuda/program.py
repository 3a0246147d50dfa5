"""Makes the code of a GPU program: one text of all its kernels, which is compiled at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Self

from sigmagraph.codegen.backend import Code
from sigmagraph.codegen.cuda.callees import prelude_function
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.emit import emit_callee
from sigmagraph.codegen.cuda.launcher import Launcher
from sigmagraph.codegen.cuda.relief import Compile, compile_with_room
from sigmagraph.codegen.cuda.report import resources_text
from sigmagraph.codegen.cuda.sass import HINT, Sass, find_disassembler, read_sass
from sigmagraph.codegen.cuda.warpgroup import of_warpgroups
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.launch import BRANCH, CHECK, COPY, DeviceCode, Launches, pack
from sigmagraph.ir.plan import Launch, Plan

_PRELUDE = ("common.cuh", "device.cuh", "warpgroup.cuh", "control.cuh")


class Generation:
    """Code of a program in the making (see :class:`sigmagraph.codegen.backend.Generation` for what the methods do).

    Args:
        arch: what it is compiled for, such as ``sm_80``.
        compile: compiles the text for it.
        listing: whether the code comes with its texts.
    """

    def __init__(self, arch: str, compile: Compile, listing: bool = False) -> None:
        self._arch = arch
        self._compile = compile
        self._listing = listing
        self._program = ""
        self._texts: dict[str, str] = {}  # by the name of the function
        self._callees: dict[str, Kernel] = {}
        self._table: list[str] = []
        self._plans: dict[str, Launches] = {}
        self._nodes: dict[str, str] = {}  # where they come from, by the name of the function

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, kernel: Kernel) -> None:
        """Nothing yet: the text of a kernel depends on the plan that launches it."""

    def enter(self, plan: Plan, kernels: Sequence[Kernel], constants: Sequence[bytes]) -> Plan:
        """Write the launches of a plan; those that do not depend on each other may become one."""
        for kernel in kernels:
            for callee in kernel.callees:
                self._callee(callee)
        launcher = Launcher(plan, kernels, self._add)
        steps = launcher.write()
        self._program = self._program or plan.name
        nodes = {symbol: text for symbol in launcher.grids if (text := self._nodes.get(symbol))}
        items = _items(plan, kernels, launcher.launches)
        self._plans[plan.name] = Launches(launcher.grids, tuple(constants), launcher.controlled, items, nodes)
        return replace(plan, steps=steps)

    def _callee(self, callee: Kernel) -> None:
        if of_warpgroups(callee.name) and not Chip.of(self._arch, narrow=False).groups:
            raise CompileError(
                "the GPU has no products of warpgroups", expected="cuda:sm_90a", got=self._arch, node=f"@{callee.name}"
            )
        if prelude_function(callee.name):
            return
        known = self._callees.setdefault(callee.name, callee)
        if known is callee and callee.name not in self._texts:
            self._add(callee.name, emit_callee(callee))
        elif known != callee:
            raise CompileError(f"two different kernels are called '@{callee.name}'")

    def _add(self, symbol: str, text: str, kernels: Sequence[Kernel] = ()) -> None:
        if symbol in self._texts or symbol in (COPY, CHECK, BRANCH):
            raise CompileError(f"two functions are called '{symbol}'", got=", ".join(f"@{k.name}" for k in kernels))
        self._texts[symbol] = text
        self._table.extend(_line(symbol, kernel) for kernel in kernels)
        self._nodes[symbol] = ", ".join(dict.fromkeys(filter(None, map(_nodes, kernels))))

    def text(self) -> str:
        """The whole text."""
        head = [f"// {self._program}: what its kernels compute", *self._table]
        return "\n".join(["\n".join(head), "", "typedef int sg_index;", "", *_prelude(), *self._texts.values()])

    def finish(self) -> Code:
        """Compile the text."""
        text, compiled = compile_with_room(self.text(), self._compile)
        code = pack(DeviceCode(self._arch, self._plans, compiled.cubin))
        return Code(code, self._listings(text, compiled) if self._listing else {})

    def _listings(self, text: str, compiled: Compiled) -> Mapping[str, str]:
        grids = [g for launches in self._plans.values() for found in launches.grids.values() for g in found]
        sass, why = _instructions(compiled.cubin)
        table = resources_text({self._arch: compiled.resources}, {g.symbol: (g.threads, g.shared) for g in grids}, sass)
        return {
            "program.cu": text,
            "program.ptx": compiled.ptx,
            "resources.txt": f"by {compiled.compiler}\n{table}{why}",
        }


def _instructions(cubin: bytes) -> tuple[Sequence[Sass], str]:
    """The instructions of kernels, and a note where they cannot be told."""
    if not find_disassembler():
        return (), f"\nThere is no disassembler here that could tell the instructions ({HINT}).\n"
    try:
        return read_sass(cubin), ""
    except CompileError as error:
        return (), f"\n{error}\n"


def _prelude() -> list[str]:
    folder = files("sigmagraph.codegen.cuda") / "prelude"
    return [(folder / name).read_text(encoding="utf-8") for name in _PRELUDE]


def _items(plan: Plan, kernels: Sequence[Kernel], launches: Sequence[Launch]) -> tuple[int, ...]:
    """The size of the smallest element that is read or written in each slot; 1 where nothing is."""
    params = {kernel.name: kernel.params for kernel in kernels}
    sizes: dict[int, int] = {}
    for launch in launches:
        for param, place in zip(params[launch.kernel], launch.places, strict=True):
            if place.space == "slot":
                size = param.dtype.itemsize
                sizes[place.index] = min(size, sizes.get(place.index, size))
    return tuple(sizes.get(number, 1) for number in range(len(plan.slots)))


def _line(symbol: str, kernel: Kernel) -> str:
    """Which nodes of the user's program a function carries out."""
    where = _nodes(kernel)
    return f"//   {symbol}: @{kernel.name}" + (f", {where}" if where else "")


def _nodes(kernel: Kernel) -> str:
    """Where the nodes of a kernel come from."""
    return ", ".join(dict.fromkeys(_place(str(p)) for p in kernel.provenance if p))


def _place(text: str) -> str:
    """A place on one line, which no backslash continues."""
    return " ".join(text.replace("\\", "/").split())
