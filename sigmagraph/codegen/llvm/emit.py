"""Writes legal kernels as LLVM IR: a walk over statements and expressions that decides nothing.

A kernel becomes one function per *phase*: each parallel loop at its top level is a phase that runs a range of
iterations, and the statements between two parallel loops are a phase that runs once. A callee becomes a plain function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sigmagraph.codegen.llvm.cost import cost
from sigmagraph.codegen.llvm.function import Function
from sigmagraph.codegen.llvm.scalar import EMITTERS, convert, suffix
from sigmagraph.codegen.llvm.types import Register, literal, memory_type, register_type
from sigmagraph.dims import Size, product, substitute
from sigmagraph.dtypes import BOOL, I64, DType
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Index, Load, Var
from sigmagraph.ir.kernel.kernel import (
    Alloc,
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
from sigmagraph.ir.plan import align

STACK_LIMIT = 64 * 1024
ZEROS = 512


@dataclass(frozen=True, slots=True)
class Phase:
    """A function that runs part of a kernel: ``f(context, low, high, scratch)``.

    Attributes:
        symbol: its name in the module.
        extent: number of iterations, an expression of the kernel's dims; 1 for a serial phase.
        cost: instructions of an iteration, if iterations may run at the same time; None for a serial phase.
    """

    symbol: str
    extent: Size
    cost: Size | None


@dataclass(frozen=True, slots=True)
class KernelCode:
    """A kernel's text and its phases, in order."""

    text: str
    phases: tuple[Phase, ...]


def emit_kernel(kernel: Kernel, declarations: dict[str, str]) -> KernelCode:
    """The functions of a kernel. Intrinsics that they use are added to ``declarations``."""
    texts: list[str] = []
    phases: list[Phase] = []
    for number, (loop, block) in enumerate(_split_phases(kernel.body)):
        symbol = f"{kernel.name}.p{number}"
        writer = _KernelWriter(kernel, declarations)
        texts.append(writer.phase(symbol, loop, block))
        phases.append(Phase(symbol, loop.extent, cost(block, kernel.callees)) if loop else Phase(symbol, 1, None))
    return KernelCode("\n".join(texts), tuple(phases))


def emit_callee(kernel: Kernel, declarations: dict[str, str]) -> str:
    """The plain function of a kernel that others call."""
    return _KernelWriter(kernel, declarations).callee()


def _split_phases(body: Block) -> list[tuple[For | None, Block]]:
    phases: list[tuple[For | None, Block]] = []
    serial: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL:
            if serial:
                phases.append((None, tuple(serial)))
                serial = []
            phases.append((stmt, stmt.body))
        else:
            serial.append(stmt)
    if serial:
        phases.append((None, tuple(serial)))
    return phases


class _KernelWriter:
    def __init__(self, kernel: Kernel, declarations: dict[str, str]) -> None:
        self.kernel = kernel
        self.function = Function(declarations)
        self.buffers: dict[str, tuple[Buffer, str]] = {}
        self.scratch: Size = 0

    # ---- functions

    def phase(self, symbol: str, loop: For | None, block: Block) -> str:
        f = self.function
        for number, buffer in enumerate(self.kernel.params):
            slot = f.pure(f"getelementptr i64, ptr %context, i64 {number}")
            self.buffers[buffer.name] = (buffer, f.define(f"load ptr, ptr {slot}", "b"))
        for number, dim in enumerate(self.kernel.dims, len(self.kernel.params)):
            slot = f.pure(f"getelementptr i64, ptr %context, i64 {number}")
            f.bind(dim, Register(f.define(f"load i64, ptr {slot}", "d"), I64))
        if loop is None:
            self.block(block)
        else:
            self.function.loop(loop.var, "%low", "%high", lambda: self.block(loop.body))
        return self._finish(f"define void @{symbol}(ptr %context, i64 %low, i64 %high, ptr %scratch) #0")

    def callee(self) -> str:
        arguments = []
        for number, dim in enumerate(self.kernel.dims):
            arguments.append(f"i64 %d.{number}")
            self.function.bind(dim, Register(f"%d.{number}", I64))
        for number, buffer in enumerate(self.kernel.params):
            arguments.append(f"ptr noalias %b.{number}")
            self.buffers[buffer.name] = (buffer, f"%b.{number}")
        self.block(self.kernel.body)
        return self._finish(f"define void @{self.kernel.name}({', '.join(arguments)}) #0")

    def _finish(self, head: str) -> str:
        self.function.line("ret void")
        return "\n".join([head + " {", "entry:", *self.function.leave().lines, "}"])

    # ---- statements

    def block(self, block: Block) -> None:
        for stmt in block:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case For(var, int() as extent, LoopKind.VECTORIZED, (*lets, For(_, _, LoopKind.VECTORIZED, _) as inner)):
                self._transposition(var, extent, lets, inner)
            case For(var, int() as extent, LoopKind.VECTORIZED, body):
                self._vector(var, extent, body)
            case For(var, extent, LoopKind.SERIAL | LoopKind.PARALLEL, body):
                self.function.loop(var, "0", self.function.size(extent).name, lambda: self.block(body))
            case Let(name, value):
                self.function.bind(name, self.expression(value))
            case Store():
                self._store(stmt)
            case If(conditions, then, orelse):
                self._if(conditions, then, orelse)
            case Alloc(buffer):
                self._alloc(buffer)
            case Call():
                self._call(stmt)
            case _:
                raise CompileError("the CPU has no such statement", got=type(stmt).__name__)

    def _vector(self, var: str, lanes: int, body: Block) -> None:
        f = self.function
        if lanes == 1:
            f.enter(f.scope.label)
            f.bind(var, Register("0", I64))
        else:
            f.vector = (var, lanes)
            f.enter(f.scope.label)
        self.block(body)
        f.splice()
        f.vector = None

    def _transposition(self, var: str, lanes: int, outside: Sequence[Stmt], inner: For) -> None:
        """Vectors along the outer of two vectorized loops are computed, turned, and stored along the inner one."""
        f = self.function
        *lets, store = inner.body
        assert isinstance(store, Store)
        columns: list[Register] = []
        f.vector = (var, lanes)
        f.enter(f.scope.label)
        self.block(tuple(outside))
        for lane in range(lanes):
            f.bind(inner.var, Register(str(lane), I64))
            self.block(tuple(lets))
            columns.append(f.splat(self.expression(store.value), lanes))
        turned = Var(f"{inner.var}.turned", store.value.dtype)
        rows = f.transposed(columns)
        f.vector = (inner.var, lanes)
        for lane, row in enumerate(rows):
            f.bind(var, Register(str(lane), I64))
            f.bind(turned.name, row)
            self._store(Store(store.buffer, store.index, turned, store.guard))
        f.splice()
        f.vector = None

    def _if(self, conditions: Sequence[Size], then: Block, orelse: Block) -> None:
        test = self.function.holds(conditions)
        if test.lanes != 1:
            raise CompileError("an If differs between the lanes of a vectorized loop", got=self.kernel.name)
        self.function.branch(test, lambda: self.block(then), lambda: self.block(orelse))

    def _alloc(self, buffer: Buffer) -> None:
        f = self.function
        if buffer.space is Space.SCRATCH:
            pointer = f.address("%scratch", _BYTE, self.scratch)
            self.scratch = self.scratch + align(buffer.size * buffer.dtype.itemsize)
        elif isinstance(buffer.size, int) and buffer.size * buffer.dtype.itemsize <= STACK_LIMIT:
            pointer = f.fresh("local")
            f.scopes[0].lines.insert(
                0, f"  {pointer} = alloca [{max(buffer.size, 1)} x {memory_type(buffer.dtype)}], align 64"
            )
        else:
            raise CompileError("a local buffer has no small constant size", got=f"{buffer.name}: {buffer.size}")
        self.buffers[buffer.name] = (buffer, pointer)

    def _call(self, call: Call) -> None:
        f = self.function
        types = ["i64"] * len(call.dims) + ["ptr"] * len(call.args)
        f.declarations[call.kernel] = f"declare void @{call.kernel}({', '.join(types)})"
        arguments = [str(f.size(d)) for d in call.dims]
        for view in call.args:
            buffer, base = self.buffers[view.buffer]
            arguments.append(f"ptr {f.address(base, buffer.dtype, flat_index(buffer, view.index))}")
        f.line(f"call void @{call.kernel}({', '.join(arguments)})")

    def _store(self, store: Store) -> None:
        f = self.function
        buffer, base = self.buffers[store.buffer]
        value = self.expression(store.value)
        if store.guard and not any(f.varies(g) for g in store.guard):
            self._if(store.guard, (Store(store.buffer, store.index, store.value),), ())
            return
        flat = flat_index(buffer, store.index)
        step = f.slope(flat)
        if step == 0 and not store.guard:
            if value.lanes != 1:
                raise CompileError("lanes of a vectorized loop store to one element", got=self.kernel.name)
            self._put(base, buffer, f.size(flat), value)
            return
        assert f.vector is not None
        variable, lanes = f.vector
        value = f.splat(value, lanes)
        mask = f.holds(store.guard) if store.guard else None
        if step == 1:
            address = f.address(base, buffer.dtype, substitute(flat, {variable: 0}))
            self._put_vector(address, buffer, value, f.splat(mask, lanes) if mask else None)
            return
        for lane in range(lanes):
            element = Register(f.pure(f"extractelement {value}, i32 {lane}"), value.dtype)
            at = f.at_lane(flat, lane)
            put = partial(self._put, base, buffer, at, element)
            if store.guard:
                self.function.branch(f.holds_at(store.guard, lane), put)
            else:
                put()

    def _put(self, base: str, buffer: Buffer, at: Register, value: Register) -> None:
        f = self.function
        value = self._to_memory(value)
        address = f.pure(f"getelementptr {memory_type(buffer.dtype)}, ptr {base}, {at}")
        f.line(f"store {memory_type(buffer.dtype)} {value.name}, ptr {address}, align {buffer.dtype.itemsize}")

    def _put_vector(self, address: str, buffer: Buffer, value: Register, mask: Register | None) -> None:
        f = self.function
        value = self._to_memory(value)
        type = memory_type(buffer.dtype, value.lanes)
        size = buffer.dtype.itemsize
        if mask is None:
            f.line(f"store {type} {value.name}, ptr {address}, align {size}")
            return
        name = f"llvm.masked.store.{suffix(buffer.dtype, value.lanes).replace('i1', 'i8')}.p0"
        f.declarations[name] = f"declare void @{name}({type}, ptr, i32, {mask.type})"
        f.line(f"call void @{name}({type} {value.name}, ptr {address}, i32 {size}, {mask})")

    def _to_memory(self, value: Register) -> Register:
        if value.dtype is not BOOL:
            return value
        type = memory_type(BOOL, value.lanes)
        return Register(self.function.pure(f"zext {value} to {type}"), BOOL, value.lanes)

    # ---- expressions

    def expression(self, expr: Expr) -> Register:
        f = self.function
        match expr:
            case Const(value, dtype):
                return Register(literal(value, dtype), dtype)
            case Var(name, _):
                return f.lookup(name)
            case Index(value):
                return f.lanes_of(value) if f.varies(value) else f.size(value)
            case Load():
                return self._load(expr)
            case Cast(value, dtype):
                return convert(f, self.expression(value), dtype)
            case Bitcast(value, dtype):
                inner = self.expression(value)
                return f.op(f"bitcast {inner} to {register_type(dtype, inner.lanes)}", dtype, inner.lanes)
            case Apply(op, args, dtype):
                registers = [self.expression(a) for a in args]
                lanes = max(r.lanes for r in registers)
                return EMITTERS[op](f, [f.splat(r, lanes) for r in registers], dtype)

    def _load(self, load: Load) -> Register:
        f = self.function
        buffer, base = self.buffers[load.buffer]
        flat = flat_index(buffer, load.index)
        step = f.slope(flat)
        uniform_guard = not any(f.varies(g) for g in load.guard)
        if step == 0 and uniform_guard:
            address = self._safe(f.address(base, load.dtype, flat), load.guard, 1, load.dtype)
            return self._get(address, load.dtype, 1)
        assert f.vector is not None
        variable, lanes = f.vector
        if step == 1:
            address = f.address(base, load.dtype, substitute(flat, {variable: 0}))
            if uniform_guard:
                return self._get(self._safe(address, load.guard, lanes, load.dtype), load.dtype, lanes)
            return self._get_masked(address, f.holds(load.guard), load.dtype)
        vector = Register("poison", load.dtype, lanes)
        for lane in range(lanes):
            at = f.at_lane(flat, lane)
            address = f.pure(f"getelementptr {memory_type(load.dtype)}, ptr {base}, {at}")
            if load.guard:
                address = self._choose(address, f.holds_at(load.guard, lane), load.dtype.itemsize)
            element = self._get(address, load.dtype, 1)
            vector = Register(f.pure(f"insertelement {vector}, {element}, i32 {lane}"), load.dtype, lanes)
        return vector

    def _get(self, address: str, dtype: DType, lanes: int) -> Register:
        f = self.function
        name = f.define(f"load {memory_type(dtype, lanes)}, ptr {address}, align {dtype.itemsize}")
        return self._from_memory(name, dtype, lanes)

    def _get_masked(self, address: str, mask: Register, dtype: DType) -> Register:
        f = self.function
        type = memory_type(dtype, mask.lanes)
        name = f"llvm.masked.load.{suffix(dtype, mask.lanes).replace('i1', 'i8')}.p0"
        f.declarations[name] = f"declare {type} @{name}(ptr, i32, {mask.type}, {type})"
        call = f"call {type} @{name}(ptr {address}, i32 {dtype.itemsize}, {mask}, {type} zeroinitializer)"
        return self._from_memory(f.define(call), dtype, mask.lanes)

    def _from_memory(self, name: str, dtype: DType, lanes: int) -> Register:
        if dtype is not BOOL:
            return Register(name, dtype, lanes)
        type = memory_type(BOOL, lanes)
        zero = "zeroinitializer" if lanes > 1 else "0"
        return self.function.op(f"icmp ne {type} {name}, {zero}", BOOL, lanes)

    def _safe(self, address: str, guard: Sequence[Size], lanes: int, dtype: DType) -> str:
        """The address, or that of zeros where the guard forbids the access."""
        if not guard:
            return address
        return self._choose(address, self.function.holds(guard), lanes * dtype.itemsize)

    def _choose(self, address: str, test: Register, size: int) -> str:
        self.function.declarations["zeros"] = f"@zeros = internal constant [{ZEROS} x i8] zeroinitializer, align 64"
        if size > ZEROS:
            raise CompileError("a guarded vector is too wide", expected=f"at most {ZEROS} bytes", got=size)
        return self.function.pure(f"select {test}, ptr {address}, ptr @zeros")


_BYTE = DType.I8


def flat_index(buffer: Buffer, index: Sequence[Size]) -> Size:
    """The position of an element in a dense row-major buffer."""
    flat: Size = 0
    for axis, i in enumerate(index):
        flat = flat + i * product(buffer.shape[axis + 1 :])
    return flat
