"""What a block of a kernel speaks of: the names that it binds, its divisions, and the lets that become indices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from sigmagraph.dims import Dim, Func, Size, names, of_atom, substitute
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.expr import Expr, Index, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, Call, For, If, Let, Stmt, Store, statements


class Mentions:
    """What a block speaks of, found in one walk.

    Attributes:
        divisions: the floor divisions in its index expressions, without lets.
        lets: names of the lets that index expressions speak of, or that such lets are made from.
        numbers: names of the index expressions that are divided as a whole, if these are asked for (``numbered``).
    """

    def __init__(self, block: Block, numbered: bool = False) -> None:
        self._bound: set[str] = set()
        self.numbers = _divided(block) if numbered else frozenset()
        divided: dict[Func, None] = {}
        exact: dict[str, Size] = {}
        made_from: dict[str, list[str]] = {}
        indexing: dict[str, None] = {}
        for stmt in statements(block):
            self._bound.update(_bound(stmt))
            for size in sizes(stmt):
                if not isinstance(size, int):
                    indexing.update(dict.fromkeys(names(size)))
                    divided.update(dict.fromkeys(divisions(substitute(size, exact))))
            if isinstance(stmt, Let):
                made_from.setdefault(stmt.name, []).extend(e.name for e in walk(stmt.value) if isinstance(e, Var))
                if isinstance(stmt.value, Index) and stmt.name not in self.numbers:
                    exact[stmt.name] = substitute(stmt.value.value, exact)
        self.divisions: tuple[Size, ...] = tuple(map(of_atom, divided))
        self.lets = frozenset(_closure(indexing, made_from))

    def fresh(self, stem: str) -> str:
        """A name that the block does not bind."""
        name = next(f"{stem}.{n}" for n in count() if f"{stem}.{n}" not in self._bound)
        self._bound.add(name)
        return name


def sizes(stmt: Stmt) -> Iterator[Size]:
    """The index expressions of a statement, without those of its blocks."""
    match stmt:
        case For(_, extent, _, _):
            yield extent
        case If(conditions, _, _):
            yield from conditions
        case Let(_, value):
            yield from _sizes_in(value)
        case Store(_, index, value, guard):
            yield from index
            yield from guard
            yield from _sizes_in(value)
        case Call(_, dims, args):
            yield from dims
            for view in args:
                yield from view.index
        case _:
            pass


def _divided(block: Block) -> frozenset[str]:
    """The lets of index expressions by which others begin a division."""
    lets = {s.name for s in statements(block) if isinstance(s, Let) and isinstance(s.value, Index)}
    found = (a.args[0] for stmt in statements(block) for size in sizes(stmt) for a in divisions(size))
    return frozenset(str(a) for a in found if isinstance(a, Dim) and a.is_name and str(a) in lets)


def _sizes_in(expr: Expr) -> Iterator[Size]:
    for part in walk(expr):
        if isinstance(part, Load):
            yield from part.index
            yield from part.guard
        elif isinstance(part, Index):
            yield part.value


def _bound(stmt: Stmt) -> tuple[str, ...]:
    match stmt:
        case For(name, _, _, _) | Let(name, _):
            return (name,)
        case Alloc(buffer):
            return (buffer.name,)
        case _:
            return ()


def _closure(start: dict[str, None], made_from: dict[str, list[str]]) -> list[str]:
    """The names and, again and again, those that they are made from."""
    found = dict(start)
    waiting = list(start)
    while waiting:
        for name in made_from.get(waiting.pop(), ()):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return list(found)
