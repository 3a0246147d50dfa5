"""Loops for computes without a reduction: parallel outside, vectors inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.pieces import element_type, instantiate, nest, slope, vector_loop
from sigmagraph.dims import Dim, Size, ceildiv, minimum
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.kernel import Block, For, Kernel, KernelStage, LoopKind

Make = Callable[[Mapping[str, Size], str], Block]

CHUNK = 4096  # elements per task where a single long axis is cut


def elementwise_kernel(compute: Compute, machine: Machine) -> Kernel:
    """The scheduled kernel of a flat compute without a reduction."""

    def body(index: Mapping[str, Size], tag: str) -> Block:
        instance = instantiate(compute.lets, index, tag)
        return (*instance.lets, *(instance.store(s) for s in compute.stores))

    return Kernel(
        compute.name,
        compute.dims,
        compute.params,
        _loops(compute, machine, body),
        KernelStage.SCHEDULED,
        provenance=compute.provenance,
    )


def _loops(compute: Compute, machine: Machine, make: Make) -> Block:
    if not compute.axes:
        return make({}, "")
    *outer, last = compute.axes
    lanes = machine.lanes(element_type(compute)) if _contiguous(compute, last) else 1
    if outer:
        inner = vector_loop(last.var, last.extent, lanes, lambda at, tag: make({last.var: at}, tag))
        return nest(outer, inner, LoopKind.PARALLEL)
    return _chunks(last, lanes, make)


def _chunks(axis: Axis, lanes: int, make: Make) -> Block:
    """One long axis in tasks of CHUNK elements; only the last task has a rest."""
    if isinstance(axis.extent, int) and axis.extent <= CHUNK:
        return vector_loop(axis.var, axis.extent, lanes, lambda at, tag: make({axis.var: at}, tag))
    chunk = f"{axis.var}c"
    start = CHUNK * Dim(chunk)
    length = minimum(CHUNK, axis.extent - start)
    inner = vector_loop(axis.var, length, lanes, lambda at, tag: make({axis.var: start + at}, tag))
    return (For(chunk, ceildiv(axis.extent, CHUNK), LoopKind.PARALLEL, inner),)


def _contiguous(compute: Compute, axis: Axis) -> bool:
    return all(slope(store.index[0], axis.var) == 1 for store in compute.stores if store.index)
