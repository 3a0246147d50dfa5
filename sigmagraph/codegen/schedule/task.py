"""The rows that a task of a chain has, and what its members are for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.in_place import may_overwrite
from sigmagraph.codegen.schedule.limits import Limit
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, maximum, minimum, product, substitute
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, LoopKind, Role, Space, Store
from sigmagraph.ops.rules import unflatten


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of tasks: each has at most ``size`` indices of the last axis, and one of each of the others."""

    axes: tuple[Axis, ...]
    size: int

    @property
    def outer(self) -> tuple[Axis, ...]:
        """What tells tasks apart."""
        *batch, row = self.axes
        return (
            *(Axis(f"%batch{n}", axis.extent) for n, axis in enumerate(batch)),
            Axis("%block", ceildiv(row.extent, self.size)),
        )

    @property
    def inner(self) -> Axis:
        """The rows of a task, counted from its first."""
        row = self.axes[-1]
        even = isinstance(row.extent, int) and row.extent % self.size == 0
        return Axis(row.var, self.size if even else minimum(self.size, row.extent - self.start))

    @property
    def start(self) -> Size:
        """The first row of a task."""
        return self.size * Dim("%block")

    def loop(self, body: Block) -> For:
        """The body, which speaks of the outer axes, for every task."""
        extents = [axis.extent for axis in self.outer]
        digits = unflatten(Dim("%task"), extents)
        place = {axis.var: digit for axis, digit in zip(self.outer, digits, strict=True)}
        return For("%task", product(extents), LoopKind.PARALLEL, copy_block(body, place, str))

    def scratch(self, buffer: Buffer) -> Buffer:
        """As much of a buffer as belongs to a task."""
        shape = (self.size, *buffer.shape[len(self.axes) :])
        return replace(buffer, shape=shape, role=Role.TEMP, space=Space.SCRATCH)

    def restrict(self, member: Compute, scratch: Mapping[str, Buffer]) -> Compute:
        """A member for the rows of a task, with what is handed on in scratch memory."""
        depth, row = len(self.axes), Dim(self.axes[-1].var)
        place: dict[str, Size] = {
            axis.var: Dim(outer.var) for axis, outer in zip(self.axes[:-1], self.outer, strict=False)
        }
        place[self.axes[-1].var] = self.start + row

        def sizes(old: tuple[Size, ...]) -> tuple[Size, ...]:
            return tuple(substitute(size, place) for size in old)

        def visit(expr: Expr) -> Expr:
            match expr:
                case Load(buffer, index, dtype, guard) if buffer in scratch:
                    return Load(scratch[buffer].name, (row, *sizes(index[depth:])), dtype, sizes(guard))
                case Load() | Index():
                    return replace_in(expr, place)
                case _:
                    return rebuild(expr, visit)

        def store(s: Store) -> Store:
            if s.buffer in scratch:
                return Store(scratch[s.buffer].name, (row, *sizes(s.index[depth:])), visit(s.value), sizes(s.guard))
            return Store(s.buffer, sizes(s.index), visit(s.value), sizes(s.guard))

        params = (replace(scratch[b.name], role=Role.INOUT) if b.name in scratch else b for b in member.params)
        return replace(
            member.map(visit, store),
            params=tuple(dict.fromkeys(params)),
            axes=(self.inner, *member.axes[depth:]),
            outer=self.outer,
        )


def limited(member: Compute, limit: Limit | None, number: int, rows: Rows) -> Compute:
    """A member without the columns that change nothing in any row of a task.

    One column is left, so that rows without any are rows of that one's like.
    """
    var = None if limit is None else limit.columns.get(number)
    if limit is None or var is None:
        return member
    facts = Facts({axis.var: (0, axis.extent - 1) for axis in rows.outer})
    (extent,) = {a.extent for a in (*member.axes, *member.inner_axes()) if a.var == var}
    if limit.behind:
        end = substitute(limit.edge, {rows.axes[-1].var: rows.start + rows.size - 1})
        return _cut(member, var, facts.simplify(minimum(extent, facts.simplify(maximum(1, end)))))
    start = rows.size * (substitute(limit.edge, {rows.axes[-1].var: rows.start}) // rows.size)
    start = facts.simplify(maximum(0, start))
    if not facts.nonnegative(extent - 1 - start):
        return member  # there may be fewer columns than rows, and a block that has none
    place: dict[str, Size] = {var: start + Dim(var)}

    def visit(expr: Expr) -> Expr:
        return replace_in(expr, place) if isinstance(expr, (Load, Index)) else rebuild(expr, visit)

    def store(s: Store) -> Store:
        index, guard = (tuple(substitute(size, place) for size in sizes) for sizes in (s.index, s.guard))
        return Store(s.buffer, index, visit(s.value), guard)

    return _cut(member.map(visit, store), var, extent - start)


def _cut(member: Compute, var: str, extent: Size) -> Compute:
    """A member with another extent of an axis."""

    def cut(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(Axis(a.var, extent) if a.var == var else a for a in axes)

    sweeps = tuple(replace(sweep, axes=cut(sweep.axes)) for sweep in member.sweeps)
    return replace(member, axes=cut(member.axes), sweeps=sweeps)


def places_of(chain: Chain) -> dict[str, str]:
    """Where what is handed on lies: in the place of what its reader hands on, if that may be."""
    out = {b.name: b.name for b in chain.kept}
    later: set[str] = set()  # what is still read behind a member
    for member in reversed(chain.members):
        own = [b for b in member.params if b.name in out]
        targets = [b for b in own if b.role is Role.OUT]
        for source in (b for b in own if b.role is Role.IN and b.name not in later):
            target = next((b for b in targets if may_overwrite(member, source, b)), None)
            if target is not None:
                targets.remove(target)
                out[source.name] = out[target.name]
        later.update(b.name for b in own if b.role is Role.IN)
    return out
