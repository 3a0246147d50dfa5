"""Finds what several sweeps over a row compute alike, and keeps it in memory of the thread where that is cheaper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sigmagraph.codegen.templates.pieces import indices_in, slope
from sigmagraph.dims import Dim, Size, names, product
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep, sweep_expressions
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, Var, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Buffer, Let, Role, Space, Store
from sigmagraph.ir.kernel.scalar import SCALARS

KEEP_COST = 12  # of a value, from which on it is read back and not computed again
KEEP_SIZE = 1 << 16  # elements of a row beyond which it would not stay in the cache of a core


def keep(compute: Compute, load: int = 0) -> tuple[Compute, tuple[Buffer, ...]]:
    """The compute with values that a later sweep needs again stored by the first that has them, and the buffers for it.

    Rows of a size that is not known are taken to be short. ``load`` is what it costs to read an element.
    """
    keeper = _Keeper(load)
    sweeps = [keeper.sweep(number, sweep) for number, sweep in enumerate(compute.sweeps)]
    out = [replace(s, stores=(*s.stores, *keeper.stores.get(n, ()))) for n, s in enumerate(sweeps)]
    return replace(compute, sweeps=tuple(out)), tuple(keeper.buffers.values())


@dataclass(slots=True)
class _Keeper:
    """Goes through the sweeps in order.

    Attributes:
        load: what it costs to read an element.
        first: the sweep and the name under which a value was met first, by axes and value.
        same: the name of the equal value that was met first, for every let.
        costs: of the lets, by name, everything included that they are made of.
        buffers: what is kept, by the name of its let.
        stores: what keeps it, by number of the sweep.
    """

    load: int
    first: dict[tuple[tuple[Axis, ...], Expr], tuple[int, str]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    costs: dict[str, int] = field(default_factory=dict)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    stores: dict[int, list[Store]] = field(default_factory=dict)

    def sweep(self, number: int, sweep: Sweep) -> Sweep:
        """The sweep with what is known already read back, and nothing computed that is not needed."""
        earlier = {item.name for item in sweep.lets if self._meet(number, sweep, item)}
        short = product(axis.extent for axis in sweep.axes)
        if not earlier or (isinstance(short, int) and short > KEEP_SIZE):
            return sweep
        needed = set(used_names([*(f.value for f in sweep.folds), *(s.value for s in sweep.stores)]))
        needed.update(n for s in sweep.stores for size in (*s.index, *s.guard) for n in names(size))
        lets: list[Let] = []
        for item in reversed(sweep.lets):
            if item.name not in needed:
                continue
            if item.name in earlier and self.costs[item.name] >= KEEP_COST:
                item = Let(item.name, self._kept(sweep, item))
            else:
                needed.update(used_names([item.value]))
            lets.append(item)
        return replace(sweep, lets=tuple(reversed(lets)))

    def _meet(self, number: int, sweep: Sweep, item: Let) -> bool:
        """Note a let; whether an earlier sweep has an equal one."""
        used = list(used_names([item.value]))
        own = sum(_cost(e, self.load) for e in walk(item.value))
        self.costs[item.name] = own + sum(self.costs.get(n, 0) for n in used)
        canonical = {n: self.same[n] for n in used if n in self.same}
        dtypes = {e.name: e.dtype for e in walk(item.value) if isinstance(e, Var)}
        variables: dict[str, Expr] = {n: Var(new, dtypes[n]) for n, new in canonical.items() if n in dtypes}
        indices: dict[str, Size] = {n: Dim(new) for n, new in canonical.items()}
        key = (sweep.axes, replace_in(item.value, indices, variables))
        at, self.same[item.name] = self.first.setdefault(key, (number, item.name))
        return at < number

    def _kept(self, sweep: Sweep, item: Let) -> Load:
        """The element that holds a value, which its first sweep stores."""
        name, dtype = self.same[item.name], item.value.dtype
        index = (flat_index(sweep.axes),)
        if name not in self.buffers:
            size = product(axis.extent for axis in sweep.axes)
            buffer = Buffer(f"%keep{len(self.buffers)}", dtype, (size,), Role.TEMP, Space.SCRATCH)
            at = next(n for n, first in self.first.values() if first == name)
            self.buffers[name] = buffer
            self.stores.setdefault(at, []).append(Store(buffer.name, index, Var(name, dtype)))
        return Load(self.buffers[name].name, index, dtype)


def flat_index(axes: Sequence[Axis]) -> Size:
    """The number of an index among all indices of axes."""
    out: Size = 0
    for axis in axes:
        out = out * axis.extent + Dim(axis.var)
    return out


def used_names(expressions: Iterable[Expr]) -> Iterator[str]:
    """The lets that expressions read, as values or in index expressions (where loop variables are named too)."""
    for whole in expressions:
        for part in walk(whole):
            if isinstance(part, Var):
                yield part.name
        for size in indices_in(whole):
            yield from names(size)


def _cost(part: Expr, load: int) -> int:
    if isinstance(part, Load):
        return load
    return SCALARS[part.op].cost if isinstance(part, Apply) else 0


def keep_in_results(compute: Compute, buffers: Sequence[Buffer]) -> tuple[Compute, tuple[Buffer, ...]]:
    """What is kept lies where the last sweep that reads it stores a result, if it may; the buffers that are left.

    The lines of the result are then fetched while there is much to compute, and are at hand when it is stored.
    """
    left: list[Buffer] = []
    for buffer in buffers:
        place = _result_for(compute, buffer)
        if place is None:
            left.append(buffer)
        else:
            compute = _moved(compute, buffer.name, place)
    return compute, tuple(left)


def _result_for(compute: Compute, buffer: Buffer) -> Store | None:
    """The store of a result that takes the place of what is kept, though an operand may lie where the result does."""
    first = next(n for n, s in enumerate(compute.sweeps) if any(t.buffer == buffer.name for t in s.stores))
    *_, last = (n for n, s in enumerate(compute.sweeps) if any(_loads(sweep_expressions(s), {buffer.name})))
    keeps, later = compute.sweeps[first], compute.sweeps[first + 1 :]
    for store in compute.sweeps[last].stores:
        result = next((b for b in compute.params if b.name == store.buffer), buffer)
        if result.dtype is not buffer.dtype or store.guard or not _follows(compute, store.index[0], keeps):
            continue
        alike = {b.name for b in compute.params if (b.dtype, b.shape) == (result.dtype, result.shape)}
        finish = (*(x.value for x in compute.lets), *(x.value for x in compute.stores))
        read_later = [e for s in later for e in sweep_expressions(s)]
        if any(_loads((*read_later, *finish), alike)):
            continue
        if all(load.index == store.index for load in _loads(sweep_expressions(keeps), alike)):
            return store
    return None


def _follows(compute: Compute, index: Size, sweep: Sweep) -> bool:
    """Whether an index speaks of axes and dims alone, and goes along memory with the sweep."""
    axes = {axis.var for axis in (*compute.axes, *sweep.axes)}
    return slope(index, sweep.axes[-1].var) == 1 and all(n in axes or not n.startswith("%") for n in names(index))


def _loads(expressions: Iterable[Expr], buffers: Collection[str]) -> Iterator[Load]:
    return (e for whole in expressions for e in walk(whole) if isinstance(e, Load) and e.buffer in buffers)


def _moved(compute: Compute, name: str, place: Store) -> Compute:
    """The compute with what is kept in a buffer at the place of a result."""

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer == name:
            return Load(place.buffer, place.index, expr.dtype)
        return rebuild(expr, visit)

    def store(s: Store) -> Store:
        if s.buffer == name:
            return Store(place.buffer, place.index, visit(s.value))
        return replace(s, value=visit(s.value))

    return compute.map(visit, store)
