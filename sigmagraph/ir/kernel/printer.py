"""Writes kernels as text that the parser reads back to an equal kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sigmagraph.dims import Size
from sigmagraph.errors import VerifyError
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
    Role,
    Space,
    Stmt,
    Store,
)
from sigmagraph.ir.text.lexer import VERSION
from sigmagraph.ir.text.writer import location, typed

_WIDTH = 120


def print_kernel(kernel: Kernel) -> str:
    """The kernel as text, after its callees.

    Raises:
        VerifyError: two different callees have one name.
    """
    return print_kernels((kernel,))


def print_kernels(kernels: Sequence[Kernel]) -> str:
    """Several kernels as one text, every callee once and before its callers.

    Raises:
        VerifyError: two different kernels have one name.
    """
    written: dict[str, Kernel] = {}
    for kernel in _callees_first(kernels):
        if written.setdefault(kernel.name, kernel) != kernel:
            raise VerifyError(f"two different kernels are called '@{kernel.name}'")
    return f"sigmagraph {VERSION}\n" + "\n".join(_kernel(k) for k in written.values())


def _callees_first(kernels: Iterable[Kernel]) -> Iterator[Kernel]:
    for kernel in kernels:
        yield from _callees_first(kernel.callees)
        yield kernel


def statement_error(
    kernel: Kernel, stmt: Stmt, message: str, *, expected: object = None, got: object = None
) -> VerifyError:
    """The error to raise about a statement of a kernel."""
    node = f"'{print_statement(stmt)}' in @{kernel.name}"
    location = kernel.provenance[0] if kernel.provenance else None
    return VerifyError(message, node=node, location=location, expected=expected, got=got)


def print_statement(stmt: Stmt) -> str:
    """A statement on one line; loops and conditions without their blocks."""
    match stmt:
        case For(var, extent, kind, _):
            return f"for {var} in {extent}" + ("" if kind is LoopKind.SERIAL else f" {kind.value}")
        case If(conditions, _, _):
            return f"if ({_list(conditions)})"
        case Let(name, value):
            return f"let {name}: {value.dtype} = {print_expr(value)}"
        case Store(buffer, index, value, guard):
            return f"{_access(buffer, index, guard)} = {print_expr(value)}"
        case Alloc(buffer):
            return f"alloc {print_buffer(buffer)}"
        case Call(kernel, dims, args):
            return f"call @{kernel}({_list(dims)}) ({', '.join(_access(v.buffer, v.index, ()) for v in args)})"
        case Barrier():
            return "barrier"


def print_expr(expr: Expr) -> str:
    """An expression; every operation is written as a function of its operands."""
    match expr:
        case Const(value, dtype):
            return typed(value, dtype)
        case Var(name, _):
            return name
        case Index(value):
            return f"index({value})"
        case Load(buffer, index, _, guard):
            return _access(buffer, index, guard)
        case Apply(op, args, _):
            return f"{op}({', '.join(map(print_expr, args))})"
        case Cast(value, dtype):
            return f"cast({print_expr(value)}, {dtype})"
        case Bitcast(value, dtype):
            return f"bitcast({print_expr(value)}, {dtype})"


def print_buffer(buffer: Buffer) -> str:
    """``%x: in f32[n,4] scratch``; a ``temp`` role and the ``global`` space say nothing."""
    role = "" if buffer.role is Role.TEMP else f"{buffer.role.value} "
    space = "" if buffer.space is Space.GLOBAL else f" {buffer.space.value}"
    return f"{buffer.name}: {role}{buffer.dtype}[{','.join(map(str, buffer.shape))}]{space}"


def _kernel(kernel: Kernel) -> str:
    head = f"kernel @{kernel.name} stage({kernel.stage.value})"
    if kernel.dims:
        head += f" dims({', '.join(kernel.dims)})"
    params = [print_buffer(p) for p in kernel.params]
    tail = "".join(" " + (location(place) or "loc()") for place in kernel.provenance) + " {"
    line = f"{head} params({', '.join(params)}){tail}"
    if len(line) > _WIDTH:
        line = "\n".join((head + " params(", ",\n".join("    " + p for p in params), ")" + tail))
    return "\n".join((line, *_block(kernel.body, "  "), "}", ""))


def _block(block: Block, indent: str) -> Iterator[str]:
    for stmt in block:
        line = indent + print_statement(stmt)
        match stmt:
            case For(_, _, _, body):
                yield line + " {"
                yield from _block(body, indent + "  ")
                yield indent + "}"
            case If(_, then, orelse):
                yield line + " {"
                yield from _block(then, indent + "  ")
                if orelse:
                    yield indent + "} else {"
                    yield from _block(orelse, indent + "  ")
                yield indent + "}"
            case _:
                yield line


def _access(buffer: str, index: Sequence[Size], guard: Sequence[Size]) -> str:
    return f"{buffer}[{_list(index)}]" + (f" when({_list(guard)})" if guard else "")


def _list(sizes: Sequence[Size]) -> str:
    return ", ".join(map(str, sizes))
