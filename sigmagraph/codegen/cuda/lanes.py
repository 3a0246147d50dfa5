"""Writes vectorized loops: accesses to elements in a row as vectors, around loops over lanes that compilers unroll.

The iterations of such a loop do not depend on each other, so that the loads of all of them may stand before what they
compute, and their stores behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sigmagraph.codegen.cuda.index import are_multiples, flat_index
from sigmagraph.codegen.cuda.types import COMPARISON, Text, memory_type
from sigmagraph.dims import Size, coefficient, names, substitute
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Expr, Index, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Block, Buffer, Call, For, If, Let, LoopKind, Space, Stmt, Store, statements

if TYPE_CHECKING:
    from sigmagraph.codegen.cuda.body import Body

WIDEST = 16
_WIDTHS = (4, 8, 16)


class Lanes:
    """A vectorized loop that is written into a body.

    Args:
        body: takes the lines.
        loop: its extent is a number.
    """

    def __init__(self, body: Body, loop: For) -> None:
        assert isinstance(loop.extent, int)
        self.body = body
        self.loop = loop
        self.lanes = loop.extent
        self.lane = body.variable(loop.var)
        self.varying: dict[str, None] = {loop.var: None}
        self.hidden: dict[str, None] = {}  # lets inside of the loop over lanes that is being written
        self.stored: dict[str, None] = {}
        self.lines: list[str] = []
        self.behind: list[str] = []

    def write(self) -> None:
        """Write the loop."""
        with self.body.inside(""):
            self.block(self.loop.body)

    def block(self, block: Block) -> None:
        """Write the statements of all lanes."""
        run: list[Stmt] = []
        for number, stmt in enumerate(block):
            if isinstance(stmt, (Let, Store)) or (isinstance(stmt, For) and stmt.kind is LoopKind.VECTORIZED):
                run.append(stmt)
                continue
            self.run(run, used_names(block[number:]))
            run = []
            self.together(stmt)
        self.run(run, {})

    def together(self, stmt: Stmt) -> None:
        """A statement that all lanes come to in the same way."""
        body = self.body
        match stmt:
            case For(_, extent, LoopKind.SERIAL | LoopKind.UNROLLED, inner) if not self.varies((extent,)):
                with body.loop(stmt):
                    self.block(inner)
            case If(conditions, then, orelse) if not self.varies(conditions):
                with body.inside(f"if ({body.indices.condition(conditions)})"):
                    self.block(then)
                if orelse:
                    with body.inside("else"):
                        self.block(orelse)
            case _:
                raise CompileError(
                    "the lanes of a vectorized loop take different ways", got=type(stmt).__name__, node=body.kernel.name
                )

    def varies(self, sizes: Iterable[Size]) -> bool:
        """Whether index expressions differ between lanes."""
        return any(n in self.varying for size in sizes for n in names(size))

    def run(self, stmts: Sequence[Stmt], later: dict[str, None]) -> None:
        """Write statements in a row; ``later`` is what is spoken of behind them."""
        self.hidden, self.stored, self.lines, self.behind = {}, {}, [], []
        for number, stmt in enumerate(stmts):
            match stmt:
                case Let():
                    self.let(stmt, later)
                case Store():
                    self.store(stmt, stmts[number + 1 :])
                case _:
                    with self.body.aside(self.lines):
                        self.each(stmt)
        self.body.loaded.clear()
        if self.lines:
            self.body.line("#pragma unroll")
            head = f"for (sg_index {self.lane} = 0; {self.lane} < {self.lanes}; ++{self.lane})"
            with self.body.inside(head):
                self.body.lines.extend(self.lines)
        for line in self.behind:
            self.body.line(line)

    def each(self, stmt: Stmt) -> None:
        """A loop inside of each lane."""
        assert isinstance(stmt, For)
        with self.body.loop(stmt):
            self.body.block(stmt.body)
        for inner in statements(stmt.body):
            if isinstance(inner, Store):
                self.write_to(inner.buffer)

    def write_to(self, buffer: str) -> None:
        """Forget what was loaded from a buffer."""
        self.stored[buffer] = None
        for load in [load for load in self.body.loaded if load.buffer == buffer]:
            del self.body.loaded[load]

    # ---- lets

    def let(self, let: Let, later: dict[str, None]) -> None:
        """A let before the loop over lanes if it is the same in all, else one inside, and an array for later."""
        body = self.body
        if self.is_early(let.value):
            body.let(let)
            return
        self.load(let.value)
        self.varying[let.name] = None
        if isinstance(let.value, Load) and let.value in body.loaded:
            body.bind_let(let, body.loaded[let.value], let.value.dtype is I64)
            return
        type, value, wide = body.typed(let.value)
        name = body.names.of(let.name)
        if let.name in later:
            body.line(f"{type} {name}[{self.lanes}];")
            name = f"{name}[{self.lane}]"
            type = ""
        self.append(f"const {type} {name} = {value};" if type else f"{name} = {value};")
        body.bind_let(let, Text(name), wide)
        if type:
            self.hidden[let.name] = None

    def append(self, line: str) -> None:
        """A line inside of the loop over lanes."""
        with self.body.aside(self.lines):
            self.body.line(line)

    def is_early(self, value: Expr) -> bool:
        """Whether a value is the same in all lanes, and before all that they store."""
        for part in walk(value):
            match part:
                case Var(name, _) if name in self.varying or name in self.hidden:
                    return False
                case Index(size) if not self.is_known((size,)):
                    return False
                case Load(buffer, index, _, guard) if buffer in self.stored or not self.is_known((*index, *guard)):
                    return False
                case _:
                    pass
        return True

    def is_known(self, sizes: Iterable[Size]) -> bool:
        """Whether index expressions can be written before the loop over lanes."""
        return not any(n in self.varying or n in self.hidden for size in sizes for n in names(size))

    # ---- vectors

    def load(self, value: Expr) -> None:
        """Carry out those loads of a value that vectors do."""
        body = self.body
        for part in walk(value):
            if not isinstance(part, Load) or part in body.loaded or part.buffer in self.stored:
                continue
            buffer = body.buffers[part.buffer]
            start = self.start(buffer, part.index, part.guard)
            if start is None:
                continue
            name = body.names.fresh(f"{body.names.of(part.buffer)}_lanes")
            body.line(f"{memory_type(part.dtype)} {name}[{self.lanes}];")
            condition = f", {body.indices.condition(part.guard)}" if part.guard else ""
            body.line(f"sg_load<{self.lanes}>({name}, {body.address(buffer, start)}{condition});")
            element = f"{name}[{self.lane}]"
            body.loaded[part] = Text(f"{element} != 0", COMPARISON) if part.dtype is BOOL else Text(element)

    def store(self, store: Store, rest: Sequence[Stmt]) -> None:
        """A store behind the loop over lanes if a vector does it, else one inside."""
        body = self.body
        buffer = body.buffers[store.buffer]
        self.load(store.value)
        start = self.start(buffer, store.index, store.guard)
        if start is None or store.buffer in self.stored or store.buffer in used_names(tuple(rest)):
            with body.aside(self.lines):
                body.store(store)
        else:
            name = body.names.fresh(f"{body.names.of(store.buffer)}_lanes")
            body.line(f"{memory_type(buffer.dtype)} {name}[{self.lanes}];")
            self.append(f"{name}[{self.lane}] = {body.expression(store.value)};")
            condition = f"if ({body.indices.condition(store.guard)}) " if store.guard else ""
            self.behind.append(f"{condition}sg_store<{self.lanes}>({body.address(buffer, start)}, {name});")
        self.write_to(store.buffer)

    def start(self, buffer: Buffer, index: Sequence[Size], guard: Sequence[Size]) -> Size | None:
        """The first of the elements that lanes access, if they lie in a row as vectors do."""
        size = buffer.dtype.itemsize
        width = min(WIDEST, self.lanes * size)
        if width not in _WIDTHS or self.lanes * size % width or buffer.space is Space.LOCAL:
            return None
        if buffer.name in self.body.unaligned or not self.is_known(guard):
            return None
        flat = flat_index(buffer, index)
        split = coefficient(flat, self.loop.var)
        if split is None or split[0] != 1 or not self.is_known((split[1],)):
            return None
        start = substitute(flat, {self.loop.var: 0})
        return start if are_multiples(start, width // size) else None


def used_names(block: Sequence[Stmt]) -> dict[str, None]:
    """The names that statements speak of: lets, buffers, and what stands in index expressions."""
    return dict.fromkeys(name for stmt in statements(tuple(block)) for name in _used(stmt))


def _used(stmt: Stmt) -> Iterator[str]:
    match stmt:
        case For(_, extent, _, _):
            yield from names(extent)
        case If(conditions, _, _):
            yield from _all_names(conditions)
        case Let(_, value):
            yield from _in_value(value)
        case Store(buffer, index, value, guard):
            yield buffer
            yield from _all_names((*index, *guard))
            yield from _in_value(value)
        case Call(_, dims, args):
            yield from _all_names(dims)
            for view in args:
                yield view.buffer
                yield from _all_names(view.index)
        case _:
            pass


def _in_value(value: Expr) -> Iterator[str]:
    for part in walk(value):
        match part:
            case Var(name, _):
                yield name
            case Index(size):
                yield from names(size)
            case Load(buffer, index, _, guard):
                yield buffer
                yield from _all_names((*index, *guard))
            case _:
                pass


def _all_names(sizes: Iterable[Size]) -> Iterator[str]:
    for size in sizes:
        yield from names(size)
