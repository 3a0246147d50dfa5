"""Recognises a softmax between two products: scores along rows, weights made of them, and means by these weights.

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
from sigmagraph.dims import Dim, Size, names
from sigmagraph.dtypes import BF16, F16, F32
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep
from sigmagraph.ir.kernel.expr import Apply, Cast, Const, Expr, Load, Var, apply, cast, rebuild, replace, walk
from sigmagraph.ir.kernel.kernel import Let

WIDENED = (F16, BF16, F32)


@dataclass(frozen=True, slots=True)
class Softmax:
    """Scores, weights and means, in parts of expressions.

    Attributes:
        scores: the product that makes scores.
        means: the product that reads weights.
        row, column: the axes of scores; means sum over the column.
        score: what is exponentiated but for the shift; the product is called what it is in ``scores``.
        greatest, total: the names of what ``shift`` and ``scale`` are made of.
        shift, scale: expressions of these.
    """

    scores: Contraction
    means: Contraction
    row: Axis
    column: Axis
    score: Expr
    greatest: str
    total: str
    shift: Expr
    scale: Expr


def softmax_between(scores: Contraction, weights: Compute, means: Contraction) -> Softmax | None:
    """The softmax that three computes are, if they are one."""
    if len(scores.compute.stores) != 1 or scores.compute.stores[0].guard or scores.batch or means.batch:
        return None
    if len(scores.left.axes) != 1 or len(scores.right.axes) != 1 or len(means.left.axes) != 1:
        return None
    if not (scores.reduction.dtype is means.reduction.dtype is F32) or len(means.reduction.axes) != 1:
        return None
    parts = _weights(weights)
    if parts is None:
        return None
    (row,), (column,), (summed,) = scores.left.axes, scores.right.axes, means.reduction.axes
    row_names = {weights.axes[0].var: Dim(row.var), means.left.axes[0].var: Dim(row.var)}
    place: dict[str, Size] = {**row_names, parts.column.var: Dim(column.var), summed.var: Dim(column.var)}
    if not (column.extent == parts.column.extent == summed.extent and _is_read(means.left, parts.stored, place)):
        return None
    store = scores.compute.stores[0]
    value = inlined(store.value, {item.name: item.value for item in scores.compute.lets})
    stored = Load(store.buffer, store.index, value.dtype)
    score = _reading(replace(parts.score, place), stored, value)
    if score is None or not _is_closed(score, (row.var, column.var), [a.var for a in weights.outer]):
        return None
    return Softmax(scores, means, row, column, widened(score), parts.greatest, parts.total, parts.shift, parts.scale)


@dataclass(frozen=True, slots=True)
class _Weights:
    """The parts of a compute that turns scores into weights; ``stored`` is where these lie."""

    column: Axis
    score: Expr
    greatest: str
    total: str
    shift: Expr
    scale: Expr
    stored: Load


def _weights(compute: Compute) -> _Weights | None:
    if len(compute.axes) != 1 or len(compute.sweeps) != 3 or compute.lets or compute.stores:
        return None
    first, second, third = compute.sweeps
    if not (_folds(first, "max") and _folds(second, "add") and not third.folds and len(third.stores) == 1):
        return None
    axes = first.axes
    if len(axes) != 1 or second.axes != axes or third.axes != axes or third.stores[0].guard:
        return None
    known: dict[str, Expr] = {}
    score = _seen(first, known, first.folds[0].value)
    exponential = _seen(second, known, second.folds[0].value)
    weight = _seen(third, known, third.stores[0].value)
    while isinstance(weight, Cast):
        weight = weight.value
    shift = _shift(exponential, score)
    if shift is None or not isinstance(weight, Apply) or weight.op != "mul" or exponential not in weight.args:
        return None
    scale = weight.args[1] if weight.args[0] == exponential else weight.args[0]
    greatest, total = first.folds[0].result, second.folds[0].result
    if not (_speaks_of(shift, {greatest}) and _speaks_of(scale, {greatest, total})):
        return None
    store = third.stores[0]
    stored = Load(store.buffer, store.index, store.value.dtype)
    return _Weights(axes[0], score, greatest, total, shift, scale, stored)


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
