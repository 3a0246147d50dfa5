"""Writes the statements and expressions of one function in CUDA C: a walk that decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sigmagraph.codegen.cuda.callees import BY_ELEMENT, prelude_function
from sigmagraph.codegen.cuda.index import Indices, Name, flat_index
from sigmagraph.codegen.cuda.lanes import Lanes
from sigmagraph.codegen.cuda.names import Names, function_name
from sigmagraph.codegen.cuda.scalar import WRITERS, bitcast, convert
from sigmagraph.codegen.cuda.types import BITS, CHOICE, COMPARISON, UNARY, Text, literal, memory_type, register_type
from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, I32, I64
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Index, Load, Var
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    Let,
    LoopKind,
    Space,
    Stmt,
    Store,
)

SMALL = 8  # loops of at most so many iterations are left to the compiler to unroll
_ALIGNMENT = 128


class Body:
    """Collects the lines of one function.

    Attributes:
        kernel: whose statements they are.
        unaligned: parameters that may lie where vectors cannot be loaded from.
        barrier: how threads wait for each other.
        names: what names are called.
        indices: writes index expressions.
        lines: so far.
        loaded: what stands for loads that have been carried out before.
        shared: bytes of shared memory.
        used: parameters and dims that occur.
    """

    def __init__(self, kernel: Kernel, unaligned: frozenset[str], barrier: str = "__syncthreads()") -> None:
        self.kernel = kernel
        self.unaligned = unaligned
        self.barrier = barrier
        self.names = Names()
        self.indices = Indices(self._name)
        self.lines: list[str] = []
        self.loaded: dict[Load, Text] = {}
        self.shared = 0
        self.used: dict[str, None] = {}
        self.buffers: dict[str, Buffer] = {}
        self._indent = 1
        self._values: dict[str, Text] = {}
        self._integers: dict[str, Name] = {}
        for param in kernel.params:
            self.buffers[param.name] = param
            self.names.of(param.name)
        for dim in kernel.dims:
            self._integers[dim] = Name(self.names.of(dim), nonnegative=True)

    # ---- lines and names

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append("  " * self._indent + text)

    @contextmanager
    def inside(self, head: str, tail: str = "}") -> Iterator[None]:
        """Lines that stand in braces, behind a head."""
        self.line(f"{head} {{" if head else "{")
        self._indent += 1
        yield
        self._indent -= 1
        self.line(tail)

    @contextmanager
    def aside(self, lines: list[str]) -> Iterator[None]:
        """Append lines somewhere else, one step further in."""
        before, self.lines = self.lines, lines
        self._indent += 1
        yield
        self._indent -= 1
        self.lines = before

    def bind(self, name: str, value: Text, index: Name) -> None:
        """Say what the value of a let is, and what it is in index expressions."""
        self._values[name] = value
        self._integers[name] = index

    def variable(self, name: str) -> str:
        """Bind a loop variable."""
        text = self.names.of(name)
        self._integers[name] = Name(text, nonnegative=True)
        return text

    def _name(self, name: str) -> Name:
        if name in self.kernel.dims:
            self.used[name] = None
        return self._integers[name]

    # ---- statements

    def block(self, block: Block) -> None:
        """Write statements."""
        for stmt in block:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        """Write a statement that stands inside of the loops over blocks and threads."""
        match stmt:
            case For(_, int() as extent, LoopKind.VECTORIZED, _) if extent > 1:
                Lanes(self, stmt).write()
            case For(_, _, LoopKind.SERIAL | LoopKind.UNROLLED | LoopKind.VECTORIZED, body):
                with self.loop(stmt):
                    self.block(body)
            case Let():
                self.let(stmt)
            case Store():
                self.store(stmt)
            case If(conditions, then, orelse):
                self.branch(conditions, then, orelse)
            case Alloc(buffer):
                self.alloc(buffer)
            case Barrier():
                self.line(f"{self.barrier};")
            case Call():
                self._call(stmt)
            case _:
                raise CompileError("no such statement stands there in a GPU kernel", got=stmt, node=self.kernel.name)

    @contextmanager
    def loop(self, stmt: For) -> Iterator[None]:
        """A loop, around what is written within."""
        extent = self.indices.size(stmt.extent)
        var = self.variable(stmt.var)
        first = f"{var} = 0"
        if stmt.kind is not LoopKind.SERIAL:
            self.line("#pragma unroll")
        elif stmt.extent > SMALL if isinstance(stmt.extent, int) else _is_unrolled(stmt.body):
            self.line("#pragma unroll 1")
        if not isinstance(stmt.extent, int) and not stmt.extent.is_name:
            end = self.names.fresh(f"{var}_end")
            first += f", {end} = {extent}"
            extent = Text(end)
        with self.inside(f"for (sg_index {first}; {var} < {extent}; ++{var})"):
            yield

    def branch(self, conditions: Sequence[Size], then: Block, orelse: Block) -> None:
        """Write both ways."""
        with self.inside(f"if ({self.indices.condition(conditions)})"):
            self.block(then)
        if orelse:
            self.lines.pop()
            with self.inside("} else"):
                self.block(orelse)

    def let(self, let: Let) -> None:
        """Declare a name for a value."""
        type, value, wide = self.typed(let.value)
        name = self.names.of(let.name)
        self.line(f"const {type} {name} = {value};")
        self.bind_let(let, Text(name), wide)

    def typed(self, expr: Expr) -> tuple[str, Text, bool]:
        """The type of a let of this value, its text, and whether the let is a 64-bit integer.

        Index expressions are of 32 bits where that is enough.
        """
        if isinstance(expr, Index) and not self.indices.is_wide(expr.value):
            return "sg_index", self.indices.size(expr.value), False
        return register_type(expr.dtype), self.expression(expr), expr.dtype is I64

    def bind_let(self, let: Let, name: Text, wide: bool) -> None:
        """Say what a let is called."""
        value = let.value
        narrow = value.dtype is I64 and not wide
        natural = isinstance(value, Index) and self.indices.nonnegative(value.value)
        shown = Text(f"(long long){name}", UNARY) if narrow else name
        self.bind(let.name, shown, Name(str(name), wide, natural))

    def store(self, store: Store) -> None:
        """Write an element, perhaps under a condition."""
        place = self.element(store.buffer, store.index)
        line = f"{place} = {self.expression(store.value)};"
        self.line(f"if ({self.indices.condition(store.guard)}) {line}" if store.guard else line)

    def alloc(self, buffer: Buffer) -> None:
        """Declare memory of a thread, or of a block."""
        self.buffers[buffer.name] = buffer
        name, type, size = self.names.of(buffer.name), memory_type(buffer.dtype), buffer.size
        if not isinstance(size, int):
            raise CompileError("the size of memory of a GPU kernel is not constant", got=f"{buffer.name}: {size}")
        if buffer.space is Space.LOCAL:
            self.line(f"{type} {name}[{max(size, 1)}];" if buffer.shape else f"{type} {name};")
        elif buffer.space is Space.SHARED:
            if not self.shared:
                self.line("SG_SHARED(sg_shared);")
            self.line(f"{type}* {name} = ({type}*)(sg_shared + {self.shared});")
            self.shared += -(-max(size, 1) * buffer.dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        else:
            raise CompileError("a GPU kernel has no such memory", got=f"{buffer.name}: {buffer.space.value}")

    def _call(self, call: Call) -> None:
        arguments = []
        for view in call.args:
            buffer = self.buffers[view.buffer]
            if self._is_variable(buffer):
                arguments.append(f"&{self.pointer(view.buffer)}")
            else:
                arguments.append(self.address(buffer, flat_index(buffer, view.index)))
        arguments += [str(self.indices.size(d)) for d in call.dims]
        name = prelude_function(call.kernel) or function_name(call.kernel)
        if call.kernel in BY_ELEMENT and any(view.buffer in self.unaligned for view in call.args):
            name += "_by_element"
        self.line(f"{name}({', '.join(arguments)});")

    # ---- memory

    def pointer(self, buffer: str) -> str:
        """What a buffer is called."""
        if any(p.name == buffer for p in self.kernel.params):
            self.used[buffer] = None
        return self.names.of(buffer)

    def address(self, buffer: Buffer, flat: Size) -> str:
        """The address of an element."""
        pointer = self.pointer(buffer.name)
        return pointer if flat == 0 else f"{pointer} + {self.indices.size(flat).within(BITS)}"

    def element(self, name: str, index: Sequence[Size]) -> Text:
        """An element as it lies in memory."""
        buffer, pointer = self.buffers[name], self.pointer(name)
        if self._is_variable(buffer):
            return Text(pointer)
        return Text(f"{pointer}[{self.indices.size(flat_index(buffer, index))}]")

    def _is_variable(self, buffer: Buffer) -> bool:
        return buffer.space is Space.LOCAL and not buffer.shape

    # ---- expressions

    def expression(self, expr: Expr) -> Text:
        """An expression, of exactly its type."""
        match expr:
            case Const(value, dtype):
                return literal(value, dtype)
            case Var(name, _):
                return self._values[name]
            case Index(value):
                return self.indices.value(value)
            case Load():
                return self._load(expr)
            case Cast(Index(size), dtype) if not self.indices.is_wide(size):
                return convert(self.indices.size(size), I32, dtype)
            case Cast(value, dtype):
                return convert(self.expression(value), value.dtype, dtype)
            case Bitcast(value, dtype):
                return bitcast(self.expression(value), value.dtype, dtype)
            case Apply(op, args, _):
                texts = [self.expression(a) for a in args]
                return WRITERS[op](texts, args[1 if op == "select" else 0].dtype)

    def _load(self, load: Load) -> Text:
        if load in self.loaded:
            return self.loaded[load]
        text = from_memory(self.element(load.buffer, load.index), load)
        if not load.guard:
            return text
        zero = literal(0, load.dtype)
        test = self.indices.condition(load.guard)
        return Text(f"{test.within(BITS)} ? {text.within(BITS)} : {zero.within(CHOICE)}", CHOICE)


def _is_unrolled(block: Block) -> bool:
    """Whether there is nothing but a loop that compilers unroll."""
    return len(block) == 1 and isinstance(block[0], For) and block[0].kind is LoopKind.UNROLLED


def from_memory(element: Text, load: Load) -> Text:
    """The value of an element in memory."""
    return Text(f"{element} != 0", COMPARISON) if load.dtype is BOOL else element
