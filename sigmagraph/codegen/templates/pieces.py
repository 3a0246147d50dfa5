"""Pieces that the templates build kernels from: flat buffers, instantiated bodies, vector loops with a tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.dims import Dim, Func, Size, coefficient, divide_exact, names, product, substitute
from sigmagraph.dtypes import F32, DType, Kind
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Apply, Const, Expr, Index, Load, Var, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Let, LoopKind, Role, Space, Stmt, Store
from sigmagraph.ir.kernel.scalar import SCALARS

Body = Callable[[Size, str], Block]

DEAR = 16  # instructions for an element from which on several vectors are computed side by side
_SPLITS = 8  # of axes, most of which need none
_LEAST_SPLIT = 8  # indices along an innermost axis, fewer of which are not worth a loop


def iteration_facts(compute: Compute) -> Facts:
    """What is known about the axes of a compute."""
    axes = (*compute.outer, *compute.axes, *compute.inner_axes())
    return Facts({a.var: (0, a.extent - 1) for a in axes}, compute.assume)


def flatten(compute: Compute) -> Compute:
    """The same compute on one-dimensional buffers: index arithmetic of reshapes cancels in the flat index."""
    facts = iteration_facts(compute)
    shapes = {b.name: b.shape for b in compute.params}

    def flat(buffer: str, index: Sequence[Size]) -> tuple[Size]:
        shape = shapes[buffer]
        out: Size = 0
        for axis, i in enumerate(index):
            out = out + i * product(shape[axis + 1 :])
        return (facts.simplify(out),)

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load):
            guard = tuple(g for g in map(facts.simplify, expr.guard) if not facts.nonnegative(g))
            return Load(expr.buffer, flat(expr.buffer, expr.index), expr.dtype, guard)
        return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, flat(s.buffer, s.index), visit(s.value), s.guard)

    params = tuple(replace(b, shape=(b.size,)) for b in compute.params)
    return replace(compute.map(visit, store), params=params)


def indices_of(compute: Compute) -> list[Size]:
    """Every index expression of a compute: of loads, guards, stores and index values."""
    stored = [i for s in compute.all_stores() for i in s.index]
    return stored + [i for e in compute.expressions() for i in indices_in(e)]


def indices_in(expr: Expr) -> list[Size]:
    """Every index expression of an expression."""
    out: list[Size] = []
    for inner in walk(expr):
        if isinstance(inner, Load):
            out.extend((*inner.index, *inner.guard))
        elif isinstance(inner, Index):
            out.append(inner.value)
    return out


def slope(size: Size, var: str) -> Size | None:
    """By how much an index grows with a variable; None when it is not linear in it."""
    split = coefficient(size, var)
    return None if split is None else split[0]


def at_most(extent: Size) -> Size:
    """A number that an extent is at most, if it is known to be at most one; else the extent."""
    if isinstance(extent, Dim) and extent.is_atom:
        atom = extent.terms[0][0][0]
        if isinstance(atom, Func) and atom.kind == "min":
            return min((a for a in atom.args if isinstance(a, int)), default=extent)
    return extent


def merge_axes(compute: Compute) -> Compute:
    """Merge neighbouring axes, of the output or of sweeps, that every index of a flat compute treats as one."""
    axes, gone = _merged(compute.axes, indices_of(compute))
    compute = _substituted(replace(compute, axes=axes), gone)
    for inner in dict.fromkeys(sweep.axes for sweep in compute.sweeps):
        axes, gone = _merged(inner, indices_of(compute))
        sweeps = tuple(replace(s, axes=axes) if s.axes == inner else s for s in compute.sweeps)
        compute = _substituted(replace(compute, sweeps=sweeps), gone)
    return compute


def split_axes(compute: Compute) -> Compute:
    """Split axes by which indices divide: ``i // n`` and what is left of ``i`` become axes of their own.

    Neighbours in a buffer then have neighbouring indices, and nothing is divided inside of loops.
    """
    for number in range(_SPLITS):
        found = _divided(compute)
        if found is None:
            return compute
        axis, n = found
        high, low = Axis(f"{axis.var}.{number}", divide_exact(axis.extent, n) or 1), Axis(axis.var, n)

        def two(axes: tuple[Axis, ...], of: Axis = axis, by: tuple[Axis, ...] = (high, low)) -> tuple[Axis, ...]:
            return tuple(new for old in axes for new in (by if old == of else (old,)))

        sweeps = tuple(replace(s, axes=two(s.axes)) for s in compute.sweeps)
        compute = replace(compute, axes=two(compute.axes), sweeps=sweeps)
        compute = _substituted(compute, {axis.var: n * Dim(high.var) + Dim(low.var)}, iteration_facts(compute).simplify)
    return compute


def _divided(compute: Compute) -> tuple[Axis, Size] | None:
    """An axis and a divisor of its extent by which an index divides it; the largest one."""
    quotients = [q for index in indices_of(compute) for q in divisions(index)]
    for axis in (*compute.axes, *compute.inner_axes()):
        by = [q.args[1] for q in quotients if q.args[0] == Dim(axis.var)]
        fit = [n for n in by if n != axis.extent and divide_exact(axis.extent, n) is not None]
        if axis in (*compute.axes[-1:], *(s.axes[-1] for s in compute.sweeps if s.axes)):
            fit = [n for n in fit if not isinstance(n, int) or n >= _LEAST_SPLIT]
        if fit:
            return axis, max(fit, key=lambda n: (sum(divide_exact(n, m) is not None for m in fit), str(n)))
    return None


def _merged(axes: Sequence[Axis], indices: Sequence[Size]) -> tuple[tuple[Axis, ...], dict[str, Size]]:
    """The axes that are left, and zeros for those of one index and those merged into their inner neighbour."""
    left = [axis for axis in axes if axis.extent != 1] or list(axes[-1:])
    gone: dict[str, Size] = {axis.var: 0 for axis in axes if axis not in left}
    for at in range(len(left) - 2, -1, -1):
        outer, inner = left[at], left[at + 1]
        if all(continues(i, outer, inner) for i in indices):
            left[at : at + 2] = [Axis(inner.var, outer.extent * inner.extent)]
            gone[outer.var] = 0
    return tuple(left), gone


def continues(index: Size, outer: Axis, inner: Axis) -> bool:
    """Whether an index treats two axes as one."""
    a, b = slope(index, outer.var), slope(index, inner.var)
    return a is not None and b is not None and a == b * inner.extent


def _substituted(
    compute: Compute, indices: Mapping[str, Size], simplify: Callable[[Size], Size] = lambda size: size
) -> Compute:
    if not indices:
        return compute

    def size(old: Size) -> Size:
        return simplify(substitute(old, indices))

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, index, dtype, guard):
                return Load(buffer, tuple(map(size, index)), dtype, tuple(map(size, guard)))
            case Index(value):
                return Index(size(value))
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, tuple(map(size, s.index)), visit(s.value), tuple(map(size, s.guard)))

    return compute.map(visit, store)


@dataclass(frozen=True, slots=True)
class Instance:
    """Lets and values with their axes replaced and their names made unique by a tag."""

    lets: Block
    variables: Mapping[str, Expr]
    indices: Mapping[str, Size]

    def value(self, expr: Expr) -> Expr:
        """An expression that reads the lets."""
        return replace_in(expr, self.indices, self.variables)

    def store(self, store: Store) -> Store:
        """A store of such an expression."""
        return Store(
            store.buffer,
            tuple(substitute(i, self.indices) for i in store.index),
            self.value(store.value),
            tuple(substitute(g, self.indices) for g in store.guard),
        )


def instantiate(
    lets: Sequence[Let], indices: Mapping[str, Size], tag: str, variables: Mapping[str, Expr] | None = None
) -> Instance:
    """Copy lets to an index: ``indices`` replaces axes, ``variables`` replaces lets from outside."""
    indices = dict(indices)
    known: dict[str, Expr] = dict(variables or {})
    out: list[Let] = []
    for item in lets:
        value = replace_in(item.value, indices, known)
        name = item.name + tag
        known[item.name] = Var(name, value.dtype)
        indices[item.name] = Dim(name)
        out.append(Let(name, value))
    return Instance(tuple(out), known, indices)


def together(values: Iterable[Expr], machine: Machine) -> int:
    """How many vectors are best computed side by side, for values that are computed of each other.

    A processor looks at a hundred waiting instructions or so. In a function of thirty, each of which waits for the one
    before, that is the work on three vectors, and half of the time nothing is ready; side by side it is the work on as
    many as there are registers for.
    """
    cost = sum(SCALARS[e.op].cost for value in values for e in walk(value) if isinstance(e, Apply))
    return machine.registers // 8 if cost >= DEAR else 1


def vector_loop(var: str, extent: Size, lanes: int, body: Body, several: int = 1) -> Block:
    """A loop over ``extent`` in vectors of ``lanes``, ``several`` at once, and a scalar loop over the rest.

    ``body(index, tag)`` makes the statements at an index; the tag keeps the names of the copies apart.
    """
    width = several * lanes
    if several > 1 and not (isinstance(extent, int) and extent < width):
        done = width * (extent // width)
        vectors = For(f"{var}sv", width, LoopKind.VECTORIZED, body(width * Dim(f"{var}so") + Dim(f"{var}sv"), ".s"))
        wide = For(f"{var}so", extent // width, LoopKind.SERIAL, (vectors,))
        if extent - done == 0:
            return (wide,)
        return (wide, *vector_loop(var, extent - done, lanes, lambda at, tag: body(done + at, tag)))
    if lanes == 1 or (isinstance(extent, int) and extent < lanes):
        return (For(var, extent, LoopKind.SERIAL, body(Dim(var), "")),)
    whole = extent // lanes
    vector = For(f"{var}v", lanes, LoopKind.VECTORIZED, body(lanes * Dim(f"{var}o") + Dim(f"{var}v"), ""))
    out: list[For] = [For(f"{var}o", whole, LoopKind.SERIAL, (vector,))]
    rest = extent - lanes * whole
    if rest != 0:
        out.append(For(f"{var}t", rest, LoopKind.SERIAL, body(lanes * whole + Dim(f"{var}t"), ".t")))
    return tuple(out)


def element_type(compute: Compute) -> DType:
    """The widest element type that a compute loads or stores; decides how many lanes its vectors have."""
    widest = max((b.dtype for b in compute.params), key=lambda d: (d.itemsize, str(d)), default=F32)
    return widest if widest.itemsize >= 4 else F32


def nest(axes: Sequence[Axis], body: Block, outermost: LoopKind = LoopKind.SERIAL) -> Block:
    """Loops over axes around a body; the outermost loop has its own kind."""
    for number, axis in reversed(list(enumerate(axes))):
        body = (For(axis.var, axis.extent, LoopKind.SERIAL if number else outermost, body),)
    return body


def assuming(body: Block, conditions: Sequence[Size]) -> Block:
    """The body under conditions that hold anyway, where the verifier and simplifications see them.

    Parallel loops stay outermost.
    """
    if not conditions:
        return body
    out: list[Stmt] = []
    serial: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL:
            out += [If(tuple(conditions), tuple(serial))] if serial else []
            serial = []
            out.append(For(stmt.var, stmt.extent, stmt.kind, (If(tuple(conditions), stmt.body),)))
        else:
            serial.append(stmt)
    return (*out, If(tuple(conditions), tuple(serial))) if serial else tuple(out)


def initial(op: str, dtype: DType) -> Const:
    """The value that changes nothing when combined by a scalar op."""
    if op in ("add", "mul"):
        one = op == "mul"
        return Const(float(one) if dtype.is_float else int(one), dtype)
    if dtype.is_float:
        return Const(float("-inf") if op == "max" else float("inf"), dtype)
    low, high = (
        (0, 2**dtype.bits - 1) if dtype.kind is Kind.UINT else (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1)
    )
    return Const(low if op == "max" else high, dtype)


def uses(size: Size, variables: Sequence[str]) -> bool:
    """Whether an index expression speaks of one of the variables."""
    return not set(names(size)).isdisjoint(variables)


def accumulator(name: str, dtype: DType, count: int) -> Buffer:
    """A small local array for partial results."""
    return Buffer(name, dtype, (count,), Role.TEMP, Space.LOCAL)
