"""What a kernel computes, per output element, before anything is said about loops.

A :class:`Compute` is the meaning of a fused group: axes, at most one reduction, and the values stored at each index.
Fusion is substitution: producers have become part of the expressions.
"""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ir.kernel.kernel import Buffer, Let, Store
from sigmagraph.location import Location


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop variable (``%i0``) and its extent."""

    var: str
    extent: Size


@dataclass(frozen=True, slots=True)
class Reduction:
    """``value`` combined over ``axes`` by a scalar op; its result is the let ``result``.

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
    """For every index of ``axes``: the reduction if there is one, then ``lets``, then ``stores``.

    Attributes:
        name: of the kernel that it becomes.
        dims: names of the sizes that it speaks of.
        params: buffers, inputs first.
        axes: iteration space; no two iterations store the same element.
        reduction: at most one.
        lets, stores: evaluated once per index.
        assume: expressions of the dims that the caller has found to be at least 0.
        provenance: where its nodes come from.
    """

    name: str
    dims: tuple[str, ...]
    params: tuple[Buffer, ...]
    axes: tuple[Axis, ...]
    reduction: Reduction | None
    lets: tuple[Let, ...]
    stores: tuple[Store, ...]
    assume: tuple[Size, ...] = ()
    provenance: tuple[Location, ...] = ()

    def param(self, name: str) -> Buffer:
        """The buffer of that name."""
        return next(b for b in self.params if b.name == name)
