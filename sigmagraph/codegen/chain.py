"""Joins launches to chains: what one hands to the next, row by row, need not lie in memory as a whole.

The scores of an attention are made by one product, turned into weights, and read by another product, all of it along
the same rows: far more bytes than go in and come out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.launches import Launches, bytes_of, common, likely, meets_at_rows, places, renamed
from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.dims import Dim, Size, ceildiv, product, total
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute, Work
from sigmagraph.ir.kernel.kernel import Buffer, Role

LARGE = 1 << 20  # bytes handed on from which on they leave the cache of a core before they are read
ROOM = 1 << 19  # bytes of them that a task may keep there
MOST_ROWS = 64  # in a block: with more of them less can be left out, and little is saved
LEAST_ROWS = 16  # with fewer, what is read alike for all rows would be read too often
TASKS = 8  # at least, so that threads have something to do


def chained(
    specs: Mapping[int, KernelSpec], wanted: Collection[Value], room: int | None = ROOM
) -> dict[int, KernelSpec]:
    """The launches that are left; a chain stands in the place of its last member.

    Args:
        specs: launches by number, in an order in which they can run.
        wanted: values that have to lie in memory, whichever launches read them.
        room: bytes handed on that a block of rows may have; None if they do not lie in a cache of their own anyhow.
    """
    return _Joiner(specs, wanted, room).run()


@dataclass(frozen=True, slots=True)
class Member:
    """What a launch is in a chain, the values behind its buffers, and the work that it was."""

    compute: Compute
    values: tuple[Value, ...]
    work: Work

    @property
    def made(self) -> dict[Value, Buffer]:
        """The values that it makes."""
        pairs = zip(self.values, self.compute.params, strict=True)
        return {value: buffer for value, buffer in pairs if buffer.role is Role.OUT}


@dataclass(frozen=True, slots=True)
class Terms:
    """When a chain pays.

    Attributes:
        tasks: the fewest blocks of rows that give all threads something to do.
        room: bytes handed on that a block of rows may have; None if they do not lie in a cache of their own anyhow.
        cached: how often what all blocks of rows read may be read for once that it would come from memory.
        alone: whether each chain has to spare as much as all else that it reads and writes.
    """

    tasks: int
    room: int | None
    cached: int = 1
    alone: bool = True


def chain_of(
    members: Sequence[Member], handed_on: Mapping[Value, Buffer], rows: tuple[Axis, ...], terms: Terms
) -> KernelSpec | None:
    """The chain of these members along certain rows, if it pays.

    Args:
        members: in an order in which they can run; the rows are the first axes of each.
        handed_on: the values that are not written down, and buffers for them, of which the rows are the first axes.
        rows: of which blocks are taken.
        terms: when it pays.
    """
    kept = {v: replace(b, name=f"%kept{n}", role=Role.TEMP) for n, (v, b) in enumerate(handed_on.items())}
    params = _params(members, kept)
    if any(v in params and params[v].role is Role.IN for member in members for v in member.made):
        return None  # one would read what another one writes down
    each = max(likely(bytes_of(replace(b, shape=b.shape[len(rows) :]))) for b in kept.values())
    block = _block(rows[-1].extent, each, terms.room)
    if block < LEAST_ROWS:
        return None
    blocks = ceildiv(rows[-1].extent, block)
    if likely(product(a.extent for a in rows[:-1]) * blocks) < terms.tasks:
        return None
    spared = likely(total(map(bytes_of, kept.values())))
    again = likely(total(blocks * size for member in members for size in common(member.compute, rows)))
    # Nothing else that is read or written may be more than what is spared: written once and read once.
    if terms.alone and likely(total(map(bytes_of, params.values()))) > spared:
        return None
    if again > 2 * spared * terms.cached:
        return None
    works = [member.work for member in members]
    buffers = {**params, **kept}
    chain = Chain(
        f"{works[0].name}_to_{works[-1].name}",
        tuple(sorted({dim for work in works for dim in work.dims})),
        tuple(params.values()),
        tuple(kept.values()),
        rows,
        block,
        tuple(_among(member, buffers) for member in members),
        provenance=tuple(dict.fromkeys(place for work in works for place in work.provenance)),
    )
    return KernelSpec(chain, tuple(params))


def _params(members: Sequence[Member], kept: Collection[Value]) -> dict[Value, Buffer]:
    """The buffers that are handed in, inputs first."""
    out: dict[Value, Buffer] = {}
    for role, stem in ((Role.IN, "%a"), (Role.OUT, "%o")):
        for member in members:
            for value, buffer in zip(member.values, member.compute.params, strict=True):
                if buffer.role is role and value not in kept and value not in out:
                    out[value] = replace(buffer, name=f"{stem}{len(out)}")
    return out


def _among(member: Member, buffers: Mapping[Value, Buffer]) -> Compute:
    """A member with its values in these buffers; without what tells chains of equal layers apart."""
    pairs = zip(member.compute.params, member.values, strict=True)
    return replace(renamed(member.compute, {b.name: buffers[v].name for b, v in pairs}), name="", provenance=())


@dataclass(frozen=True, slots=True)
class _Link:
    """What a launch hands to another one, which alone reads it: at the same indices of their first ``depth`` axes."""

    source: int
    target: int
    value: Value
    buffer: Buffer
    depth: int

    @property
    def size(self) -> int:
        """Its bytes."""
        return likely(bytes_of(self.buffer))

    @property
    def is_large(self) -> bool:
        """Whether it had better not lie in memory."""
        return self.size >= LARGE


class _Joiner:
    def __init__(self, specs: Mapping[int, KernelSpec], wanted: Collection[Value], room: int | None) -> None:
        self.launches = Launches(specs)
        self.room = room
        self.computes = self.launches.computes
        self.wanted = wanted
        found = (self._link(value) for value in self.launches.writers)
        # Those come first whose rows are the shortest, and of these the largest.
        self.links = sorted((x for x in found if x is not None), key=lambda x: (-x.depth, -x.size))
        self.joined: set[int] = set()

    def run(self) -> dict[int, KernelSpec]:
        out = dict(self.launches.specs)
        for first in self.links:
            if first.is_large and self._is_free(first):
                links = self._grown(first)
                found = (self._chain(links[:count]) for count in range(len(links), 0, -1))
                chain = next((c for c in found if c is not None), None)
                if chain is not None:
                    numbers, spec = chain
                    self.joined.update(numbers)
                    out = {n: s for n, s in out.items() if n not in numbers} | {numbers[-1]: spec}
        return dict(sorted(out.items()))

    def _is_free(self, link: _Link) -> bool:
        return self.joined.isdisjoint((link.source, link.target))

    # ---- what may be joined

    def _link(self, value: Value) -> _Link | None:
        source, readers = self.launches.writers[value], self.launches.readers.get(value, [])
        if value in self.wanted or len(readers) != 1 or not self.computes.keys() >= {source, *readers}:
            return None
        a, b = self.computes[source], self.computes[readers[0]]
        if sum(buffer.role is Role.OUT for buffer in a.params) != 1:
            return None  # others may wait for what else it writes
        buffer = self.launches.param(source, value)
        indices = [*(s.index for s in a.all_stores()), *places(b, self.launches.param(readers[0], value).name)]
        depth = 0
        for x, y, extent in zip(a.axes, b.axes, buffer.shape, strict=False):
            if x != y or x.extent != extent or any(index[depth] != Dim(x.var) for index in indices):
                break
            depth += 1
        return _Link(source, readers[0], value, buffer, depth) if depth else None

    def _grown(self, first: _Link) -> list[_Link]:
        """The link and those that join it one by one: large ones, and those by which rows are prepared."""
        out = [first]
        while True:
            members = _members(out)
            left = (link for link in self.links if link not in out and self._is_free(link))
            link = next((link for link in left if self._joins(link, members, first.depth)), None)
            if link is None:
                return out
            out.append(link)

    def _joins(self, link: _Link, members: Collection[int], depth: int) -> bool:
        if link.depth < depth:
            return False
        if link.is_large:
            return link.source in members or link.target in members
        compute = self.computes[link.source]
        return link.target in members and not list(common(compute, compute.axes[:depth]))

    # ---- chains

    def _chain(self, links: Sequence[_Link]) -> tuple[Sequence[int], KernelSpec] | None:
        """The members and the chain over these links, with as many axes for rows as may be, if it pays."""
        members = _members(links)
        for depth in range(min(link.depth for link in links), 0, -1):
            rows = self.computes[members[-1]].axes[:depth]
            if not any(meets_at_rows(self.computes[n], rows[-1]) for n in members):
                spec = self._along(sorted(links, key=lambda link: link.source), rows)
                return None if spec is None else (members, spec)
        return None

    def _along(self, links: Sequence[_Link], rows: tuple[Axis, ...]) -> KernelSpec | None:
        """The chain along certain rows, if it pays."""
        specs = self.launches.specs
        members = [Member(self.computes[n], specs[n].values, specs[n].work) for n in _members(links)]
        return chain_of(members, {link.value: link.buffer for link in links}, rows, Terms(TASKS, self.room))


def _members(links: Sequence[_Link]) -> list[int]:
    return sorted({n for link in links for n in (link.source, link.target)})


def _block(extent: Size, row: int, room: int | None) -> int:
    """How many rows of so many bytes are taken at a time; blocks as equal as may be."""
    most = MOST_ROWS if room is None else min(MOST_ROWS, room // max(1, row))
    if isinstance(extent, int) and most and extent:
        return -(-extent // -(-extent // most))
    return most
