"""What it costs to make elements again, and what launches read and write, both in bytes of memory."""

from __future__ import annotations

from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.launches import bytes_of, likely, loads_in
from sigmagraph.dims import product
from sigmagraph.ir.kernel.compute import Compute, Work, inner_expressions
from sigmagraph.ir.kernel.expr import Apply, walk


def time_of(compute: Compute, again: Again) -> float | None:
    """How many bytes come from memory while an index is computed: of no sum, or of one short sum of products.

    None where it is something else, or not known.
    """
    values = [*(item.value for item in compute.lets), *(s.value for s in compute.stores)]
    time = sum(isinstance(e, Apply) for value in values for e in walk(value)) / again.operations
    if not compute.sweeps:
        return time
    reduction = compute.reduction
    if reduction is None or reduction.op != "add":
        return None
    factors = {e.dtype for e in loads_in(inner_expressions(compute.sweeps[0]))} & again.sums.keys()
    length = product(a.extent for a in reduction.axes)
    if not factors or not isinstance(length, int):
        return None
    return time + 2 * length / min(again.sums[dtype] for dtype in factors)


def traffic(work: Work) -> int:
    """The bytes of all that a launch reads and writes, each once."""
    return sum(likely(bytes_of(buffer)) for buffer in work.params)
