"""Makes the code of a GPU program: one text of all its kernels, which is compiled at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Self

from sigmagraph.codegen.backend import Code
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.emit import emit_callee, emit_kernel
from sigmagraph.codegen.cuda.index import are_multiples
from sigmagraph.codegen.cuda.report import resources_text
from sigmagraph.codegen.cuda.sass import HINT, Sass, find_disassembler, read_sass
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.kernel import Kernel, Role
from sigmagraph.ir.launch import BRANCH, CHECK, COPY, DeviceCode, Grid, Launches, pack
from sigmagraph.ir.plan import Branch, Check, Launch, Place, Plan, flat_steps

_PRELUDE = ("common.cuh", "device.cuh", "control.cuh")
_VECTOR = 16  # what the addresses that vectors are loaded from are multiples of


Compile = Callable[[str], Compiled]


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
        self._texts: dict[str, str] = {}  # by the name of the kernel
        self._callees: dict[str, Kernel] = {}
        self._symbols: dict[str, str] = dict.fromkeys((COPY, CHECK, BRANCH), "")
        self._table: list[str] = []
        self._plans: dict[str, Launches] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, kernel: Kernel) -> None:
        """Nothing yet: the text of a kernel depends on the plan that launches it."""

    def enter(self, plan: Plan, kernels: Sequence[Kernel], constants: Sequence[bytes]) -> None:
        """Write the kernels of a plan."""
        steps = tuple(flat_steps(plan.steps))
        launches = [step for step in steps if isinstance(step, Launch)]
        controlled = any(isinstance(step, (Check, Branch)) for step in steps)
        grids: dict[str, tuple[Grid, ...]] = {}
        for kernel in kernels:
            for callee in kernel.callees:
                self._callee(callee)
            own = [step for step in launches if step.kernel == kernel.name]
            text, grids[kernel.name] = emit_kernel(
                kernel, alone(kernel, own), controlled, frozenset(_unaligned(kernel, own))
            )
            self._add(kernel.name, [grid.symbol for grid in grids[kernel.name]], text)
            self._table.extend(_lines(kernel, grids[kernel.name]))
        self._program = self._program or plan.name
        self._plans[plan.name] = Launches(grids, tuple(constants), controlled, _items(plan, kernels, launches))

    def _callee(self, callee: Kernel) -> None:
        known = self._callees.setdefault(callee.name, callee)
        if known is callee and callee.name not in self._texts:
            self._add(callee.name, [callee.name], emit_callee(callee))
        elif known != callee:
            raise CompileError(f"two different kernels are called '@{callee.name}'")

    def _add(self, kernel: str, symbols: Sequence[str], text: str) -> None:
        for symbol in symbols:
            if self._symbols.setdefault(symbol, kernel) != kernel or kernel in self._texts:
                raise CompileError(f"two functions are called '{symbol}'", got=f"@{self._symbols[symbol]}, @{kernel}")
        self._texts[kernel] = text

    def text(self) -> str:
        """The whole text."""
        head = [f"// {self._program}: what its kernels compute", *self._table]
        return "\n".join(["\n".join(head), "", "typedef int sg_index;", "", *_prelude(), *self._texts.values()])

    def finish(self) -> Code:
        """Compile the text."""
        text = self.text()
        compiled = self._compile(text)
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


def alone(kernel: Kernel, launches: Sequence[Launch]) -> frozenset[str]:
    """The parameters that share memory, in no launch, with another one of which either is written."""
    shared: dict[str, None] = {}
    for launch in launches:
        for a, at in zip(kernel.params, launch.places, strict=True):
            for b, there in zip(kernel.params, launch.places, strict=True):
                written = a.role is not Role.IN or b.role is not Role.IN
                if a is not b and written and (at.space, at.index) == (there.space, there.index):
                    shared[a.name] = None
    return frozenset(p.name for p in kernel.params if p.name not in shared)


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


def _unaligned(kernel: Kernel, launches: Sequence[Launch]) -> list[str]:
    """The parameters that may begin in the midst of a vector."""
    places: list[tuple[str, Place]] = [
        (p.name, place) for step in launches for p, place in zip(kernel.params, step.places, strict=True)
    ]
    return [name for name, place in places if not are_multiples(place.offset, _VECTOR)]


def _lines(kernel: Kernel, grids: Sequence[Grid]) -> list[str]:
    """Which function carries out which nodes of the user's program."""
    where = ", ".join(dict.fromkeys(_place(str(p)) for p in kernel.provenance if p))
    return [f"//   {grid.symbol}: @{kernel.name}" + (f", {where}" if where else "") for grid in grids]


def _place(text: str) -> str:
    """A place on one line, which no backslash continues."""
    return " ".join(text.replace("\\", "/").split())
