"""The plain loop nest of a Compute: correct as it stands, and what schedules are compared with."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.templates.pieces import accumulator, assuming, initial, nest
from sigmagraph.ir.kernel.compute import Chain, Compute, Sweep, Work
from sigmagraph.ir.kernel.expr import Load, apply
from sigmagraph.ir.kernel.kernel import Alloc, Block, Kernel, Let, Store


def naive_kernel(compute: Work) -> Kernel:
    """One loop an axis, in order; an accumulator for each fold. Loops that an op wrote itself stay as they are."""
    if isinstance(compute, Kernel):
        return compute
    if isinstance(compute, Chain):
        return _one_after_the_other(compute)
    body = assuming(nest(compute.axes, iteration(compute)), compute.assume)
    return Kernel(compute.name, compute.dims, compute.params, body, provenance=compute.provenance)


def iteration(compute: Compute) -> Block:
    """What is done at one index of its axes: the sweeps in order, then the rest."""
    body: Block = (*compute.lets, *compute.stores)
    for number, sweep in reversed(list(enumerate(compute.sweeps))):
        body = (*_sweep(sweep, number), *body)
    return body


def _one_after_the_other(chain: Chain) -> Kernel:
    """Every member for all rows; what is handed on lies in memory of its own."""
    body: Block = ()
    for member in chain.members:
        body += naive_kernel(replace(member, assume=chain.assume)).body
    return Kernel(chain.name, chain.dims, (*chain.params, *chain.kept), body, provenance=chain.provenance)


def _sweep(sweep: Sweep, number: int) -> Block:
    start: list[Alloc | Store] = []
    add: list[Store] = []
    results: list[Let] = []
    for at, fold in enumerate(sweep.folds):
        name = f"%acc{number}.{at}"
        result = Load(name, (0,), fold.dtype)
        start += [
            Alloc(accumulator(name, fold.dtype, 1)),
            Store(name, (0,), initial(fold.op, fold.dtype)),
        ]
        add.append(Store(name, (0,), apply(fold.op, result, fold.value)))
        results.append(Let(fold.result, result))
    inner: Block = (*sweep.lets, *add, *sweep.stores)
    return (*sweep.before, *start, *nest(sweep.axes, inner), *results)
