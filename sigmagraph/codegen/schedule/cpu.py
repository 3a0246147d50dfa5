"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.pieces import flatten, merge_axes
from sigmagraph.codegen.templates.reduction import reduction_kernel
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ir.kernel.kernel import Kernel


def schedule(compute: Compute, machine: Machine) -> Kernel:
    """The scheduled kernel of a compute."""
    flat = merge_axes(flatten(compute))
    if flat.reduction is None:
        return elementwise_kernel(flat, machine)
    contraction = as_contraction(flat)
    if contraction is not None:
        return contraction_kernel(contraction, machine)
    return reduction_kernel(flat, machine)
