"""Large values that several launches read: made again for each of them, row by row, rather than written down.

A product of few summed elements takes less time than a result of it takes to be written and read. Its launch is cloned
into a chain for each launch that reads it, with its axes in the order in which that one goes along rows. The gradients
of an attention are made so: of scores, weights and their gradients nothing lies in memory.

What is made again comes from launches that store every element once, at the indices of their axes in some order: short
sums of products, or elements of other such values. What they read of each other they read behind their sums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import networkx as nx

from sigmagraph.codegen import chain as chains
from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.chain import Member, Terms, chain_of
from sigmagraph.codegen.clones import storing, turned
from sigmagraph.codegen.launches import Launches, bytes_of, likely, loads_in, meets_at_rows
from sigmagraph.codegen.lower import KernelSpec
from sigmagraph.codegen.worth import time_of, traffic
from sigmagraph.dims import Dim, Size, names, product, total
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.compute import Compute, inner_expressions
from sigmagraph.ir.kernel.kernel import Buffer, Role

# What something reads, and what it makes.
Flow: TypeAlias = tuple[Collection[Value], Collection[Value]]


def remade(
    specs: Mapping[int, KernelSpec], wanted: Collection[Value], again: Again, others: Collection[Flow] = ()
) -> dict[int, KernelSpec]:
    """The launches that are left; a chain stands in the place of the last launch that nothing is cloned of.

    Args:
        specs: launches by number, in an order in which those that are no chains can run.
        wanted: values that have to lie in memory, whichever launches read them.
        again: what may be made again.
        others: what everything that runs besides them reads and makes.
    """
    return _Remaker(specs, wanted, again, others).run()


@dataclass(frozen=True, slots=True)
class _Clone:
    """A launch in a chain: its axes in the order that they have there, and the values that it makes there."""

    order: tuple[int, ...]
    values: frozenset[Value]


@dataclass(frozen=True, slots=True)
class _Chained:
    """A chain.

    Attributes:
        ends: the launches at its end.
        orders: that of the axes of each of its launches.
        spec: what becomes of them.
    """

    ends: tuple[int, ...]
    orders: Mapping[int, tuple[int, ...]]
    spec: KernelSpec

    @property
    def members(self) -> frozenset[int]:
        """All of its launches."""
        return frozenset(self.orders)

    @property
    def is_turned(self) -> bool:
        """Whether the axes of any of its launches come in another order."""
        return any([*order] != sorted(order) for order in self.orders.values())

    def shares_with(self, other: _Chained, made: set[int]) -> bool:
        """Whether something that is made again is the same in another chain."""
        return any(self.orders[n] == other.orders[n] for n in made & self.members & other.members)


class _Remaker:
    def __init__(
        self, specs: Mapping[int, KernelSpec], wanted: Collection[Value], again: Again, others: Collection[Flow]
    ) -> None:
        self.specs = specs
        self.others = others
        self.launches = Launches(specs)
        self.computes = self.launches.computes
        self.wanted = wanted
        self.again = again
        self._known: dict[tuple[int, Value], tuple[str, ...] | None] = {}
        self.terms = Terms(again.tasks, None, again.cached, alone=False)

    def run(self) -> dict[int, KernelSpec]:
        made = {n for n in self.computes if self._can_be_made_again(n)}
        while made:
            unfit = self._unfit(made)
            if not unfit:
                singles = {end: self._chain((end,), made) for end in self._ends(made)}
                unfit = {n for end, c in singles.items() if c is None for n in self._sources(end, made)}
            if not unfit:
                found = self._merged(made, [c for c in singles.values() if c is not None])
                unfit = self._dear(made, found)
                if not unfit:
                    return self._result(made, found)
            made -= unfit
        return dict(self.specs)

    def _result(self, made: set[int], found: Sequence[_Chained]) -> dict[int, KernelSpec]:
        gone = {n for c in found for n in c.members} | {*made}
        kept = {n: spec for n, spec in self.specs.items() if n not in gone}
        return dict(sorted((kept | {c.ends[-1]: c.spec for c in found}).items()))

    # ---- what launches make and read

    def _outputs(self, number: int) -> Iterator[tuple[Value, Buffer]]:
        pairs = zip(self.launches.specs[number].values, self.computes[number].params, strict=True)
        return ((value, buffer) for value, buffer in pairs if buffer.role is Role.OUT)

    def _sources(self, number: int, made: set[int]) -> set[int]:
        """The launches whose values, which are made again, a launch reads."""
        return {self.launches.writers[value] for value in self._handed_on(number, made)}

    def _handed_on(self, number: int, made: set[int]) -> Iterator[Value]:
        """The values among what a launch reads that are made again."""
        pairs = zip(self.specs[number].values, self.computes[number].params, strict=True)
        return (v for v, b in pairs if b.role is Role.IN and self.launches.writers.get(v) in made)

    def _ends(self, made: set[int]) -> list[int]:
        """The launches that read what is made again, but are not themselves."""
        return [n for n in self.computes if n not in made and self._sources(n, made)]

    def _can_be_made_again(self, number: int) -> bool:
        """Whether a launch makes large values, which others read, in one of the ways that allow to make them again."""
        compute, outputs = self.computes[number], list(self._outputs(number))
        if any(v in self.wanted or v not in self.launches.readers for v, _ in outputs):
            return False
        if self._time(number) is None or not _reads_apart(compute):
            return False
        return any(likely(bytes_of(buffer)) >= chains.LARGE for _, buffer in outputs)

    def _times(self, value: Value) -> int:
        """How often a value is written and read."""
        return 1 + len(self._readers(value))

    def _unfit(self, made: set[int]) -> set[int]:
        """Those that read more than they make, or of whose values others do not read an element for each index.

        Where one sums over what another one makes, for each element again, that which makes less.
        """
        pairs = [(n, v, reader) for n in sorted(made) for v, _ in self._outputs(n) for reader in self._readers(v)]
        out = {n for n, v, reader in pairs if reader not in self.computes or self._read(reader, v) is None}
        out |= {n for n in made if self._reads_more(n, made)}
        if out:
            return out
        sums = [(n, reader) for n, v, reader in pairs if reader in made and self._sums_over(reader, v)]
        return {min(pair, key=lambda n: likely(total(bytes_of(b) for _, b in self._outputs(n)))) for pair in sums}

    def _reads_more(self, number: int, made: set[int]) -> bool:
        """Whether a launch reads more than it makes, but for what is made again with it."""
        handed_on = {self.launches.param(number, v).name for v in self._handed_on(number, made)}
        params = [b for b in self.computes[number].params if b.name not in handed_on]
        read, written = ([b for b in params if (b.role is Role.OUT) is is_made] for is_made in (False, True))
        return likely(total(map(bytes_of, read))) > likely(total(map(bytes_of, written)))

    def _readers(self, value: Value) -> Sequence[int]:
        return self.launches.readers[value]

    def _sums_over(self, number: int, value: Value) -> bool:
        """Whether a launch reads a value inside of a sum."""
        buffer = self.launches.param(number, value).name
        inner = (e for sweep in self.computes[number].sweeps for e in inner_expressions(sweep))
        return any(load.buffer == buffer for load in loads_in(inner))

    def _read(self, number: int, value: Value) -> tuple[str, ...] | None:
        """The axes, each with all of its indices, at which a launch reads a value; None where it reads otherwise."""
        if (number, value) not in self._known:
            self._known[number, value] = self._read_anew(number, value)
        return self._known[number, value]

    def _read_anew(self, number: int, value: Value) -> tuple[str, ...] | None:
        compute, buffer = self.computes[number], self.launches.param(number, value)
        extents = {a.var: a.extent for a in (*compute.axes, *compute.inner_axes())}
        loads = {e for e in loads_in(compute.expressions()) if e.buffer == buffer.name}
        if len({load.index for load in loads}) != 1 or any(load.guard for load in loads):
            return None
        index = _plain(next(iter(loads)).index)
        if index is None or [extents.get(name) for name in index] != [*buffer.shape]:
            return None
        return index

    # ---- chains

    def _chain(self, ends: tuple[int, ...], made: set[int]) -> _Chained | None:
        """The chain of these launches with clones of those that they need, if there is one that pays.

        It has as many axes for rows as may be. Blocks are taken of one along which no product has both of its factors.
        """
        axes = [self.computes[end].axes for end in ends]
        most = next((n for n, same in enumerate(zip(*axes, strict=False)) if len({*same}) > 1), min(map(len, axes)))
        choices = [(*range(last), *range(last + 1, n), last) for n in range(most, 0, -1) for last in reversed(range(n))]
        for choice in choices:
            clones = self._clones(ends, made, choice)
            if clones is not None:
                members = {n: self._member(n, clone, clones, made) for n, clone in sorted(clones.items())}
                rows = members[ends[0]].compute.axes[: len(choice)]
                if not any(meets_at_rows(m.compute, rows[-1]) for m in members.values()):
                    kept = {v: b for n in members if n in made for v, b in members[n].made.items()}
                    spec = chain_of([*members.values()], kept, rows, self.terms)
                    orders = {n: clone.order for n, clone in clones.items()}
                    return None if spec is None else _Chained(ends, orders, spec)
        return None

    def _clones(self, ends: Sequence[int], made: set[int], rows: Sequence[int]) -> dict[int, _Clone] | None:
        """What is cloned for these launches, if all that is needed for them has these axes of theirs."""
        out: dict[int, _Clone] = {}
        for end in ends:
            rest = (n for n in range(len(self.computes[end].axes)) if n not in rows)
            out[end] = _Clone((*rows, *rest), frozenset(v for v, _ in self._outputs(end)))
        for number in reversed([*self.specs]):
            if number not in out:
                continue
            for value in self._handed_on(number, made):
                source, order = self.launches.writers[value], self._order(number, out[number].order[: len(rows)], value)
                known = out.get(source, _Clone(order or (), frozenset()))
                if order is None or source >= number or known.order != order:
                    return None
                out[source] = _Clone(order, known.values | {value})
        return out

    def _order(self, number: int, rows: Sequence[int], value: Value) -> tuple[int, ...] | None:
        """The order of the axes of whoever makes a value, so that those come first at which a launch has its rows."""
        compute, read = self.computes[number], self._read(number, value)
        source = self.launches.writers[value]
        stored = _stored_axes(self.computes[source], self.launches.param(source, value))
        first = [compute.axes[row].var for row in rows]
        if read is None or stored is None or not {*first} < {*read}:
            return None  # there would be no rows, or none of more than an element
        order = [stored[read.index(var)] for var in first]
        return (*order, *(axis for axis in sorted(stored) if axis not in order))

    def _member(self, number: int, clone: _Clone, clones: Mapping[int, _Clone], made: set[int]) -> Member:
        """A launch as it is in a chain."""
        spec, compute = self.specs[number], self.computes[number]
        layouts = {}
        for value, buffer in zip(spec.values, compute.params, strict=True):
            source = self.launches.writers.get(value, -1)
            stored = _stored_axes(self.computes[source], self.launches.param(source, value)) if source in made else None
            if stored is not None:
                layouts[buffer.name] = [stored.index(axis) for axis in clones[source].order]
        values = {b.name: v for v, b in zip(spec.values, compute.params, strict=True)}
        outputs = {b.name for v, b in self._outputs(number) if v in clone.values}
        new = storing(turned(compute, clone.order, layouts), outputs)
        return Member(new, tuple(values[b.name] for b in new.params), spec.work)

    def _merged(self, made: set[int], found: list[_Chained]) -> list[_Chained]:
        """The chains, where one takes the place of several that need the same, if it can."""
        out: list[_Chained] = []
        for number, single in enumerate(found):
            for at, other in enumerate(out):
                if single.shares_with(other, made):
                    both = self._chain((*other.ends, *single.ends), made)
                    rest = [*out[:at], *out[at + 1 :], *found[number + 1 :]]
                    if both is not None and self._can_run(self._result(made, [*rest, both])):
                        out[at] = both
                        break
            else:
                out.append(single)
        return out

    def _can_run(self, specs: Mapping[int, KernelSpec]) -> bool:
        """Whether there is an order in which nothing waits for itself."""
        flows = [*self.others, *(_flow(spec) for spec in specs.values())]
        writers = {value: number for number, (_, made) in enumerate(flows) for value in made}
        order: nx.DiGraph[int] = nx.DiGraph()
        order.add_edges_from((writers[v], n) for n, (read, _) in enumerate(flows) for v in read if v in writers)
        return bool(nx.is_directed_acyclic_graph(order))

    # ---- whether it pays

    def _dear(self, made: set[int], found: Sequence[_Chained]) -> set[int]:
        """Those that had better be written down, as what is made again with them is not worth it: the dearest ones."""
        links: nx.Graph[int] = nx.Graph()
        links.add_nodes_from(made)
        for c in found:
            nx.add_path(links, sorted(made & c.members))
        parts = [part for part in nx.connected_components(links) if not self._pays(part, found)]
        return {max(sorted(part), key=lambda n: self._time(n) or 0) for part in parts}

    def _pays(self, made: set[int], found: Sequence[_Chained]) -> bool:
        chains = [c for c in found if made & c.members]
        before = {n: self.computes[n] for c in chains for n in c.members}
        if not any(c.is_turned for c in chains) and all(self._times(v) == 2 for n in made for v, _ in self._outputs(n)):
            return False  # nothing is made again: whether launches are joined for less is not decided here
        spared = sum(map(traffic, before.values())) - sum(traffic(c.spec.work) for c in chains)
        taken = 0.0
        for number in made:
            elements = likely(product(a.extent for a in self.computes[number].axes))
            taken += elements * (self._time(number) or 0) * (sum(number in c.members for c in chains) - 1)
        return taken <= spared

    def _time(self, number: int) -> float | None:
        return time_of(self.computes[number], self.again)


# ---- how computes store and read


def _plain(index: Sequence[Size]) -> tuple[str, ...] | None:
    """The names that an index consists of, if these are different ones and nothing else."""
    found = [next(iter(names(i))) for i in index if isinstance(i, Dim) and i.is_name]
    return tuple(found) if len({*found}) == len(index) else None


def _stored_axes(compute: Compute, buffer: Buffer) -> tuple[int, ...] | None:
    """Which of its axes, by number, the dims of a buffer are that it stores once, at all of them; None otherwise."""
    stores = [s for s in compute.all_stores() if s.buffer == buffer.name]
    index = _plain(stores[0].index) if len(stores) == 1 and not stores[0].guard else None
    number = {a.var: n for n, a in enumerate(compute.axes)}
    return tuple(number[name] for name in index) if index and {*index} == {*number} else None


def _reads_apart(compute: Compute) -> bool:
    """Whether what a sum reads for an index it does not read again, shifted, for another one, as convolutions do."""
    own, summed = ({a.var: a.extent for a in axes} for axes in (compute.axes, compute.inner_axes()))
    shapes = {b.name: b.shape for b in compute.params}
    for load in loads_in(compute.expressions()):
        for size, extent in zip(load.index, shapes[load.buffer], strict=True):
            used = {*names(size)}
            if used & summed.keys() and used & own.keys():
                mixed = product(e for name, e in {**own, **summed}.items() if name in used)
                if load.guard or likely(mixed) > likely(extent):
                    return False
    return True


def _flow(spec: KernelSpec) -> Flow:
    pairs = list(zip(spec.values, spec.work.params, strict=True))
    return [v for v, b in pairs if b.role is not Role.OUT], [v for v, b in pairs if b.role is Role.OUT]
