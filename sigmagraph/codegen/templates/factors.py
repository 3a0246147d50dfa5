"""A contraction and its two factors, as the engine sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sigmagraph.codegen.templates.pieces import indices_in, slope
from sigmagraph.dims import Size, product
from sigmagraph.ir.kernel.compute import Axis, Compute, Reduction
from sigmagraph.ir.kernel.expr import Expr, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Let


@dataclass(frozen=True, slots=True)
class Factor:
    """One side of the product: its lets, its value, and the axes that only it is indexed by."""

    lets: tuple[Let, ...]
    value: Expr
    axes: tuple[Axis, ...]

    @property
    def extent(self) -> Size:
        """Number of rows or columns."""
        return product(a.extent for a in self.axes)

    @property
    def load(self) -> Load | None:
        """The load that the factor is, if it is nothing else."""
        lets, value = {item.name: item.value for item in self.lets}, self.value
        while isinstance(value, Var) and value.name in lets:
            value = lets[value.name]
        return value if isinstance(value, Load) else None

    def loads(self) -> Iterator[Load]:
        """What is read for an element."""
        for value in self.expressions():
            yield from (e for e in walk(value) if isinstance(e, Load))

    def expressions(self) -> Iterator[Expr]:
        """What is computed for an element."""
        yield from (item.value for item in self.lets)
        yield self.value

    def indices(self) -> list[Size]:
        """Every index expression."""
        return [i for e in self.expressions() for i in indices_in(e)]

    def runs_along(self, axis: Axis) -> bool:
        """Whether neighbours along an axis are neighbours in memory."""
        return any(slope(load.index[0], axis.var) == 1 for load in self.loads() if load.index)


@dataclass(frozen=True, slots=True)
class Contraction:
    """A compute seen as a contraction: sums of products of ``left``, which has the rows, and ``right``."""

    compute: Compute
    reduction: Reduction
    left: Factor
    right: Factor
    batch: tuple[Axis, ...]
