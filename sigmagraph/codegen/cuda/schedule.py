"""Chooses how a work is carried out on a GPU."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.cuda.elementwise import elementwise_nest
from sigmagraph.codegen.cuda.own_loops import own_kernel
from sigmagraph.codegen.cuda.threads import assuming, thread_each
from sigmagraph.codegen.schedule.flat import flat, is_empty
from sigmagraph.ir.kernel.compute import Chain, Compute, Work
from sigmagraph.ir.kernel.kernel import Block, Buffer, Kernel, KernelStage


def schedule(work: Work) -> Kernel:
    """The scheduled kernel of a work: nests over blocks and threads, and loops each turn of which becomes a thread."""
    if isinstance(work, Kernel):
        return own_kernel(work)
    if isinstance(work, Chain):
        return _chain(work)
    body, temporary = _launches(flat(work))
    params = tuple(replace(b, shape=(b.size,)) for b in work.params)
    return Kernel(
        work.name,
        work.dims,
        (*params, *temporary),
        assuming(body, work.assume),
        KernelStage.SCHEDULED,
        provenance=work.provenance,
    )


def _launches(compute: Compute) -> tuple[Block, tuple[Buffer, ...]]:
    """The nests of a flat compute, and the buffers through which they speak."""
    if is_empty(compute):
        return (), ()
    if not compute.sweeps:
        return elementwise_nest(compute), ()
    return thread_each(compute), ()


def _chain(chain: Chain) -> Kernel:
    """The members one after the other; what is handed on lies in memory of its own."""
    kernels = [schedule(replace(m, assume=chain.assume, foreign=chain.foreign)) for m in chain.members]
    own = {b.name for b in (*chain.params, *chain.kept)}
    temporary = [b for number, k in enumerate(kernels) for b in k.params if b.name not in own]
    params = tuple(replace(b, shape=(b.size,)) for b in (*chain.params, *chain.kept))
    body = tuple(stmt for k in kernels for stmt in k.body)
    return Kernel(
        chain.name,
        chain.dims,
        (*params, *temporary),
        body,
        KernelStage.SCHEDULED,
        provenance=chain.provenance,
    )
