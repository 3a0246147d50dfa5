"""Cuts long reductions into tasks of fixed size, whose results a second phase combines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.templates.keep import flat_index
from sigmagraph.codegen.templates.pieces import slope
from sigmagraph.dims import Dim, Size, ceildiv, minimum, product, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep, inner_expressions
from sigmagraph.ir.kernel.expr import Load, Var, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Buffer, Let, Role, Store


@dataclass(frozen=True, slots=True)
class Chunks:
    """From which sizes on reductions are cut, and how.

    Attributes:
        elements: of a task.
        many_rows: rows from which on there are tasks enough without cutting them.
        column_elements: of a task where rows are the columns of a matrix,
        column_step: and so many of each at least, because a task has a result for each.
        inner: whether the second axis is cut as well where one index of the first is more than a task.
    """

    elements: int = 1 << 14
    many_rows: int = 128
    column_elements: int = 1 << 16
    column_step: int = 64
    inner: bool = False


USUAL = Chunks()


@dataclass(frozen=True, slots=True)
class Split:
    """The phases of a compute, which run one after the other, and the buffers through which they speak."""

    phases: tuple[Compute, ...]
    partial: tuple[Buffer, ...] = ()


def split(compute: Compute, chunks: Chunks = USUAL) -> Split:
    """The compute in two phases if it reduces few long rows, or long columns, in one sweep; else as it is.

    The tasks depend on sizes only, so that the result does not depend on the number of threads.
    """
    whole = Split((compute,))
    rows = product(axis.extent for axis in compute.axes)
    if len(compute.sweeps) != 1 or not isinstance(rows, int):
        return whole
    (sweep,) = compute.sweeps
    if not sweep.folds or not sweep.axes:
        return whole
    first = sweep.axes[0]
    each = rows * product(axis.extent for axis in sweep.axes[1:])
    if not isinstance(each, int):
        return whole
    if rows <= chunks.many_rows:
        step = max(1, chunks.elements // each)
        least = 4 * chunks.elements // each
    elif down_columns(compute, sweep):
        step = max(chunks.column_step, chunks.column_elements // each)
        least = 4 * step - 1
    else:
        return whole
    if isinstance(first.extent, int) and first.extent <= least:
        return whole
    steps = [step]
    if chunks.inner and step == 1 and each >= 2 * chunks.elements and len(sweep.axes) > 1:
        steps.append(_inner_step(compute, sweep, each, chunks))
    count = product(ceildiv(axis.extent, step) for axis, step in zip(sweep.axes, steps, strict=False))
    partial = tuple(Buffer(f"%partial{n}", f.dtype, (count * rows,), Role.TEMP) for n, f in enumerate(sweep.folds))
    return Split((_tasks(compute, sweep, steps, partial), _rest(compute, sweep, count, partial)), partial)


def _inner_step(compute: Compute, sweep: Sweep, each: int, chunks: Chunks) -> int:
    """Indices of the second axis that are a task, given how many elements an index of the first is."""
    second = sweep.axes[1].extent
    assert isinstance(second, int)
    step = max(1, chunks.elements * second // each)
    if not (compute.axes and down_columns(compute, sweep)):
        return step
    lines = product(axis.extent for axis in sweep.axes[2:])
    assert isinstance(lines, int)
    return max(step, min(second, -(-chunks.column_step // lines)))


def down_columns(compute: Compute, sweep: Sweep) -> bool:
    """Whether neighbouring rows, and not neighbours along them, lie side by side: columns are read row by row."""
    last = compute.axes[-1].var
    loads = [e.index[0] for whole in inner_expressions(sweep) for e in walk(whole) if isinstance(e, Load)]
    loads = [index for index in loads if slope(index, last) != 0]
    return any(slope(i, last) == 1 for i in loads) and not any(slope(i, sweep.axes[-1].var) == 1 for i in loads)


def _tasks(compute: Compute, sweep: Sweep, steps: Sequence[int], partial: tuple[Buffer, ...]) -> Compute:
    """Every task reduces its part of the first axis, or of the first ones."""
    parts: list[Axis] = []
    axes = list(sweep.axes)
    indices: dict[str, Size] = {}
    for number, step in enumerate(steps):
        axis = axes[number]
        part = Axis(f"%chunk{number}" if number else "%chunk", ceildiv(axis.extent, step))
        start = step * Dim(part.var)
        indices[axis.var] = start + Dim(axis.var)
        axes[number] = Axis(axis.var, minimum(step, axis.extent - start))
        parts.append(part)
    moved = Sweep(
        sweep.before,
        tuple(axes),
        tuple(Let(item.name, replace_in(item.value, indices)) for item in sweep.lets),
        tuple(Fold(f.op, replace_in(f.value, indices), f.result) for f in sweep.folds),
        tuple(
            Store(
                s.buffer,
                tuple(substitute(i, indices) for i in s.index),
                replace_in(s.value, indices),
                tuple(substitute(g, indices) for g in s.guard),
            )
            for s in sweep.stores
        ),
    )
    at = flat_index((*parts, *compute.axes))
    stores = tuple(Store(b.name, (at,), Var(f.result, f.dtype)) for b, f in zip(partial, sweep.folds, strict=True))
    return replace(compute, axes=(*parts, *compute.axes), sweeps=(moved,), lets=(), stores=stores)


def _rest(compute: Compute, sweep: Sweep, chunks: Size, partial: tuple[Buffer, ...]) -> Compute:
    """What the tasks have found is combined, and the rest computed."""
    axis = Axis("%part", chunks)
    at = flat_index((axis, *compute.axes))
    folds = tuple(Fold(f.op, Load(b.name, (at,), f.dtype), f.result) for b, f in zip(partial, sweep.folds, strict=True))
    return replace(compute, sweeps=(Sweep(sweep.before, (axis,), (), folds),))
