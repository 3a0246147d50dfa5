"""Launches as chains see them: in a form in which they can be compared, who reads whom, and what is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.dims import Dim, Size, evaluate, names, product, substitute
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Buffer, Role, Store

LIKELY = 1024  # what a dim is taken to be


class Launches:
    """Launches by number, in an order in which they can run, and who writes and reads which values.

    Attributes:
        computes: those that are no loops of an op's own, and no chains, in canonical form.
    """

    def __init__(self, specs: Mapping[int, KernelSpec]) -> None:
        self.specs = specs
        self.computes = {n: canonical(s.work) for n, s in specs.items() if isinstance(s.work, Compute)}
        self.writers: dict[Value, int] = {}
        self.readers: dict[Value, list[int]] = {}
        for number, spec in specs.items():
            for value, buffer in zip(spec.values, spec.work.params, strict=True):
                if buffer.role is Role.OUT:
                    self.writers[value] = number
                else:
                    self.readers.setdefault(value, []).append(number)

    def param(self, number: int, value: Value) -> Buffer:
        """A launch's buffer of a value, in canonical form."""
        return self.computes[number].params[self.specs[number].values.index(value)]


def likely(size: Size) -> int:
    """A size where dims are what they are taken to be."""
    return evaluate(size, dict.fromkeys(names(size), LIKELY))


def bytes_of(buffer: Buffer) -> Size:
    """The bytes of all elements."""
    return buffer.size * buffer.dtype.itemsize


# ---- what computes read


def loads_in(expressions: Iterable[Expr]) -> list[Load]:
    """All that is read by expressions."""
    return [e for whole in expressions for e in walk(whole) if isinstance(e, Load)]


def places(compute: Compute, buffer: str) -> list[tuple[Size, ...]]:
    """The indices at which a buffer is read."""
    return [load.index for load in loads_in(compute.expressions()) if load.buffer == buffer]


def common(compute: Compute, rows: Sequence[Axis]) -> Iterator[Size]:
    """The bytes of what is read alike for all indices of the last axis, as often as the others read it."""
    *batch, row = rows
    for buffer in compute.params:
        used = {n for index in places(compute, buffer.name) for size in index for n in names(size)}
        if buffer.role is Role.IN and row.var not in used and buffer.size != 1:
            yield bytes_of(buffer) * product(a.extent for a in batch if a.var not in used)


def meets_at_rows(compute: Compute, row: Axis) -> bool:
    """Whether a product takes both factors at the row: there would be a product for each, and none for a block."""
    reduction = compute.reduction
    if reduction is None:
        return False
    loads = dict.fromkeys(loads_in([*(item.value for item in reduction.lets), reduction.value]))
    return len(loads) > 1 and all(any(row.var in names(i) for i in load.index) for load in loads)


# ---- forms


def canonical(compute: Compute) -> Compute:
    """The compute without axes of size 1, neither its own nor those of buffers; the axes that are left are counted."""
    wide = [a for a in compute.axes if a.extent != 1]
    place: dict[str, Size] = {a.var: 0 for a in compute.axes}
    place |= {a.var: Dim(f"%i{n}") for n, a in enumerate(wide)}
    shapes = {b.name: b.shape for b in compute.params}

    def at(buffer: str, index: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(substitute(i, place) for i, extent in zip(index, shapes[buffer], strict=True) if extent != 1)

    def sizes(old: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(substitute(size, place) for size in old)

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, index, dtype, guard):
                return Load(buffer, at(buffer, index), dtype, sizes(guard))
            case Index():
                return replace_in(expr, place)
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, at(s.buffer, s.index), visit(s.value), sizes(s.guard))

    params = tuple(replace(b, shape=tuple(size for size in b.shape if size != 1)) for b in compute.params)
    axes = tuple(Axis(f"%i{n}", a.extent) for n, a in enumerate(wide))
    return replace(compute.map(visit, store), params=params, axes=axes)


def renamed(compute: Compute, buffers: Mapping[str, str]) -> Compute:
    """The compute over buffers of other names."""

    def visit(expr: Expr) -> Expr:
        return replace(expr, buffer=buffers[expr.buffer]) if isinstance(expr, Load) else rebuild(expr, visit)

    params = tuple(replace(b, name=buffers[b.name]) for b in compute.params)
    moved = compute.map(visit, lambda s: replace(s, buffer=buffers[s.buffer], value=visit(s.value)))
    return replace(moved, params=params)
