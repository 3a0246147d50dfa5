"""Products of values that products are made of, for some rows by the warps of a block: the values stay in registers.

A warp has sixteen rows. It walks over the columns of values in pieces: forms the products of a piece, makes values of
them, of what former steps have made, and of what lies in memory, and adds the products of these values and another
factor to sums that it keeps to the end.

What depends on the row alone is computed once for all pieces, what depends on the column alone once for both rows of
a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sigmagraph.codegen.cuda.contraction import COLUMN, ROW, Factors, Tiling
from sigmagraph.codegen.cuda.decided import holding, settled
from sigmagraph.codegen.cuda.from_registers import (
    LOG2E,
    PIECE,
    ROWS,
    FromRegisters,
    by_column,
    by_row,
    filled,
    local,
    of_row,
    own,
    place_of,
    width,
)
from sigmagraph.codegen.cuda.runs import Run, Step, own_sizes
from sigmagraph.codegen.cuda.softmax import inlined
from sigmagraph.codegen.cuda.tiles import Layout
from sigmagraph.codegen.cuda.turns import product_of_rows, rows_stay, take_turns
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.pieces import indices_in, instantiate
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, names
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.expr import Apply, Cast, Const, Expr, Index, Load, Var, apply, cast, rebuild, replace, walk
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, Buffer, For, If, Let, LoopKind, Stmt, Store

PIECES = (64, 32)  # columns
MOST = 144  # words of sums, values and factors that a thread has: of its 255 registers the others are for addresses
_BOTH = frozenset(("row", "column"))


def piece_of(run: Run) -> int | None:
    """How many columns of values a thread has room for, beside its sums; None if it has none."""
    widths = [width(final.contraction.right.extent) or 0 for final in run.finals]
    others = sum(widths) // 2 + max(widths) // 4  # sums, and what they are products of
    arrays = _Arrays(run).most
    return next((piece for piece in PIECES if others + arrays * piece // 2 <= MOST), None)


class Pieces:
    """The members of a run as one.

    Args:
        run: what they are.
        factors: those of a contraction, which an instruction of tensor cores takes.
        ahead: how many steps before they are needed such factors may be fetched; 0 where there is no such instruction.
        piece: how many columns of values are in registers at a time.
    """

    def __init__(
        self, run: Run, factors: Callable[[Contraction], Factors], ahead: Callable[[Factors], int], piece: int
    ) -> None:
        self.run, self.piece = run, piece
        self.arrays = _Arrays(run)
        self.first, self.finals = self._products(factors, ahead, whole=True)
        self.turns = take_turns(self.first.values(), self.finals)
        if not self.turns:
            self.first, self.finals = self._products(factors, ahead, whole=False)
        self.layout: Layout = self.finals[0].tile.layout  # all have the same rows and lanes
        self.of_rows: dict[Expr, Buffer] = {}
        values = [self._values(number, step) for number, step in enumerate(run.steps)]
        self._piece = self._statements(values)

    def _products(
        self, factors: Callable[[Contraction], Factors], ahead: Callable[[Factors], int], whole: bool
    ) -> tuple[dict[int, Tiling], list[FromRegisters]]:
        """Those of steps, by their numbers, and those of finals; what a piece needs is brought at once, or in steps."""
        made = {n: (c, factors(c)) for n, step in enumerate(self.run.steps) if (c := step.contraction)}
        stays = rows_stay(made.values())
        first = {n: product_of_rows(c, found, self.piece, ahead(found), stays, whole) for n, (c, found) in made.items()}
        finals: list[FromRegisters] = []
        for number, final in enumerate(self.run.finals):
            found = factors(final.contraction)
            finals.append(FromRegisters(final.contraction, found, self.piece, ahead(found), f".{number}", whole))
        return first, finals

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        own = (_renamed(tiling.shared(), number, 0) for number, tiling in self.first.items())
        first = (s for block in own for s in block if isinstance(s, Alloc))
        return (*first, *(Alloc(final.slab.shared) for final in self.finals))

    def part(self) -> Block:
        """What a thread does for the rows of a block."""
        pieces = ceildiv(self.run.column.extent, self.piece)
        return (
            *(Alloc(final.sums) for final in self.finals),
            *(s for final in self.finals for s in filled(final.sums, 0.0)),
            *self._rows(),
            *(s for number, tiling in self.first.items() for s in _of_step(tiling, number, tiling.rows(), 0)),
            *(self._begin(min(self.first), 0) if self.turns else ()),
            For(PIECE, pieces, LoopKind.SERIAL, self._piece),
            *(s for final in self.finals for s in final.results()),
        )

    def _rows(self) -> Block:
        """What depends on the row alone; 0 for rows that do not exist."""
        row, _ = place_of(self.layout, self.piece)
        stores = tuple(_set(of_row(b), replace(e, {self.run.row.var: row})) for e, b in self.of_rows.items())
        zeros = tuple(_set(of_row(b), _zero(b)) for b in self.of_rows.values())
        whole = divide_exact(self.run.row.extent, ROWS) is not None
        body = stores if whole else (If((self.run.row.extent - 1 - row,), stores, zeros),)
        return (*map(Alloc, self.of_rows.values()), *by_row(*body)) if stores else ()

    # ---- a piece of the columns

    def _statements(self, values: Sequence[Block]) -> Block:
        """What a thread does for a piece, given what makes values of products."""
        out: list[Stmt] = [*map(Alloc, self.arrays.further(self.piece))]
        starts = [*(self._begin(number, Dim(PIECE)) for number in self.first), *(f.begin() for f in self.finals)]
        following = iter((*starts[1:], self._next()) if self.turns else [()] * len(starts))
        early = [] if self.turns else [final for final in self.finals if final.is_fetched]
        if early:  # it arrives while values are made
            out += [Barrier(), *(s for final in early for s in final.begin())]
        for number, block in enumerate(values):
            if number in self.first:
                tiling = self.first[number]
                begun = () if self.turns else tiling.begin()
                out += _of_step(tiling, number, (*tiling.zeros(), *begun, *tiling.added(next(following))), Dim(PIECE))
            out += block
        for final, of_final in zip(self.run.finals, self.finals, strict=True):
            out += () if self.turns or of_final.is_fetched else of_final.begin()
            out += of_final.products(self._array(self.arrays.of_finals[final.value]), next(following))
        return tuple(out)

    def _begin(self, number: int, piece: Size) -> Block:
        """Bring what the product of a step needs first for a piece."""
        return _of_step(self.first[number], number, self.first[number].begin(), piece)

    def _next(self) -> Block:
        """Begin with the next piece, if there is one."""
        left = ceildiv(self.run.column.extent, self.piece) - 2 - Dim(PIECE)
        return (If((left,), self._begin(min(self.first), Dim(PIECE) + 1)),)

    def _array(self, name: str) -> Buffer:
        return local(name, self.piece // 2)

    def _values(self, number: int, step: Step) -> Block:
        """The values of a step; with fewer instructions where comparisons hold for all of a piece."""
        run = self.run
        reads = {load: own(self._array(self.arrays.reads[number][name])) for load, name in step.reads}
        result = step.contraction.reduction.result if step.contraction else ""
        parts = _Parts(run.row.var, run.column.var, result, reads, self.of_rows)
        lets, values = parts.sorted(step)
        axes = run.row.var, run.column.var
        plain = self._elements(number, parts, lets, values)
        conditions = holding([*(item.value for item in lets), *values], *axes, self.piece)
        if not conditions:
            return plain
        lets = [Let(item.name, settled(item.value, *axes)) for item in lets]
        return (If(conditions, self._elements(number, parts, lets, [settled(v, *axes) for v in values]), plain),)

    def _elements(self, number: int, parts: _Parts, lets: Sequence[Let], values: Sequence[Expr]) -> Block:
        """The values of a step for all elements; 0 in columns that do not exist, whatever products come to there."""
        run = self.run
        row, column = place_of(self.layout, self.piece)
        place: dict[str, Size] = {run.row.var: row, run.column.var: column}
        known: dict[str, Expr] = {parts.result: own(self._array(_sums(number)))} if parts.result else {}
        instance = instantiate(lets, place, "", known)
        targets = [own(self._array(name)) for name in self.arrays.targets[number]]
        results = [Var(f"%value.{n}", F32) for n in range(len(values))]
        body: Block = (
            *instance.lets,
            *(Let(v.name, instance.value(e)) for v, e in zip(results, values, strict=True)),
            *map(_set, targets, results),
        )
        zeros = tuple(_set(target, _zero(target)) for target in targets)
        if parts.reads_elements and divide_exact(run.row.extent, ROWS) is None:
            body = (If((run.row.extent - 1 - row,), body, zeros),)
        body = (*(Let(v.name, replace(e, place)) for e, v in parts.of_columns.items()), *by_row(*body))
        if divide_exact(run.column.extent, self.piece) is None:
            body = (If((run.column.extent - 1 - column,), body, by_row(*zeros)),)
        return by_column(self.piece, *body)


# ---- where values are


class _Arrays:
    """Which registers the values of a piece are in: those of a product, or of values that nobody needs any longer.

    Attributes:
        reads: for each step, where it finds what it reads.
        targets: for each step, where its values go.
        of_finals: where the factors of finals are.
        most: so many arrays are needed at a time.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.reads: list[dict[str, str]] = []
        self.targets: list[list[str]] = []
        self.most = 0
        self._further: list[str] = []
        now: dict[str, str] = {}
        for number, step in enumerate(run.steps):
            self.reads.append({name: now[name] for _, name in step.reads})
            written = [name for name, _ in step.values]
            kept = {name: array for name, array in now.items() if self._is_read_later(name, number)}
            free = [_sums(number)] if step.contraction else []
            free += [array for name, array in now.items() if name not in kept]
            there = len(kept) + len(free)
            while len(free) < len(written):
                free.append(f"%held.{len(self._further)}")
                self._further.append(free[-1])
            self.most = max(self.most, there, len(kept) + len(written))
            self.targets.append(free[: len(written)])
            now = {**kept, **dict(zip(written, free, strict=False))}
        self.of_finals = now

    def further(self, piece: int) -> list[Buffer]:
        """Those that are not of a product."""
        return [local(name, piece // 2) for name in self._further]

    def _is_read_later(self, name: str, number: int) -> bool:
        later = (other for step in self.run.steps[number + 1 :] for _, other in step.reads)
        return name in (*later, *(final.value for final in self.run.finals))


def _sums(number: int) -> str:
    return f"%sums.{number}"


def _renamed(block: Block, number: int, piece: Size) -> Block:
    """What belongs to the product of a step, with names of its own."""
    return copy_block(block, {ROW: 0, COLUMN: piece}, lambda name: f"{name}.{number}")


def _of_step(tiling: Tiling, number: int, block: Block, piece: Size) -> Block:
    """What a thread does for the product of a step, in the memory of that."""
    shared = tiling.shared()
    return _renamed((*shared, *block), number, piece)[len(shared) :]


# ---- what values depend on


@dataclass(slots=True)
class _Parts:
    """Takes out of a step's expressions what depends on the row or on the column alone.

    Attributes:
        row, column: the axes.
        result: the name of a product; empty if there is none.
        reads: where values of former steps are.
        of_rows: expressions of the row that read memory, and the registers for them; of all steps.
        of_columns: those of the column, and their names.
        reads_elements: whether memory is read at other places than these.
    """

    row: str
    column: str
    result: str
    reads: Mapping[Load, Load]
    of_rows: dict[Expr, Buffer]
    of_columns: dict[Expr, Var] = field(default_factory=dict)
    reads_elements: bool = False
    _levels: dict[str, frozenset[str]] = field(default_factory=dict)
    _early: dict[str, Expr] = field(default_factory=dict)

    def sorted(self, step: Step) -> tuple[list[Let], list[Expr]]:
        """The lets and values that are left."""
        lets: list[Let] = []
        whole = [*(item.value for item in step.lets), *(value for _, value in step.values)]
        counted = {n for value in whole for index in indices_in(value) for n in names(index)}
        for item in step.lets:
            level = _BOTH if item.name in counted else self._level(item.value)
            self._levels[item.name] = level
            if level == _BOTH:
                lets.append(Let(item.name, self._taken(item.value)))
            else:
                self._early[item.name] = inlined(item.value, self._early)
        return lets, [self._taken(value) for _, value in step.values]

    def _level(self, expr: Expr) -> frozenset[str]:
        """What an expression depends on."""
        out: set[str] = set()
        for part in walk(expr):
            match part:
                case Var(name, _):
                    out |= _BOTH if name == self.result else self._levels[name]
                case Load() if part in self.reads:
                    out |= _BOTH
                case Load() | Index():
                    out.update(*(self._level_of(n) for index in own_sizes(part) for n in names(index)))
                case _:
                    pass
        return frozenset(out)

    def _level_of(self, name: str) -> frozenset[str]:
        if name in self._levels:
            return self._levels[name]
        return frozenset({self.row: ("row",), self.column: ("column",)}.get(name, ()))

    def _taken(self, expr: Expr) -> Expr:
        """The expression with what is taken out of it in registers, and values of former steps where they are."""
        if isinstance(expr, Var) and expr.name in self._early:
            return self._taken(self._early[expr.name])
        if isinstance(expr, Load) and expr in self.reads:
            return self.reads[expr]
        level = self._level(expr)
        if level != _BOTH:
            whole = inlined(expr, self._early)
            if any(isinstance(e, Load) for e in walk(whole)):
                return self._outside(whole, level)
        self.reads_elements |= isinstance(expr, Load)
        return _approximated(rebuild(expr, self._taken))

    def _outside(self, expr: Expr, level: frozenset[str]) -> Expr:
        if "column" in level:
            return self.of_columns.setdefault(expr, Var(f"%of_column.{len(self.of_columns)}", expr.dtype))
        known = self.of_rows.setdefault(expr, local(f"%of_row.{len(self.of_rows)}", 2, expr.dtype))
        return of_row(known)


def _approximated(expr: Expr) -> Expr:
    """An exponential by the device's power of two, which is off by far less than what factors are rounded by."""
    match expr:
        case Cast(value, dtype):
            return cast(value, dtype)
        case Apply("exp", (value,), dtype) if dtype is F32:
            return apply("exp2_approx", apply("mul", value, LOG2E))
        case _:
            return expr


def _set(place: Load, value: Expr) -> Store:
    return Store(place.buffer, place.index, value)


def _zero(of: Buffer | Load) -> Const:
    return Const(0.0 if of.dtype.is_float else 0, of.dtype)
