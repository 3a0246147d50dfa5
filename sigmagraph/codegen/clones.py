"""Clones of computes: with other axes first, other layouts of some buffers, and some of their outputs only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep
from sigmagraph.ir.kernel.expr import Expr, Index, Load, Var, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Let, Role, Store


def turned(compute: Compute, order: Sequence[int], layouts: Mapping[str, Sequence[int]]) -> Compute:
    """The same compute, whose axes (by number) and the dims of some buffers come in another order; axes are counted."""
    place: dict[str, Size] = {compute.axes[old].var: Dim(f"%i{new}") for new, old in enumerate(order)}

    def at(buffer: str, index: Sequence[Size]) -> tuple[Size, ...]:
        new = [substitute(i, place) for i in index]
        return tuple(new[dim] for dim in layouts[buffer]) if buffer in layouts else tuple(new)

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, index, dtype, guard):
                return Load(buffer, at(buffer, index), dtype, tuple(substitute(g, place) for g in guard))
            case Index():
                return replace_in(expr, place)
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, at(s.buffer, s.index), visit(s.value), tuple(substitute(g, place) for g in s.guard))

    params = (
        replace(b, shape=tuple(b.shape[dim] for dim in layouts[b.name])) if b.name in layouts else b
        for b in compute.params
    )
    axes = tuple(Axis(f"%i{new}", compute.axes[old].extent) for new, old in enumerate(order))
    return replace(compute.map(visit, store), params=tuple(params), axes=axes)


def storing(compute: Compute, outputs: Collection[str]) -> Compute:
    """The compute with the stores to some buffers only, and without what is only needed for others."""
    stores = tuple(s for s in compute.stores if s.buffer in outputs)
    needed = {name for s in stores for name in _used(s)}
    lets = _needed(compute.lets, needed)
    sweeps: list[Sweep] = []
    for sweep in reversed(compute.sweeps):
        inner = tuple(s for s in sweep.stores if s.buffer in outputs)
        folds = tuple(fold for fold in sweep.folds if fold.result in needed)
        needed |= {name for s in inner for name in _used(s)} | {n for fold in folds for n in _names(fold.value)}
        own = _needed(sweep.lets, needed) if folds or inner else ()
        before = _needed(sweep.before, needed)
        if folds or inner:
            sweeps.append(Sweep(before, sweep.axes, own, folds, inner))
        else:
            lets = (*before, *lets)
    out = replace(compute, sweeps=tuple(reversed(sweeps)), lets=lets, stores=stores)
    read = {e.buffer for whole in out.expressions() for e in walk(whole) if isinstance(e, Load)}
    return replace(out, params=tuple(b for b in out.params if b.name in (outputs if b.role is Role.OUT else read)))


def _needed(lets: Sequence[Let], needed: set[str]) -> tuple[Let, ...]:
    """Those of the lets that are needed, whose own needs are added."""
    out: list[Let] = []
    for item in reversed(lets):
        if item.name in needed:
            needed.update(_names(item.value))
            out.append(item)
    return tuple(reversed(out))


def _used(store: Store) -> Iterator[str]:
    yield from _names(store.value)
    yield from (name for size in (*store.index, *store.guard) for name in names(size))


def _names(expr: Expr) -> Iterator[str]:
    """The names of lets, folds, axes and dims in an expression."""
    for e in walk(expr):
        match e:
            case Var(name, _):
                yield name
            case Load(_, index, _, guard):
                yield from (name for size in (*index, *guard) for name in names(size))
            case Index(value):
                yield from names(value)
            case _:
                pass
