"""Joins launches to chains: what one hands to the next, row by row, need not lie in memory as a whole.

The scores of an attention are made by one product, turned into weights, and read by another product, all of it along
the same rows: far more bytes than go in and come out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.dims import Dim, Size, ceildiv, names, nominal, product, substitute, total
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Buffer, Role, Store

LARGE = 1 << 20  # bytes handed on from which on they leave the cache of a core before they are read
ROOM = 1 << 19  # bytes of them that a task may keep there
MOST_ROWS = 64  # in a block: with more of them less can be left out, and little is saved
LEAST_ROWS = 16  # with fewer, what is read alike for all rows would be read too often
TASKS = 8  # at least, so that threads have something to do
LIKELY = 1024  # what a dim is taken to be where nothing better is known


def chained(specs: Mapping[int, KernelSpec], wanted: Collection[Value]) -> dict[int, KernelSpec]:
    """The launches that are left; a chain stands in the place of its last member.

    Args:
        specs: launches by number, in an order in which they can run.
        wanted: values that have to lie in memory, whichever launches read them.
    """
    return _Joiner(specs, wanted).run()


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
        return _likely(_bytes(self.buffer))

    @property
    def is_large(self) -> bool:
        """Whether it had better not lie in memory."""
        return self.size >= LARGE


class _Joiner:
    def __init__(self, specs: Mapping[int, KernelSpec], wanted: Collection[Value]) -> None:
        self.specs = specs
        self.wanted = wanted
        self.computes = {n: _canonical(s.work) for n, s in specs.items() if isinstance(s.work, Compute)}
        self.writers: dict[Value, int] = {}
        self.readers: dict[Value, list[int]] = {}
        for number, spec in specs.items():
            for value, buffer in zip(spec.values, spec.work.params, strict=True):
                if buffer.role is Role.OUT:
                    self.writers[value] = number
                else:
                    self.readers.setdefault(value, []).append(number)
        found = (self._link(value) for value in self.writers)
        # Those come first whose rows are the shortest, and of these the largest.
        self.links = sorted((x for x in found if x is not None), key=lambda x: (-x.depth, -x.size))
        self.joined: set[int] = set()

    def run(self) -> dict[int, KernelSpec]:
        out = dict(self.specs)
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

    def _param(self, number: int, value: Value) -> Buffer:
        return self.computes[number].params[self.specs[number].values.index(value)]

    def _link(self, value: Value) -> _Link | None:
        source, readers = self.writers[value], self.readers.get(value, [])
        if value in self.wanted or len(readers) != 1 or not self.computes.keys() >= {source, *readers}:
            return None
        a, b = self.computes[source], self.computes[readers[0]]
        if sum(buffer.role is Role.OUT for buffer in a.params) != 1:
            return None  # others may wait for what else it writes
        buffer = self._param(source, value)
        places = [*(s.index for s in a.all_stores()), *_places(b, self._param(readers[0], value).name)]
        depth = 0
        for x, y, extent in zip(a.axes, b.axes, buffer.shape, strict=False):
            if x != y or x.extent != extent or any(index[depth] != Dim(x.var) for index in places):
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
        return link.target in members and not list(_common(compute, compute.axes[:depth]))

    # ---- chains

    def _chain(self, links: Sequence[_Link]) -> tuple[Sequence[int], KernelSpec] | None:
        """The members and the chain over these links, with as many axes for rows as may be, if it pays."""
        members = _members(links)
        for depth in range(min(link.depth for link in links), 0, -1):
            rows = self.computes[members[-1]].axes[:depth]
            if not any(_meets_at_rows(self.computes[n], rows[-1]) for n in members):
                spec = self._along(sorted(links, key=lambda link: link.source), rows)
                return None if spec is None else (members, spec)
        return None

    def _along(self, links: Sequence[_Link], rows: tuple[Axis, ...]) -> KernelSpec | None:
        """The chain along certain rows, if it pays."""
        kept = {link.value: replace(link.buffer, name=f"%kept{n}", role=Role.TEMP) for n, link in enumerate(links)}
        params = self._params(_members(links), kept)
        each = max(_likely(_bytes(replace(b, shape=b.shape[len(rows) :]))) for b in kept.values())
        block = _block(rows[-1].extent, each)
        if block < LEAST_ROWS:
            return None
        blocks = ceildiv(rows[-1].extent, block)
        if _likely(product(a.extent for a in rows[:-1]) * blocks) < TASKS:
            return None
        computes = [self.computes[n] for n in _members(links)]
        handed_on = _likely(total(map(_bytes, kept.values())))
        again = _likely(total(blocks * size for compute in computes for size in _common(compute, rows)))
        # Nothing else that is read or written may be more than what is spared: written once and read once.
        if _likely(total(map(_bytes, params.values()))) > handed_on or again > 2 * handed_on:
            return None
        bare = Chain("", (), tuple(params.values()), tuple(kept.values()), rows, block, ())
        return self._spec(_members(links), bare, {**params, **kept}, tuple(params))

    def _params(self, members: Sequence[int], kept: Collection[Value]) -> dict[Value, Buffer]:
        """The buffers that are handed in, inputs first."""
        out: dict[Value, Buffer] = {}
        for role, stem in ((Role.IN, "%a"), (Role.OUT, "%o")):
            for number in members:
                for value, buffer in zip(self.specs[number].values, self.computes[number].params, strict=True):
                    if buffer.role is role and value not in kept and value not in out:
                        out[value] = replace(buffer, name=f"{stem}{len(out)}")
        return out

    def _spec(
        self, numbers: Sequence[int], chain: Chain, buffers: Mapping[Value, Buffer], values: tuple[Value, ...]
    ) -> KernelSpec:
        """The chain with its members, their values in these buffers."""
        members = []
        for number in numbers:
            compute = self.computes[number]
            pairs = zip(compute.params, self.specs[number].values, strict=True)
            members.append(_renamed(compute, {b.name: buffers[v].name for b, v in pairs}))
        works = [self.specs[n].work for n in numbers]
        chain = replace(
            chain,
            name=f"{works[0].name}_to_{works[-1].name}",
            dims=tuple(sorted({dim for work in works for dim in work.dims})),
            # Equal chains of different layers are one.
            members=tuple(replace(m, name="", provenance=()) for m in members),
            provenance=tuple(dict.fromkeys(place for work in works for place in work.provenance)),
        )
        return KernelSpec(chain, values)


def _members(links: Sequence[_Link]) -> list[int]:
    return sorted({n for link in links for n in (link.source, link.target)})


def _likely(size: Size) -> int:
    return nominal(size, LIKELY)


def _bytes(buffer: Buffer) -> Size:
    return buffer.size * buffer.dtype.itemsize


def _block(extent: Size, row: int) -> int:
    """How many rows of at most so many bytes are taken at a time; blocks as equal as may be."""
    most = min(MOST_ROWS, ROOM // max(1, row))
    if isinstance(extent, int) and most and extent:
        return -(-extent // -(-extent // most))
    return most


# ---- what computes read


def _places(compute: Compute, buffer: str) -> list[tuple[Size, ...]]:
    """The indices at which a buffer is read."""
    loads = (e for whole in compute.expressions() for e in walk(whole) if isinstance(e, Load))
    return [load.index for load in loads if load.buffer == buffer]


def _common(compute: Compute, rows: Sequence[Axis]) -> Iterator[Size]:
    """The bytes of what is read alike for all indices of the last axis, as often as the others read it."""
    *batch, row = rows
    for buffer in compute.params:
        used = {n for index in _places(compute, buffer.name) for size in index for n in names(size)}
        if buffer.role is Role.IN and row.var not in used and buffer.size != 1:
            yield _bytes(buffer) * product(a.extent for a in batch if a.var not in used)


def _meets_at_rows(compute: Compute, row: Axis) -> bool:
    """Whether a product takes both factors at the row: there would be a product for each, and none for a block."""
    reduction = compute.reduction
    if reduction is None:
        return False
    expressions = [*(item.value for item in reduction.lets), reduction.value]
    loads = dict.fromkeys(e for whole in expressions for e in walk(whole) if isinstance(e, Load))
    return len(loads) > 1 and all(any(row.var in names(i) for i in load.index) for load in loads)


# ---- forms


def _canonical(compute: Compute) -> Compute:
    """The compute without axes of size 1, neither its own nor those of buffers; the axes that are left are counted."""
    wide = [a for a in compute.axes if a.extent != 1]
    place: dict[str, Size] = {a.var: 0 for a in compute.axes}
    place |= {a.var: Dim(f"%i{n}") for n, a in enumerate(wide)}
    shapes = {b.name: b.shape for b in compute.params}

    def at(buffer: str, index: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(substitute(i, place) for i, extent in zip(index, shapes[buffer], strict=True) if extent != 1)

    def sizes(old: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(substitute(size, place) for size in old)

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, index, dtype, guard):
                return Load(buffer, at(buffer, index), dtype, sizes(guard))
            case Index():
                return replace_in(expr, place)
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, at(s.buffer, s.index), visit(s.value), sizes(s.guard))

    params = tuple(replace(b, shape=tuple(size for size in b.shape if size != 1)) for b in compute.params)
    axes = tuple(Axis(f"%i{n}", a.extent) for n, a in enumerate(wide))
    return replace(compute.map(visit, store), params=params, axes=axes)


def _renamed(compute: Compute, buffers: Mapping[str, str]) -> Compute:
    """The compute over buffers of other names."""

    def visit(expr: Expr) -> Expr:
        return replace(expr, buffer=buffers[expr.buffer]) if isinstance(expr, Load) else rebuild(expr, visit)

    params = tuple(replace(b, name=buffers[b.name]) for b in compute.params)
    moved = compute.map(visit, lambda s: replace(s, buffer=buffers[s.buffer], value=visit(s.value)))
    return replace(moved, params=params)
