"""Comparisons of rows and columns that hold for all of a piece: most pieces lie on one side of a causal mask."""

from __future__ import annotations

from collections.abc import Iterable

from sigmagraph.codegen.cuda.from_registers import PIECE, ROWS
from sigmagraph.codegen.schedule.limits import difference
from sigmagraph.codegen.templates.pieces import slope
from sigmagraph.dims import Dim, Size, substitute
from sigmagraph.dtypes import BOOL
from sigmagraph.ir.kernel.expr import Apply, Const, Expr, rebuild, walk


def settled(expr: Expr, row: str, column: str) -> Expr:
    """An expression in a piece in which comparisons of the row and the column hold."""
    if _of_both(expr, row, column) is not None:
        return Const(True, BOOL)
    return rebuild(expr, lambda e: settled(e, row, column))


def holding(expressions: Iterable[Expr], row: str, column: str, piece: int) -> tuple[Size, ...]:
    """What is at least 0 where all comparisons of row and column hold for the rows of a block and a piece of columns.

    Args:
        expressions: in which they stand.
        row: the axis of rows.
        column: that of columns.
        piece: how many columns it has.
    """
    out: dict[Size, None] = {}
    for expr in (e for whole in expressions for e in walk(whole)):
        found = _of_both(expr, row, column)
        if found is not None:
            first, last = piece * Dim(PIECE), piece * Dim(PIECE) + piece - 1
            least = {row: ROWS - 1 if _falls(found, row) else 0, column: last if _falls(found, column) else first}
            out[substitute(found, least)] = None
    return tuple(out)


def _of_both(expr: Expr, row: str, column: str) -> Size | None:
    """What is at least 0 where a comparison of a row with a column holds, each of which is counted some times."""
    found = difference(expr) if isinstance(expr, Apply) else None
    if found is None:
        return None
    steps = slope(found, row), slope(found, column)
    return found if all(isinstance(step, int) and step for step in steps) else None


def _falls(size: Size, var: str) -> bool:
    step = slope(size, var)
    return isinstance(step, int) and step < 0
