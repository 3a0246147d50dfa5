"""Schedules chains: a task has a block of rows, and runs every member for that block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.in_place import may_overwrite
from sigmagraph.codegen.schedule.limits import Limit, column_limit
from sigmagraph.codegen.templates.engine import Panels
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, maximum, minimum, product, substitute
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    Kernel,
    KernelStage,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    map_blocks,
)
from sigmagraph.ops.rules import unflatten



@dataclass(frozen=True, slots=True)
class Stage:
    """A member for the rows of a task, and the panels that are written before the first task."""

    kernel: Kernel
    panels: Panels | None = None


Template = Callable[[Compute, Compute, str], Stage]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a task: blocks of so many indices of the last axis, one index of each of the others."""

    axes: tuple[Axis, ...]
    size: int

    @property
    def outer(self) -> tuple[Axis, ...]:
        """The loops that a task is one turn of."""
        *batch, row = self.axes
        return (*(Axis(f"%b{n}", a.extent) for n, a in enumerate(batch)), Axis("%block", ceildiv(row.extent, self.size)))

    @property
    def start(self) -> Size:
        return self.size * Dim("%block")

    @property
    def inner(self) -> Axis:
        """The rows of the block."""
        row = self.axes[-1]
        even = isinstance(row.extent, int) and row.extent % self.size == 0
        return Axis(row.var, self.size if even else minimum(self.size, row.extent - self.start))

    def place(self) -> dict[str, Size]:
        """The indices of the task."""
        *batch, row = self.axes
        out: dict[str, Size] = {a.var: Dim(o.var) for a, o in zip(batch, self.outer, strict=False)}
        return {**out, row.var: self.start + Dim(row.var)}


def chain_kernel(chain: Chain, template: Template) -> Kernel:
    """The scheduled kernel of a chain; ``template`` schedules a member, and is told a name for panels.

    It gets the member as a task carries it out, and with all columns, from which panels are made for all tasks.
    """
    limit = column_limit(chain)
    rows, depth = Rows(chain.rows, chain.block), len(chain.rows)
    shapes = {b.name: (rows.size, *b.shape[depth:]) for b in chain.kept}
    kept = {
        b.name: Buffer(_place_of(b.name, chain), b.dtype, shapes[b.name], Role.TEMP, Space.SCRATCH) for b in chain.kept
    }
    task: list[Stmt] = [Alloc(replace(b, shape=(b.size,))) for b in dict.fromkeys(kept.values())]
    before: list[Stmt] = []
    panels: list[Buffer] = []
    callees: dict[str, Kernel] = {}
    for number, member in enumerate(chain.members):
        member = replace(member, assume=chain.assume, foreign=chain.foreign)
        whole = _restricted(member, rows, kept)
        stage = template(_limited(whole, limit, number, rows), whole, f"%panels{number}")
        callees |= {k.name: k for k in stage.kernel.callees}
        if stage.panels:
            before.append(stage.panels.fill)
            panels.append(stage.panels.buffer)
        task += copy_block(_serial(stage.kernel.body), {}, lambda name, number=number: f"{name}.m{number}")
    extents = [a.extent for a in rows.outer]
    digits = dict(zip((a.var for a in rows.outer), unflatten(Dim("%task"), extents), strict=True))
    tasks = For("%task", product(extents), LoopKind.PARALLEL, copy_block(tuple(task), digits, str))
    params = tuple(replace(b, shape=(b.size,)) for b in chain.params)
    return Kernel(
        chain.name,
        chain.dims,
        (*params, *panels),
        (*before, tasks),
        KernelStage.SCHEDULED,
        tuple(callees.values()),
        chain.provenance,
    )


def _limited(member: Compute, limit: Limit | None, number: int, rows: Rows) -> Compute:
    """A member without the columns that change nothing in any row of the block."""
    var = limit and limit.columns.get(number)
    if limit is None or var is None:
        return member
    last = substitute(limit.end, {rows.axes[-1].var: rows.start + rows.size - 1})
    facts = Facts({a.var: (0, a.extent - 1) for a in rows.outer})
    end = facts.simplify(maximum(1, last))  # one at least, so that there is something to reduce

    def cut(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(Axis(a.var, minimum(a.extent, end)) if a.var == var else a for a in axes)

    sweeps = tuple(replace(s, axes=cut(s.axes)) for s in member.sweeps)
    return replace(member, axes=cut(member.axes), sweeps=sweeps)


def _place_of(name: str, chain: Chain) -> str:
    """Where what is kept lies: in the place of what comes of it, if that may be."""
    reader = next(m for m in chain.members if any(b.name == name and b.role is Role.IN for b in m.params))
    source = reader.param(name)
    for target in reader.params:
        if target.role is Role.OUT and any(b.name == target.name for b in chain.kept):
            if may_overwrite(reader, source, target):
                return _place_of(target.name, chain)
    return name


def _serial(block: Block) -> Block:
    """The block with its parallel loops one turn after the other."""
    out: list[Stmt] = []
    for stmt in block:
        inner = map_blocks(stmt, _serial)
        parallel = isinstance(inner, For) and inner.kind is LoopKind.PARALLEL
        out.append(replace(inner, kind=LoopKind.SERIAL) if isinstance(inner, For) and parallel else inner)
    return tuple(out)


def _restricted(member: Compute, rows: Rows, kept: Mapping[str, Buffer]) -> Compute:
    """A member for the rows of a task."""
    place, depth = rows.place(), len(rows.axes)
    first = Dim(rows.inner.var)

    def size(old: Size) -> Size:
        return substitute(old, place)

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, index, dtype, guard) if buffer in kept:
                return Load(kept[buffer].name, (first, *map(size, index[depth:])), dtype, tuple(map(size, guard)))
            case Load() | Index():
                return replace_in(expr, place)
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        index = tuple(map(size, s.index))
        buffer = s.buffer
        if buffer in kept:
            buffer, index = kept[buffer].name, (first, *index[depth:])
        return Store(buffer, index, visit(s.value), tuple(map(size, s.guard)))

    params = tuple(dict.fromkeys(replace(kept[b.name], role=Role.INOUT) if b.name in kept else b for b in member.params))
    moved = replace(member.map(visit, store), params=params)
    return replace(moved, axes=(rows.inner, *moved.axes[depth:]), outer=rows.outer)
