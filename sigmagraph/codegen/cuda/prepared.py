"""Writes what prepares rows for a product into the product itself, so that it needs no memory.

A block of threads brings the rows of a product into shared memory element by element, and what it brings may be
computed: scaling queries there takes a multiplication for each, where it took a place in memory, a way there and back,
and a barrier.
"""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.cuda.runs import reads
from sigmagraph.codegen.cuda.softmax import inlined
from sigmagraph.codegen.launches import loads_in
from sigmagraph.dims import Dim, Size
from sigmagraph.ir.kernel.compute import Chain, Compute
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Role
from sigmagraph.ir.kernel.scalar import SCALARS

CHEAP = 8  # cost of an element that may be computed whenever it is brought, which some products do more than once
LOADS = 2  # elements that it may be made of


def prepared(chain: Chain) -> Chain:
    """The chain without members that make little of single elements, which products alone sum over."""
    for number, member in enumerate(chain.members):
        readers = [other for other in chain.members if reads(other, {store.buffer for store in member.all_stores()})]
        if not readers or not _is_cheap(chain, member) or not all(_sums(other, member) for other in readers):
            continue
        members = (*chain.members[:number], *chain.members[number + 1 :])
        name = member.stores[0].buffer
        return prepared(
            replace(
                chain,
                kept=tuple(b for b in chain.kept if b.name != name),
                members=tuple(_written_into(other, member) if other in readers else other for other in members),
            )
        )
    return chain


def _is_cheap(chain: Chain, member: Compute) -> bool:
    """Whether a member makes one value for each of its indices, in memory that only the chain has, of little.

    What is made of other members' values is not of that kind: it stays in registers with these.
    """
    if member.sweeps or len(member.stores) != 1:
        return False
    (store,), value, kept = member.stores, _value(member), {b.name for b in chain.kept}
    plain = store.index == tuple(Dim(axis.var) for axis in member.axes) and not store.guard
    cost = sum(SCALARS[part.op].cost for part in walk(value) if isinstance(part, Apply))
    loads = {*loads_in([value])}
    handed_in = kept.isdisjoint(load.buffer for load in loads)
    return plain and store.buffer in kept and handed_in and cost <= CHEAP and len(loads) <= LOADS


def _value(member: Compute) -> Expr:
    return inlined(member.stores[0].value, {item.name: item.value for item in member.lets})


def _sums(other: Compute, member: Compute) -> bool:
    """Whether a member is a product that reads what another one makes among its factors, and nowhere else."""
    reduction, name = other.reduction, member.stores[0].buffer
    if reduction is None or reduction.op != "add":
        return False
    behind = [*(item.value for item in other.lets), *(store.value for store in other.stores)]
    return all(load.buffer != name for load in loads_in(behind))


def _written_into(other: Compute, member: Compute) -> Compute:
    """A member that computes what it read of another one."""
    (made,) = member.stores
    value, own = _value(member), [axis.var for axis in member.axes]

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer == made.buffer:
            place: dict[str, Size] = dict(zip(own, expr.index, strict=True))
            return replace_in(value, place)
        return rebuild(expr, visit)

    known = {b.name for b in other.params}
    new = [b for b in member.params if b.role is Role.IN and b.name not in known]
    params = (*new, *(b for b in other.params if b.name != made.buffer))
    return replace(other.map(visit, lambda s: replace(s, value=visit(s.value))), params=params)
