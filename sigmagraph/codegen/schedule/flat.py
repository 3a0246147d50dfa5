"""Brings a compute into the form that templates take: flat buffers, axes merged and split, no empty sweeps."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.templates.pieces import flatten, initial, merge_axes, split_axes
from sigmagraph.ir.kernel.compute import Compute, Sweep
from sigmagraph.ir.kernel.kernel import Let


def flat(compute: Compute) -> Compute:
    """The same compute on flat buffers."""
    return merge_axes(split_axes(flatten(_without_empty_sweeps(compute))))


def is_empty(compute: Compute) -> bool:
    """Whether it is known to have no index at all."""
    return any(axis.extent == 0 for axis in compute.axes)


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
