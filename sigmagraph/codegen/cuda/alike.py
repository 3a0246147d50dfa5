"""Nests that differ in numbers and names only: what they have in common, and the numbers of each.

The updates of twenty parameters are the same statements with other sizes in them. One function can do them all when
these sizes are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.cuda.nests import Nest
from sigmagraph.dims import Dim, Func, Size, func, names, product, substitute, total
from sigmagraph.ir.kernel.expr import Expr, Index, Load, Var, rebuild, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    Let,
    LoopKind,
    Space,
    Stmt,
    Store,
    View,
)

_ALIGNED = 16  # factors of numbers up to which vectors may have to know

Visit = Callable[[Size], Size]


@dataclass(frozen=True)
class Shape:
    """A nest in two parts.

    Attributes:
        key: what is the same for nests that differ in numbers and names only.
        numbers: those of this one, in the order in which they occur.
        params: the numbers of the kernel's parameters that occur, in that order.
    """

    key: Hashable
    numbers: tuple[int, ...]
    params: tuple[int, ...]


@dataclass(frozen=True)
class Common:
    """One nest that stands for several.

    Attributes:
        nest: its kernel has the parameters that occur, and as further dims the numbers that differ.
        values: the value of each of these dims, by its name, for each of the nests that it stands for.
    """

    nest: Nest
    values: Mapping[str, tuple[int, ...]]


def shape_of(nest: Nest, unaligned: frozenset[str]) -> Shape:
    """Take a nest apart; ``unaligned`` are parameters of its kernel that may not be aligned."""
    skeletons: list[Hashable] = []
    numbers: list[int] = []

    def visit(size: Size) -> Size:
        skeletons.append(_skeleton(size, numbers))
        return 0

    writer = _Writer(nest, visit)
    body = writer.nest()
    params = tuple(writer.params)
    found = [nest.kernel.params[number] for number in params]
    about = tuple((p.dtype, p.role, len(p.shape), p.name in unaligned) for p in found)
    return Shape((body, about, tuple(skeletons)), tuple(numbers), params)


def common(nests: Sequence[Nest], shapes: Sequence[Shape]) -> Common:
    """The nest that several nests of the same key are, given the numbers of one of them."""
    values: dict[str, tuple[int, ...]] = {}
    sizes = iter([_together(column, values) for column in zip(*(s.numbers for s in shapes), strict=True)])
    first = nests[0]
    writer = _Writer(first, lambda size: _rebuilt(size, sizes), original=True)
    *around, loop = writer.nest()
    assert isinstance(loop, For)
    params = tuple(writer.params.values())
    kernel = Kernel(
        first.kernel.name,
        (*first.kernel.dims, *values),
        params,
        (*around, loop),
        first.kernel.stage,
        first.kernel.callees,
        first.kernel.provenance,
    )
    return Common(Nest(kernel, first.symbol, tuple(around), loop), values)


def _together(column: Sequence[int], values: dict[str, tuple[int, ...]]) -> Size:
    """A number where all have the same, else a dim times what all are multiples of."""
    if len(set(column)) == 1:
        return column[0]
    factor = math.gcd(_ALIGNED, *column)
    scaled = tuple(number // factor for number in column)
    name = next((n for n, known in values.items() if known == scaled), f"%own{len(values)}")
    values[name] = scaled
    return factor * Dim(name)


# ---- sizes: the number of each term, a constant term always being there


def _skeleton(size: Size, numbers: list[int]) -> Hashable:
    terms = {(): 0} | dict(size.terms if isinstance(size, Dim) else (((), size),))
    out = []
    for monomial, number in terms.items():
        numbers.append(abs(number))
        out.append((number < 0, tuple(_atom_skeleton(a, numbers) for a in monomial)))
    return tuple(out)


def _atom_skeleton(atom: str | Func, numbers: list[int]) -> Hashable:
    return atom if isinstance(atom, str) else (atom.kind, *(_skeleton(a, numbers) for a in atom.args))


def _rebuilt(size: Size, numbers: Iterator[Size]) -> Size:
    """The same expression with other numbers, which come in the order in which :func:`_skeleton` finds them."""
    terms = {(): 0} | dict(size.terms if isinstance(size, Dim) else (((), size),))
    out: list[Size] = []
    for monomial, number in terms.items():
        value = next(numbers)
        atoms = [_rebuilt_atom(a, numbers) for a in monomial]
        out.append(product([-1 * value if number < 0 else value, *atoms]))
    return total(out)


def _rebuilt_atom(atom: str | Func, numbers: Iterator[Size]) -> Size:
    return Dim(atom) if isinstance(atom, str) else func(atom.kind, [_rebuilt(a, numbers) for a in atom.args])


# ---- statements


class _Writer:
    """Writes a nest again, with other sizes where sizes may differ.

    Args:
        nest: the nest.
        visit: what becomes of a size that may differ; names are numbered in it by the order in which they occur.
        original: whether names are what they were, and not numbered.
    """

    def __init__(self, nest: Nest, visit: Visit, original: bool = False) -> None:
        self.source = nest
        self.visit = visit
        self.original = original
        self.numbered: dict[str, str] = {}
        self.back: dict[str, Size] = {}
        self.params: dict[int, Buffer] = {}
        self.numbers = {p.name: n for n, p in enumerate(nest.kernel.params)}
        self.local = {s.buffer.name for s in nest.statements if isinstance(s, Alloc) and s.buffer.space is Space.LOCAL}
        self.fixed = self._fixed()

    def nest(self) -> Block:
        """What stands around the loops, and the loops."""
        return self.block((*self.source.around, self.source.loop))

    def _fixed(self) -> frozenset[str]:
        """The names that choose elements of memory of a thread: only what is unrolled lies in registers."""
        found: dict[str, None] = {}
        for stmt in self.source.statements:
            for buffer, index in _accesses(stmt):
                if buffer in self.local:
                    found |= dict.fromkeys(n for size in index for n in names(size))
        return frozenset(found)

    def number(self, name: str) -> str:
        """The name by the order in which names occur."""
        if name not in self.numbered:
            self.numbered[name] = number = f"%n{len(self.numbered)}"
            self.back[number] = Dim(name)
        return self.numbered[name]

    def name(self, name: str) -> str:
        number = self.number(name)
        return name if self.original else number

    def buffer(self, name: str) -> str:
        shown = self.name(name)
        if name in self.numbers and self.numbers[name] not in self.params:
            old = self.source.kernel.params[self.numbers[name]]
            shape = (1, *map(self.size, old.shape[1:])) if old.shape else ()  # the first is in no index
            self.params[self.numbers[name]] = replace(old, name=shown, shape=shape)
        return shown

    def size(self, size: Size) -> Size:
        """A size that may differ."""
        size = self.visit(self._by_number(size))
        return substitute(size, self.back) if self.original else size

    def renamed(self, size: Size) -> Size:
        """A size that must not."""
        return size if self.original else self._by_number(size)

    def _by_number(self, size: Size) -> Size:
        return substitute(size, {n: Dim(self.number(n)) for n in names(size) if n.startswith("%")})

    def block(self, block: Block) -> Block:
        return tuple(map(self.stmt, block))

    def stmt(self, stmt: Stmt) -> Stmt:
        match stmt:
            case For(var, extent, kind, body):
                free = (kind.is_block or kind is LoopKind.SERIAL) and var not in self.fixed
                extent = self.size(extent) if free else self.renamed(extent)
                return For(self.name(var), extent, kind, self.block(body))
            case Let(name, value):
                value = self.expr(value)
                return Let(self.name(name), value)
            case Store(buffer, index, value, guard):
                return Store(self.buffer(buffer), self.index(buffer, index), self.expr(value), self.sizes(guard))
            case If(conditions, then, orelse):
                return If(self.sizes(conditions), self.block(then), self.block(orelse))
            case Alloc(buffer):
                return Alloc(replace(buffer, name=self.name(buffer.name)))
            case Call(kernel, dims, args):
                views = tuple(View(self.buffer(v.buffer), self.index(v.buffer, v.index)) for v in args)
                return Call(kernel, tuple(map(self.renamed, dims)), views)
            case _:
                return stmt

    def index(self, buffer: str, index: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(map(self.renamed, index)) if buffer in self.local else self.sizes(index)

    def sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(map(self.size, sizes))

    def expr(self, expr: Expr) -> Expr:
        match expr:
            case Var(name, dtype):
                return Var(self.name(name), dtype)
            case Index(value):
                return Index(self.size(value))
            case Load(buffer, index, dtype, guard):
                return Load(self.buffer(buffer), self.index(buffer, index), dtype, self.sizes(guard))
            case _:
                return rebuild(expr, self.expr)


def _accesses(stmt: Stmt) -> Iterator[tuple[str, tuple[Size, ...]]]:
    """The buffers that a statement speaks of, and where."""
    match stmt:
        case Store(buffer, index, value, _):
            yield buffer, index
            yield from _loads(value)
        case Let(_, value):
            yield from _loads(value)
        case Call(_, _, args):
            yield from ((view.buffer, view.index) for view in args)
        case _:
            pass


def _loads(value: Expr) -> Iterator[tuple[str, tuple[Size, ...]]]:
    for part in walk(value):
        if isinstance(part, Load):
            yield part.buffer, part.index
