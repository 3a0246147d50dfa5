"""Joins launches to chains: where one hands the next more than a cache holds, row by row, both run for blocks of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.dims import Dim, Size, ceildiv, evaluate, names, product, substitute, total
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute
from sigmagraph.ir.kernel.expr import Expr, Index, Load, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Buffer, Role, Store

LARGE = 1 << 21  # bytes handed over from which on they would leave the cache of a core
ROOM = 1 << 19  # bytes of them that a task may have there
MOST_ROWS = 64  # in a block
LEAST_ROWS = 16  # for fewer, what all rows read would be brought too often
TASKS = 8  # at least, so that threads have something to do
LIKELY = 1024  # what a dim is taken to be


def chained(specs: Mapping[int, KernelSpec], wanted: Collection[Value]) -> dict[int, KernelSpec]:
    """The launches that are left; chains stand in the place of their last members.

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
    depth: int


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
        self.links = [link for link in found if link is not None]

    def run(self) -> dict[int, KernelSpec]:
        out = dict(self.specs)
        gone: set[int] = set()
        for link in self.links:
            if link.source not in gone and self._bytes(link) >= LARGE:
                links = self._grown(link)
                spec = self._chain(links)
                if spec is None:
                    continue
                members = {n for item in links for n in (item.source, item.target)}
                gone |= members
                out[max(members)] = spec
                for number in members - {max(members)}:
                    del out[number]
        return out

    # ---- what may be joined

    def _param(self, number: int, value: Value) -> Buffer:
        return self.computes[number].params[self.specs[number].values.index(value)]

    def _bytes(self, link: _Link) -> int:
        return _likely(_bytes(self._param(link.source, link.value)))

    def _link(self, value: Value) -> _Link | None:
        source, readers = self.writers[value], self.readers.get(value, [])
        if value in self.wanted or len(readers) != 1 or not self.computes.keys() >= {source, *readers}:
            return None
        a, b = self.computes[source], self.computes[readers[0]]
        if sum(buffer.role is Role.OUT for buffer in a.params) != 1:
            return None
        buffer = self._param(source, value)
        places = [s.index for s in a.all_stores()] + _places(b, self._param(readers[0], value).name)
        depth = 0
        for x, y, extent in zip(a.axes, b.axes, buffer.shape, strict=False):
            if x != y or x.extent != extent or any(index[depth] != Dim(x.var) for index in places):
                break
            depth += 1
        return _Link(source, readers[0], value, depth) if depth else None

    def _grown(self, link: _Link) -> list[_Link]:
        """The link with all others that join it: large ones, and those by which rows are prepared."""
        out = [link]
        members = {link.source, link.target}
        while True:
            found = next((item for item in self.links if item not in out and self._fits(item, members, out)), None)
            if found is None:
                return sorted(out, key=lambda item: item.source)
            out.append(found)
            members |= {found.source, found.target}

    def _fits(self, link: _Link, members: Collection[int], links: Sequence[_Link]) -> bool:
        if link.depth < min(item.depth for item in links):
            return False
        if self._bytes(link) >= LARGE:
            return link.source in members or link.target in members
        row = self.computes[link.source].axes[min(item.depth for item in links) - 1]
        return link.target in members and not list(_shared(self.computes[link.source], row, ()))

    # ---- chains

    def _chain(self, links: Sequence[_Link]) -> KernelSpec | None:
        numbers = sorted({n for item in links for n in (item.source, item.target)})
        depth = min(item.depth for item in links)
        rows = self.computes[numbers[-1]].axes[:depth]
        kept = {item.value: replace(self._param(item.source, item.value), role=Role.TEMP) for item in links}
        block = _block(rows[-1].extent, max(_likely(_bytes(replace(b, shape=b.shape[depth:]))) for b in kept.values()))
        if block < LEAST_ROWS:
            return None
        tasks = product(a.extent for a in rows[:-1]) * ceildiv(rows[-1].extent, block)
        if _likely(tasks) < TASKS:
            return None
        named = {value: f"%k{n}" for n, value in enumerate(kept)}
        values: dict[Value, Buffer] = {}
        for role in (Role.IN, Role.OUT):
            for n in numbers:
                for value, buffer in zip(self.specs[n].values, self.computes[n].params, strict=True):
                    if value not in named and buffer.role is role:
                        stem = "%a" if role is Role.IN else "%o"
                        values.setdefault(value, replace(buffer, name=f"{stem}{len(values)}"))
        again: Size = 0
        members: list[Compute] = []
        for n in numbers:
            compute, spec = self.computes[n], self.specs[n]
            names_ = {b.name: named.get(v) or values[v].name for v, b in zip(spec.values, compute.params, strict=True)}
            members.append(_renamed(compute, names_))
            for buffer, axes in _shared(compute, rows[-1], rows[:-1]):
                again = again + _bytes(buffer) * ceildiv(rows[-1].extent, block) * product(a.extent for a in rows[:-1] if a not in axes)
        handed_on = _likely(total(_bytes(b) for b in kept.values()))
        if _likely(again) > 2 * handed_on or _likely(total(_bytes(b) for b in values.values())) > handed_on:
            return None
        works = [self.specs[n].work for n in numbers]
        chain = Chain(
            f"{works[0].name}_to_{works[-1].name}",
            tuple(sorted({d for w in works for d in w.dims})),
            tuple(values.values()),
            tuple(replace(b, name=named[v]) for v, b in kept.items()),
            rows,
            block,
            tuple(members),
            provenance=tuple(dict.fromkeys(p for w in works for p in w.provenance)),
        )
        return KernelSpec(chain, tuple(values))


def _likely(size: Size) -> int:
    return evaluate(size, dict.fromkeys(names(size), LIKELY))


def _bytes(buffer: Buffer) -> Size:
    return buffer.size * buffer.dtype.itemsize


def _block(extent: Size, row: int) -> int:
    """How many rows of at most so many bytes are taken at a time."""
    most = min(MOST_ROWS, ROOM // max(1, row))
    if isinstance(extent, int) and most:
        return -(-extent // -(-extent // most))
    return most


def _loads(compute: Compute) -> Iterator[Load]:
    return (e for whole in compute.expressions() for e in walk(whole) if isinstance(e, Load))


def _places(compute: Compute, buffer: str) -> list[tuple[Size, ...]]:
    return [load.index for load in _loads(compute) if load.buffer == buffer]


def _shared(compute: Compute, row: Axis, batch: Sequence[Axis]) -> Iterator[tuple[Buffer, tuple[Axis, ...]]]:
    """The buffers that are read alike for all rows, and the other axes that their indices speak of."""
    for buffer in compute.params:
        found = {n for index in _places(compute, buffer.name) for size in index for n in names(size)}
        if buffer.role is Role.IN and row.var not in found and buffer.size != 1:
            yield buffer, tuple(a for a in batch if a.var in found)


def _canonical(compute: Compute) -> Compute:
    """The compute without axes of size 1, in its own index space and in buffers; the axes are counted."""
    wide = [a for a in compute.axes if a.extent != 1]
    place: dict[str, Size] = {a.var: 0 for a in compute.axes}
    place |= {a.var: Dim(f"%i{n}") for n, a in enumerate(wide)}
    shapes = {b.name: b.shape for b in compute.params}

    def index(buffer: str, old: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(substitute(i, place) for i, extent in zip(old, shapes[buffer], strict=True) if extent != 1)

    def visit(expr: Expr) -> Expr:
        match expr:
            case Load(buffer, old, dtype, guard):
                return Load(buffer, index(buffer, old), dtype, tuple(substitute(g, place) for g in guard))
            case Index():
                return replace_in(expr, place)
            case _:
                return rebuild(expr, visit)

    def store(s: Store) -> Store:
        return Store(s.buffer, index(s.buffer, s.index), visit(s.value), tuple(substitute(g, place) for g in s.guard))

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
