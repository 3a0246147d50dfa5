"""Shows that a kernel keeps the rules of its form: names, types, bounds, races, and what its stage promises.

A kernel that passes touches no memory outside of its buffers, and the order of its concurrent iterations does not
matter. What cannot be shown is an error. Dims count as at least 1: loops over nothing do not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from sigmagraph.dims import Size, names, substitute
from sigmagraph.dtypes import BOOL, I64, DType
from sigmagraph.errors import DTypeError, VerifyError
from sigmagraph.ir.kernel.bounds import Digit, Scope
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Expr, Index, Load, Var, walk
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
    is_grid,
    is_local_name,
    statements,
)
from sigmagraph.ir.kernel.mentions import Mentions
from sigmagraph.ir.kernel.printer import print_expr, print_statement, statement_error
from sigmagraph.ir.kernel.races import Access, find_race
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ir.kernel.structure import check_header, check_structure

# What a block does to buffers, cut into pieces at its barriers.
_Phases: TypeAlias = "list[list[Access]]"


def verify_kernel(kernel: Kernel) -> None:
    """Verify a kernel and its callees.

    Raises:
        VerifyError: a rule is broken, or cannot be shown to hold; the error quotes the statement.
    """
    verify_kernels((kernel,))


def verify_kernels(
    kernels: Sequence[Kernel], unproven: dict[Unproven, None] | None = None, verified: Sequence[Kernel] = ()
) -> None:
    """Verify kernels and their callees, each once.

    Args:
        kernels: any kernels, whose names differ.
        unproven: takes up the loads and stores that cannot be shown to be in bounds; without it they are errors.
        verified: kernels that have been verified before.

    Raises:
        VerifyError: a rule is broken, or cannot be shown to hold; the error quotes the statement.
    """
    done = {kernel.name: kernel for kernel in verified}

    def visit(kernel: Kernel) -> None:
        if done.get(kernel.name) == kernel:
            return
        if kernel.name in done:
            raise VerifyError(f"two different kernels are called '@{kernel.name}'")
        check_header(kernel)
        for callee in kernel.callees:
            visit(callee)
        check_structure(kernel)
        _Verifier(kernel, unproven).check()
        done[kernel.name] = kernel

    for kernel in kernels:
        visit(kernel)


@dataclass(frozen=True, slots=True)
class Unproven:
    """A load or store that could not be shown to be in bounds: in which kernel, of which buffer, where, under what."""

    kernel: str
    buffer: str
    index: tuple[Size, ...]
    guard: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """What a statement sees: names (buffers, types of lets, None for loop variables) and what is known about them."""

    names: dict[str, Buffer | DType | None]
    scope: Scope = field(default_factory=Scope)
    top: bool = True


class _Verifier:
    def __init__(self, kernel: Kernel, unproven: dict[Unproven, None] | None) -> None:
        self.kernel = kernel
        self.unproven = unproven
        self.mentions = Mentions(kernel.body, numbered=any(map(is_grid, statements(kernel.body))))
        self.names_in: dict[Size, tuple[str, ...]] = {}
        self.loops = 0  # that have been entered

    def check(self) -> None:
        self.block(self.kernel.body, self.start())

    def start(self) -> _Place:
        return _Place({p.name: p for p in self.kernel.params})

    def fail(self, stmt: Stmt, message: str, *, expected: object = None, got: object = None) -> VerifyError:
        return statement_error(self.kernel, stmt, message, expected=expected, got=got)

    # ---- statements

    def block(self, block: Block, place: _Place) -> _Phases:
        """Verify a block; the names that it binds are added to the place."""
        phases: _Phases = [[]]
        for stmt in block:
            # The iterations of a legal parallel loop become a function of their own, which sees parameters only.
            phase = place.top and isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL
            if phase and self.kernel.stage is KernelStage.LEGAL:
                place = self.start()
            inner = self.statement(stmt, place)
            if isinstance(stmt, Let) and stmt.name in self.mentions.lets:
                place = replace(place, scope=self.let(stmt, place.scope))
            phases[-1].extend(inner[0])
            phases.extend(inner[1:])
        return phases

    def let(self, stmt: Let, scope: Scope) -> Scope:
        """What is known after a let."""
        if stmt.name in self.mentions.numbers:
            value = scope.exact(stmt.value)  # None where another let of this name is the number
            fresh, divisions = self.mentions.fresh, self.mentions.divisions
            number = None if value is None else scope.number(stmt.name, value, divisions, fresh)
            if number is not None:
                return number
        return scope.let(stmt.name, stmt.value)

    def statement(self, stmt: Stmt, place: _Place) -> _Phases:
        """What a statement does to buffers; names that it binds are added to the place."""
        accesses: list[Access] = []
        match stmt:
            case For():
                return self.loop(stmt, place)
            case If():
                return self.branch(stmt, place)
            case Let(name, value):
                self.expr(value, stmt, place, accesses)
                self.bind(name, value.dtype, stmt, place)
            case Store():
                self.store(stmt, place, accesses)
            case Alloc(buffer):
                self.bind(buffer.name, buffer, stmt, place)
            case Call():
                self.call(stmt, place, accesses)
            case Barrier():
                return [[], []]
        return [accesses]

    def bind(self, name: str, kind: Buffer | DType | None, stmt: Stmt, place: _Place) -> None:
        if not is_local_name(name):
            raise self.fail(stmt, "a local name is % and an identifier", got=name)
        if name in place.names:
            raise self.fail(stmt, f"the name '{name}' is taken")
        place.names[name] = kind

    def loop(self, stmt: For, place: _Place) -> _Phases:
        extent = self.size(stmt.extent, stmt, place)
        digits = place.scope.enter(stmt.var, extent, self.mentions.divisions, self.mentions.fresh)
        self.loops += 1
        number = self.loops
        inner = _Place(dict(place.names), digits[-1].inside, False)
        self.bind(stmt.var, None, stmt, inner)
        phases = self.block(stmt.body, inner)
        if stmt.kind in (LoopKind.SERIAL, LoopKind.UNROLLED):
            if len(phases) == 1:
                return phases
            if not place.scope.nonnegative(extent - 1):
                raise self.fail(stmt, "a loop with a barrier may have no iteration", expected="an extent of at least 1")
            # Between two barriers all threads are in the same iteration, but where one ends and the next one begins.
            agreed = [(digit.name, number) for digit in digits]
            phases = [[replace(a, uniform=a.uniform.union(agreed)) for a in phase] for phase in phases]
            return [phases[0], phases[-1] + _anywhere(phases[0]), *phases[1:-1], phases[-1]]
        whole = _anywhere([access for phase in phases for access in phase])
        if stmt.kind is LoopKind.PARALLEL:
            self.private(stmt, whole, place)
        # Barriers part what the threads of a block do; nothing parts what blocks do.
        for group in phases if stmt.kind.is_thread else [whole]:
            self.race(stmt, digits, [a for a in group if a.buffer.name in place.names])
        return phases if stmt.kind.is_thread else [whole]

    def private(self, stmt: For, accesses: Sequence[Access], place: _Place) -> None:
        for access in accesses:
            if access.buffer.name in place.names and access.buffer.space is not Space.GLOBAL:
                raise self.fail(
                    access.stmt,
                    f"iterations of the parallel '{stmt.var}' share {access.buffer.space.value} memory",
                    expected=f"'{access.buffer.name}' allocated inside of the loop",
                )

    def race(self, stmt: For, digits: Sequence[Digit], accesses: Sequence[Access]) -> None:
        """Two iterations differ in one of the digits, and agree in those before it."""
        races = (find_race(digit.name, digit.extent, digit.outside, accesses) for digit in digits)
        found = next((race for race in races if race is not None), None)
        if found is None:
            return
        first, second = found
        verbs = ["writes" if a.writes else "reads" for a in found]
        raise self.fail(
            first.stmt,
            f"iterations of the {stmt.kind.value} '{stmt.var}' may meet in an element of '{first.buffer.name}'",
            expected=f"elements that differ whenever '{stmt.var}' differs",
            got=f"one {verbs[0]} it, another {verbs[1]} it in '{print_statement(second.stmt)}'",
        )

    def branch(self, stmt: If, place: _Place) -> _Phases:
        conditions = [self.size(c, stmt, place) for c in stmt.conditions]
        otherwise = [-1 * conditions[0] - 1] if len(conditions) == 1 else []
        then = self.block(stmt.then, _Place(dict(place.names), place.scope.given(conditions), False))
        orelse = self.block(stmt.orelse, _Place(dict(place.names), place.scope.given(otherwise), False))
        return [then[0] + orelse[0], *then[1:]]  # barriers stand only where nothing stands beside the condition

    def store(self, stmt: Store, place: _Place, accesses: list[Access]) -> None:
        self.expr(stmt.value, stmt, place, accesses)
        buffer = self.access(stmt, stmt.buffer, stmt.index, stmt.guard, True, place, accesses)
        if buffer.role is Role.IN:
            raise self.fail(stmt, f"'{buffer.name}' is read only")
        if stmt.value.dtype is not buffer.dtype:
            raise self.fail(stmt, "the value has another type", expected=buffer.dtype, got=stmt.value.dtype)

    def call(self, stmt: Call, place: _Place, accesses: list[Access]) -> None:
        callee = self.kernel.callee(stmt.kernel)
        dims = [self.size(d, stmt, place) for d in stmt.dims]
        if len(dims) != len(callee.dims) or len(stmt.args) != len(callee.params):
            expected = f"{len(callee.dims)} dims, {len(callee.params)} buffers"
            raise self.fail(
                stmt, "the call does not fit", expected=expected, got=f"{len(dims)} dims, {len(stmt.args)} buffers"
            )
        for dim, name in zip(dims, callee.dims, strict=True):
            if not (place.scope.nonnegative(dim - 1) or place.scope.dead):
                raise self.fail(stmt, f"the dim '{name}' could not be shown to be at least 1", got=dim)
        values = dict(zip(callee.dims, dims, strict=True))
        for view, param in zip(stmt.args, callee.params, strict=True):
            self.view(stmt, view, param, substitute(param.size, values), place, accesses)
            shared = [v for v in stmt.args if v.buffer == view.buffer]
            if param.role is not Role.IN and len(shared) > 1:
                raise self.fail(stmt, f"'{view.buffer}' is written and handed in twice")

    def view(self, stmt: Call, view: View, param: Buffer, span: Size, place: _Place, accesses: list[Access]) -> None:
        writes = param.role is not Role.IN
        buffer = self.access(stmt, view.buffer, view.index, (), writes, place, accesses)
        access = replace(accesses.pop(), span=span)
        accesses.append(access)
        if buffer.dtype is not param.dtype:
            raise self.fail(stmt, f"'{param.name}' has another type", expected=param.dtype, got=buffer.dtype)
        if writes and buffer.role is Role.IN:
            raise self.fail(stmt, f"'{buffer.name}' is read only")
        room = place.scope.resolve(buffer.size) - access.flat - span
        if not (place.scope.nonnegative(room) or place.scope.dead):
            raise self.fail(
                stmt, f"the view of '{buffer.name}' may be too long", expected=f"at most {buffer.size}", got=span
            )

    # ---- accesses and sizes

    def access(
        self,
        stmt: Stmt,
        name: str,
        index: Sequence[Size],
        guard: Sequence[Size],
        writes: bool,
        place: _Place,
        accesses: list[Access],
    ) -> Buffer:
        """Check an access, note it, and return its buffer."""
        buffer = place.names.get(name)
        if not isinstance(buffer, Buffer):
            raise self.fail(stmt, f"there is no buffer '{name}' in scope")
        if len(index) != len(buffer.shape):
            raise self.fail(stmt, f"'{name}' has another rank", expected=len(buffer.shape), got=len(index))
        where = tuple([self.size(i, stmt, place) for i in index])
        scope = place.scope.given([self.size(g, stmt, place) for g in guard])
        for position, extent in zip(where, buffer.shape, strict=True):
            if not scope.within(position, extent):
                if self.unproven is not None and not isinstance(stmt, Call):
                    self.unproven[Unproven(self.kernel.name, name, tuple(index), tuple(guard))] = None
                    continue
                raise self.fail(
                    stmt,
                    f"an index of '{name}' could not be shown to be in bounds",
                    expected=f"0 <= {position} < {extent}",
                    got=scope.describe(self.names(position)),
                )
        accesses.append(Access(stmt, buffer, where, writes, scope))
        return buffer

    def size(self, size: Size, stmt: Stmt, place: _Place) -> Size:
        """The index expression without lets, all of its names known and integers."""
        if isinstance(size, int):
            return size
        for name in self.names(size):
            if name in self.kernel.dims:
                continue
            kind = place.names.get(name, BOOL)
            if kind is not None and kind is not I64:
                raise self.fail(stmt, f"'{name}' is no dim, loop variable or i64 let in scope", got=f"in '{size}'")
        return place.scope.resolve(size)

    def names(self, size: Size) -> tuple[str, ...]:
        if size not in self.names_in:
            self.names_in[size] = names(size)
        return self.names_in[size]

    # ---- expressions

    def expr(self, expr: Expr, stmt: Stmt, place: _Place, accesses: list[Access]) -> None:
        for part in walk(expr):
            match part:
                case Var(name, dtype):
                    if place.names.get(name) is not dtype:
                        raise self.fail(stmt, f"there is no let '{name}' of this type in scope", expected=dtype)
                case Index(value):
                    self.size(value, stmt, place)
                case Load(name, index, dtype, guard):
                    buffer = self.access(stmt, name, index, guard, False, place, accesses)
                    if buffer.dtype is not dtype:
                        raise self.fail(stmt, f"'{name}' has another type", expected=buffer.dtype, got=dtype)
                case Bitcast(value, dtype):
                    if value.dtype.bits != dtype.bits or BOOL in (value.dtype, dtype):
                        raise self.fail(stmt, "a bitcast keeps the width", expected=value.dtype, got=dtype)
                case Apply():
                    self.apply(part, stmt)

    def apply(self, expr: Apply, stmt: Stmt) -> None:
        if expr.op not in SCALARS:
            raise self.fail(stmt, f"there is no scalar op '{expr.op}'")
        try:
            result = SCALARS[expr.op].result([a.dtype for a in expr.args])
        except DTypeError as error:
            raise self.fail(stmt, error.message, expected=error.expected, got=error.got) from None
        if result is not expr.dtype:
            raise self.fail(stmt, f"'{print_expr(expr)}' has another type", expected=result, got=expr.dtype)


def _anywhere(accesses: Sequence[Access]) -> list[Access]:
    """The accesses of threads that may be in any iterations of loops."""
    return [replace(a, uniform=frozenset()) if a.uniform else a for a in accesses]
