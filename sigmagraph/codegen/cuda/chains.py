"""Chains by blocks of threads: each has some rows at a time, and carries out every member for them before it goes on.

What members hand on stays in registers, or lies in memory of the block, which it uses again and again: then there are
as many blocks as devices run at a time, not as many as there are rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.cuda.callees import called
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.contraction import Factors, Tiling, ahead_on, factors_for
from sigmagraph.codegen.cuda.elementwise import elements_by_threads
from sigmagraph.codegen.cuda.from_registers import ROWS, width
from sigmagraph.codegen.cuda.lanes import used_names
from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.cuda.online import Online
from sigmagraph.codegen.cuda.pieces import Pieces, piece_of
from sigmagraph.codegen.cuda.prepared import prepared
from sigmagraph.codegen.cuda.rows import rows_by_warps
from sigmagraph.codegen.cuda.runs import Member, apart, find_run, reads
from sigmagraph.codegen.cuda.softmax import softmax_between, totals_of
from sigmagraph.codegen.cuda.threads import THREADS
from sigmagraph.codegen.cuda.tiles import PROCESSORS, THREAD, tile_of_rows
from sigmagraph.codegen.cuda.totals import Summing
from sigmagraph.codegen.schedule.flat import flat, is_empty
from sigmagraph.codegen.schedule.limits import column_limit
from sigmagraph.codegen.schedule.task import Rows, limited, places_of
from sigmagraph.codegen.templates.contraction import as_contraction
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.pieces import flatten
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, evaluate, nominal, product, total
from sigmagraph.dtypes import BF16, F16, F32, F64
from sigmagraph.ir.kernel.compute import Chain, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Space,
    Stmt,
    Store,
    View,
    map_blocks,
)

# Blocks that carry out a chain: as many as run at a time. What many hand on has to stay in the cache.
MANY, FEW = 4 * PROCESSORS, 2 * PROCESSORS
CACHED = 1 << 25  # bytes
# What a device does in the time in which a byte of memory comes. On tensor cores, which reach half of it or so, an H200
# has 990 (16 bits) or 495 (tf32) TFLOPS, elsewhere 67, and 4.8 TB/s; an A100 312, 156, 20 and 2.0.
SHORT, ROUNDED, ELSEWHERE = 128, 64, 16
# Bytes that the cache for all gives meanwhile: three. Of those that are read again for every 64 rows, half would be in
# any case, for tiles of 128.
NEAR = 6
AHEAD = 1  # step that is under way while one is multiplied: with memory for more of them fewer blocks would run
HOME, TURN, TASK = "%home", "%turn", "%task"  # which block it is, how often it has begun, and which rows it has now


def chain_kernel(chain: Chain, chip: Chip) -> Kernel | None:
    """The scheduled kernel of a chain; None where there are too few blocks of rows for half of the processors."""
    chain = prepared(chain)
    rows = Rows(chain.rows, ROWS)
    tasks = product(axis.extent for axis in rows.outer)
    if isinstance(tasks, int) and tasks < PROCESSORS // 2:
        return None
    places = places_of(chain)
    kept = {b.name: replace(rows.scratch(b), name=places[b.name], space=Space.GLOBAL) for b in chain.kept}
    parts = _Parts(_members(chain, rows, kept), {b.name for b in kept.values()}, chip)
    body = parts.thread()
    used = used_names(body)  # what stays in registers needs no memory
    memory = [b for b in dict.fromkeys(kept.values()) if b.name in used]
    # Without such memory devices deal tasks out by themselves, to whichever multiprocessor is done with another one: of
    # blocks that have as many tasks as others, and are more than run at a time, some would be left to the end.
    homes = _homes(tasks, total(b.size * b.dtype.itemsize for b in memory)) if memory else tasks
    body = _at_home(body, {b.name: b.size * Dim(HOME) for b in memory})
    body = copy_block(body, digits_of(Dim(TASK), rows.outer), str)
    threads = For(THREAD, parts.threads, LoopKind.THREAD_X, _turns(body, tasks, homes))
    nest = For(HOME, homes, LoopKind.BLOCK_X, (*parts.shared, threads))
    return Kernel(
        chain.name,
        chain.dims,
        (*(replace(b, shape=(b.size,)) for b in chain.params), *(replace(b, shape=(homes * b.size,)) for b in memory)),
        (nest,),
        KernelStage.SCHEDULED,
        called((nest,)),
        chain.provenance,
    )


def made_again(chip: Chip) -> Again:
    """What had better be made again than written down and read."""
    factors = {
        F64: ELSEWHERE,
        F32: ROUNDED if chip.narrow and chip.arch >= 80 else ELSEWHERE,
        BF16: SHORT if chip.arch >= 80 else ELSEWHERE,
        F16: SHORT,
    }
    return Again(factors, ELSEWHERE, NEAR, PROCESSORS // 2)


def _homes(tasks: Size, each: Size) -> int:
    """How many blocks there are for so many tasks, of which each hands on so many bytes.

    Of a number that is not known there are those of usual sizes, but a block for each multiprocessor at least.
    """
    most = MANY if nominal(MANY * each) <= CACHED else FEW
    return min(most, tasks if isinstance(tasks, int) else max(PROCESSORS, nominal(tasks)))


def _members(chain: Chain, rows: Rows, kept: Mapping[str, Buffer]) -> list[Member]:
    limit = column_limit(chain, before=True)
    out: list[Member] = []
    for number, member in enumerate(chain.members):
        whole = rows.restrict(replace(member, assume=chain.assume, foreign=chain.foreign), kept)
        whole = limited(whole, limit, number, rows)
        compute = flat(whole)
        if not is_empty(compute):
            contraction = as_contraction(compute) if compute.sweeps else None
            out.append(Member(compute, contraction, None if compute.sweeps else flatten(whole)))
    return out


def _turns(body: Block, tasks: Size, homes: Size) -> Block:
    """What a block does for all tasks that it has."""
    if tasks == homes:
        return copy_block(body, {TASK: Dim(HOME)}, str)
    task = homes * Dim(TURN) + Dim(HOME)
    turn = If((tasks - 1 - task,), (Let(TASK, Index(task)), *body))
    return (For(TURN, ceildiv(tasks, homes), LoopKind.SERIAL, (turn,)),)


class _Part(Protocol):
    """What the threads of a block do for a task: a member, or several."""

    def shared(self) -> Sequence[Alloc]:
        """The memory through which threads speak."""
        ...

    def part(self) -> Block:
        """What a thread does."""
        ...


_Some: TypeAlias = "tuple[int, Sequence[_Part]]"  # parts, and how many members they carry out


@dataclass(frozen=True, slots=True)
class _Plain:
    """A member without products."""

    compute: Compute
    threads: int

    def shared(self) -> Sequence[Alloc]:
        return ()

    def part(self) -> Block:
        work = rows_by_warps if self.compute.sweeps else elements_by_threads
        return work(self.compute, self.threads, THREAD)


class _Parts:
    """All that is done for a task.

    Attributes:
        threads: how many there are.
    """

    def __init__(self, members: Sequence[Member], kept: Collection[str], chip: Chip) -> None:
        self.members, self.kept = members, kept
        self.ahead = min(AHEAD, ahead_on(chip))
        contractions = [m.contraction for m in members if m.contraction]
        factors = [factors_for(c, chip) for c in contractions]
        if not all(f.instruction for f in factors):
            factors = [Factors(c.left.value, c.right.value, None) for c in contractions]
        self.factors = dict(zip(map(id, contractions), factors, strict=True))
        tiles = [tile_of_rows(f.instruction) for f in factors]
        self.threads = tiles[0].layout.threads if tiles else THREADS
        self._rooms: dict[str, Buffer] = {}

    def thread(self) -> Block:
        """The statements of a thread; between parts all wait for each other."""
        out: list[Stmt] = []
        for number, part in enumerate(self._parts()):
            shared = part.shared()
            names = _Names(self._rooms_for([alloc.buffer for alloc in shared]), number)
            copied = copy_block((*shared, *part.part()), {}, names)
            out += [*copied[len(shared) :], Barrier()]
        return tuple(out)

    @property
    def shared(self) -> Block:
        """The memory through which threads speak: as much as the greediest part has, as each has it in turn."""
        return tuple(map(Alloc, self._rooms.values()))

    def _rooms_for(self, buffers: Sequence[Buffer]) -> dict[str, str]:
        """In which room each buffer of a part lies: the largest of each part share one, and so on."""
        out: dict[str, str] = {}
        for buffer in sorted(buffers, key=lambda b: -evaluate(b.size, {})):
            taken = sum(self._rooms[room].dtype is buffer.dtype for room in out.values())
            room = f"%shared.{buffer.dtype}.{taken}"
            known = self._rooms.setdefault(room, replace(buffer, name=room))
            if evaluate(known.size, {}) < evaluate(buffer.size, {}):
                self._rooms[room] = replace(known, shape=buffer.shape)
            out[buffer.name] = room
        return out

    def _parts(self) -> Iterator[_Part]:
        at = 0
        while at < len(self.members):
            count, parts = self._online(at) or self._summing(at) or self._pieces(at) or self._one(at)
            yield from parts
            at += count

    def _one(self, at: int) -> _Some:
        """A member by itself."""
        member = self.members[at]
        if not member.contraction:
            return 1, (_Plain(member.compute, self.threads),)
        factors = self._factors(member.contraction)
        tile = tile_of_rows(factors.instruction)
        return 1, (Tiling(member.contraction, factors, tile, self._ahead(factors)),)

    def _online(self, at: int) -> _Some | None:
        """Three members that are a softmax between two products, if they are, and tensor cores carry these out."""
        members = self.members[at : at + 3]
        if len(members) < 3 or not (members[0].contraction and members[2].contraction):
            return None
        first, last = members[0].contraction, members[2].contraction
        factors = self._factors(first), self._factors(last)
        softmax = softmax_between(first, members[1].compute, last) if all(f.instruction for f in factors) else None
        if softmax is None or not width(last.right.extent) or self._is_read(at + 3, members[:2]):
            return None
        return 3, (Online(softmax, *factors, min(map(self._ahead, factors))),)

    def _summing(self, at: int) -> _Some | None:
        """Two members that sum exponentials of scores, if they do, and tensor cores make these."""
        members = self.members[at : at + 2]
        scores = members[0].contraction
        if len(members) < 2 or not scores or not self._factors(scores).instruction:
            return None
        totals = totals_of(scores, members[1].compute)
        if totals is None or self._is_read(at + 2, members[:1]):
            return None
        return 2, (Summing(totals, self._factors(scores), self._ahead(self._factors(scores))),)

    def _is_read(self, at: int, members: Sequence[Member]) -> bool:
        """Whether what members store is read from some member on."""
        stored = {store.buffer for member in members for store in member.compute.all_stores()}
        return any(reads(member.compute, stored) for member in self.members[at:])

    def _pieces(self, at: int) -> _Some | None:
        """The members of a run, if tensor cores carry out their products, and threads have room for their share.

        If they have none for all sums, each final has its turn.
        """
        run = find_run(self.members[at:], self.kept)
        if run is None:
            return None
        made = [step.contraction for step in run.steps if step.contraction]
        contractions = [*made, *(final.contraction for final in run.finals)]
        if not all(self._factors(c).instruction for c in contractions):
            return None
        for runs in ((run,), apart(run)):
            found = [(one, piece) for one in runs if (piece := piece_of(one))]
            if len(found) == len(runs):
                return run.count, tuple(Pieces(one, self._factors, self._ahead, piece) for one, piece in found)
        return None

    def _factors(self, contraction: Contraction) -> Factors:
        return self.factors[id(contraction)]

    def _ahead(self, factors: Factors) -> int:
        """How many steps ahead factors are fetched: none if all warps would have to round them, each by itself."""
        return 0 if factors.rounding else self.ahead


@dataclass(frozen=True, slots=True)
class _Names:
    """What names of a part become: memory for all has that of its room, all others have the part's number."""

    rooms: Mapping[str, str]
    number: int

    def __call__(self, name: str) -> str:
        return self.rooms.get(name, f"{name}.m{self.number}")


def _at_home(block: Block, starts: Mapping[str, Size]) -> Block:
    """The block with what is handed on where it lies: from a place in its buffer on, which differs between blocks."""

    def moved(buffer: str, index: tuple[Size, ...]) -> tuple[Size, ...]:
        return (index[0] + starts[buffer],) if buffer in starts else index

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load):
            return replace(expr, index=moved(expr.buffer, expr.index))
        return rebuild(expr, visit)

    def statement(stmt: Stmt) -> Stmt:
        match stmt:
            case Let(name, value):
                return Let(name, visit(value))
            case Store(buffer, index, value, guard):
                return Store(buffer, moved(buffer, index), visit(value), guard)
            case Call(kernel, dims, views):
                return Call(kernel, dims, tuple(View(v.buffer, moved(v.buffer, v.index)) for v in views))
            case _:
                return map_blocks(stmt, lambda inner: _at_home(inner, starts))

    return tuple(map(statement, block))
