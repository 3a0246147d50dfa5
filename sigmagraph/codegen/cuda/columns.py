"""Threads for short columns: each has some neighbouring columns, which it walks down, reading vectors.

What many tasks have found is put together so, and then used at once: with it goes the update of a parameter.
"""

from __future__ import annotations

from sigmagraph.codegen.cuda.ahead import FOUND, around, side_by_side, turns
from sigmagraph.codegen.cuda.elementwise import vector_lanes
from sigmagraph.codegen.cuda.threads import each
from sigmagraph.codegen.templates.pieces import accumulator, at_most, initial, instantiate
from sigmagraph.codegen.templates.split import down_columns
from sigmagraph.dims import Dim, Size, divide_exact, nominal, product
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep
from sigmagraph.ir.kernel.expr import Expr, Load, Var, apply
from sigmagraph.ir.kernel.kernel import Alloc, Block, For, Let, LoopKind, Stmt, Store

MANY = 1 << 15  # columns, from which on there are threads enough with one for each, or for a vector of them
SHORT = 64  # elements of a column that a thread walks down


def columns_nest(compute: Compute, short: bool) -> Block | None:
    """The launch of a flat compute with sweeps; None where columns are few or long, or rows are walked along.

    Args:
        compute: the compute.
        short: whether columns are short, though it may not be known how many elements they have.
    """
    if not compute.axes or not all(s.axes and down_columns(compute, s) for s in compute.sweeps):
        return None
    lengths = [product(at_most(a.extent) for a in s.axes) for s in compute.sweeps]
    if not short and not all(isinstance(size, int) and size <= SHORT for size in lengths):
        return None
    lanes = vector_lanes(compute, compute.axes[-1])
    if nominal(product(a.extent for a in compute.axes)) < MANY * lanes:
        return None
    return _Columns(compute, lanes).nest()


class _Columns:
    """Writes the launch.

    Args:
        compute: what is computed.
        lanes: how many neighbours a thread has.
    """

    def __init__(self, compute: Compute, lanes: int) -> None:
        self.compute = compute
        self.lanes = lanes
        self.lane: Size = Dim("%v") if lanes > 1 else 0
        self.allocs: list[Stmt] = []

    def nest(self) -> Block:
        *outer, last = self.compute.axes
        body = self.column({last.var: self.lanes * Dim(last.var) + self.lane})
        if self.lanes > 1:
            body = (For("%v", self.lanes, LoopKind.VECTORIZED, body),)
        axis = Axis(last.var, divide_exact(last.extent, self.lanes) or 0)
        return each((*outer, axis), (*self.allocs, *body))

    def column(self, indices: dict[str, Size]) -> Block:
        """What is done for one column."""
        out: list[Stmt] = []
        variables: dict[str, Expr] = {}
        for number, sweep in enumerate(self.compute.sweeps):
            before = instantiate(sweep.before, indices, "", variables)
            out += before.lets
            variables.update(before.variables)
            indices.update(before.indices)
            out += self.sweep(number, sweep, indices, variables)
        end = instantiate(self.compute.lets, indices, "", variables)
        return (*out, *end.lets, *(end.store(s) for s in self.compute.stores))

    def sweep(self, number: int, sweep: Sweep, indices: dict[str, Size], variables: dict[str, Expr]) -> Block:
        """A walk down; its results are lets behind it."""
        out: list[Stmt] = []
        instance = instantiate(sweep.lets, indices, "", variables)
        body: list[Stmt] = [*instance.lets]
        for at, fold in enumerate(sweep.folds):
            buffer = accumulator(f"{FOUND}{number}.{at}", fold.dtype, self.lanes)
            self.allocs.append(Alloc(buffer))
            out.append(Store(buffer.name, (self.lane,), initial(fold.op, fold.dtype)))
            own = Load(buffer.name, (self.lane,), fold.dtype)
            body.append(Store(buffer.name, (self.lane,), apply(fold.op, own, instance.value(fold.value))))
        body += (instance.store(s) for s in sweep.stores)
        *outer, last = sweep.axes
        many = turns(sweep, self.lanes, self.compute.axes[-1].var)
        out += around(outer, side_by_side(last.var, last.extent, many, tuple(body)), many, last.extent)
        for at, fold in enumerate(sweep.folds):
            out.append(Let(fold.result, Load(f"{FOUND}{number}.{at}", (self.lane,), fold.dtype)))
            variables[fold.result] = Var(fold.result, fold.dtype)
            indices[fold.result] = Dim(fold.result)
        return tuple(out)
