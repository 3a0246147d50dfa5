"""Executes kernels on NumPy arrays: the living definition of every statement.

A kernel is first turned into Python closures, one per statement and expression, over an environment that maps names to
ints, NumPy scalars and arrays (walking the trees anew for every element is several times slower). Waiting at a barrier
or a warp operation is said by generators: a thread yields a :class:`_Wait` and goes on once all threads have done so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Func, Size, evaluate
from sigmagraph.dtypes import DType
from sigmagraph.errors import InputError, VerifyError
from sigmagraph.ir.kernel.collective import is_collective
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
    Stmt,
    Store,
)
from sigmagraph.ir.kernel.printer import print_statement, statement_error
from sigmagraph.ir.kernel.scalar import SCALARS, convert

Array: TypeAlias = "np.ndarray[Any, Any]"
_Env: TypeAlias = "dict[str, Any]"
_Number: TypeAlias = "Callable[[_Env], int]"
_Value: TypeAlias = "Callable[[_Env], Any]"
_Step: TypeAlias = "Callable[[_Env], Iterator[list[_Wait]] | None]"

WARP = 32
_THREAD_AXES = ("thread_x", "thread_y", "thread_z")
_LANES: Mapping[str, Callable[[int, int], int]] = MappingProxyType(
    {
        "shuffle": lambda _, other: other,
        "shuffle_xor": lambda lane, mask: lane ^ mask,
        "shuffle_down": lambda lane, distance: lane + distance,
    }
)
_POISON_BYTE = 0xA5


def interpret_kernel(
    kernel: Kernel, buffers: Sequence[Array], dims: Mapping[str, int], *, shuffle: int | None = None
) -> None:
    """Run a kernel on arrays, in place.

    What is undefined is poisoned: new TEMP buffers and the elements of OUT parameters hold nan, or a pattern where the
    type has none, until they are written. Overflow wraps and float errors are silent, as on a machine.

    Args:
        kernel: what to run; need not be verified.
        buffers: C-contiguous arrays for the parameters, in order.
        dims: a value for each dim.
        shuffle: seed of a random order for the iterations of all loops whose order does not matter, so that a race
            shows as a result that depends on it; None for 0, 1, 2 ...

    Raises:
        InputError: the arrays or the dims do not fit the parameters.
        VerifyError: an access is out of bounds, or threads wait at different places.
    """
    env: _Env = {name: _dim(kernel, dims, name) for name in kernel.dims}
    if len(buffers) != len(kernel.params):
        raise InputError(f"'@{kernel.name}' takes other buffers", expected=len(kernel.params), got=len(buffers))
    for param, array in zip(kernel.params, buffers, strict=True):
        env[param.name] = _argument(kernel, param, array, env)
    run = _Compiler(kernel, None if shuffle is None else np.random.default_rng(shuffle)).kernel()
    with np.errstate(all="ignore"):
        run(env)


def _dim(kernel: Kernel, dims: Mapping[str, int], name: str) -> int:
    if name not in dims:
        raise InputError(f"a dim of '@{kernel.name}' has no value", expected=kernel.dims, got=dict(dims))
    return int(dims[name])


def _argument(kernel: Kernel, param: Buffer, array: Array, env: _Env) -> Array:
    expected = f"{param.dtype.numpy}{[evaluate(s, env) for s in param.shape]}, C-contiguous"
    fits = array.dtype == param.dtype.numpy and list(array.shape) == [evaluate(s, env) for s in param.shape]
    if not (fits and array.flags.c_contiguous):
        raise InputError(
            f"the array for '{param.name}' of '@{kernel.name}' does not fit",
            expected=expected,
            got=f"{array.dtype}{list(array.shape)}{'' if array.flags.c_contiguous else ', not contiguous'}",
        )
    if param.role in (Role.OUT, Role.TEMP):
        _poison(array)
    return array


def _poison(array: Array) -> Array:
    if array.dtype.kind in "fV":  # V: the extension types of ml_dtypes
        array[...] = np.nan
    elif array.dtype.kind == "b":
        array[...] = True
    else:
        array.reshape(-1).view(np.uint8)[...] = _POISON_BYTE
    return array


@dataclass(slots=True)
class _Wait:
    """A thread at a barrier or a warp operation.

    Attributes:
        site: the statement at which it waits.
        thread: its number in the block.
        value: what it offers to the other lanes of its warp.
        lane: the lane whose value it asks for.
        reply: what it goes on with.
    """

    site: Stmt
    thread: int
    value: Any = None
    lane: int = -1
    reply: Any = None


class _Compiler:
    """Turns the statements of one kernel into closures."""

    def __init__(self, kernel: Kernel, rng: np.random.Generator | None) -> None:
        self.source = kernel
        self.rng = rng

    def kernel(self) -> Callable[[_Env], None]:
        run = self.block(self.source.body)

        def start(env: _Env) -> None:
            for waiting in run(env) or ():
                raise statement_error(self.source, waiting[0].site, "a thread waits outside of a loop over threads")

        return start

    # ---- statements

    def block(self, block: Block) -> _Step:
        steps = [self.statement(s) for s in block]

        def run(env: _Env) -> None:
            for step in steps:
                step(env)

        def run_waiting(env: _Env) -> Iterator[list[_Wait]]:
            for step in steps:
                waits = step(env)
                if waits is not None:
                    yield from waits

        return run_waiting if self.waits(block) else run

    def waits(self, block: Block) -> bool:
        """Whether threads wait for each other somewhere in a block."""
        return is_collective(block, self.source)

    def statement(self, stmt: Stmt) -> _Step:
        match stmt:
            case For():
                return self.loop(stmt)
            case Let(_, Apply(op, (value, distance), _)) if SCALARS[op].lanes:
                return self.warp(stmt, op, self.expr(value, stmt), self.expr(distance, stmt))
            case Let(name, value):
                return self.let(name, self.expr(value, stmt))
            case Store():
                return self.store(stmt)
            case If(conditions, then, orelse):
                holds, branches = _all_hold(conditions), (self.block(orelse), self.block(then))
                return lambda env: branches[holds(env)](env)
            case Alloc(buffer):
                shape, dtype = [_number(s) for s in buffer.shape], buffer.dtype.numpy
                return self.let(buffer.name, lambda env: _poison(np.empty([s(env) for s in shape], dtype)))
            case Barrier():
                return lambda env: iter([[_Wait(stmt, _thread(env))]])
            case Call():
                return self.call(stmt)

    def let(self, name: str, value: _Value) -> _Step:
        def run(env: _Env) -> None:
            env[name] = value(env)

        return run

    def loop(self, stmt: For) -> _Step:
        var, extent, body = stmt.var, _number(stmt.extent), self.block(stmt.body)
        free = stmt.kind not in (LoopKind.SERIAL, LoopKind.UNROLLED)

        def order(env: _Env) -> Sequence[int]:
            count = extent(env)
            if free and self.rng is not None and count > 0:
                return [int(i) for i in self.rng.permutation(count)]
            return range(count)

        def run(env: _Env) -> None:
            for i in order(env):
                env[var] = i
                body(env)

        def run_waiting(env: _Env) -> Iterator[list[_Wait]]:
            for i in order(env):
                env[var] = i
                waits = body(env)
                assert waits is not None
                yield from waits

        if stmt.kind.is_thread:
            return self.threads(stmt, order, body)
        return run_waiting if self.waits(stmt.body) else run

    def threads(self, stmt: For, order: Callable[[_Env], Sequence[int]], body: _Step) -> _Step:
        """The threads of one axis, each in its own environment, all together up to where they wait for each other."""
        axis = stmt.kind.value

        def run(env: _Env) -> Iterator[list[_Wait]] | None:
            numbers = order(env)
            started = [body({**env, stmt.var: i, axis: (i, len(numbers))}) for i in numbers]
            together = self.together(stmt, [thread for thread in started if thread is not None])
            if any(outer in env for outer in _THREAD_AXES):
                return together
            for waiting in together:
                _exchange(waiting)
            return None

        return run

    def together(self, stmt: For, threads: Sequence[Iterator[list[_Wait]]]) -> Iterator[list[_Wait]]:
        """Let threads run up to where they wait, yield all their waits at once, and go on."""
        while True:
            arrived = [next(thread, []) for thread in threads]
            waiting = [wait for waits in arrived for wait in waits]
            if not waiting:
                return
            other = next((w for w in waiting if w.site is not waiting[0].site), None)
            if other is not None or [] in arrived:
                raise statement_error(
                    self.source,
                    stmt,
                    "threads of a block wait at different places",
                    expected=f"all threads at '{print_statement(waiting[0].site)}'",
                    got=f"one at '{print_statement(other.site)}'" if other else "some have come to their end",
                )
            yield waiting

    def warp(self, stmt: Let, op: str, value: _Value, distance: _Value) -> _Step:
        def run(env: _Env) -> Iterator[list[_Wait]]:
            thread = _thread(env)
            lane = _LANES[op](thread % WARP, int(distance(env)))
            wait = _Wait(stmt, thread, value(env), lane)
            yield [wait]
            env[stmt.name] = wait.reply

        return run

    def store(self, stmt: Store) -> _Step:
        at, value = self.index(stmt.buffer, stmt.index, stmt), self.expr(stmt.value, stmt)
        buffer = stmt.buffer

        def run(env: _Env) -> None:
            env[buffer][at(env)] = value(env)

        if not stmt.guard:
            return run
        holds = _all_hold(stmt.guard)

        def run_guarded(env: _Env) -> None:
            if holds(env):
                env[buffer][at(env)] = value(env)

        return run_guarded

    def call(self, stmt: Call) -> _Step:
        callee = self.source.callee(stmt.kernel)
        compiler = _Compiler(callee, self.rng)
        run = compiler.block(callee.body)
        dims = [_number(d) for d in stmt.dims]
        starts = [[_number(i) for i in view.index] for view in stmt.args]

        def enter(env: _Env) -> Iterator[list[_Wait]] | None:
            inner: _Env = {name: dim(env) for name, dim in zip(callee.dims, dims, strict=True)}
            inner.update({axis: env[axis] for axis in _THREAD_AXES if axis in env})
            for param, view, start in zip(callee.params, stmt.args, starts, strict=True):
                part = self.view(
                    stmt, env[view.buffer], [i(env) for i in start], [evaluate(s, inner) for s in param.shape]
                )
                inner[param.name] = _argument(callee, param, part, inner)
            return run(inner)

        return enter

    def view(self, stmt: Call, array: Array, start: Sequence[int], shape: Sequence[int]) -> Array:
        first = 0
        for i, extent in zip(start, array.shape, strict=True):
            first = first * extent + i
        last = first + math.prod(shape)
        if not 0 <= first <= last <= array.size:
            raise statement_error(
                self.source, stmt, "a view is out of bounds", expected=f"within 0..{array.size}", got=f"{first}..{last}"
            )
        return array.reshape(-1)[first:last].reshape(shape)

    # ---- expressions

    def expr(self, expr: Expr, stmt: Stmt) -> _Value:
        match expr:
            case Const(value, dtype):
                scalar = dtype.numpy.type(value)
                return lambda _: scalar
            case Var(name, _):
                return lambda env: env[name]
            case Index(size):
                number = _number(size)
                return lambda env: np.int64(number(env))
            case Load():
                return self.load(expr, stmt)
            case Cast(value, dtype):
                inner = self.expr(value, stmt)
                return lambda env: convert(inner(env), dtype)
            case Bitcast(value, dtype):
                inner, target = self.expr(value, stmt), dtype.numpy
                return lambda env: inner(env).view(target)
            case Apply(op, args, dtype):
                return self.apply(op, [self.expr(a, stmt) for a in args], dtype)

    def apply(self, op: str, args: Sequence[_Value], dtype: DType) -> _Value:
        function, target = SCALARS[op].evaluate, dtype.numpy
        if len(args) == 2:
            left, right = args
            return lambda env: target.type(function(left(env), right(env)))
        if len(args) == 3:
            first, second, third = args
            return lambda env: target.type(function(first(env), second(env), third(env)))
        return lambda env: target.type(function(*[a(env) for a in args]))

    def load(self, load: Load, stmt: Stmt) -> _Value:
        at, buffer = self.index(load.buffer, load.index, stmt), load.buffer
        if not load.guard:
            return lambda env: env[buffer][at(env)]
        holds, zero = _all_hold(load.guard), load.dtype.numpy.type(0)
        return lambda env: env[buffer][at(env)] if holds(env) else zero

    def index(self, buffer: str, index: Sequence[Size], stmt: Stmt) -> Callable[[_Env], tuple[int, ...]]:
        """An element's position; NumPy would take negative numbers from the end, so bounds are checked here."""
        numbers = [_number(i) for i in index]

        def refused(where: tuple[int, ...], shape: tuple[int, ...]) -> VerifyError:
            return statement_error(
                self.source, stmt, f"an index of '{buffer}' is out of bounds", expected=f"within {shape}", got=where
            )

        def at(env: _Env) -> tuple[int, ...]:
            where = tuple([number(env) for number in numbers])
            shape = env[buffer].shape
            if len(where) != len(shape):
                raise refused(where, shape)
            for i, n in zip(where, shape, strict=True):
                if not 0 <= i < n:
                    raise refused(where, shape)
            return where

        if len(numbers) != 1:
            return at
        (number,) = numbers

        # Scheduled kernels have flat buffers.
        def at_flat(env: _Env) -> tuple[int, ...]:
            i, shape = number(env), env[buffer].shape
            if len(shape) != 1 or not 0 <= i < shape[0]:
                raise refused((i,), shape)
            return (i,)

        return at_flat


def _thread(env: _Env) -> int:
    """The number of a thread in its block, x fastest."""
    number, stride = 0, 1
    for axis in _THREAD_AXES:
        i, extent = env.get(axis, (0, 1))
        number, stride = number + stride * i, stride * extent
    return number


def _exchange(waiting: Sequence[_Wait]) -> None:
    """Hand every thread the value of the lane that it asks for, its own where the warp has no such lane."""
    values = {wait.thread: wait.value for wait in waiting}
    for wait in waiting:
        first = wait.thread - wait.thread % WARP
        wait.reply = values.get(first + wait.lane, wait.value) if 0 <= wait.lane < WARP else wait.value


def _all_hold(conditions: Sequence[Size]) -> Callable[[_Env], bool]:
    numbers = [_number(c) for c in conditions]
    if len(numbers) == 1:
        (number,) = numbers
        return lambda env: number(env) >= 0
    return lambda env: all(number(env) >= 0 for number in numbers)


def _number(size: Size) -> _Number:
    """An index expression as a closure."""
    if isinstance(size, int):
        return lambda _: size
    parts = [_term(coefficient, [_atom(a) for a in monomial]) for monomial, coefficient in size.terms]
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        left, right = parts
        return lambda env: left(env) + right(env)
    if len(parts) == 3:
        first, second, third = parts
        return lambda env: first(env) + second(env) + third(env)
    return lambda env: sum([part(env) for part in parts])


def _term(coefficient: int, atoms: Sequence[_Number]) -> _Number:
    """A product of a number and atoms."""
    if not atoms:
        return lambda _: coefficient
    first, *others = atoms
    if not others:
        return first if coefficient == 1 else lambda env: coefficient * first(env)
    if len(atoms) == 2:
        (second,) = others
        return lambda env: coefficient * first(env) * second(env)

    def product(env: _Env) -> int:
        out = coefficient
        for atom in atoms:
            out *= atom(env)
        return out

    return product


def _atom(atom: str | Func) -> _Number:
    if isinstance(atom, str):
        return lambda env: int(env[atom])
    args = [_number(a) for a in atom.args]
    if len(args) != 2:
        extreme = min if atom.kind == "min" else max
        return lambda env: extreme([a(env) for a in args])
    left, right = args
    if atom.kind == "//":
        return lambda env: left(env) // right(env)
    if atom.kind == "min":
        return lambda env: min(left(env), right(env))
    return lambda env: max(left(env), right(env))
