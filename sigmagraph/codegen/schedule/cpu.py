"""Chooses the template for a compute on a CPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.schedule.chain import Stage, chain_kernel
from sigmagraph.codegen.schedule.flat import flat, is_empty
from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.contraction import as_contraction, contraction_kernel
from sigmagraph.codegen.templates.elementwise import elementwise_kernel
from sigmagraph.codegen.templates.engine import Engine
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.pieces import assuming
from sigmagraph.codegen.templates.reduction import sweep_kernel
from sigmagraph.ir.kernel.compute import Chain, Compute, Work
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage


def schedule(work: Work, machine: Machine) -> Kernel:
    """The scheduled kernel of a work; loops that an op wrote itself stay as they are."""
    if isinstance(work, Kernel):
        return replace(work, stage=KernelStage.SCHEDULED)
    if isinstance(work, Chain):
        kernel = chain_kernel(work, lambda member, whole, name: _stage(member, whole, machine, name))
    else:
        kernel = _template(flat(work), machine)
    return replace(kernel, body=assuming(kernel.body, work.assume))


def _stage(member: Compute, whole: Compute, machine: Machine, name: str) -> Stage:
    """A member of a chain for the rows of a task; its panels are those of the whole member."""
    contraction, large = _contraction(flat(member)), _contraction(flat(whole))
    if contraction is None or large is None:
        return Stage(_template(flat(member), machine, serial=True))
    panels = Engine(large, machine, serial=True).panels_ahead(name) if _alike(contraction, large) else None
    return Stage(Engine(contraction, machine, serial=True, ahead=panels).kernel(), panels)


def _contraction(compute: Compute) -> Contraction | None:
    return None if is_empty(compute) or not compute.sweeps else as_contraction(compute)


def _alike(a: Contraction, b: Contraction) -> bool:
    """Whether two contractions walk along the same axes, however far."""
    names = [[x.var for x in (*c.right.axes, *c.reduction.axes)] for c in (a, b)]
    return names[0] == names[1]


def _template(compute: Compute, machine: Machine, *, serial: bool = False) -> Kernel:
    if is_empty(compute):
        return Kernel(
            compute.name, compute.dims, compute.params, (), KernelStage.SCHEDULED, provenance=compute.provenance
        )
    if not compute.sweeps:
        return elementwise_kernel(compute, machine)
    contraction = None if serial else as_contraction(compute)
    if contraction is not None:
        return contraction_kernel(contraction, machine)
    return sweep_kernel(compute, machine, serial=serial)
