"""Schedules chains: a task has a block of rows, and runs every member for that block.

What is handed on lies in scratch memory. What all tasks read alike, the panels of right operands, is written once
before the first task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sigmagraph.codegen.schedule.limits import column_limit
from sigmagraph.codegen.schedule.task import Rows, limited, places_of
from sigmagraph.codegen.templates.engine import Panels
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.ir.kernel.compute import Chain, Compute
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    For,
    Kernel,
    KernelStage,
    LoopKind,
    Stmt,
    map_blocks,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A member for the rows of a task, and the panels that are written before the first task."""

    kernel: Kernel
    panels: Panels | None = None


# Schedules a member for the rows of a task, given the same with all columns, for which panels of this name are made.
Template = Callable[[Compute, Compute, str], Stage]


def chain_kernel(chain: Chain, template: Template) -> Kernel:
    """The scheduled kernel of a chain."""
    rows, limit, places = Rows(chain.rows, chain.block), column_limit(chain), places_of(chain)
    scratch = {b.name: rows.scratch(replace(b, name=places[b.name])) for b in chain.kept}
    stages: list[Stage] = []
    for number, member in enumerate(chain.members):
        whole = rows.restrict(replace(member, assume=chain.assume, foreign=chain.foreign), scratch)
        stages.append(template(limited(whole, limit, number, rows), whole, f"%panels{number}"))
    task: list[Stmt] = [Alloc(replace(b, shape=(b.size,))) for b in dict.fromkeys(scratch.values())]
    for number, stage in enumerate(stages):
        task += copy_block(_serial(stage.kernel.body), {}, f"{{}}.m{number}".format)
    panels = [stage.panels for stage in stages if stage.panels]
    return Kernel(
        chain.name,
        chain.dims,
        (*(replace(b, shape=(b.size,)) for b in chain.params), *(p.buffer for p in panels)),
        (*(p.fill for p in panels), rows.loop(tuple(task))),
        KernelStage.SCHEDULED,
        tuple({k.name: k for stage in stages for k in stage.kernel.callees}.values()),
        chain.provenance,
    )


def _serial(block: Block) -> Block:
    """The block with its parallel loops one turn after the other."""
    out: list[Stmt] = []
    for stmt in block:
        inner = map_blocks(stmt, _serial)
        if isinstance(inner, For) and inner.kind is LoopKind.PARALLEL:
            inner = replace(inner, kind=LoopKind.SERIAL)
        out.append(inner)
    return tuple(out)
