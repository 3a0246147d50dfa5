"""Writes the functions of a library that run its programs: they look at what the host hands in, then call entry points.

Each function of the interface becomes ``NAME_F``, ``NAME_F_with`` and ``NAME_F_arena_size``, on top of functions that
nobody else sees: ``call.F.check(dims, size)``, ``call.F.run(values, head, arena, dims, inputs, outputs, pool)`` and,
where something is kept, ``call.F.prepare(values, level)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.library.parts import Part, Placed, largest_dim
from sigmagraph.codegen.llvm.function import Function as Writer
from sigmagraph.codegen.llvm.types import Register, literal, memory_type, register_type
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.ir.interface import Function, Interface, Status
from sigmagraph.ir.plan import ALIGNMENT, Plan, Port

# Fields of the head of a state: 0 model, 8 shift, 12 level, 16 whether what is kept is up to date.
# Fields of options, in words: 0 size, 1 bytes of the arena, 2 threads, 3 the host's parallel loop, 4 its context.


class Calls:
    """The functions of one part.

    Args:
        interface: of the library.
        function: the part as its host sees it.
        part: what it runs.
        placed: its programs by level.
        word: bits of a pointer.
        outdates: whether it writes something that what is kept was made of.
        declarations: takes up what the functions call, by name.
    """

    def __init__(
        self,
        interface: Interface,
        function: Function,
        part: Part,
        placed: Sequence[Placed],
        word: int,
        outdates: bool,
        declarations: dict[str, str],
    ) -> None:
        self.interface, self.function, self.part, self.placed = interface, function, part, placed
        self.word, self.outdates, self.declarations = word, outdates, declarations
        self.own = own_name(function.name)

    def text(self) -> str:
        """All of them."""
        made = [self._check(), self._arena_size(), self._run(), self._with(), self._plain()]
        for level, placed in enumerate(self.placed):
            made.append(self._level(level, placed))
            if placed.program.ahead:
                made.append(self._ahead(level, placed))
        return "\n".join(made)

    # ---- dims

    def _dims(self, f: Writer) -> str:
        """The arguments that are dims, bound to their names."""
        for number, dim in enumerate(self.function.dims):
            f.bind(dim, Register(f"%d{number}", I64))
        return ", ".join(f"i64 %d{n}" for n in range(len(self.function.dims)))

    def _check(self) -> str:
        """Whether the dims fit, and how large an arena they need."""
        f = Writer(self.declarations)
        dims = self._dims(f)
        most = largest_dim(self.function)
        for number in range(len(self.function.dims)):
            refuse_unless(f, f"icmp ule i64 %d{number}, {most}", Status.DIMS)
        for number, requirement in enumerate(self.function.requirements, self.function.first_error):
            left, right = f.size(requirement.left), f.size(requirement.right)
            refuse_unless(f, f"icmp {'eq' if requirement.relation == '==' else 'sge'} {left}, {right.name}", number)
        size = f.size(self.function.arena)
        if self.word < 64:
            for large in (self.function.arena, *(p.bytes for p in (*self.function.inputs, *self.function.outputs))):
                refuse_unless(f, f"icmp sle {f.size(large)}, {(1 << (self.word - 1)) - 1}", Status.DIMS)
        f.line(f"store {size}, ptr %size")
        f.line("ret i32 0")
        arguments = ", ".join(filter(None, (dims, "ptr %size")))
        return _define(f, f"define internal i32 @{self.own}.check({arguments})")

    def _arena_size(self) -> str:
        f = Writer(self.declarations)
        dims = self._dims(f)
        _local(f, "%size", "i64")
        self._call_check(f)
        f.line("%fits = icmp eq i32 %status, 0")
        f.line("%bytes = load i64, ptr %size")
        f.line("%known = select i1 %fits, i64 %bytes, i64 0")
        f.line(self._as_word("%result", "%known"))
        f.line(f"ret i{self.word} %result")
        return _define(f, f"define i{self.word} @{self._symbol('arena_size')}({dims})")

    def _call_check(self, f: Writer) -> None:
        f.line("store i64 0, ptr %size")
        arguments = [f"i64 %d{n}" for n in range(len(self.function.dims))]
        f.line(f"%status = call i32 @{self.own}.check({', '.join([*arguments, 'ptr %size'])})")

    def _as_word(self, target: str, source: str) -> str:
        return f"{target} = trunc i64 {source} to i32" if self.word < 64 else f"{target} = add i64 {source}, 0"

    def _symbol(self, suffix: str = "") -> str:
        return "_".join(filter(None, (self.interface.name, self.function.name, suffix)))

    # ---- what the host calls

    def _arguments(self) -> list[str]:
        """The arguments behind the options, as they are declared."""
        dims = [f"i64 %d{n}" for n in range(len(self.function.dims))]
        inputs = [f"{_passed(p)} %in{n}" for n, p in enumerate(self.function.inputs)]
        outputs = [f"ptr %out{n}" for n in range(len(self.function.outputs))]
        return ["ptr %state", "ptr %arena", *dims, *inputs, *outputs]

    def _plain(self) -> str:
        arguments = self._arguments()
        call = f"call i32 @{self._symbol('with')}({', '.join(['ptr null', *arguments])})"
        lines = [f"define signext i32 @{self._symbol()}({', '.join(arguments)}) #0 {{"]
        return "\n".join([*lines, f"  %status = {call}", "  ret i32 %status", "}"])

    def _with(self) -> str:
        f = Writer(self.declarations)
        self._dims(f)
        _local(f, "%size", "i64")
        _local(f, "%pool", "[8 x i64]")
        f.line("%found = call i32 @state.check(ptr %state)")
        f.line("%state.good = icmp eq i32 %found, 0")
        _return_unless(f, "%state.good", "%found")
        self._call_check(f)
        f.line("%dims.good = icmp eq i32 %status, 0")
        _return_unless(f, "%dims.good", "%status")
        refuse_unless(f, "icmp ne ptr %arena, null", Status.NULL)
        self._check_pointers(f)
        f.line("%needed = load i64, ptr %size")
        f.line("%opened = call i32 @options.open(ptr %options, i64 %needed, ptr %pool)")
        f.line("%options.good = icmp eq i32 %opened, 0")
        _return_unless(f, "%options.good", "%opened")
        tables = self._tables(f)
        f.line(f"%begin = call ptr @aligned(ptr %arena, i64 {ALIGNMENT})")
        f.line("%values = call ptr @state.values(ptr %state)")
        f.line(f"%result = call i32 @{self.own}.run(ptr %values, ptr %state, ptr %begin, {tables}, ptr %pool)")
        f.line("ret i32 %result")
        return _define(
            f, f"define signext i32 @{self._symbol('with')}({', '.join(['ptr %options', *self._arguments()])})"
        )

    def _check_pointers(self, f: Writer) -> None:
        """No pointer to something is null, and none is at an odd place."""
        ports = [(f"%in{n}", p) for n, p in enumerate(self.function.inputs) if p.shape]
        ports += [(f"%out{n}", p) for n, p in enumerate(self.function.outputs)]
        for number, (name, port) in enumerate(ports):
            if port.bytes == 0:
                continue
            f.line(f"%here{number} = icmp ne ptr {name}, null")
            if isinstance(port.bytes, int):
                refuse_unless(f, f"and i1 %here{number}, true", Status.NULL)
            else:
                empty = f.pure(f"icmp eq {f.size(port.bytes)}, 0")
                refuse_unless(f, f"or i1 %here{number}, {empty}", Status.NULL)
        for size in (2, 4, 8):
            names = [name for name, port in ports if port.dtype.itemsize == size]
            if not names:
                continue
            all_bits = "0"
            for name in names:
                bits = f.define(f"ptrtoint ptr {name} to i64")
                all_bits = f.define(f"or i64 {all_bits}, {bits}")
            low = f.define(f"and i64 {all_bits}, {size - 1}")
            refuse_unless(f, f"icmp eq i64 {low}, 0", Status.ALIGNMENT)

    def _tables(self, f: Writer) -> str:
        """The tables that entry points take, on the stack."""
        _local(f, "%dims", f"[{max(1, len(self.function.dims))} x i64]")
        for number in range(len(self.function.dims)):
            _put(f, "%dims", "i64", number, f"%d{number}")
        _local(f, "%inputs", f"[{max(1, len(self.part.main.inputs))} x ptr]")
        given = iter(range(len(self.function.inputs)))
        for number, port in enumerate(self.part.main.inputs):
            fixed = self.part.fixed.get(port.name)
            place = self._argument(f, port, next(given)) if fixed is None else self._constant(port, number, fixed)
            _put(f, "%inputs", "ptr", number, place)
        _local(f, "%outputs", f"[{max(1, len(self.function.outputs))} x ptr]")
        for number in range(len(self.function.outputs)):
            _put(f, "%outputs", "ptr", number, f"%out{number}")
        return "ptr %dims, ptr %inputs, ptr %outputs"

    def _constant(self, port: Port, number: int, value: float) -> str:
        """Where the value of an input lies that is not handed over."""
        name = f"fixed.{self.function.name}.{number}"
        self.declarations[name] = (
            f"@{name} = internal constant {register_type(port.dtype)} {literal(value, port.dtype)}"
        )
        return f"@{name}"

    def _argument(self, f: Writer, port: Port, number: int) -> str:
        """Where an input lies; one without axes was handed over by value."""
        if port.shape:
            return f"%in{number}"
        place = _local(f, f"%scalar{number}", memory_type(port.dtype))
        value = f"%in{number}"
        if port.dtype is BOOL:
            test = f.define(f"icmp ne i8 {value}, 0")
            value = f.define(f"zext i1 {test} to i8")
        f.line(f"store {memory_type(port.dtype)} {value}, ptr {place}")
        return place

    # ---- what runs

    def _run(self) -> str:
        """Run the program of the state's level, and take note of what it changed."""
        f = Writer(self.declarations)
        name, tables = self.own, "ptr %dims, ptr %inputs, ptr %outputs"
        f.line("%prepared.p = getelementptr i8, ptr %state, i64 16")
        f.line("%prepared = load i64, ptr %prepared.p")
        f.line("%used = call ptr @options.pool(ptr %pool)")
        self._by_level(
            f,
            f"(ptr %values, i64 %prepared, ptr %arena, {tables}, ptr %used)",
            [f"{name}.run{n}" for n, _ in enumerate(self.placed)],
        )
        f.line("%lost = call i32 @options.close(ptr %pool)")
        f.line("%complete = icmp eq i32 %lost, 0")
        _return_unless(f, "%complete", "%lost")
        f.line("%done = icmp eq i32 %ran, 0")
        first = self.function.first_error + len(self.function.requirements) - 1
        f.line(f"%error = add i32 %ran, {first}")
        _return_unless(f, "%done", "%error")
        if self.function.updates:
            if self.outdates:
                f.line("store i64 0, ptr %prepared.p")
            self._count(f)
        f.line("ret i32 0")
        return _define(f, f"define internal i32 @{name}.run(ptr %values, ptr %state, ptr %arena, {tables}, ptr %pool)")

    def _count(self, f: Writer) -> None:
        for stored in self.interface.stored:
            if stored.name == self.interface.counter:
                f.line(f"%counter.p = getelementptr i8, ptr %values, i64 {stored.offset}")
                f.line("%counter = load i64, ptr %counter.p")
                f.line("%counted = add i64 %counter, 1")
                f.line("store i64 %counted, ptr %counter.p")

    def _by_level(self, f: Writer, arguments: str, functions: Sequence[str]) -> None:
        """Call one of several functions; ``%ran`` is what it returns."""
        if len(functions) == 1:
            f.line(f"%ran = call i32 @{functions[0]}{arguments}")
            return
        f.line("%level.p = getelementptr i8, ptr %state, i64 12")
        f.line("%level = load i32, ptr %level.p")
        cases = " ".join(f"i32 {n}, label %level{n}" for n in range(1, len(functions)))
        f.line(f"switch i32 %level, label %level0 [ {cases} ]")
        for number, function in enumerate(functions):
            f.label(f"level{number}")
            f.line(f"%ran{number} = call i32 @{function}{arguments}")
            f.line("br label %levels")
        f.label("levels")
        f.line("%ran = phi i32 " + ", ".join(f"[ %ran{n}, %level{n} ]" for n in range(len(functions))))

    def _level(self, level: int, placed: Placed) -> str:
        """Call the entry point of a level with the addresses of its parameters."""
        f = Writer(self.declarations)
        plan, kept = placed.program.main, placed.kept()
        bases: dict[str, str] = {}
        if placed.stale:
            for number, dim in enumerate(plan.dims):
                slot = f.define(f"getelementptr i64, ptr %dims, i64 {number}")
                f.bind(dim, Register(f.define(f"load i64, ptr {slot}"), I64))
            self._refresh(f, placed, bases)
        params = _table(f, "%params", plan, placed.params, {name: bases[name] for name in kept if name in bases})
        self._declare(plan)
        tables = f"ptr {params}, ptr %dims, ptr %inputs, ptr %outputs"
        f.line(f"%status = call i32 @{plan.name}(ptr %arena, {tables}, ptr %pool)")
        f.line("ret i32 %status")
        return _define(
            f,
            f"define internal i32 @{self.own}.run{level}(ptr %values, i64 %prepared, ptr %arena, "
            "ptr %dims, ptr %inputs, ptr %outputs, ptr %pool)",
        )

    def _refresh(self, f: Writer, placed: Placed, bases: dict[str, str]) -> None:
        """Make what is kept anew, in the arena, if it is out of date; ``bases`` takes where it lies."""
        ahead = placed.program.ahead
        assert ahead is not None
        start = f.size(placed.kept_at)
        f.line(f"%kept = getelementptr i8, ptr %arena, {start}")
        f.line("%fresh = icmp ne i64 %prepared, 0")
        for number, (name, offset) in enumerate(placed.kept().items()):
            f.line(f"%old{number} = getelementptr i8, ptr %values, i64 {placed.params[name]}")
            f.line(f"%new{number} = getelementptr i8, ptr %kept, i64 {offset}")
            f.line(f"%kept{number} = select i1 %fresh, ptr %old{number}, ptr %new{number}")
            bases[name] = f"%kept{number}"
        f.line("br i1 %fresh, label %ready, label %refresh")
        f.label("refresh")
        table = _table(f, "%sources", ahead, placed.params, bases)
        f.line(f"%workspace = getelementptr i8, ptr %kept, i64 {placed.kept_bytes}")
        self._declare(ahead)
        f.line(
            f"%refreshed = call i32 @{ahead.name}(ptr %workspace, ptr {table}, ptr null, ptr null, ptr null, ptr null)"
        )
        f.line("br label %ready")
        f.label("ready")

    def _ahead(self, level: int, placed: Placed) -> str:
        """Make what is kept, in the state."""
        f = Writer(self.declarations)
        ahead = placed.program.ahead
        assert ahead is not None
        table = _table(f, "%params", ahead, placed.params, {})
        f.line(f"%arena = getelementptr i8, ptr %values, i64 {placed.workspace}")
        self._declare(ahead)
        f.line(f"%status = call i32 @{ahead.name}(ptr %arena, ptr {table}, ptr null, ptr null, ptr null, ptr null)")
        f.line("ret void")
        return _define(f, f"define internal void @{self.own}.prepare{level}(ptr %values)")

    def _declare(self, plan: Plan) -> None:
        self.declarations[plan.name] = f"declare i32 @{plan.name}(ptr, ptr, ptr, ptr, ptr, ptr)"


def own_name(function: str) -> str:
    """What the internal functions of a function begin with, whatever it is called."""
    return f"call.{function}"


def refuse_unless(f: Writer, test: str, status: int) -> None:
    """Return a status unless a test holds."""
    _return_unless(f, f.define(test, "holds"), str(int(status)))


def _return_unless(f: Writer, test: str, status: str) -> None:
    number = f.fresh("")[1:]
    f.line(f"br i1 {test}, label %good{number}, label %bad{number}")
    f.label(f"bad{number}")
    f.line(f"ret i32 {status}")
    f.label(f"good{number}")


def _table(f: Writer, name: str, plan: Plan, offsets: Mapping[str, int], elsewhere: Mapping[str, str]) -> str:
    """A table of the addresses of a plan's parameters, which lie among the values of the state or elsewhere."""
    _local(f, name, f"[{max(1, len(plan.params))} x ptr]")
    for number, port in enumerate(plan.params):
        at = elsewhere.get(port.name) or f.define(f"getelementptr i8, ptr %values, i64 {offsets[port.name]}")
        _put(f, name, "ptr", number, at)
    return name


def _local(f: Writer, name: str, type: str) -> str:
    """Memory on the stack, for as long as the function runs."""
    f.scopes[0].lines.insert(0, f"  {name} = alloca {type}, align 8")
    return name


def _put(f: Writer, table: str, type: str, number: int, value: str) -> None:
    slot = f.define(f"getelementptr {type}, ptr {table}, i64 {number}")
    f.line(f"store {type} {value}, ptr {slot}")


def _passed(port: Port) -> str:
    """The type by which an input is handed over."""
    return "ptr" if port.shape else memory_type(port.dtype)


def _define(f: Writer, head: str) -> str:
    return "\n".join([f"{head} #0 {{", "entry:", *f.leave().lines, "}"])
