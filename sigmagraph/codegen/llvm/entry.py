"""Writes the one entry point of a program, which runs its kernels in order, and its constants.

The entry point is ``i32 NAME(arena, params, dims, inputs, outputs, pool)``: the arena's address, tables of addresses,
the table of dims, and a pool or null. It returns 0, or the number of the check that failed. A pool is a struct whose
first field is the address of ``void run(pool, function, context, iterations, grain, scratch, stride)``, which calls
``function(context, low, high, scratch of the thread)`` until all iterations are done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.llvm.copying import COPY
from sigmagraph.codegen.llvm.emit import KernelCode, Phase
from sigmagraph.codegen.llvm.function import Function
from sigmagraph.codegen.llvm.types import Register
from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Step, align, flat_steps

_TABLES = ("arena", "params", "dims", "inputs", "outputs", "pool")
PARALLEL_COST = 60_000  # rough instructions below which waking a thread costs more than it saves


def emit_entry(
    plan: Plan,
    codes: Mapping[str, KernelCode],
    constants: Sequence[bytes],
    declarations: dict[str, str],
    copying: str,
    *,
    pooled: bool = True,
) -> str:
    """The entry point of a program and its constants.

    Args:
        plan: the program; its entry point is called like it.
        codes: its kernels, by name.
        constants: contents of its array constants.
        declarations: takes up the functions that it calls, by name.
        copying: the function that copies bytes.
        pooled: whether it can run on several threads; the pool must be null where it cannot.
    """
    entry = _Entry(plan, codes, declarations, copying, pooled).text()
    data = [
        f'@constant{n} = internal constant [{len(b)} x i8] c"{_escaped(b)}", align 64' for n, b in enumerate(constants)
    ]
    return "\n".join([*data, entry])


def _places(step: Step) -> tuple[Place, ...]:
    match step:
        case Launch(_, places, _):
            return places
        case Copy(source, target, _):
            return (source, target)
        case Branch(condition, _, _) | Check(condition, _):
            return (condition,)
        case _:
            return ()


def _escaped(data: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:02X}" for b in data)


class _Entry:
    def __init__(
        self, plan: Plan, codes: Mapping[str, KernelCode], declarations: dict[str, str], copying: str, pooled: bool
    ) -> None:
        self.plan = plan
        self.copying = copying
        self.pooled = pooled
        self.codes = codes
        self.function = Function(declarations)
        self.pointers: dict[tuple[str, int], str] = {}
        self.checks = 0

    def text(self) -> str:
        f = self.function
        for number, dim in enumerate(self.plan.dims):
            slot = f.pure(f"getelementptr i64, ptr %dims, i64 {number}")
            f.bind(dim, Register(f.define(f"load i64, ptr {slot}", "dim"), I64))
        offsets = self.plan.offsets()
        self.offsets = offsets
        self.scratch = self._at_arena(offsets[-1])
        words = max(
            (len(s.places) + len(s.dims) for s in flat_steps(self.plan.steps) if isinstance(s, Launch)), default=0
        )
        self.context = f.define(f"alloca [{max(1, words)} x i64], align 64", "context")
        self._load_pointers()
        self._steps(self.plan.steps)
        f.line("ret i32 0")
        head = f"define i32 @{self.plan.name}({', '.join(f'ptr %{name}' for name in _TABLES)}) #0 {{"
        return "\n".join([head, "entry:", *f.leave().lines, "}"])

    def _at_arena(self, offset: Size) -> str:
        f = self.function
        return f.pure(f"getelementptr i8, ptr %arena, {f.size(offset)}")

    def _load_pointers(self) -> None:
        """The addresses in the tables, loaded outside all loops."""
        f = self.function
        for place in (p for step in flat_steps(self.plan.steps) for p in _places(step)):
            table = (place.space, place.index)
            if place.space in ("param", "input", "output") and table not in self.pointers:
                slot = f.pure(f"getelementptr ptr, ptr %{place.space}s, i64 {place.index}")
                self.pointers[table] = f.define(f"load ptr, ptr {slot}", place.space)

    def _pointer(self, place: Place) -> str:
        f = self.function
        if place.space == "slot" and place.offset == 0:
            if ("slot", place.index) not in self.pointers:
                self.pointers["slot", place.index] = self._at_arena(self.offsets[place.index])
            return self.pointers["slot", place.index]
        if place.space == "slot":
            return self._at_arena(self.offsets[place.index] + place.offset)
        base = f"@constant{place.index}" if place.space == "constant" else self.pointers[place.space, place.index]
        return base if place.offset == 0 else f.pure(f"getelementptr i8, ptr {base}, {f.size(place.offset)}")

    def _steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Launch():
                    self._launch(step)
                case Copy():
                    self._copy(step)
                case Loop():
                    self._loop(step)
                case Branch():
                    self._branch(step)
                case Check():
                    self._check(step)

    def _loop(self, step: Loop) -> None:
        f = self.function
        f.loop(step.turn, "0", f.size(step.extent).name, lambda: self._steps(step.steps))

    def _check(self, step: Check) -> None:
        f = self.function
        self.checks += 1
        number = f.fresh("")[1:]
        f.line(f"br {self._holds(step.condition)}, label %right{number}, label %wrong{number}")
        f.label(f"wrong{number}")
        f.line(f"ret i32 {self.checks}")
        f.label(f"right{number}")

    def _holds(self, place: Place) -> Register:
        f = self.function
        byte = f.define(f"load i8, ptr {self._pointer(place)}", "condition")
        return Register(f.define(f"icmp ne i8 {byte}, 0", "holds"), BOOL)

    def _branch(self, step: Branch) -> None:
        f = self.function
        test = self._holds(step.condition)
        f.branch(test, lambda: self._steps(step.then), lambda: self._steps(step.orelse))

    def _copy(self, step: Copy) -> None:
        f = self.function
        f.declarations[COPY] = self.copying
        target, source = self._pointer(step.target), self._pointer(step.source)
        f.line(f"call void @{COPY}(ptr {target}, ptr {source}, {f.size(step.bytes)})")

    def _launch(self, step: Launch) -> None:
        f = self.function
        for number, place in enumerate(step.places):
            self._word(number, f"ptr {self._pointer(place)}")
        for number, dim in enumerate(step.dims, len(step.places)):
            self._word(number, str(f.lookup(dim)))
        for phase in self.codes[step.kernel].phases:
            self._phase(phase)

    def _word(self, number: int, value: str) -> None:
        f = self.function
        slot = f.pure(f"getelementptr i64, ptr {self.context}, i64 {number}")
        f.line(f"store {value}, ptr {slot}")

    def _phase(self, phase: Phase) -> None:
        f = self.function
        f.declarations[phase.symbol] = f"declare void @{phase.symbol}(ptr, i64, i64, ptr)"
        count = f.size(phase.extent)
        serial = f"call void @{phase.symbol}(ptr {self.context}, i64 0, {count}, ptr {self.scratch})"
        if phase.cost is None or not self.pooled:
            f.line(serial)
            return
        work = f.size(phase.cost * phase.extent)
        stride = f.size(align(self.plan.scratch))
        number = f.fresh("")[1:]
        pooled = f.pure("icmp ne ptr %pool, null")
        enough = f.pure(f"icmp sgt {work}, {PARALLEL_COST}")
        several = f.pure(f"icmp sgt {count}, 1")
        both = f.pure(f"and i1 {pooled}, {enough}")
        test = f.pure(f"and i1 {both}, {several}")
        f.line(f"br i1 {test}, label %pool{number}, label %alone{number}")
        f.label(f"pool{number}")
        # Not through `pure`: the pool may only be read where it is not null.
        f.line(f"%run{number} = load ptr, ptr %pool")
        f.line(
            f"call void %run{number}(ptr %pool, ptr @{phase.symbol}, ptr {self.context}, {count}, i64 1, "
            f"ptr {self.scratch}, {stride})"
        )
        f.line(f"br label %done{number}")
        f.label(f"alone{number}")
        f.line(serial)
        f.line(f"br label %done{number}")
        f.label(f"done{number}")
