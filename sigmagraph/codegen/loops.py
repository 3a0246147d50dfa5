"""The plain loop nest of a Compute: correct as it stands, and what schedules are compared with."""

from __future__ import annotations

from sigmagraph.codegen.templates.pieces import accumulator, assuming, initial, nest
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.expr import Load, apply
from sigmagraph.ir.kernel.kernel import Alloc, Block, Kernel, Let, Store


def naive_kernel(compute: Compute) -> Kernel:
    """One loop an axis, in order; an accumulator for the reduction."""
    body: Block = (*compute.lets, *compute.stores)
    reduction = compute.reduction
    if reduction is not None:
        result = Load("%acc", (0,), reduction.dtype)
        total = apply(reduction.op, result, reduction.value)
        inner: Block = (*reduction.lets, Store("%acc", (0,), total))
        body = (
            Alloc(accumulator("%acc", reduction.dtype, 1)),
            Store("%acc", (0,), initial(reduction.op, reduction.dtype)),
            *nest(reduction.axes, inner),
            Let(reduction.result, result),
            *body,
        )
    body = assuming(nest(compute.axes, body), compute.assume)
    return Kernel(compute.name, compute.dims, compute.params, body, provenance=compute.provenance)
