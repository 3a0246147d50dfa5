"""The programs of an artifact before they become one library, and where in the state each finds what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from sigmagraph.dims import Dim, Func, Size, maximum
from sigmagraph.errors import TargetError
from sigmagraph.ir.interface import OWN_ERRORS, Function, Stored
from sigmagraph.ir.plan import ALIGNMENT, Plan, Port, Program, align

_LARGEST = 1 << 52  # no size that is computed from dims may come near to what an i64 holds
_MOST = 1 << 40


@dataclass(frozen=True, slots=True)
class Part:
    """One function of an artifact.

    Attributes:
        name: of the function.
        programs: what it runs, for each level of processors.
        stored: the name in state files of each parameter that is not kept, by its name in the programs.
        fixed: values of inputs without axes that the host does not hand over, by name.
    """

    name: str
    programs: tuple[Program, ...]
    stored: Mapping[str, str]
    fixed: Mapping[str, float]

    @property
    def main(self) -> Plan:
        """What it does, be it on whatever processor."""
        return self.programs[0].main

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What the host hands over."""
        return tuple(port for port in self.main.inputs if port.name not in self.fixed)

    @property
    def updates(self) -> tuple[str, ...]:
        """Names of the stored values that it writes."""
        return tuple(self.stored[name] for name in self.main.updates)


@dataclass(frozen=True, slots=True)
class Placed:
    """A program and where it finds things in the state, in bytes behind the head.

    Attributes:
        program: what runs.
        params: of each parameter of both of its plans, by name.
        workspace: where the arena of ``ahead`` lies.
        stale: whether what is kept may be out of date, because another function writes what it is made of.
        threads: how many may take part.
    """

    program: Program
    params: Mapping[str, int]
    workspace: int
    stale: bool
    threads: int

    @property
    def arena(self) -> Size:
        """Bytes of the arena of a call: that of the program, and what it keeps if that is out of date."""
        return self.kept_at + (self.kept_bytes + self._ahead_arena if self.stale else 0)

    @property
    def kept_at(self) -> Size:
        """Where in the arena what is kept lies, if it is made anew."""
        return align(self.program.main.arena_bytes(self.threads))

    @property
    def kept_bytes(self) -> int:
        return sum(_room(p) for p in self.program.kept)

    def kept(self) -> dict[str, int]:
        """Where each kept value lies behind ``kept_at``, by name."""
        kept = self.program.kept
        return dict(zip((p.name for p in kept), accumulate((_room(p) for p in kept), initial=0), strict=False))

    @property
    def _ahead_arena(self) -> int:
        return _ahead_arena(self.program)


def _room(port: Port | Stored) -> int:
    size = align(port.bytes)
    assert isinstance(size, int)
    return size


def _ahead_arena(program: Program) -> int:
    size = align(program.ahead.arena_bytes(1)) if program.ahead else 0
    assert isinstance(size, int)
    return size


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies.

    Attributes:
        stored: what the state holds, placed.
        placed: the programs of each part, by level.
        state_bytes: bytes behind the state's head.
    """

    stored: tuple[Stored, ...]
    placed: tuple[tuple[Placed, ...], ...]
    state_bytes: int


def lay_out(stored: Sequence[Stored], parts: Sequence[Part], threads: int) -> Layout:
    """Place stored values one behind the other, then for every level what its programs keep, and their workspace."""
    ends = list(accumulate((_room(s) for s in stored), initial=0))
    at = tuple(Stored(s.name, s.dtype, s.shape, offset) for s, offset in zip(stored, ends, strict=False))
    offsets = {s.name: s.offset for s in at}
    written = {name for part in parts for name in part.updates}
    levels = []
    state_bytes = ends[-1]
    for level in range(len(parts[0].programs) if parts else 0):
        end, row = ends[-1], []
        workspace = max(_ahead_arena(part.programs[level]) for part in parts)
        for part in parts:
            program = part.programs[level]
            params = {name: offsets[key] for name, key in part.stored.items()}
            for port in program.kept:
                params[port.name] = end
                end += _room(port)
            stale = program.ahead is not None and any(part.stored.get(p.name) in written for p in program.ahead.params)
            row.append((program, params, stale))
        levels.append([Placed(program, params, end, stale, threads) for program, params, stale in row])
        state_bytes = max(state_bytes, end + workspace)
    return Layout(at, tuple(zip(*levels, strict=True)), state_bytes)


def functions_of(parts: Sequence[Part], layout: Layout) -> tuple[Function, ...]:
    """The functions of an artifact as its host sees them."""
    out: list[Function] = []
    first = OWN_ERRORS
    for part, placed in zip(parts, layout.placed, strict=True):
        main, arena = part.main, placed[0].arena
        for other in placed[1:]:
            arena = maximum(arena, other.arena)
        arena = arena + ALIGNMENT  # it may begin anywhere
        out.append(
            Function(
                part.name,
                main.dims,
                part.inputs,
                main.outputs,
                main.requirements,
                main.checks,
                part.updates,
                arena,
                first,
            )
        )
        first += len(out[-1].errors)
    return tuple(out)


def largest_dim(function: Function) -> int:
    """A bound on the dims of a function under which no size that it computes is larger than a number can be."""
    sizes: list[Size] = [function.arena, *(p.bytes for p in (*function.inputs, *function.outputs))]
    sizes += [side for r in function.requirements for side in (r.left, r.right)]
    bound = _MOST
    while bound > 1 and any(_magnitude(size, bound) > _LARGEST for size in sizes):
        bound //= 2
    if bound == 1:
        raise TargetError(f"the function '{function.name}' needs more memory than there can be", got=function.arena)
    return bound


def _magnitude(size: Size, bound: int) -> int:
    """More than any value on the way to a size for dims up to a bound."""
    if not isinstance(size, Dim):
        return abs(size)
    return sum(abs(factor) * prod(_atom(a, bound) for a in monomial) for monomial, factor in size.terms)


def _atom(atom: str | Func, bound: int) -> int:
    return bound if isinstance(atom, str) else max(_magnitude(a, bound) for a in atom.args)
