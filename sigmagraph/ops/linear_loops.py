"""The loops of the ops on matrices: elimination, substitution, the Cholesky factor; one matrix an iteration."""

from __future__ import annotations

from collections.abc import Callable

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.ir.graph.opdef import Frame
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Var, apply
from sigmagraph.ir.kernel.kernel import Block, Buffer, Let, Store
from sigmagraph.ops.loops import each, load, nest, register, scratch, serial, store
from sigmagraph.ops.rules import clamped

Place = tuple[Size, ...]


def _minus(target: Buffer, at: Place, factor: Expr, other: Expr) -> Store:
    return store(target, at, apply("sub", load(target, at), apply("mul", factor, other)))


def _subtract_row(target: Buffer, outer: Place, row: Size, factor: Expr, source: Size) -> Block:
    """``target[row] -= factor * target[source]``, for matrices ``outer`` of a buffer."""

    def update(j: Size) -> Block:
        return (_minus(target, (*outer, row, j), factor, load(target, (*outer, source, j))),)

    return (serial("%j", target.shape[-1], update),)


def _copy(target: Buffer, to: Place, source: Buffer, outer: Place) -> Block:
    return nest("%c", source.shape[-2:], lambda at: (store(target, (*to, *at), load(source, (*outer, *at))),))


def _swap_rows(target: Buffer, outer: Place, first: Size, second: Size) -> Block:
    def swap(j: Size) -> Block:
        return (
            Let("%first", load(target, (*outer, first, j))),
            Let("%second", load(target, (*outer, second, j))),
            store(target, (*outer, first, j), Var("%second", target.dtype)),
            store(target, (*outer, second, j), Var("%first", target.dtype)),
        )

    return (serial("%j", target.shape[-1], swap),)


def _pivot(lu: Buffer, k: Size) -> Block:
    """``%pivot``: the row from ``k`` on whose element in column ``k`` is the greatest."""
    size = lu.shape[0]
    alloc_best, best = register("%best", I64)
    alloc_top, top = register("%top", lu.dtype)
    number, larger = Var("%size", lu.dtype), Var("%larger", BOOL)

    def look(i: Size) -> Block:
        row = k + 1 + i
        return (
            Let("%size", apply("abs", load(lu, (row, k)))),
            Let("%larger", apply("gt", number, load(top, (0,)))),
            store(best, (0,), apply("select", larger, Index(row), load(best, (0,)))),
            store(top, (0,), apply("select", larger, number, load(top, (0,)))),
        )

    return (
        alloc_best,
        alloc_top,
        store(best, (0,), Index(k)),
        store(top, (0,), apply("abs", load(lu, (k, k)))),
        serial("%i", size - 1 - k, look),
        Let("%pivot", clamped(load(best, (0,)), 0, size - 1)),
    )


def _eliminate(lu: Buffer, sides: Buffer | None, outer: Place, pivoted: Block = ()) -> Block:
    """Make ``lu`` upper triangular by row operations, with partial pivoting, and do the same to the right sides.

    Statements ``pivoted`` run for each column ``%k`` once its ``%pivot`` is known.
    """
    size = lu.shape[0]

    def column(k: Size) -> Block:
        def below(i: Size) -> Block:
            row = k + 1 + i
            factor = Var("%factor", lu.dtype)

            def right(j: Size) -> Block:
                return (_minus(lu, (row, k + 1 + j), factor, load(lu, (k, k + 1 + j))),)

            divided = Let("%factor", apply("div", load(lu, (row, k)), load(lu, (k, k))))
            rest = _subtract_row(sides, outer, row, factor, k) if sides else ()
            return (divided, serial("%j", size - 1 - k, right), *rest)

        swaps = _swap_rows(lu, (), k, Dim("%pivot"))
        if sides:
            swaps += _swap_rows(sides, outer, k, Dim("%pivot"))
        return (*_pivot(lu, k), *pivoted, *swaps, serial("%i", size - 1 - k, below))

    return (serial("%k", size, column),)


def _substitute(x: Buffer, outer: Place, element: Callable[[Size, Size], Expr], lower: bool, unit: bool) -> Block:
    """Solve with a triangular matrix, whose elements ``element`` gives; ``x`` has the right sides, then the results."""
    size = x.shape[-2]

    def row(number: Size) -> Block:
        k = number if lower else size - 1 - number

        def divide(j: Size) -> Block:
            return (store(x, (*outer, k, j), apply("div", load(x, (*outer, k, j)), element(k, k))),)

        def other(i: Size) -> Block:
            at = k + 1 + i if lower else i
            return (Let("%factor", element(at, k)), *_subtract_row(x, outer, at, Var("%factor", x.dtype), k))

        divided = () if unit else (serial("%j", x.shape[-1], divide),)
        return (*divided, serial("%i", size - 1 - k if lower else k, other))

    return (serial("%k", size, row),)


# ---- kernels


def diagonal_loops(frame: Frame) -> Block:
    """The diagonal of U, the first element times the sign of the permutation."""
    (a,), (out,) = frame.reads, frame.writes
    size = a.shape[-1]
    alloc, lu = scratch("%lu", a.dtype, (size, size))
    alloc_sign, sign = register("%sign", a.dtype)
    here = apply("eq", Var("%pivot", I64), Index(Dim("%k")))
    flipped = store(sign, (0,), apply("select", here, load(sign, (0,)), apply("neg", load(sign, (0,)))))

    def body(outer: tuple[Size, ...]) -> Block:
        def write(k: Size) -> Block:
            signed = apply("mul", load(lu, (k, k)), load(sign, (0,)))
            first = apply("eq", Index(k), Const(0, I64))
            return (store(out, (*outer, k), apply("select", first, signed, load(lu, (k, k)))),)

        start = store(sign, (0,), Const(1.0, a.dtype))
        return (
            alloc,
            alloc_sign,
            *_copy(lu, (), a, outer),
            start,
            *_eliminate(lu, None, (), (flipped,)),
            serial("%k", size, write),
        )

    return each(a.shape[:-2], body)


def solve_loops(frame: Frame) -> Block:
    """Eliminate below the diagonal, with the right sides beside, and solve with what is left."""
    (a, b), (x,) = frame.reads, frame.writes
    size = a.shape[-1]
    alloc, lu = scratch("%lu", a.dtype, (size, size))

    def body(outer: tuple[Size, ...]) -> Block:
        return (
            *_copy(x, outer, b, outer),
            alloc,
            *_copy(lu, (), a, outer),
            *_eliminate(lu, x, outer),
            *_substitute(x, outer, lambda i, k: load(lu, (i, k)), lower=False, unit=False),
        )

    return each(a.shape[:-2], body)


def triangular_loops(frame: Frame) -> Block:
    """Substitute forwards or backwards, depending on which triangle is left when the matrix is turned."""
    (a, b), (x,) = frame.reads, frame.writes
    turned, lower = frame.attrs["transpose"], frame.attrs["lower"] is not frame.attrs["transpose"]

    def body(outer: tuple[Size, ...]) -> Block:
        def element(i: Size, k: Size) -> Expr:
            return load(a, (*outer, k, i) if turned else (*outer, i, k))

        return (*_copy(x, outer, b, outer), *_substitute(x, outer, element, lower, frame.attrs["unit"]))

    return each(a.shape[:-2], body)


def cholesky_loops(frame: Frame) -> Block:
    """Row by row, left of the diagonal, on it and right of it."""
    (a,), (out,) = frame.reads, frame.writes
    size = a.shape[-1]
    alloc, rest = register("%rest", a.dtype)

    def body(outer: tuple[Size, ...]) -> Block:
        def remainder(i: Size, j: Size) -> Block:
            """``%rest``: a[i,j] without the product of what is known of both rows."""

            def minus(p: Size) -> Block:
                return (_minus(rest, (0,), load(out, (*outer, i, p)), load(out, (*outer, j, p))),)

            return (store(rest, (0,), load(a, (*outer, i, j))), serial("%p", j, minus))

        def row(i: Size) -> Block:
            def left(j: Size) -> Block:
                quotient = apply("div", load(rest, (0,)), load(out, (*outer, j, j)))
                return (*remainder(i, j), store(out, (*outer, i, j), quotient))

            def right(j: Size) -> Block:
                return (store(out, (*outer, i, i + 1 + j), Const(0.0, a.dtype)),)

            left_over = load(rest, (0,))
            positive = apply("gt", left_over, Const(0.0, a.dtype))
            root = apply("select", positive, apply("sqrt", left_over), Const(float("nan"), a.dtype))
            return (
                serial("%j", i, left),
                *remainder(i, i),
                store(out, (*outer, i, i), root),
                serial("%j", size - 1 - i, right),
            )

        return (alloc, serial("%i", size, row))

    return each(a.shape[:-2], body)
