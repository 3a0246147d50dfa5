"""Finds the columns of a chain's rows that need not be computed, because a comparison of indices leaves them out.

Where what is handed on is ``select(row >= column, value, constant)``, columns behind the last row of a block hold the
constant in all rows of the block. If whoever reads them comes to constants too, and adds zeros or takes the maximum
with -inf, then these columns need not be there. What is computed beside the constant counts as finite: a zero times
what lies there is zero. The same holds for columns before the first row of a block, if it is those that are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sigmagraph.codegen.templates.pieces import initial, slope
from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.dtypes import DType
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute, Sweep
from sigmagraph.ir.kernel.expr import Apply, Cast, Const, Expr, Index, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Let, Store
from sigmagraph.ir.kernel.scalar import SCALARS, convert


@dataclass(frozen=True, slots=True)
class Limit:
    """Columns from an edge on, or before it, change nothing in a row.

    Attributes:
        edge: the first column that is left out, or the first that is not; it grows with the row.
        behind: whether those from the edge on are left out, not those before it.
        columns: the axes that walk along the columns, for each member of the chain that has one.
    """

    edge: Size
    behind: bool
    columns: Mapping[int, str]


def column_limit(chain: Chain, before: bool = False) -> Limit | None:
    """The limit of a chain's columns, if there is one.

    Args:
        chain: whose.
        before: whether those before an edge can be left out, too.
    """
    sides = (True, False) if before else (True,)
    for number, member in enumerate(chain.members):
        for store, column in _stored_columns(chain, member):
            for edge in _edges(member, chain.rows[-1], column):
                for behind in sides:
                    found = _Walk(chain, edge, behind).run(number, store, column)
                    if found is not None:
                        return found
    return None


def _stored_columns(chain: Chain, member: Compute) -> Iterator[tuple[Store, Axis]]:
    """What a member hands on along its last axis, and that axis."""
    kept = {b.name for b in chain.kept}
    own = member.axes[len(chain.rows) :]
    for store in member.stores:
        if store.buffer in kept and own and store.index[-1] == Dim(own[-1].var):
            yield store, own[-1]


def _edges(member: Compute, row: Axis, column: Axis) -> Iterator[Size]:
    """The columns at which comparisons of the column with the row change, where these grow with the row."""
    for expr in (e for whole in member.expressions() for e in walk(whole) if isinstance(e, Apply)):
        found = difference(expr)
        step = None if found is None else slope(found, column.var)
        if found is None or step not in (1, -1):
            continue
        # Where the difference is negative from some column on, or at least 0 from some column on.
        rest = substitute(found, {column.var: 0})
        edge = rest + 1 if step == -1 else -1 * rest
        rise = slope(edge, row.var)
        if isinstance(rise, int) and rise > 0 and {n for n in names(edge) if n.startswith("%")} == {row.var}:
            yield edge


def difference(expr: Apply) -> Size | None:
    """What is at least 0 where a comparison of indices holds."""
    match expr:
        case Apply("le", (Index(a), Index(b))) | Apply("ge", (Index(b), Index(a))):
            return b - a
        case Apply("lt", (Index(a), Index(b))) | Apply("gt", (Index(b), Index(a))):
            return b - a - 1
        case _:
            return None


@dataclass(slots=True)
class _Walk:
    """Follows the constants on one side of an edge from member to member.

    Attributes:
        beyond: what the columns of a buffer hold there.
        columns: the axes that walk along the columns.
    """

    chain: Chain
    edge: Size
    behind: bool
    beyond: dict[str, Const] = field(default_factory=dict)
    columns: dict[int, str] = field(default_factory=dict)

    def run(self, first: int, store: Store, column: Axis) -> Limit | None:
        """The limit, if all that is read from the first member's store on keeps to it."""
        member = self.chain.members[first]
        if not self._stores(_Beyond(self, member, column), (store,)):
            return None
        self.columns[first] = column.var
        for number, reader in enumerate(self.chain.members):
            read = [e for whole in reader.expressions() for e in walk(whole) if isinstance(e, Load)]
            read = [e for e in read if e.buffer in self.beyond]
            if read and not self._reads(number, reader, read):
                return None
        self._spare()
        return Limit(self.edge, self.behind, self.columns)

    def _spare(self) -> None:
        """Columns of what only such members read need not be there either."""
        loads = [
            (number, load)
            for number, member in enumerate(self.chain.members)
            for whole in member.expressions()
            for load in walk(whole)
            if isinstance(load, Load)
        ]
        for number, member in reversed(list(enumerate(self.chain.members))):
            handed_on = list(_stored_columns(self.chain, member))
            read = [(reader, load) for store, _ in handed_on for reader, load in loads if load.buffer == store.buffer]
            unread = all(
                reader in self.columns and load.index[-1] == Dim(self.columns[reader]) for reader, load in read
            )
            if number not in self.columns and read and unread and len(handed_on) == len(list(member.all_stores())):
                self.columns[number] = handed_on[0][1].var

    def _reads(self, number: int, member: Compute, loads: list[Load]) -> bool:
        """Whether a member that reads such columns does without them."""
        axes = [*member.axes[len(self.chain.rows) :], *member.inner_axes()]
        along = {axis for axis in axes for load in loads if load.index[-1] == Dim(axis.var)}
        if len(along) != 1 or any(load.index[-1] != Dim(a.var) for load in loads for a in along):
            return False
        (column,) = along
        self.columns[number] = column.var
        beyond = _Beyond(self, member, column)
        if column in member.axes:
            return self._stores(beyond, member.stores) and not any(s.stores for s in member.sweeps)
        return all(self._sweep(beyond, sweep) for sweep in member.sweeps if column in sweep.axes)

    def _sweep(self, beyond: _Beyond, sweep: Sweep) -> bool:
        for fold in sweep.folds:
            value = beyond.value(fold.value)
            if value is None or value.value != initial(fold.op, fold.dtype).value:
                return False
        return self._stores(beyond, sweep.stores)

    def _stores(self, beyond: _Beyond, stores: tuple[Store, ...]) -> bool:
        """Whether all stores hand on a constant along the column; it is noted."""
        kept = {b.name for b in self.chain.kept}
        for store in stores:
            value = beyond.value(store.value)
            along = store.index[-1:] == (Dim(beyond.column.var),) and not store.guard
            if store.buffer not in kept or value is None or not along:
                return False
            self.beyond[store.buffer] = value
        return True


class _Beyond:
    """Evaluates expressions of a member where the column is on that side of the edge."""

    def __init__(self, walk: _Walk, member: Compute, column: Axis) -> None:
        self.walk, self.column = walk, column
        self.lets: dict[str, Expr] = {x.name: x.value for x in _all_lets(member)}
        axes = (*member.axes, *member.inner_axes())
        known = Dim(column.var) - walk.edge if walk.behind else walk.edge - 1 - Dim(column.var)
        self.facts = Facts({a.var: (0, a.extent - 1) for a in axes}, (known,))

    def value(self, expr: Expr) -> Const | None:
        """The constant that an expression comes to; None where it is not known to be one."""
        match expr:
            case Const():
                return expr
            case Var(name, _):
                return self.value(self.lets[name]) if name in self.lets else None
            case Load(buffer, index, _, ()):
                return self.walk.beyond.get(buffer) if index[-1:] == (Dim(self.column.var),) else None
            case Cast(inner, dtype):
                value = self.value(inner)
                return None if value is None else _constant(convert(value.value, dtype), dtype)
            case Apply():
                return self._comparison(expr) or self._apply(expr)
            case _:
                return None

    def _comparison(self, expr: Apply) -> Const | None:
        found = difference(expr)
        if found is None:
            return None
        if self.facts.nonnegative(found):
            return Const(True, expr.dtype)
        return Const(False, expr.dtype) if self.facts.nonnegative(-1 - found) else None

    def _apply(self, expr: Apply) -> Const | None:
        values = [self.value(a) for a in expr.args]
        if expr.op == "select":
            condition, yes, no = values
            if condition is not None:
                return yes if condition.value else no
            return yes if yes == no else None
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            return self._with_finite(expr, values)
        with np.errstate(all="ignore"):
            numbers = [v.dtype.numpy.type(v.value) for v in known]
            return _constant(SCALARS[expr.op].evaluate(*numbers), expr.dtype)

    @staticmethod
    def _with_finite(expr: Apply, values: Sequence[Const | None]) -> Const | None:
        """What comes of one constant and a finite number: infinities stay, and zeros stay zeros in products."""
        match expr.op, values:
            case ("add", [Const() as one, None] | [None, Const() as one]) | ("sub", [Const() as one, None]):
                return one if np.isinf(one.value) else None
            case "sub", [None, Const() as one]:
                return Const(-float(one.value), expr.dtype) if np.isinf(one.value) else None
            case "mul", [Const() as one, None] | [None, Const() as one]:
                return Const(0.0, expr.dtype) if expr.dtype.is_float and one.value == 0 else None
            case _:
                return None


def _constant(value: object, dtype: DType) -> Const:
    return Const(np.asarray(value).item(), dtype)


def _all_lets(member: Compute) -> Iterator[Let]:
    for sweep in member.sweeps:
        yield from (*sweep.before, *sweep.lets)
    yield from member.lets
