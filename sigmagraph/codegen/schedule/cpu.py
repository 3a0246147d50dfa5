"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.schedule.chain import Stage, chain_kernel
from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.engine import Engine
from sigmagraph.codegen.templates.pieces import assuming, flatten, initial, merge_axes, split_axes
from sigmagraph.codegen.templates.reduction import sweep_kernel
from sigmagraph.ir.kernel.compute import Chain, Compute, Sweep, Work
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage, Let


def schedule(work: Work, machine: Machine) -> Kernel:
    """The scheduled kernel of a work; loops that an op wrote itself stay as they are."""
    if isinstance(work, Kernel):
        return replace(work, stage=KernelStage.SCHEDULED)
    if isinstance(work, Chain):
        kernel = chain_kernel(work, lambda member, name: _stage(member, machine, name))
    else:
        kernel = _template(_flat(work), machine)
    return replace(kernel, body=assuming(kernel.body, work.assume))


def _flat(compute: Compute) -> Compute:
    return merge_axes(split_axes(flatten(_without_empty_sweeps(compute))))


def _stage(member: Compute, machine: Machine, name: str) -> Stage:
    """A member of a chain for the rows of a task."""
    flat = _flat(member)
    contraction = as_contraction(flat) if flat.sweeps and not _is_empty(flat) else None
    if contraction is None:
        return Stage(_template(flat, machine, serial=True))
    panels = Engine(contraction, machine, serial=True).panels_ahead(name)
    return Stage(Engine(contraction, machine, serial=True, ahead=panels and panels.columns).kernel(), panels)


def _is_empty(flat: Compute) -> bool:
    return any(axis.extent == 0 for axis in flat.axes)


def _template(flat: Compute, machine: Machine, *, serial: bool = False) -> Kernel:
    if _is_empty(flat):
        return Kernel(flat.name, flat.dims, flat.params, (), KernelStage.SCHEDULED, provenance=flat.provenance)
    if not flat.sweeps:
        return elementwise_kernel(flat, machine)
    contraction = as_contraction(flat)
    if contraction is not None:
        return contraction_kernel(contraction, machine)
    return sweep_kernel(flat, machine, serial=serial)


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
