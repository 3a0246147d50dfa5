"""The plain loop nest of a Compute: correct as it stands, and what schedules are compared with."""

from __future__ import annotations

from sigmagraph.codegen.templates.pieces import accumulator, assuming, combine, initial
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Alloc, Block, For, Kernel, Let, LoopKind, Store


def naive_kernel(compute: Compute) -> Kernel:
    """One loop an axis, in order; an accumulator for the reduction."""
    body: Block = (*compute.lets, *compute.stores)
    reduction = compute.reduction
    if reduction is not None:
        result = Load("%acc", (0,), reduction.dtype)
        total = combine(reduction.op, result, reduction.value)
        inner: Block = (*reduction.lets, Store("%acc", (0,), total))
        for axis in reversed(reduction.axes):
            inner = (For(axis.var, axis.extent, LoopKind.SERIAL, inner),)
        body = (
            Alloc(accumulator("%acc", reduction.dtype, 1)),
            Store("%acc", (0,), initial(reduction.op, reduction.dtype)),
            *inner,
            Let(reduction.result, result),
            *body,
        )
    for axis in reversed(compute.axes):
        body = (For(axis.var, axis.extent, LoopKind.SERIAL, body),)
    body = assuming(body, compute.assume)
    return Kernel(compute.name, compute.dims, compute.params, body, provenance=compute.provenance)
