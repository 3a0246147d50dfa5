"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.pieces import assuming, flatten, initial, merge_axes
from sigmagraph.codegen.templates.reduction import reduction_kernel
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage, Let


def schedule(compute: Compute, machine: Machine) -> Kernel:
    """The scheduled kernel of a compute."""
    kernel = _template(merge_axes(flatten(_without_empty_reduction(compute))), machine)
    return replace(kernel, body=assuming(kernel.body, compute.assume))


def _template(flat: Compute, machine: Machine) -> Kernel:
    if any(axis.extent == 0 for axis in flat.axes):
        return Kernel(flat.name, flat.dims, flat.params, (), KernelStage.SCHEDULED, provenance=flat.provenance)
    if flat.reduction is None:
        return elementwise_kernel(flat, machine)
    contraction = as_contraction(flat)
    if contraction is not None:
        return contraction_kernel(contraction, machine)
    return reduction_kernel(flat, machine)


def _without_empty_reduction(compute: Compute) -> Compute:
    """Over no elements a reduction is the value that changes nothing."""
    reduction = compute.reduction
    if reduction is None or all(axis.extent != 0 for axis in reduction.axes):
        return compute
    result = Let(reduction.result, initial(reduction.op, reduction.dtype))
    return replace(compute, reduction=None, lets=(result, *compute.lets))
