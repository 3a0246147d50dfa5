"""What a kernel computes, per output element, before anything is said about loops.

A :class:`Compute` is the meaning of a fused group: axes, sweeps over inner axes that reduce and store, and the values
stored at each index. Fusion is substitution: producers have become part of the expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, Union

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ir.kernel.kernel import Buffer, Kernel, Let, Store
from sigmagraph.location import Location


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop variable (``%i0``) and its extent."""

    var: str
    extent: Size


@dataclass(frozen=True, slots=True)
class Fold:
    """``value`` combined over the axes of a sweep by add, mul, min or max; behind it the let ``result``."""

    op: str
    value: Expr
    result: str

    @property
    def dtype(self) -> DType:
        return self.value.dtype


@dataclass(frozen=True, slots=True)
class Sweep:
    """One walk over inner axes.

    Attributes:
        before: lets evaluated once, before the walk; they read results of earlier sweeps.
        axes: what is walked over; sweeps over the same axes call them the same.
        lets: intermediate values, evaluated for every index of ``axes``.
        folds: what is reduced; none reads another's result.
        stores: what is stored at every index; no two iterations store the same element.
    """

    before: tuple[Let, ...]
    axes: tuple[Axis, ...]
    lets: tuple[Let, ...]
    folds: tuple[Fold, ...]
    stores: tuple[Store, ...] = ()


@dataclass(frozen=True, slots=True)
class Reduction:
    """A sweep that does nothing but reduce one value: ``value`` combined over ``axes`` by ``op``.

    Attributes:
        op: add, mul, min or max.
        axes: what is reduced over.
        lets: intermediate values, evaluated for every index of ``axes``.
        value: what is combined.
        result: name of the result.
    """

    op: str
    axes: tuple[Axis, ...]
    lets: tuple[Let, ...]
    value: Expr
    result: str

    @property
    def dtype(self) -> DType:
        return self.value.dtype


@dataclass(frozen=True, slots=True)
class Compute:
    """For every index of ``axes``: the sweeps in order, then ``lets``, then ``stores``.

    Attributes:
        name: of the kernel that it becomes.
        dims: names of the sizes that it speaks of.
        params: buffers, inputs first.
        axes: iteration space; no two iterations store the same element.
        sweeps: walks over inner axes, each of which may read the results of those before it.
        lets, stores: evaluated once per index.
        assume: expressions of the dims that the caller has found to be at least 0.
        foreign: buffers that the caller hands in, whose first elements may lie anywhere in a vector.
        outer: axes of loops around it, of which index expressions speak.
        provenance: where its nodes come from.
    """

    name: str
    dims: tuple[str, ...]
    params: tuple[Buffer, ...]
    axes: tuple[Axis, ...]
    sweeps: tuple[Sweep, ...]
    lets: tuple[Let, ...]
    stores: tuple[Store, ...]
    assume: tuple[Size, ...] = ()
    foreign: frozenset[str] = frozenset()
    outer: tuple[Axis, ...] = ()
    provenance: tuple[Location, ...] = ()

    def param(self, name: str) -> Buffer:
        """The buffer of that name."""
        return next(b for b in self.params if b.name == name)

    @property
    def reduction(self) -> Reduction | None:
        """The one reduction, if there is nothing else before ``lets``."""
        match self.sweeps:
            case (Sweep((), axes, lets, (fold,), ()),):
                return Reduction(fold.op, axes, lets, fold.value, fold.result)
            case _:
                return None

    def inner_axes(self) -> tuple[Axis, ...]:
        """The axes of all sweeps, each once."""
        return tuple(dict.fromkeys(axis for sweep in self.sweeps for axis in sweep.axes))

    def all_stores(self) -> Iterator[Store]:
        """Everything that is stored, in order."""
        for sweep in self.sweeps:
            yield from sweep.stores
        yield from self.stores

    def expressions(self) -> Iterator[Expr]:
        """Every value that is named, combined or stored."""
        for sweep in self.sweeps:
            yield from sweep_expressions(sweep)
        yield from (item.value for item in self.lets)
        yield from (store.value for store in self.stores)

    def map(self, value: Callable[[Expr], Expr], store: Callable[[Store], Store]) -> Compute:
        """The same compute with every expression of lets and folds, and every store, changed."""

        def lets(items: tuple[Let, ...]) -> tuple[Let, ...]:
            return tuple(Let(item.name, value(item.value)) for item in items)

        sweeps = tuple(
            Sweep(
                lets(s.before),
                s.axes,
                lets(s.lets),
                tuple(Fold(f.op, value(f.value), f.result) for f in s.folds),
                tuple(map(store, s.stores)),
            )
            for s in self.sweeps
        )
        return replace(self, sweeps=sweeps, lets=lets(self.lets), stores=tuple(map(store, self.stores)))


def sweep_expressions(sweep: Sweep) -> Iterator[Expr]:
    """Every value that a sweep names, combines or stores."""
    yield from (item.value for item in sweep.before)
    yield from inner_expressions(sweep)


def inner_expressions(sweep: Sweep) -> Iterator[Expr]:
    """Those of them that belong to every index."""
    yield from (item.value for item in sweep.lets)
    yield from (fold.value for fold in sweep.folds)
    yield from (store.value for store in sweep.stores)


@dataclass(frozen=True, slots=True)
class Chain:
    """Computes that run one after the other for a block of rows, before the next block is begun.

    What one hands to the next lies in memory of the task, as much of it as belongs to the block.

    Attributes:
        name: of the kernel that it becomes.
        dims: names of the sizes that it speaks of.
        params: buffers that are handed in, inputs first.
        kept: what members hand on; the first axes of each are ``rows``, at whose indices alone it is written and read.
        rows: the first axes of every member; a block has some indices of the last one, and one of each of the others.
        block: how many of them at most.
        members: in the order in which they run.
        assume, foreign, provenance: as those of a Compute.
    """

    name: str
    dims: tuple[str, ...]
    params: tuple[Buffer, ...]
    kept: tuple[Buffer, ...]
    rows: tuple[Axis, ...]
    block: int
    members: tuple[Compute, ...]
    assume: tuple[Size, ...] = ()
    foreign: frozenset[str] = frozenset()
    provenance: tuple[Location, ...] = ()


# What a launch computes: Computes that are still to be scheduled, or the loops that an op wrote itself.
Work: TypeAlias = Union[Compute, Chain, Kernel]
