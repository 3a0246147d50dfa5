"""Writes one function for several launches, between which its blocks are divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sigmagraph.codegen.cuda.alike import Common, common
from sigmagraph.codegen.cuda.emit import (
    CONTROLS,
    STOPPED,
    Function,
    blocks_at_a_time,
    emit_part,
    global_head,
    pointer_type,
)
from sigmagraph.codegen.cuda.index import Indices, Name
from sigmagraph.codegen.cuda.names import Names
from sigmagraph.codegen.cuda.together import Unit
from sigmagraph.dims import Size, names, total
from sigmagraph.ir.launch import Grid
from sigmagraph.ir.plan import Launch, Place

About = Callable[[Unit], tuple[frozenset[str], frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written.

    Attributes:
        text: the functions.
        grid: how the one is launched that does it all.
        launch: with which places.
    """

    text: str
    grid: Grid
    launch: Launch


def emit_bundle(symbol: str, families: Sequence[Sequence[Unit]], about: About, controlled: bool) -> Bundle:
    """One function for all units of a group.

    Args:
        symbol: its name.
        families: the units; those of a family differ in numbers only.
        about: which parameters of a unit's kernel share no memory, and which may not be aligned.
        controlled: whether the function looks at the flow of control before it does anything.
    """
    return _Writer(symbol, families, about, controlled).write()


@dataclass(frozen=True, slots=True)
class _Part:
    """A family with the function that does its work."""

    units: Sequence[Unit]
    common: Common
    function: Function

    def place(self, unit: Unit, pointer: int) -> Place:
        """Where a parameter of the function lies for one of the units."""
        return unit.launch.places[unit.shape.params[pointer]]

    @property
    def blocks(self) -> Size:
        return total(u.nest.blocks for u in self.units)


@dataclass(slots=True)
class _Pointers:
    """What the function takes as pointers: each place once in each type.

    Attributes:
        found: the name of each.
    """

    found: dict[tuple[Place, str], str] = field(default_factory=dict)

    def name(self, place: Place, type: str) -> str:
        return self.found.setdefault((place, type), f"b{len(self.found)}")


class _Writer:
    def __init__(self, symbol: str, families: Sequence[Sequence[Unit]], about: About, controlled: bool) -> None:
        self.symbol = symbol
        self.controlled = controlled
        self.threads = max(units[0].nest.threads for units in families)
        self.parts = [self.part(n, units, about) for n, units in enumerate(families)]
        used = {d for p in self.parts for d in p.function.dims if d not in p.common.values}
        used |= {n for p in self.parts for u in p.units for n in names(u.nest.blocks)}
        self.dims = tuple(sorted(used))
        self.names = Names()
        self.called = {d: self.names.of(f"dim_{d}") for d in self.dims}
        self.indices = Indices(lambda name: Name(self.called[name], nonnegative=True))
        self.pointers = _Pointers()
        self.lines: list[str] = []

    def part(self, number: int, units: Sequence[Unit], about: About) -> _Part:
        made = common([u.nest for u in units], [u.shape for u in units])
        found = [about(u) for u in units]
        restrict = frozenset.intersection(*(self.renamed(units, n, r) for n, (r, _) in enumerate(found)))
        unaligned = frozenset[str]().union(*(self.renamed(units, n, u) for n, (_, u) in enumerate(found)))
        name = f"{self.symbol}_part{number}"
        return _Part(units, made, emit_part(made.nest, name, restrict, unaligned, self.threads))

    def renamed(self, units: Sequence[Unit], number: int, params: frozenset[str]) -> frozenset[str]:
        """Parameters of a unit's kernel by the names that they have in the first one's."""
        first, unit = units[0], units[number]
        pairs = zip(first.shape.params, unit.shape.params, strict=True)
        return frozenset(
            first.nest.kernel.params[a].name for a, b in pairs if unit.nest.kernel.params[b].name in params
        )

    def write(self) -> Bundle:
        self.line(1, "unsigned block_number = blockIdx.x;")
        self.divide(self.parts, 1)
        arguments = [f"{type} {name}" for (_, type), name in self.pointers.found.items()]
        arguments += [f"int {self.called[d]}" for d in self.dims]
        if self.controlled:
            arguments += CONTROLS
            self.lines.insert(0, f"  {STOPPED}")
        at_a_time = blocks_at_a_time([p.common.nest for p in self.parts], self.threads)
        head = global_head(self.symbol, self.threads, arguments, at_a_time)
        blocks = total(p.blocks for p in self.parts)
        comment = f"// {blocks} blocks of {self.threads} threads, for {sum(len(p.units) for p in self.parts)} launches"
        texts = [p.function.text for p in self.parts]
        shared = max(p.function.shared for p in self.parts)
        places = tuple(place for place, _ in self.pointers.found)
        grid = Grid(self.symbol, blocks, self.threads, shared, tuple(range(len(places))), self.dims)
        text = "\n".join([*texts, comment, head, *self.lines, "}", ""])
        return Bundle(text, grid, Launch(self.symbol, places, self.dims))

    def line(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    def divide(self, parts: Sequence[_Part], depth: int) -> None:
        """Find the part that a block belongs to."""
        first, *rest = parts
        if not rest:
            self.work(first, depth)
            return
        end = self.indices.size(first.blocks)
        self.line(depth, f"if (block_number < {end}) {{")
        self.work(first, depth + 1)
        self.line(depth, "} else {")
        self.line(depth + 1, f"block_number -= {end};")
        self.divide(rest, depth + 1)
        self.line(depth, "}")

    def work(self, part: _Part, depth: int) -> None:
        """Call the function of a part with what belongs to the unit that a block is of."""
        params = part.common.nest.kernel.params
        arguments = ["block_number"]
        choices: list[tuple[str, str, list[str]]] = []
        for number, pointer in enumerate(part.function.pointers):
            type = pointer_type(params[pointer])
            chosen = [self.pointers.name(part.place(u, pointer), type) for u in part.units]
            arguments.append(self.choice(chosen, type, f"p{number}", choices))
        for dim in part.function.dims:
            known = part.common.values.get(dim)
            chosen = [self.called[dim]] if known is None else list(map(str, known))
            arguments.append(self.choice(chosen, "int", f"i{len(choices)}", choices))
        for type, name, _ in choices:
            self.line(depth, f"{type} {name};")
        if choices:
            self.choose(part, choices, 0, len(part.units), depth)
        call = f"{self.symbol}_part{self.parts.index(part)}({', '.join(arguments)});"
        enough = part.common.nest.threads == self.threads
        self.line(depth, call if enough else f"if (threadIdx.x < {part.common.nest.threads}) {call}")

    def choice(self, chosen: list[str], type: str, name: str, choices: list[tuple[str, str, list[str]]]) -> str:
        """An argument: itself where all units have the same, else a variable."""
        if len(set(chosen)) == 1:
            return chosen[0]
        choices.append((type, name, chosen))
        return name

    def choose(
        self, part: _Part, choices: Sequence[tuple[str, str, list[str]]], low: int, high: int, depth: int
    ) -> None:
        """Find the unit among those numbered low .. high - 1, by halves."""
        if high - low == 1:
            for _, name, chosen in choices:
                self.line(depth, f"{name} = {chosen[low]};")
            start = total(u.nest.blocks for u in part.units[:low])
            if start != 0:
                self.line(depth, f"block_number -= {self.indices.size(start)};")
            return
        middle = (low + high) // 2
        end = self.indices.size(total(u.nest.blocks for u in part.units[:middle]))
        self.line(depth, f"if (block_number < {end}) {{")
        self.choose(part, choices, low, middle, depth + 1)
        self.line(depth, "} else {")
        self.choose(part, choices, middle, high, depth + 1)
        self.line(depth, "}")
