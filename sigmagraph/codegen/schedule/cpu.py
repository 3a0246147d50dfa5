"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.pieces import assuming, flatten, initial, merge_axes, split_axes
from sigmagraph.codegen.templates.reduction import sweep_kernel
from sigmagraph.ir.kernel.compute import Compute, Sweep, Work
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage, Let


def schedule(work: Work, machine: Machine) -> Kernel:
    """The scheduled kernel of a work; loops that an op wrote itself stay as they are."""
    if isinstance(work, Kernel):
        return replace(work, stage=KernelStage.SCHEDULED)
    kernel = _template(merge_axes(split_axes(flatten(_without_empty_sweeps(work)))), machine)
    return replace(kernel, body=assuming(kernel.body, work.assume))


def _template(flat: Compute, machine: Machine) -> Kernel:
    if any(axis.extent == 0 for axis in flat.axes):
        return Kernel(flat.name, flat.dims, flat.params, (), KernelStage.SCHEDULED, provenance=flat.provenance)
    if not flat.sweeps:
        return elementwise_kernel(flat, machine)
    contraction = as_contraction(flat)
    if contraction is not None:
        return contraction_kernel(contraction, machine)
    return sweep_kernel(flat, machine)


def _without_empty_sweeps(compute: Compute) -> Compute:
    """A sweep over nothing stores nothing, and its folds give the values that change nothing."""
    sweeps: list[Sweep] = []
    waiting: list[Let] = []
    for sweep in compute.sweeps:
        waiting += sweep.before
        if any(axis.extent == 0 for axis in sweep.axes):
            waiting += [Let(fold.result, initial(fold.op, fold.dtype)) for fold in sweep.folds]
        else:
            sweeps.append(replace(sweep, before=tuple(waiting)))
            waiting = []
    return replace(compute, sweeps=tuple(sweeps), lets=(*waiting, *compute.lets))
