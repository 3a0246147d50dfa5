"""Recognises a softmax between two products: scores along rows, weights made of them, and means by these weights.

Or the sums alone that weights are made by, which others need that make the weights again.

Weights are ``exp(score - shift) * scale``, where ``shift`` depends on the greatest score of the row and ``scale`` on
the sum of the exponentials. Both may be known as late as the last score: what has been summed with another shift
differs by a factor (M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax", 2018).

Expressions are widened to f32: what a graph rounds to 16 bits in between is not rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigmagraph.codegen.templates.factors import Contraction, Factor
from sigmagraph.codegen.templates.pieces import indices_in
from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.dtypes import BF16, F16, F32, DType
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep
from sigmagraph.ir.kernel.expr import Apply, Cast, Const, Expr, Load, Var, apply, cast, rebuild, replace, walk
from sigmagraph.ir.kernel.kernel import Let, Store

WIDENED = (F16, BF16, F32)


@dataclass(frozen=True, slots=True)
class Exponentials:
    """Scores, and their exponentials that are summed along rows, in parts of expressions.

    Attributes:
        scores: the product that makes scores.
        row, column: the axes of scores.
        score: what is exponentiated but for the shift; the product is called what it is in ``scores``.
        greatest, total: the names of the greatest score of a row, and of the sum.
        shift: an expression of the greatest score.
    """

    scores: Contraction
    row: Axis
    column: Axis
    score: Expr
    greatest: str
    total: str
    shift: Expr


@dataclass(frozen=True, slots=True)
class Softmax:
    """Weights and means.

    Attributes:
        exponentials: what weights are made of.
        scale: of weights; an expression of the greatest score and of the sum.
        means: the product that reads weights, and sums over the column.
    """

    exponentials: Exponentials
    scale: Expr
    means: Contraction


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of rows whose exponentials have been summed.

    Attributes:
        exponentials: whose.
        dtype: of the greatest score, to which it is rounded at last.
        stores: of values made of the greatest score and the sum.
    """

    exponentials: Exponentials
    dtype: DType
    stores: tuple[Store, ...]


def softmax_between(scores: Contraction, weights: Compute, means: Contraction) -> Softmax | None:
    """The softmax that three computes are, if they are one."""
    if len(weights.sweeps) != 3 or weights.lets or weights.stores or means.batch or len(means.left.axes) != 1:
        return None
    third = weights.sweeps[2]
    if third.folds or len(third.stores) != 1 or third.stores[0].guard or third.axes != weights.sweeps[0].axes:
        return None
    if means.reduction.dtype is not F32 or len(means.reduction.axes) != 1:
        return None
    known: dict[str, Expr] = {}
    parts = _parts(weights, known)
    found = _exponentials(scores, weights, parts) if parts else None
    if parts is None or found is None:
        return None
    weight = _seen(third, known, third.stores[0].value)
    while isinstance(weight, Cast):
        weight = weight.value
    if not isinstance(weight, Apply) or weight.op != "mul" or parts.exponential not in weight.args:
        return None
    scale = weight.args[1] if weight.args[0] == parts.exponential else weight.args[0]
    (column,), (summed,), store = third.axes, means.reduction.axes, third.stores[0]
    place: dict[str, Size] = {
        **{axes[0].var: Dim(found.row.var) for axes in (weights.axes, means.left.axes)},
        **{axis.var: Dim(found.column.var) for axis in (column, summed)},
    }
    stored = Load(store.buffer, store.index, store.value.dtype)
    if summed.extent != column.extent or not _is_read(means.left, stored, place):
        return None
    return Softmax(found, scale, means) if _speaks_of(scale, {found.greatest, found.total}) else None


def totals_of(scores: Contraction, compute: Compute) -> Totals | None:
    """What a compute stores of rows, if it is made of sums of exponentials of scores."""
    if len(compute.sweeps) != 2:
        return None
    known: dict[str, Expr] = {}
    parts = _parts(compute, known)
    found = _exponentials(scores, compute, parts) if parts else None
    if found is None:
        return None
    known |= _lets(compute.lets, known)
    place = {compute.axes[0].var: Dim(found.row.var)}
    stores: list[Store] = []
    for store in compute.stores:
        value = widened(inlined(store.value, known))
        dtype = store.value.dtype
        if store.guard or dtype not in WIDENED or not _speaks_of(value, {found.greatest, found.total}):
            return None
        stores.append(Store(store.buffer, tuple(substitute(i, place) for i in store.index), cast(value, dtype)))
    return Totals(found, compute.sweeps[0].folds[0].dtype, tuple(stores))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The first two sweeps of a compute: over the column, for the greatest score and for the sum of exponentials."""

    column: Axis
    score: Expr
    shift: Expr
    exponential: Expr
    greatest: str
    total: str


def _parts(compute: Compute, known: dict[str, Expr]) -> _Parts | None:
    """The parts of a compute's first two sweeps; ``known`` gets the lets that are evaluated once for a row."""
    first, second, *_ = compute.sweeps
    if len(compute.axes) != 1 or not (_folds(first, "max") and _folds(second, "add")):
        return None
    if len(first.axes) != 1 or second.axes != first.axes:
        return None
    score = _seen(first, known, first.folds[0].value)
    exponential = _seen(second, known, second.folds[0].value)
    shift = _shift(exponential, score)
    greatest, total = first.folds[0].result, second.folds[0].result
    if shift is None or not _speaks_of(shift, {greatest}):
        return None
    return _Parts(first.axes[0], score, shift, exponential, greatest, total)


def _exponentials(scores: Contraction, compute: Compute, parts: _Parts) -> Exponentials | None:
    """The scores of a product that a compute goes on with, if it reads them alone."""
    if len(scores.compute.stores) != 1 or scores.compute.stores[0].guard or scores.batch:
        return None
    if len(scores.left.axes) != 1 or len(scores.right.axes) != 1 or scores.reduction.dtype is not F32:
        return None
    (row,), (column,) = scores.left.axes, scores.right.axes
    if parts.column.extent != column.extent:
        return None
    store = scores.compute.stores[0]
    value = inlined(store.value, {item.name: item.value for item in scores.compute.lets})
    stored = Load(store.buffer, store.index, value.dtype)
    place: dict[str, Size] = {compute.axes[0].var: Dim(row.var), parts.column.var: Dim(column.var)}
    score = _reading(replace(parts.score, place), stored, value)
    if score is None or not _is_closed(score, (row.var, column.var), [a.var for a in compute.outer]):
        return None
    return Exponentials(scores, row, column, widened(score), parts.greatest, parts.total, parts.shift)


def _folds(sweep: Sweep, op: str) -> bool:
    return len(sweep.folds) == 1 and sweep.folds[0].op == op and sweep.folds[0].dtype in WIDENED and not sweep.stores


def _seen(sweep: Sweep, known: dict[str, Expr], value: Expr) -> Expr:
    """A value of a sweep, without lets, in f32."""
    for item in sweep.before:
        known[item.name] = inlined(item.value, known)
    return widened(inlined(value, {**known, **_lets(sweep.lets, known)}))


def _lets(items: Sequence[Let], known: Mapping[str, Expr]) -> dict[str, Expr]:
    out: dict[str, Expr] = {}
    for item in items:
        out[item.name] = inlined(item.value, {**known, **out})
    return out


def inlined(expr: Expr, lets: Mapping[str, Expr]) -> Expr:
    """An expression without lets."""
    if isinstance(expr, Var):
        return inlined(lets[expr.name], lets) if expr.name in lets else expr
    return rebuild(expr, lambda e: inlined(e, lets))


def widened(expr: Expr) -> Expr:
    """An expression of f32 and 16-bit floats in f32."""
    match expr:
        case Cast(value, dtype) if dtype in WIDENED and value.dtype in WIDENED:
            return widened(value)
        case Const(value, dtype) if dtype in WIDENED:
            return Const(value, F32)
        case Var(name, dtype) if dtype in WIDENED:
            return Var(name, F32)
        case Load() if expr.dtype in WIDENED:
            return cast(expr, F32)
        case Apply(op, args, _):
            return apply(op, *map(widened, args))
        case _:
            return rebuild(expr, widened)


def _shift(exponential: Expr, score: Expr) -> Expr | None:
    """What is subtracted from a score before it is exponentiated."""
    match exponential:
        case Apply("exp", (Apply("sub", (minuend, shift), _),), _) if minuend == score:
            return shift
        case _:
            return None


def _speaks_of(expr: Expr, names: set[str]) -> bool:
    """Whether an expression is made of some lets and of constants, and of nothing in memory."""
    parts = list(walk(expr))
    return all(not isinstance(e, Load) and (not isinstance(e, Var) or e.name in names) for e in parts)


def _is_read(factor: Factor, stored: Load, place: Mapping[str, Size]) -> bool:
    """Whether a factor is what was stored, perhaps as a wider type."""
    value = inlined(factor.value, {item.name: item.value for item in factor.lets})
    while isinstance(value, Cast):
        value = value.value
    return isinstance(value, Load) and replace(value, place) == replace(stored, place)


def _reading(score: Expr, stored: Load, value: Expr) -> Expr | None:
    """A score with the value that was stored in place of loads of it; None if something else of the buffer is read."""

    def visit(expr: Expr) -> Expr:
        return value if expr == stored else rebuild(expr, visit)

    out = visit(score)
    return None if any(isinstance(e, Load) and e.buffer == stored.buffer for e in walk(out)) else out


def _is_closed(score: Expr, axes: Sequence[str], around: Sequence[str]) -> bool:
    """Whether index expressions speak of axes and dims alone, and not of lets."""
    found = {n for index in indices_in(score) for n in names(index) if n.startswith("%")}
    return found <= {*axes, *around}
