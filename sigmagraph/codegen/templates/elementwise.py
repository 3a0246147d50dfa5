"""Loops for computes without a reduction: parallel outside, vectors inside."""

from __future__ import annotations

from collections.abc import Mapping

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.across import across_nest, crossed_axis
from sigmagraph.codegen.templates.pieces import element_type, instantiate, nest, slope, together
from sigmagraph.codegen.templates.shared import sharing_loop
from sigmagraph.dims import Dim, Size, ceildiv, minimum
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.kernel import Block, For, Kernel, KernelStage, LoopKind

CHUNK = 4096  # elements per task where a single long axis is cut


def elementwise_kernel(compute: Compute, machine: Machine) -> Kernel:
    """The scheduled kernel of a flat compute without a reduction."""
    body = _loops(compute, machine)
    return Kernel(
        compute.name, compute.dims, compute.params, body, KernelStage.SCHEDULED, provenance=compute.provenance
    )


def _loops(compute: Compute, machine: Machine) -> Block:
    if not compute.axes:
        return _body(compute, {}, "")
    *outer, last = compute.axes
    lanes = machine.lanes(element_type(compute)) if _contiguous(compute, last) else 1
    several = together(compute.expressions(), machine) if lanes > 1 else 1
    axis = crossed_axis(compute, lanes)
    if axis is not None:
        return across_nest(compute, axis, lanes)
    if outer:
        return nest(outer, _row(compute, last, 0, last.extent, lanes, several), LoopKind.PARALLEL)
    return _chunks(compute, last, lanes, several)


def _chunks(compute: Compute, axis: Axis, lanes: int, several: int) -> Block:
    """One long axis in tasks of CHUNK elements; only the last task has a rest."""
    if isinstance(axis.extent, int) and axis.extent <= CHUNK:
        return _row(compute, axis, 0, axis.extent, lanes, several)
    chunk = f"{axis.var}c"
    start = CHUNK * Dim(chunk)
    length = minimum(CHUNK, axis.extent - start)
    row = _row(compute, axis, start, length, lanes, several)
    return (For(chunk, ceildiv(axis.extent, CHUNK), LoopKind.PARALLEL, row),)


def _row(compute: Compute, axis: Axis, start: Size, extent: Size, lanes: int, several: int) -> Block:
    return sharing_loop(compute, axis, start, extent, lanes, lambda c, at, tag: _body(c, {axis.var: at}, tag), several)


def _body(compute: Compute, at: Mapping[str, Size], tag: str) -> Block:
    instance = instantiate(compute.lets, at, tag)
    return (*instance.lets, *(instance.store(s) for s in compute.stores))


def _contiguous(compute: Compute, axis: Axis) -> bool:
    return all(slope(store.index[0], axis.var) == 1 for store in compute.stores if store.index)
