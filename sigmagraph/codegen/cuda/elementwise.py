"""Threads for computes without sweeps: each has some neighbours along the last axis, read and written as one vector."""

from __future__ import annotations

from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.cuda.threads import each
from sigmagraph.codegen.templates.pieces import element_type, instantiate, slope
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, product, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Index
from sigmagraph.ir.kernel.kernel import Block, For, If, Let, LoopKind

VECTOR_BYTES = 16  # that a thread reads at once
WORTH = 1 << 15  # elements, fewer of which are one to a thread: what counts then is how many threads there are


def elementwise_nest(compute: Compute) -> Block:
    """The launch of a flat compute without sweeps."""
    if not compute.axes:
        return each((), (*compute.lets, *compute.stores))
    *outer, last = compute.axes
    lanes = _lanes(compute, last)
    if lanes == 1:
        return each(compute.axes, (*compute.lets, *compute.stores))
    vectors = Axis(last.var, divide_exact(last.extent, lanes) or (last.extent + (lanes - 1)) // lanes)
    start = lanes * Dim(last.var)
    body: Block = (For("%v", lanes, LoopKind.VECTORIZED, _at(compute, last, start + Dim("%v"), "")),)
    if divide_exact(last.extent, lanes) is None:
        rest = For("%r", last.extent - start, LoopKind.SERIAL, _at(compute, last, start + Dim("%r"), ".r"))
        body = (If((last.extent - start - lanes,), body, (rest,)),)
    return each((*outer, vectors), body)


def elements_by_threads(compute: Compute, threads: int, thread: str) -> Block:
    """What a thread of a block does that has all elements of a flat compute without sweeps.

    Args:
        compute: what is computed.
        threads: of the block.
        thread: the loop variable that counts them.
    """
    extents = [axis.extent for axis in compute.axes]
    number = threads * Dim("%some") + Dim(thread)
    instance = instantiate(compute.lets, digits_of(Dim("%number"), compute.axes), "")
    body: Block = (Let("%number", Index(number)), *instance.lets, *(instance.store(s) for s in compute.stores))
    if divide_exact(product(extents), threads) is None:
        body = (If((product(extents) - 1 - number,), body),)
    return (For("%some", ceildiv(product(extents), threads), LoopKind.SERIAL, body),)


def _at(compute: Compute, axis: Axis, at: Size, tag: str) -> Block:
    instance = instantiate(compute.lets, {axis.var: at}, tag)
    return (*instance.lets, *(instance.store(s) for s in compute.stores))


def _lanes(compute: Compute, last: Axis) -> int:
    """How many neighbours a thread has: as many as a vector holds, where all that is stored is whole vectors."""
    count = product(axis.extent for axis in compute.axes)
    if isinstance(count, int) and count < WORTH:
        return 1
    if len(compute.axes) > 1 and divide_exact(last.extent, _widest(compute)) is None:
        return 1
    return _stored_lanes(compute, last)


def vector_lanes(compute: Compute, last: Axis) -> int:
    """How many neighbours a vector holds, where there are whole vectors of them and all that is stored is such."""
    return 1 if divide_exact(last.extent, _widest(compute)) is None else _stored_lanes(compute, last)


def _widest(compute: Compute) -> int:
    return VECTOR_BYTES // element_type(compute).itemsize


def _stored_lanes(compute: Compute, last: Axis) -> int:
    lanes = _widest(compute)
    for store in compute.stores:
        (index,) = store.index
        if store.guard or slope(index, last.var) != 1 or not divides(lanes, substitute(index, {last.var: 0})):
            return 1
    return lanes


def divides(n: int, size: Size) -> bool:
    """Whether an index is a multiple of a number, whatever its variables are."""
    return divide_exact(size, n) is not None
