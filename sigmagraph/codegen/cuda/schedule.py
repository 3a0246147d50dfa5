"""Chooses how a work is carried out on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sigmagraph.codegen.cuda.callees import called
from sigmagraph.codegen.cuda.chains import chain_kernel
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.columns import columns_nest
from sigmagraph.codegen.cuda.contraction import contraction_launches
from sigmagraph.codegen.cuda.elementwise import elementwise_nest
from sigmagraph.codegen.cuda.own_loops import own_kernel
from sigmagraph.codegen.cuda.rows import WARP, Groups, rows_nest
from sigmagraph.codegen.cuda.threads import THREADS, assuming, thread_each
from sigmagraph.codegen.cuda.transpose import transposing_nest
from sigmagraph.codegen.schedule.flat import flat, is_empty
from sigmagraph.codegen.templates.contraction import as_contraction
from sigmagraph.codegen.templates.pieces import iteration_facts, merge_axes
from sigmagraph.codegen.templates.split import Chunks, down_columns, split
from sigmagraph.dims import product
from sigmagraph.ir.kernel.compute import Axis, Chain, Compute, Work
from sigmagraph.ir.kernel.kernel import Block, Buffer, Kernel, KernelStage

CHUNKS = Chunks(elements=1 << 13, many_rows=512, column_elements=1 << 15, column_step=64, inner=True)
SHORT = 8  # elements of a row that a thread walks over alone
PER_THREAD = 8  # elements of a row that a thread has at least, where there are more
UNKNOWN = 1024  # elements that a row is taken to have where its size is not known


def schedule(work: Work, chip: Chip) -> Kernel:
    """The scheduled kernel of a work: nests over blocks and threads, and loops each turn of which becomes a thread."""
    if isinstance(work, Kernel):
        return own_kernel(work)
    if isinstance(work, Chain):
        return _chain(work, chip)
    launches = _launches(flat(work), chip)
    params = tuple(replace(b, shape=(b.size,)) for b in work.params)
    return Kernel(
        work.name,
        work.dims,
        (*params, *launches.temporary),
        assuming(launches.body, work.assume),
        KernelStage.SCHEDULED,
        called(launches.body),
        provenance=work.provenance,
    )


@dataclass(frozen=True, slots=True)
class _Launches:
    """The nests of a flat compute, and the buffers through which they speak."""

    body: Block
    temporary: tuple[Buffer, ...] = ()


def _launches(compute: Compute, chip: Chip) -> _Launches:
    if is_empty(compute):
        return _Launches(())
    if not compute.sweeps:
        tiled = transposing_nest(compute)
        return _Launches((tiled,) if tiled else elementwise_nest(compute))
    contraction = as_contraction(compute)
    if contraction is not None:
        launches = contraction_launches(contraction, chip)
        rest = _sweeps(merge_axes(launches.rest), short=True) if launches.rest else ()
        return _Launches((launches.nest, *rest), launches.partial)
    parts = split(compute, CHUNKS)
    first, *others = map(_known, parts.phases)
    later = (stmt for phase in others for stmt in _sweeps(merge_axes(phase), short=True))
    return _Launches((*_sweeps(first), *later), parts.partial)


def _known(compute: Compute) -> Compute:
    """The compute without what its axes decide in the extents of its sweeps: the last of equal parts is as long."""
    facts = iteration_facts(compute)
    by_axes = {s.axes: tuple(Axis(a.var, facts.simplify(a.extent)) for a in s.axes) for s in compute.sweeps}
    return replace(compute, sweeps=tuple(replace(s, axes=by_axes[s.axes]) for s in compute.sweeps))


def _sweeps(compute: Compute, short: bool = False) -> Block:
    """The launch of a flat compute with sweeps, which may be known to be short."""
    columns = columns_nest(compute, short)
    if columns is not None:
        return columns
    groups = _groups(compute)
    return (rows_nest(compute, groups),) if groups else thread_each(compute)


def _groups(compute: Compute) -> Groups | None:
    """The groups of threads that have a row each; None where a thread does."""
    longest = [product(axis.extent for axis in sweep.axes) for sweep in compute.sweeps]
    if all(isinstance(size, int) and size <= SHORT for size in longest):
        return None
    rows = compute.axes[-1].extent if compute.axes else 1
    across = compute.axes and any(down_columns(compute, s) for s in compute.sweeps if s.axes)
    if across and not (isinstance(rows, int) and rows < 8):
        width = WARP if not isinstance(rows, int) else min(WARP, 1 << (rows - 1).bit_length())
        return Groups(width, THREADS // width, across=True)
    known = [size for size in longest if isinstance(size, int)]
    size = max(known) if len(known) == len(longest) else UNKNOWN
    threads = min(THREADS, max(4, 1 << (-(-size // PER_THREAD) - 1).bit_length()))
    return Groups(1, threads) if threads > WARP else Groups(THREADS // threads, threads)


def _chain(chain: Chain, chip: Chip) -> Kernel:
    """All members for some rows after the other; where rows are few, one member after the other.

    What is handed on then lies in memory of its own.
    """
    kernel = chain_kernel(chain, chip)
    if kernel is not None:
        return replace(kernel, body=assuming(kernel.body, chain.assume))
    kernels = [schedule(replace(m, assume=chain.assume, foreign=chain.foreign), chip) for m in chain.members]
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
        called(body),
        chain.provenance,
    )
