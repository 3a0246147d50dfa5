"""Writes a plan as a C function that has its kernels launched one after the other (see library.c beside it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sigmagraph.codegen.cuda.library.text import cut_text, size_text, string_text
from sigmagraph.dims import Size
from sigmagraph.ir.launch import (
    BRANCH,
    CHECK,
    COPY,
    COPY_BLOCKS,
    COPY_BYTES,
    COPY_THREADS,
    RUNNING,
    Launches,
    flow_words,
)
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Step, align

_FLOW = "Pi"  # letters of what functions of a controlled plan take last
# Letters and threads of the kernels that every module has.
_FIXED: Mapping[str, tuple[str, int]] = MappingProxyType(
    {COPY: ("PPq", COPY_THREADS), CHECK: ("Pi", 1), BRANCH: ("Pii", 1)}
)
# Bytes of a text of nodes: compilers need not take literals of more than 4095, and the library's messages have no more.
_NODES = 2000


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kernel is launched.

    Attributes:
        letters: of its arguments.
        threads: of a block.
        shared: bytes of shared memory of a block.
    """

    letters: str
    threads: int
    shared: int


class Kernels:
    """The table of all kernels of a library.

    Attributes:
        rows: the table.
        most_arguments: of a kernel.
    """

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.most_arguments = 0
        self._numbers: dict[tuple[int, str], int] = {}

    def number(self, module: int, symbol: str, name: str, nodes: str, shape: Shape) -> int:
        """The place of a kernel in the table.

        Args:
            module: the number of the module that has it.
            symbol: what it is called there.
            name: what it carries out, in words.
            nodes: where the nodes come from that it computes.
            shape: how it is launched.
        """
        found = self._numbers.setdefault((module, symbol), len(self.rows))
        if found == len(self.rows):
            texts = ", ".join(map(string_text, (symbol, name, shape.letters, cut_text(nodes, _NODES))))
            self.rows.append(f"{{{texts}, {module}, {shape.threads}, {shape.shared}}}")
            self.most_arguments = max(self.most_arguments, len(shape.letters))
        return found

    def known(self, module: int, symbol: str) -> int:
        """The place of a kernel that is in the table."""
        return self._numbers[module, symbol]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a plan finds things.

    Attributes:
        inputs, outputs, params, constants: expressions of addresses, in the plan's order.
        flow: the same of its flow of control; empty where it has none.
        arena: the expression of the address where its slots begin.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    params: Sequence[str]
    constants: Sequence[str]
    flow: str
    arena: str


class PlanWriter:
    """The statements of one plan.

    Args:
        plan: the plan.
        launches: how its kernels are launched.
        module: the number of the module that has them.
        kernels: the table that they go to.
        addresses: where things are.
    """

    def __init__(self, plan: Plan, launches: Launches, module: int, kernels: Kernels, addresses: Addresses) -> None:
        self.plan, self.launches, self.module, self.kernels, self.addresses = plan, launches, module, kernels, addresses
        self.names = {name: f"d{number}" for number, name in enumerate(plan.dims)}
        self.lines: list[str] = []
        self.depth = 1
        self._checks = 0
        self._level = RUNNING

    def text(self, head: str, arguments: Sequence[str]) -> str:
        """The function.

        Args:
            head: its declaration; it has an ``sg_state *s``, and what the addresses mention.
            arguments: their names; ``dims`` is the array of the plan's dims, where it has some.
        """
        for number, name in enumerate(self.plan.dims):
            self._line(f"const int64_t d{number} = dims[{number}]; /* {name} */")
        self._slots()
        if self.launches.controlled:
            flow, size = self.addresses.flow, 4 * flow_words(self.plan)
            self._line(f"SG_TRY(sg_move(s, {flow}, {flow} + {size}, {size}));")
        self._steps(self.plan.steps, RUNNING)
        names = (*arguments, *self.names.values(), *(["slot"] if self.plan.slots else []))
        unused = " ".join(f"(void){name};" for name in names)  # by some plans
        return "\n".join([f"{head} {{", *self.lines, f"    {unused}", "    return 0;", "}\n"])

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _size(self, size: Size) -> str:
        return size_text(size, self.names)

    def _slots(self) -> None:
        if not self.plan.slots:
            return
        self._line(f"uint64_t slot[{len(self.plan.slots)}];")
        self._line(f"slot[0] = {self.addresses.arena};")
        for number, size in enumerate(self.plan.slots[:-1], 1):
            self._line(f"slot[{number}] = SG_AT(slot[{number - 1}], {self._size(align(size))});")

    def _steps(self, steps: Sequence[Step], level: int) -> None:
        for step in steps:
            match step:
                case Launch():
                    self._launch(step, level)
                case Copy(source, target, size):
                    self._copy(source, target, size, level)
                case Loop():
                    self._loop(step, level)
                case Check(condition, _):
                    self._checks += 1
                    self._fixed(CHECK, "1", [self._at(condition), str(self._checks)], level)
                case Branch(condition, then, orelse):
                    first = self._level + 1
                    self._level += 2
                    self._fixed(BRANCH, "1", [self._at(condition), str(first), str(first + 1)], level)
                    self._steps(then, first)
                    self._steps(orelse, first + 1)

    def _loop(self, step: Loop, level: int) -> None:
        """Checks and branches have the same numbers in every turn."""
        turn = self.names[step.turn] = f"t{len(self.names)}"
        self._line(f"for (int64_t {turn} = 0; {turn} < {self._size(step.extent)}; ++{turn}) {{")
        self.depth += 1
        self._steps(step.steps, level)
        self.depth -= 1
        self._line("}")
        del self.names[step.turn]

    def _launch(self, step: Launch, level: int) -> None:
        for grid in self.launches.grids[step.kernel]:
            letters = "P" * len(grid.buffers) + "i" * len(grid.dims)
            words = [self._at(step.places[n]) for n in grid.buffers]
            words += [f"(uint64_t){self.names[name]}" for name in grid.dims]
            shape = Shape(letters, grid.threads, grid.shared)
            self._call(grid.symbol, step.kernel, shape, self._size(grid.blocks), words, level)

    def _copy(self, source: Place, target: Place, size: Size, level: int) -> None:
        bytes_ = self._size(size)
        if not self.launches.controlled:
            self._line(f"SG_TRY(sg_move(s, {self._at(target)}, {self._at(source)}, {bytes_}));")
            return
        blocks = f"sg_least(({bytes_} + {COPY_BYTES - 1}) / {COPY_BYTES}, {COPY_BLOCKS})"
        self._fixed(COPY, blocks, [self._at(source), self._at(target), f"(uint64_t)({bytes_})"], level)

    def _fixed(self, symbol: str, blocks: str, words: list[str], level: int) -> None:
        """Launch one of the kernels that every module has."""
        letters, threads = _FIXED[symbol]
        self._call(symbol, symbol, Shape(letters, threads, 0), blocks, words, level)

    def _call(self, symbol: str, name: str, shape: Shape, blocks: str, words: list[str], level: int) -> None:
        if self.launches.controlled:
            shape = replace(shape, letters=shape.letters + _FLOW)
            words = [*words, self.addresses.flow, str(level)]
        number = self.kernels.number(self.module, symbol, name, self.launches.nodes.get(name, ""), shape)
        passed = f"SG_WORDS({', '.join(words or ['0'])})"
        self._line(f"SG_TRY(sg_launch(s, {number}, {blocks}, {passed})); /* {symbol} */")

    def _at(self, place: Place) -> str:
        base = f"slot[{place.index}]" if place.space == "slot" else self._table(place.space)[place.index]
        return base if place.offset == 0 else f"SG_AT({base}, {self._size(place.offset)})"

    def _table(self, space: str) -> Sequence[str]:
        return {
            "input": self.addresses.inputs,
            "output": self.addresses.outputs,
            "param": self.addresses.params,
            "constant": self.addresses.constants,
        }[space]
