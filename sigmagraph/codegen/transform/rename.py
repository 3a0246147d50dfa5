"""Copies of blocks with names replaced: what unrolling a loop and taking one away are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from sigmagraph.dims import Dim, Size, substitute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, Var, rebuild
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, Call, For, If, Kernel, Let, Stmt, Store, View, statements


class Names:
    """The names of a kernel, and new ones that differ from all of them."""

    def __init__(self, kernel: Kernel) -> None:
        self._bound = Counter((*kernel.dims, *(b.name for b in kernel.params), *_bound(kernel.body)))
        self._next: Counter[str] = Counter()

    def fresh(self, stem: str) -> str:
        """A name that nothing has: the stem itself, or the stem with a number."""
        name = stem
        while name in self._bound:
            name = f"{stem}.{self._next[stem]}"
            self._next[stem] += 1
        self._bound[name] += 1
        return name

    def unique(self, name: str) -> str:
        """The name itself if it is bound at one place, else a new one."""
        return name if self._bound[name] == 1 else self.fresh(name)


def _bound(block: Block) -> Iterator[str]:
    for stmt in statements(block):
        match stmt:
            case For(name, _, _, _) | Let(name, _):
                yield name
            case Alloc(buffer):
                yield buffer.name
            case _:
                pass


def copy_block(block: Block, indices: Mapping[str, Size], rename: Callable[[str], str]) -> Block:
    """The block with names in index expressions replaced, and its own lets and buffers renamed.

    Names bound in inner blocks stay, as they end there.
    """
    copier = _Copier(indices, rename)
    return tuple(copier.own(stmt) for stmt in block)


class _Copier:
    def __init__(self, indices: Mapping[str, Size], rename: Callable[[str], str]) -> None:
        self.indices = dict(indices)
        self.variables: dict[str, Expr] = {}
        self.buffers: dict[str, str] = {}
        self.rename = rename

    def own(self, stmt: Stmt) -> Stmt:
        """A statement of the copied block itself."""
        match stmt:
            case Let(name, value):
                value, new = self.expr(value), self.rename(name)
                self.variables[name] = Var(new, value.dtype)
                self.indices[name] = Dim(new)
                return Let(new, value)
            case Alloc(buffer):
                self.buffers[buffer.name] = self.rename(buffer.name)
                return Alloc(self.buffer(buffer))
            case _:
                return self.inner(stmt)

    def inner(self, stmt: Stmt) -> Stmt:
        match stmt:
            case Let(name, value):
                return Let(name, self.expr(value))
            case Store(buffer, index, value, guard):
                return Store(self.name(buffer), self.sizes(index), self.expr(value), self.sizes(guard))
            case For(var, extent, kind, body):
                return For(var, self.size(extent), kind, self.block(body))
            case If(conditions, then, orelse):
                return If(self.sizes(conditions), self.block(then), self.block(orelse))
            case Alloc(buffer):
                return Alloc(self.buffer(buffer))
            case Call(kernel, dims, args):
                views = tuple(View(self.name(v.buffer), self.sizes(v.index)) for v in args)
                return Call(kernel, self.sizes(dims), views)
            case _:
                return stmt

    def block(self, block: Block) -> Block:
        return tuple(self.inner(stmt) for stmt in block)

    def expr(self, expr: Expr) -> Expr:
        match expr:
            case Var(name, _):
                return self.variables.get(name, expr)
            case Index(size):
                return Index(self.size(size))
            case Load(buffer, index, dtype, guard):
                return Load(self.name(buffer), self.sizes(index), dtype, self.sizes(guard))
            case _:
                return rebuild(expr, self.expr)

    def name(self, buffer: str) -> str:
        return self.buffers.get(buffer, buffer)

    def buffer(self, buffer: Buffer) -> Buffer:
        return Buffer(self.name(buffer.name), buffer.dtype, self.sizes(buffer.shape), buffer.role, buffer.space)

    def size(self, size: Size) -> Size:
        return substitute(size, self.indices)

    def sizes(self, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        return tuple(substitute(s, self.indices) for s in sizes)
