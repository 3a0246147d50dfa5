"""What neighbouring elements have in common is computed once for all of them: four words of a block of random bits.

A vector of blocks gives as many vectors of words, which lie in local memory until the elements take theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.templates.keep import used_names
from sigmagraph.codegen.templates.pieces import accumulator, indices_in, instantiate, slope, vector_loop
from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Apply, Cast, Expr, Index, Load, rebuild, walk
from sigmagraph.ir.kernel.expr import replace as replace_in
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, Let, LoopKind, Store
from sigmagraph.ir.kernel.scalar import SCALARS

Make = Callable[[Compute, Size, str], Block]
_WORD = "%word"  # where an element finds what it has in common with its neighbours


@dataclass(frozen=True, slots=True)
class Shared:
    """A value of which a block of neighbours along an axis computes the costly part once, and its buffer."""

    value: Expr
    neighbours: int
    buffer: Buffer


def sharing_loop(
    compute: Compute, axis: Axis, start: Size, extent: Size, lanes: int, make: Make, several: int = 1
) -> Block:
    """A loop from ``start`` over ``extent`` elements of an axis, in vectors, as ``make`` writes them at an index."""
    plain = vector_loop(axis.var, extent, lanes, lambda at, tag: make(compute, start + at, tag), several)
    found = _shared(compute, axis.var, start, lanes)
    group = lanes * max((s.neighbours for s in found), default=1)
    if not found or (isinstance(extent, int) and extent < group):
        return plain
    first = start + group * Dim("%group")
    allocs: Block = tuple(Alloc(s.buffer) for s in found)
    blocks: Block = tuple(_words(compute, axis.var, first, s, lanes) for s in found)
    words = {s.value: Load(s.buffer.name, (Dim(_WORD),), s.value.dtype) for s in found}
    (neighbours,) = {s.neighbours for s in found}
    number, lane = lanes * Dim("%part") + Dim("%at"), Dim("%at")
    word = lanes * (lane - neighbours * (lane // neighbours)) + number // neighbours
    elements = make(_reading(compute, words, word), first + number, ".s")
    vector = For("%at", lanes, LoopKind.VECTORIZED, elements)
    whole = extent // group
    parts = For("%part", neighbours, LoopKind.UNROLLED, (vector,))
    loop = For("%group", whole, LoopKind.SERIAL, (*allocs, *blocks, parts))
    done = group * whole
    if extent - done == 0:
        return (loop,)
    rest = vector_loop(axis.var, extent - done, lanes, lambda at, tag: make(compute, start + done + at, tag))
    return (loop, *rest)


def _shared(compute: Compute, var: str, start: Size, lanes: int) -> tuple[Shared, ...]:
    """The values that blocks of neighbours share, if blocks start where vectors do; all of one size."""
    found: dict[Expr, int] = {}
    for whole in compute.expressions():
        for part in walk(whole):
            inner = part.value if isinstance(part, Cast) else part
            if isinstance(inner, Apply) and inner not in found and _is_shared(compute, inner, var, start, lanes):
                found[part] = SCALARS[inner.op].neighbours
    if len(set(found.values())) != 1:
        return ()
    return tuple(
        Shared(value, count, accumulator(f"%shared{at}", value.dtype, count * lanes))
        for at, (value, count) in enumerate(found.items())
    )


def _is_shared(compute: Compute, value: Apply, var: str, start: Size, lanes: int) -> bool:
    neighbours = SCALARS[value.op].neighbours
    *others, element = value.args
    if neighbours == 1 or lanes % neighbours or not isinstance(element, Index) or slope(element.value, var) != 1:
        return False
    if any(item.name in names(element.value) for item in compute.lets):
        return False
    first = substitute(element.value, {var: start + neighbours * Dim("%block")})
    if first - neighbours * (first // neighbours) != 0:
        return False
    needed = [*others, *(item.value for item in _needed(compute, others))]
    return not any(var in names(size) for whole in needed for size in indices_in(whole))


def _needed(compute: Compute, values: list[Expr]) -> tuple[Let, ...]:
    """The lets that values are made of, in order."""
    wanted = set(used_names(values))
    out: list[Let] = []
    for item in reversed(compute.lets):
        if item.name in wanted:
            wanted.update(used_names([item.value]))
            out.append(item)
    return tuple(reversed(out))


def _words(compute: Compute, var: str, first: Size, shared: Shared, lanes: int) -> For:
    """The values of a vector of blocks, those of equal place in their block side by side."""
    instance = instantiate(_needed(compute, [shared.value]), {}, f".{shared.buffer.name[1:]}")
    block = Dim("%block")
    stores = []
    for place in range(shared.neighbours):
        value = replace_in(instance.value(shared.value), {var: first + shared.neighbours * block + place})
        stores.append(Store(shared.buffer.name, (lanes * place + block,), value))
    return For("%block", lanes, LoopKind.VECTORIZED, (*instance.lets, *stores))


def _reading(compute: Compute, words: Mapping[Expr, Load], at: Size) -> Compute:
    """The compute with shared values read from where they lie."""

    def visit(expr: Expr) -> Expr:
        if expr in words:
            return replace(words[expr], index=(at,))
        return rebuild(expr, visit)

    return compute.map(visit, lambda s: replace(s, value=visit(s.value)))
