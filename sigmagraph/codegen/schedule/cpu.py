"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.schedule.chain import Stage, chain_kernel
from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.engine import Engine
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.pieces import assuming, flatten, initial, merge_axes, split_axes
from sigmagraph.codegen.templates.reduction import sweep_kernel
from sigmagraph.ir.kernel.compute import Chain, Compute, Sweep, Work
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage, Let


def schedule(work: Work, machine: Machine) -> Kernel:
    """The scheduled kernel of a work; loops that an op wrote itself stay as they are."""
    if isinstance(work, Kernel):
        return replace(work, stage=KernelStage.SCHEDULED)
    if isinstance(work, Chain):
        kernel = chain_kernel(work, lambda member, whole, name: _stage(member, whole, machine, name))
    else:
        kernel = _template(_flat(work), machine)
    return replace(kernel, body=assuming(kernel.body, work.assume))


def _flat(compute: Compute) -> Compute:
    return merge_axes(split_axes(flatten(_without_empty_sweeps(compute))))


def _stage(member: Compute, whole: Compute, machine: Machine, name: str) -> Stage:
    """A member of a chain for the rows of a task; its panels are those of the whole member."""
    contraction, large = _contraction(_flat(member)), _contraction(_flat(whole))
    if contraction is None or large is None:
        return Stage(_template(_flat(member), machine, serial=True))
    panels = Engine(large, machine, serial=True).panels_ahead(name) if _alike(contraction, large) else None
    return Stage(Engine(contraction, machine, serial=True, ahead=panels).kernel(), panels)


def _contraction(flat: Compute) -> Contraction | None:
    return None if _is_empty(flat) or not flat.sweeps else as_contraction(flat)


def _alike(a: Contraction, b: Contraction) -> bool:
    """Whether two contractions walk along the same axes, however far."""
    names = [[x.var for x in (*c.right.axes, *c.reduction.axes)] for c in (a, b)]
    return names[0] == names[1]


def _is_empty(flat: Compute) -> bool:
    return any(axis.extent == 0 for axis in flat.axes)


def _template(flat: Compute, machine: Machine, *, serial: bool = False) -> Kernel:
    if _is_empty(flat):
        return Kernel(flat.name, flat.dims, flat.params, (), KernelStage.SCHEDULED, provenance=flat.provenance)
    if not flat.sweeps:
        return elementwise_kernel(flat, machine)
    contraction = None if serial else as_contraction(flat)
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
