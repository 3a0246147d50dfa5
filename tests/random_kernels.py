"""Random kernels for hypothesis: well typed, with every statement and expression, but not always in bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import strategies as st

from sigmagraph.dims import Dim, Size, floordiv, maximum, minimum
from sigmagraph.dtypes import BOOL, I64, DType
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Index, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    View,
)
from sigmagraph.location import Location

DTYPES = st.sampled_from(list(DType))
FLOATS = [d for d in DType if d.is_float]
INTEGERS = [d for d in DType if d.is_integer]
TEXT = st.text('abc "\\\n\té/-.', max_size=6)


def same_width(dtype: DType) -> list[DType]:
    return [d for d in DType if d.bits == dtype.bits and BOOL not in (d, dtype)]


@dataclass
class Scope:
    """Names that a statement may use."""

    sizes: list[str]
    buffers: dict[str, Buffer] = field(default_factory=dict)
    lets: dict[str, DType] = field(default_factory=dict)

    def inner(self) -> Scope:
        return Scope(list(self.sizes), dict(self.buffers), dict(self.lets))


def draw_size(draw: st.DrawFn, names: list[str], depth: int = 2) -> Size:
    kinds = ["number", "name", "name"] + (["+", "-", "*", "//", "min", "max"] if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "number" or not names:
        return draw(st.integers(-3, 20))
    if kind == "name":
        return Dim(draw(st.sampled_from(names)))
    a, b = draw_size(draw, names, depth - 1), draw_size(draw, names, depth - 1)
    match kind:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "//":
            return floordiv(a, draw(st.one_of(st.integers(1, 16), st.just(Dim("n")))))
        case "min":
            return minimum(a, b)
        case _:
            return maximum(a, b)


def draw_const(draw: st.DrawFn, dtype: DType) -> Const:
    if dtype is BOOL:
        return Const(draw(st.booleans()), dtype)
    if dtype.is_float:
        limit = 60000.0
        value = st.floats(-limit, limit) | st.sampled_from([math.inf, -math.inf, math.nan, -0.0, 1e-7])
        return Const(draw(value), dtype)
    low = 0 if dtype is DType.U8 else -(1 << dtype.bits - 1)
    return Const(draw(st.integers(low, low + (1 << dtype.bits) - 1)), dtype)


def draw_index(draw: st.DrawFn, scope: Scope, buffer: Buffer) -> tuple[Size, ...]:
    return tuple(draw_size(draw, scope.sizes) for _ in buffer.shape)


def draw_guard(draw: st.DrawFn, scope: Scope) -> tuple[Size, ...]:
    return tuple(draw_size(draw, scope.sizes, 1) for _ in range(draw(st.sampled_from([0, 0, 1, 2]))))


def draw_expr(draw: st.DrawFn, scope: Scope, dtype: DType, depth: int = 2) -> Expr:
    loads = [b for b in scope.buffers.values() if b.dtype is dtype]
    lets = [name for name, kind in scope.lets.items() if kind is dtype]
    kinds = ["const", *(["load"] if loads else []), *(["let"] if lets else []), *(["index"] if dtype is I64 else [])]
    if depth:
        kinds += ["select", "cast", "apply", "apply", *(["bitcast"] if same_width(dtype) else [])]
    match draw(st.sampled_from(kinds)):
        case "load":
            buffer = draw(st.sampled_from(loads))
            return Load(buffer.name, draw_index(draw, scope, buffer), dtype, draw_guard(draw, scope))
        case "let":
            return Var(draw(st.sampled_from(lets)), dtype)
        case "index":
            return Index(draw_size(draw, scope.sizes))
        case "cast":
            return Cast(draw_expr(draw, scope, draw(DTYPES), depth - 1), dtype)
        case "bitcast":
            return Bitcast(draw_expr(draw, scope, draw(st.sampled_from(same_width(dtype))), depth - 1), dtype)
        case "select":
            parts = [draw_expr(draw, scope, kind, depth - 1) for kind in (BOOL, dtype, dtype)]
            return apply("select", *parts)
        case "apply":
            return draw_apply(draw, scope, dtype, depth)
        case _:
            return draw_const(draw, dtype)


def draw_apply(draw: st.DrawFn, scope: Scope, dtype: DType, depth: int) -> Apply:
    if dtype is BOOL:
        operand = draw(DTYPES)
        op = draw(st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne"]))
    elif dtype.is_float:
        operand, op = dtype, draw(st.sampled_from(["add", "sub", "mul", "div", "max", "min"]))
    else:
        operand, op = dtype, draw(st.sampled_from(["add", "sub", "mul", "min", "max", "and", "xor"]))
    return apply(op, *(draw_expr(draw, scope, operand, depth - 1) for _ in range(2)))


def draw_buffer(draw: st.DrawFn, name: str, sizes: list[str], role: Role, space: Space) -> Buffer:
    rank = draw(st.integers(0, 3))
    shape = tuple(draw(st.one_of(st.integers(0, 9), *(st.just(Dim(n)) for n in sizes))) for _ in range(rank))
    return Buffer(name, draw(DTYPES), shape, role, space)


def draw_block(draw: st.DrawFn, scope: Scope, callee: Kernel | None, depth: int) -> Block:
    return tuple(draw_stmt(draw, scope, callee, depth) for _ in range(draw(st.integers(0, 3))))


def draw_stmt(draw: st.DrawFn, scope: Scope, callee: Kernel | None, depth: int) -> Stmt:
    kinds = ["let", "alloc", "barrier", *(["store", "store"] if scope.buffers else []), *(["call"] if callee else [])]
    kind = draw(st.sampled_from(kinds + (["for", "for", "if"] if depth else [])))
    name = f"%x{len(scope.sizes) + len(scope.buffers) + len(scope.lets)}.{depth}"
    if kind == "for":
        inner = scope.inner()
        inner.sizes.append(name)
        extent = draw_size(draw, scope.sizes)
        return For(name, extent, draw(st.sampled_from(list(LoopKind))), draw_block(draw, inner, callee, depth - 1))
    if kind == "if":
        conditions = tuple(draw_size(draw, scope.sizes) for _ in range(draw(st.integers(1, 2))))
        blocks = [draw_block(draw, scope.inner(), callee, depth - 1) for _ in range(2)]
        return If(conditions, *blocks)
    if kind == "let":
        value = draw_expr(draw, scope, draw(DTYPES))
        scope.lets[name] = value.dtype
        if value.dtype is I64:
            scope.sizes.append(name)
        return Let(name, value)
    if kind == "alloc":
        scope.buffers[name] = draw_buffer(draw, name, ["n"], Role.TEMP, draw(st.sampled_from(list(Space))))
        return Alloc(scope.buffers[name])
    if kind == "store":
        buffer = draw(st.sampled_from(list(scope.buffers.values())))
        guard = draw_guard(draw, scope)
        return Store(buffer.name, draw_index(draw, scope, buffer), draw_expr(draw, scope, buffer.dtype), guard)
    if kind == "call" and callee is not None and scope.buffers:
        buffers = [draw(st.sampled_from(list(scope.buffers.values()))) for _ in callee.params]
        views = tuple(View(b.name, draw_index(draw, scope, b)) for b in buffers)
        return Call(callee.name, tuple(draw_size(draw, scope.sizes) for _ in callee.dims), views)
    return Barrier()


def draw_kernel(draw: st.DrawFn, name: str, callee: Kernel | None) -> Kernel:
    dims = draw(st.sampled_from([("n",), ("n", "m")]))
    params = tuple(
        draw_buffer(draw, f"%p{i}", list(dims), draw(st.sampled_from(list(Role))), Space.GLOBAL)
        for i in range(draw(st.integers(0, 3)))
    )
    body = draw_block(draw, Scope(list(dims), {p.name: p for p in params}), callee, 2)
    if callee is not None:  # a kernel's callees are those that it calls
        body += (Call(callee.name, tuple(3 for _ in callee.dims), ()),)
    provenance = tuple(
        draw(st.lists(st.builds(Location, TEXT, st.integers(0, 99), TEXT, st.booleans()).filter(_prints), max_size=2))
    )
    stage = draw(st.sampled_from(list(KernelStage)))
    return Kernel(name, dims, params, body, stage, (callee,) if callee else (), provenance)


def _prints(place: Location) -> bool:
    return bool(place.file) or place.line == 0


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    """A kernel, perhaps with a callee."""
    callee = draw_kernel(draw, "inner-1/a", None) if draw(st.booleans()) else None
    return draw_kernel(draw, "outer.2", callee)
