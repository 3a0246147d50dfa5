"""What is known of the main kernels for GPUs without a GPU: ``python -m benchmarks.cuda_static``.

Kernels are compiled for an architecture each of three generations; the tables say what they take of a multiprocessor,
which instructions they came to, and the least time that a GPU of that architecture needs for what they do. They are
written to ``docs/cuda-static.md``; ``--only`` takes a pattern of workloads, and then nothing is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import fnmatch
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cuda_chips import CHIPS
from benchmarks.gpu_workloads import WORKLOADS, kind_of
from benchmarks.networks import Array
from benchmarks.peers import sigma
from benchmarks.peers.sigma_cuda import options_for
from benchmarks.ptx import count_ptx
from benchmarks.report import short
from benchmarks.roofline import Work, work_of
from benchmarks.tables import markdown
from benchmarks.workloads import Operation, Workload
from sigmagraph.codegen.cuda.compile import Compiled, compile_text, compiler_name
from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.occupancy import Occupancy, occupancy
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.relief import spilled
from sigmagraph.codegen.cuda.sass import Sass, Widths, find_disassembler, read_sass
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.dims import Size, evaluate, names
from sigmagraph.driver import Planned, no_collections, planned, write_program
from sigmagraph.dtypes import as_dtype
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.kernel.kernel import Kernel, Role
from sigmagraph.ir.launch import unpack
from sigmagraph.ir.plan import Launch, Loop, Step, flat_steps
from sigmagraph.loader import Loader
from sigmagraph.options import CompileOptions, Environment, Target
from sigmagraph.tensor.capture import capture

LAUNCH = 2e-6  # seconds that one takes at least, in a graph; a guess, as nothing has been measured
PAGE = Path(__file__).resolve().parent.parent / "docs" / "cuda-static.md"
ON_THE_PAGE = (
    "gelu(a x + b) of 32 M",
    "gelu(x + biases) 8192 x 4096",
    "softmax 4096 x 1024",
    "softmax 2048 x 32768",
    "layer norm 4096 x 1024",
    "layer norm gradients 8192 x 4096",
    "sum of columns 8192 x 4096",
    "sum of 32 M",
    "matmul 512 f32",
    "matmul 1024 f32",
    "matmul 4096 f32",
    "matmul 4096 tf32",
    "matmul 4096 bf16",
    "conv 3x3, 32x56x56x64 to 64",
    "attention 8 x 2048 x 64",
    "causal attention 8 x 2048 x 64",
    "Adam of 6 parameters",
    "train Sigma's README b100",
)
# Programs of which the page has the sums alone, for one architecture.
SUMMED = "sm_90a"
SUMS = tuple(
    name for name, workload in WORKLOADS.items() if not isinstance(workload, Operation) and name not in ON_THE_PAGE
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A function on an architecture.

    Attributes:
        arch: for which it was compiled.
        symbol: its name.
        blocks: of a launch.
        threads, shared: of a block; bytes of shared memory, static and dynamic.
        launches: in a run of the workload.
        resources: what the code says of itself.
        occupancy: how full it makes a multiprocessor.
        code: its instructions.
        work: that its kernels have to do in a run; None where a function before has the same kernels.
        between: bytes besides, which functions of a kernel hand to each other through memory.
        kind: which of the chip's units its operations are for.
    """

    arch: str
    symbol: str
    blocks: int
    threads: int
    shared: int
    launches: int
    resources: Resources
    occupancy: Occupancy
    code: Sass
    work: Work | None
    between: int
    kind: str

    @property
    def floor(self) -> tuple[float, str]:
        """The least time of the work in seconds, and what is its limit."""
        work = self.work or Work()
        return CHIPS[self.arch].seconds(work.flops, work.bytes, self.kind)

    @property
    def idle(self) -> float:
        """Seconds of all launches if they take as much longer than the floor as multiprocessors have no block."""
        share = min(1.0, self.blocks / CHIPS[self.arch].processors) or 1.0
        return max(self.floor[0] / share, self.launches * LAUNCH)

    @property
    def together(self) -> float:
        """Threads that are on a multiprocessor at the same time, in the mean of all."""
        return self.threads * min(self.blocks / CHIPS[self.arch].processors, self.occupancy.blocks)


@dataclass(frozen=True, slots=True)
class _Unfilled(Operation):
    """An operation whose operands need no random numbers."""

    def operands(self) -> list[Array]:
        return [np.zeros(shape, as_dtype(self.dtype).numpy) for shape in self.shapes]


def unfilled(workload: Workload) -> Workload:
    """The workload with operands that cost nothing to make, as nothing is computed with them."""
    if not isinstance(workload, Operation):
        return workload
    return _Unfilled(**{field.name: getattr(workload, field.name) for field in dataclasses.fields(workload)})


def facts(workload: Workload, architectures: Sequence[str] = tuple(CHIPS)) -> list[Fact]:
    """What is known of a workload's functions, in the order of their launches."""
    made = sigma.written(unfilled(workload))
    with no_collections():
        graph = capture(made.inputs, made.outputs, made.updates, "static")[0]
    options = replace(options_for(workload), hints=tuple(made.hints.items()))
    found = [f for arch in architectures for f in _on(graph, made.feeds[0], arch, options, kind_of(workload))]
    order = {f.symbol: number for number, f in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda f: order[f.symbol])


def _on(graph: Graph, feed: Mapping[str, Any], arch: str, options: CompileOptions, kind: str) -> Iterator[Fact]:
    options = replace(options, target=Target("cuda", cpu=arch))
    made: list[tuple[str, Compiled]] = []

    def compile(text: str) -> Compiled:
        made.append((text, compile_text(text, arch, listing=not find_disassembler())))
        return made[-1][1]

    with no_collections():
        backend = Loader(options, Environment()).backend
        before = planned(graph, options, backend)
        with Generation(arch, compile) as generation:
            plan = write_program(graph, options, backend, generation).main
            grids = unpack(generation.finish().object).plans[plan.name].grids
    text, result = min(made, key=lambda each: spilled(each[1].resources))  # which is the one that was taken
    dims = bind_dims(plan.inputs, [np.asarray(feed[port.name]) for port in plan.inputs])
    counts = read_sass(result.cubin) if find_disassembler() else count_ptx(result.ptx)
    resources, codes = {r.symbol: r for r in result.resources}, {s.symbol: s for s in counts}
    works = _works(before, dims)
    times = Counter(dict.fromkeys(grids, 0))
    for launch, turns in _launches(plan.steps, dims):
        times[launch.kernel] += turns
    for name in dict.fromkeys(launch.kernel for launch, _ in _launches(plan.steps, dims)):
        for grid in grids[name]:
            taken = resources[grid.symbol]
            shared = grid.shared + taken.shared
            own = [works.pop(kernel) for kernel in _kernels(text, grid.symbol) if kernel in works]
            yield Fact(
                *(arch, grid.symbol, _number(grid.blocks, dims), grid.threads, shared, times[name], taken),
                occupancy(arch, grid.threads, taken.registers, shared, taken.barriers),
                codes[grid.symbol],
                sum((work for work, _ in own), Work()) if own else None,
                sum(between for _, between in own),
                kind,
            )


def _kernels(text: str, symbol: str) -> Sequence[str]:
    """The kernels that a function does the work of, as the head of a program's text says."""
    return re.findall(rf"^//   {re.escape(symbol)}: @([^,\s]+)", text, re.MULTILINE)


def _launches(steps: Sequence[Step], dims: Mapping[str, int], times: int = 1) -> Iterator[tuple[Launch, int]]:
    """All launches, and how often each is in a run; of branches both sides count."""
    for step in steps:
        match step:
            case Launch():
                yield step, times
            case Loop(_, extent, inner):
                yield from _launches(inner, dims, times * _number(extent, dims))
            case _:
                yield from ((s, times) for s in flat_steps((step,)) if isinstance(s, Launch))


def _number(size: Size, dims: Mapping[str, int]) -> int:
    """A size in a run; what depends on the turn of a loop is that of the first one."""
    return evaluate(size, {**dict.fromkeys(names(size), 0), **dims})


def _works(made: Planned, dims: Mapping[str, int]) -> dict[str, tuple[Work, int]]:
    """By kernel what it has to do in a run, and the bytes that it hands to itself besides."""
    naive = {work.name: naive_kernel(work) for work in made.parts.works}
    legal = {kernel.name: kernel for kernel in made.legal}
    found: dict[str, tuple[Work, int]] = {}
    for launch, times in _launches(made.plan.steps, dims):
        kernel = legal[launch.kernel]
        values = {theirs: dims[ours] for theirs, ours in zip(kernel.dims, launch.dims, strict=True)}
        once, between = work_of(launch, naive, legal, dims), _between(kernel, values)
        work, so_far = found.get(kernel.name, (Work(), 0))
        work += Work(times * once.flops, times * (once.bytes - between))
        found[kernel.name] = work, so_far + times * between
    return found


def _between(kernel: Kernel, dims: Mapping[str, int]) -> int:
    """Bytes that a kernel writes for itself and reads again, as :mod:`sigmagraph.codegen.traffic` counts them."""
    own = (b for b in kernel.params if b.role is Role.TEMP)
    return sum(2 * evaluate(b.size, dims) * b.dtype.itemsize for b in own)


# ---- the page

_HEAD = """# Kernels for GPUs, without a GPU

Written by `python -m benchmarks.cuda_static`; do not edit. {date}, compiled by {compiler}. Nothing here was measured on
a GPU: it is what compilers and machine code say, beside what data sheets promise.

*Blocks* are those of a launch, *waves* how often they fill the chip. *Shared* is in bytes a block, *spills* are bytes
of instructions that store and load spilled registers, *occupancy* is the share of a multiprocessor's warps that are
there at the same time, with what limits it. *Loads* and *stores* are the instructions that access global memory
{source}: how many, x bytes a thread. *Tensor* are those of tensor cores, *copies* asynchronous ones from global to
shared memory. *In flight* are the KB that a multiprocessor waits for at the same time: its threads, which few blocks or
the occupancy may limit, times the bytes that one asks for before it needs the first of them, by the order of
instructions, in straight code and behind + in loops. Memory of an H200 takes 0.7 to 1 us under load and delivers 36 KB
to each multiprocessor in 1 us, that of an A100 19 KB: a kernel that reads and has less in flight waits for itself (one
that writes as much needs half, and one that reads less than that in all cannot have it). *MB* are the arrays of its
kernels in all launches of a run, and behind + what functions of a kernel write and read again besides; *GFLOP* is what
the formulas have. The *floor* is the longer of the times that arrays and operations take by the data sheet. A kernel of
several functions has its figures at the first one. In brackets behind the floors of all kernels stands what they take
if a launch that leaves multiprocessors without a block takes as much longer, and each takes {launch:g} us at least.

| architecture | GPU | multiprocessors | GB/s | TFLOP/s f32, tf32, bf16 | figures from |
| --- | --- | ---: | ---: | ---: | --- |
{chips}
T4 has neither tf32 nor bf16 in tensor cores: its floors are those of f32 and float16.
"""
_COLUMNS = (
    *("function", "for", "launches", "blocks x threads", "waves", "registers", "shared", "spills", "occupancy"),
    *("loads", "stores", "tensor", "copies", "in flight, KB", "MB", "GFLOP", "floor, us"),
)


def rows(found: Sequence[Fact]) -> list[list[str]]:
    """A table's cells, its head first."""
    return [list(_COLUMNS), *map(_row, found)]


def _row(fact: Fact) -> list[str]:
    chip, full, taken, code = CHIPS[fact.arch], fact.occupancy, fact.resources, fact.code
    together = full.blocks * chip.processors
    spilled = taken.spill_stores or taken.spill_loads
    work = ["", "", ""]
    if fact.work is not None:
        seconds, limit = fact.floor
        moved = f"{fact.work.bytes / 1e6:.3g}" + (f" + {fact.between / 1e6:.3g}" if fact.between else "")
        work = [moved, f"{fact.work.flops / 1e9:.3g}", f"{short(1e6 * seconds)} ({limit})"]
    return [
        *(fact.symbol, fact.arch, str(fact.launches), f"{fact.blocks} x {fact.threads}"),
        f"{fact.blocks / together:.2f}" if together else "cannot run",
        *(str(taken.registers), str(fact.shared)),
        f"{taken.spill_stores} + {taken.spill_loads}" if spilled else "0",
        f"{full.share:.0%} ({', '.join(full.limits)})",
        *(_widths(code.load_widths), _widths(code.store_widths), str(code.tensor), str(code.copies)),
        *(_flight(fact), *work),
    ]


def _flight(fact: Fact) -> str:
    if fact.code.flight is None:
        return "?"
    kilobytes = (fact.together * bytes / 1e3 for bytes in (fact.code.flight.straight, fact.code.flight.loops))
    straight, loops = (f"{number:.3g}" for number in kilobytes)
    return f"{straight} + {loops}" if fact.code.flight.loops else straight


def _widths(found: Widths) -> str:
    return " + ".join(f"{count} x {size}" for size, count in found) or "0"


def document(found: Mapping[str, Sequence[Fact]], date: str) -> str:
    """The page in Markdown."""
    source = "in the machine code" if find_disassembler() else "in PTX, as there was no disassembler"
    chips = "".join(
        f"| {arch} | {c.name} | {c.processors} | {c.bandwidth:g} | "
        f"{', '.join(f'{t:g}' for t in c.teraflops.values())} | {c.source} |\n"
        for arch, c in CHIPS.items()
    )
    head = _HEAD.format(date=date, compiler=compiler_name(), source=source, chips=chips, launch=1e6 * LAUNCH)
    parts = (f"\n## {name}\n\n{_best(each)}{markdown(rows(each))}" for name, each in found.items() if name not in SUMS)
    whole = [["program", "launches", "floor, us", "with idle multiprocessors, us"]]
    whole += [[name, *_sums(each)] for name, each in found.items() if name in SUMS]
    return head + "".join(parts) + f"\n## Steps and predictions on {CHIPS[SUMMED].name}\n\n{markdown(whole)}"


def _best(found: Sequence[Fact]) -> str:
    """The floors of all kernels together, where there are several."""
    if len({fact.symbol for fact in found if fact.work is not None}) == 1:
        return ""
    return f"At best all kernels together take {', '.join(_times(found))}.\n\n"


def _times(found: Sequence[Fact]) -> Iterator[str]:
    for arch in [arch for arch in CHIPS if any(fact.arch == arch for fact in found)]:
        launches, best, idle = _sums([fact for fact in found if fact.arch == arch])
        yield f"{best} us on {CHIPS[arch].name} ({idle} us in {launches} launches)"


def _sums(found: Sequence[Fact]) -> tuple[str, str, str]:
    """How many launches there are, and their microseconds: their floors, and with idle multiprocessors."""
    times = sum(f.floor[0] for f in found), sum(f.idle for f in found)
    best, idle = (short(1e6 * seconds) for seconds in times)
    return str(sum(f.launches for f in found)), best, idle


def main() -> None:
    """Print the tables, or write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.cuda_static", description=__doc__)
    parser.add_argument("--only", help="pattern of the workloads to look at; then nothing is written")
    arguments = parser.parse_args()
    wanted = (*ON_THE_PAGE, *SUMS) if arguments.only is None else fnmatch.filter(WORKLOADS, arguments.only)
    found = {}
    for name in wanted:
        found[name] = facts(WORKLOADS[name], (SUMMED,) if arguments.only is None and name in SUMS else tuple(CHIPS))
        cells = [[f"{name}, {fact.symbol}", *_row(fact)[1:]] for fact in found[name]]
        print(*("  ".join(row) for row in cells), *_times(found[name]), sep="\n", flush=True)
    if arguments.only is None:
        PAGE.write_text(document(found, dt.datetime.now(dt.UTC).date().isoformat()), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")


if __name__ == "__main__":
    main()
