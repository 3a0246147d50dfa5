"""Where the time of a workload goes, kernel by kernel, and how near each comes to what the machine can do.

``python -m benchmarks.roofline WORKLOAD`` runs a program step by step, each step through an entry point of its own, so
that all kernels find the memory as they do in the program. A loop is timed as a whole, then each of its steps in a loop
of its own; these share the time of the whole in proportion. Operations are those that the kernel's formula has, bytes
those of its arrays, each counted once; the limit is the longer of the times that both take at the machine's best.
Arrays that lie in a cache can be faster.

Without a workload it writes the tables of training steps to ``docs/roofline.md``.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime as dt
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.floors import Floors, floors
from benchmarks.machine import describe, pinned
from benchmarks.peers import sigma
from benchmarks.tables import markdown
from benchmarks.workloads import WORKLOADS
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.traffic import floor, moved
from sigmagraph.dims import Size, evaluate, names
from sigmagraph.driver import Planned, no_collections, planned
from sigmagraph.ir.kernel.expr import Apply, Expr, walk
from sigmagraph.ir.kernel.kernel import Block, For, If, Kernel, Let, Stmt, Store
from sigmagraph.ir.plan import Branch, Launch, Loop, Plan, Step, flat_steps
from sigmagraph.options import CompileOptions, as_target

Dims = Mapping[str, int]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "roofline.md"
ON_THE_PAGE = ("train MLP b128", "train LeNet b64", "train CNN b64", "train LSTM b32", "train GPT b16")
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 6)


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def seconds(self, limits: Floors) -> dict[str, float]:
        """Seconds that it takes at the machine's best, by what is its limit."""
        return {"compute": self.flops / limits.gflops / 1e9, "memory": self.bytes / limits.copy / 1e9}

    def least(self, limits: Floors) -> float:
        """The longer one of these."""
        return max(self.seconds(limits).values())

    def limit(self, limits: Floors) -> str:
        """What it is limited by."""
        seconds = self.seconds(limits)
        return max(seconds, key=lambda name: seconds[name])


@dataclass(slots=True)
class Line:
    """All steps that run the same kernel in the same loop."""

    name: str
    launches: int = 0
    seconds: float = 0.0
    work: Work = Work()


@dataclass(frozen=True, slots=True)
class Roofline:
    """A workload.

    Attributes:
        lines: its kernels, the longest time first.
        call: seconds of a call of the whole.
        floor: bytes of its inputs, parameters, updates and outputs.
    """

    lines: Sequence[Line]
    call: float
    floor: int

    @property
    def work(self) -> Work:
        """What all kernels do."""
        return sum((line.work for line in self.lines), Work())

    def summary(self, limits: Floors) -> str:
        """What it comes to in a line."""
        kernels = sum(line.seconds for line in self.lines)
        least = sum(line.work.least(limits) for line in self.lines)
        times = f"{1000 * kernels:.4f} ms in kernels, {1000 * self.call:.4f} in a call, {1000 * least:.4f} at best"
        sizes = f"{self.work.bytes / 1e6:.1f} MB moved, {self.floor / 1e6:.1f} of them ports and updates"
        return f"{times}; {sizes}"


# ---- what steps do


def work_of(step: Step, naive: Mapping[str, Kernel], legal: Mapping[str, Kernel], dims: Dims) -> Work:
    """Operations and bytes of a step, from what its kernels compute and from what they hand to each other."""
    return Work(_flops_of((step,), naive, dims), evaluate(moved((step,), legal), dims))


def _flops_of(steps: Sequence[Step], kernels: Mapping[str, Kernel], dims: Dims) -> int:
    """Operations of steps; of two branches the one that has more counts."""
    flops = 0
    for step in steps:
        match step:
            case Launch(name, _, own):
                values = {theirs: dims[ours] for theirs, ours in zip(kernels[name].dims, own, strict=True)}
                flops += _flops(kernels[name].body, values)
            case Loop(_, extent, inner):
                flops += evaluate(extent, dims) * _flops_of(inner, kernels, dims)
            case Branch(_, then, orelse):
                flops += max(_flops_of(side, kernels, dims) for side in (then, orelse))
            case _:
                pass
    return flops


def _flops(block: Block, dims: Dims) -> int:
    return sum(_statement(stmt, dims) for stmt in block)


def _statement(stmt: Stmt, dims: Dims) -> int:
    match stmt:
        case For(var, extent, _, body):
            inside = {**dims, var: 0}
            return max(0, _extent(extent, inside)) * _flops(body, inside)
        case If(_, then, orelse):
            return max(_flops(then, dims), _flops(orelse, dims))
        case Let(_, value) | Store(_, _, value):
            return _operations(value)
        case _:
            return 0


def _extent(extent: Size, dims: Dims) -> int:
    """A number of turns; what depends on numbers that only a run can tell counts as 0."""
    return evaluate(extent, {**dict.fromkeys(names(extent), 0), **dims})


def _operations(value: Expr) -> int:
    """Operations on floats; a choice, such as that between an element and the padding around it, is none."""
    floats = (e for e in walk(value) if isinstance(e, Apply) and e.dtype.is_float and e.op != "select")
    return sum(2 if e.op == "fma" else 1 for e in floats)


def parts(step: Step) -> Iterator[Step]:
    """The step; of a loop each of its steps in a loop of its own."""
    match step:
        case Loop(turn, extent, inner):
            yield from (Loop(turn, extent, (part,)) for each in inner for part in parts(each))
        case _:
            yield step


def name_of(step: Step) -> str:
    """What a step is called: its kernel, in a loop with a mark; or its kernels, for branches."""
    match step:
        case Loop(_, _, (inner,)):
            return f"in a loop: {name_of(inner).removeprefix('in a loop: ')}"
        case Launch(name, _, _):
            return name
        case Branch():
            inside = [s.kernel for s in flat_steps((step,)) if isinstance(s, Launch)]
            return f"branch to {', '.join(dict.fromkeys(inside))}"
        case _:
            return type(step).__name__.lower()


def turns_of(step: Step, dims: Dims) -> int:
    """How often the innermost step of a part runs."""
    return prod(evaluate(s.extent, dims) for s in flat_steps((step,)) if isinstance(s, Loop))


# ---- how long they take


def entries(made: Planned, backend: CpuBackend, bodies: Sequence[tuple[Step, ...]]) -> list[Callable[..., int]]:
    """An entry point for each body of steps."""
    constants = [array.data for array in made.parts.arrays()]
    kernels = {kernel.name: kernel for kernel in made.legal}
    plans = [replace(made.plan, name=f"body_{number}", steps=body) for number, body in enumerate(bodies)]
    return [_entry(plan, kernels, constants, backend) for plan in plans]


def _entry(
    plan: Plan, kernels: Mapping[str, Kernel], constants: Sequence[bytes], backend: CpuBackend
) -> Callable[..., int]:
    used = dict.fromkeys(s.kernel for s in flat_steps(plan.steps) if isinstance(s, Launch))
    with backend.generation(listing=False) as generation:
        generation.enter(plan, [kernels[name] for name in used], constants)
        code = generation.finish()
    library = backend.load(code.object, (plan.name,))
    entry = _ENTRY(library.address(plan.name))

    def call(*tables: int) -> int:
        return int(entry(*tables)) if library is not None else 0  # the code must outlive its use

    return call


def roofline(workload: str, threads: int, rounds: int) -> Roofline:
    """Measure a workload."""
    compiled = sigma.compiled(WORKLOADS[workload], threads)
    function, feed = compiled.function, compiled.feeds[0]
    options = CompileOptions(target=as_target(f"cpu:{threads}"), cache=False)
    backend = CpuBackend(options.target)
    with no_collections():
        made = planned(function.graph, options, backend)
        steps = made.plan.steps
        inner = [part for step in steps if isinstance(step, Loop) for part in parts(step)]
        nothing, *calls = entries(made, backend, [(), *((step,) for step in steps)])
        inner_calls = entries(made, backend, [(part,) for part in inner])
    kept = function(**feed)  # the tables still point at these arrays
    e: Any = function.executor  # the one of the CPU
    (binding,) = e._bindings.values()
    pool = e.pool.address if e.pool is not None else 0
    tables = (e._arena_at, e._params_at, binding.table_at, e._inputs_at, e._outputs_at, pool)
    idle = statistics.median(_seconds(nothing, *tables) for _ in range(1000))
    seconds = _medians(calls, tables, rounds, idle)
    inside = iter(_medians(inner_calls, tables, rounds, idle))
    assert kept is not None
    whole = statistics.median(_seconds(lambda: function(**feed)) for _ in range(rounds))  # last: results move
    legal = {kernel.name: kernel for kernel in made.legal}
    naive = {work.name: naive_kernel(work) for work in made.parts.works}
    lines: dict[str, Line] = {}
    for step, taken in zip(steps, seconds, strict=True):
        shares = [(part, next(inside) if isinstance(step, Loop) else taken) for part in parts(step)]
        scale = taken / (sum(share for _, share in shares) or 1.0)
        for part, share in shares:
            line = lines.setdefault(name_of(part), Line(name_of(part)))
            line.launches += turns_of(part, binding.dims)
            line.seconds += share * scale
            line.work += work_of(part, naive, legal, binding.dims)
    least = floor(made.plan, legal)
    return Roofline(sorted(lines.values(), key=lambda line: -line.seconds), whole, evaluate(least, binding.dims))


def _medians(calls: Sequence[Callable[..., int]], tables: Sequence[int], rounds: int, idle: float) -> list[float]:
    """Seconds of each call beyond those of an idle one; they take turns, as in the program."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, found in zip(calls, times, strict=True):
            found.append(_seconds(call, *tables))
    return [max(0.0, statistics.median(found[1:]) - idle) for found in times]


def _seconds(action: Callable[..., object], *arguments: int) -> float:
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


# ---- the table

_COLUMNS = ("kernel", "ms", "share", "runs", "GFLOP", "MB", "GFLOP/s", "GB/s", "of its limit", "limit")


def rows(lines: Sequence[Line], limits: Floors) -> list[list[str]]:
    """The cells of a table, its head first."""
    total = sum(line.seconds for line in lines) or 1e-9
    return [list(_COLUMNS), *(_row(line, total, limits) for line in lines)]


def _row(line: Line, total: float, limits: Floors) -> list[str]:
    seconds, work = line.seconds or 1e-9, line.work
    return [
        line.name,
        f"{1000 * line.seconds:.4f}",
        f"{line.seconds / total:.1%}",
        str(line.launches),
        f"{work.flops / 1e9:.4f}",
        f"{work.bytes / 1e6:.3f}",
        f"{work.flops / seconds / 1e9:.1f}",
        f"{work.bytes / seconds / 1e9:.1f}",
        f"{work.least(limits) / seconds:.0%}",
        work.limit(limits),
    ]


def table(found: Roofline, limits: Floors) -> str:
    """A workload as text."""
    cells = [[*row[1:], row[0]] for row in rows(found.lines, limits)]
    widths = [max(map(len, column)) for column in list(zip(*cells, strict=True))[:-1]]
    out = ["  ".join([*(c.rjust(w) for c, w in zip(row[:-1], widths, strict=True)), row[-1]]) for row in cells]
    return "\n".join([*out, found.summary(limits)])


# ---- the page

_HEAD = """# Rooflines

Written by `make bench` (`python -m benchmarks.roofline`); do not edit. {date}, {processor}, {cores} cores, {system},
one thread: {gflops:.0f} GFLOP/s in multiply-adds on registers, {copy:.1f} GB/s in copies (read and written).

What each kernel of a training step takes, longest first. GFLOP are the operations that its formula has, MB its arrays,
each counted once; *of its limit* is the longer of the times that these take at the machine's best, over its time.
Arrays that lie in a cache can be faster than memory, so that more than 100 % is possible, and of what kernels write to
scratch memory nothing is counted. Kernels in a loop are timed in loops of their own, and share the time of the whole
loop in that proportion; their runs, operations and bytes are those of all turns. *At best* every kernel would reach its
limit; ports and updates are the inputs, parameters, new values of parameters and outputs, each once.
"""


def document(found: Mapping[str, Roofline], limits: Floors, date: str) -> str:
    """The tables of workloads as a page in Markdown."""
    machine = describe()
    parts = [
        _HEAD.format(
            date=date,
            processor=machine.processor,
            cores=machine.cores,
            system=machine.system,
            gflops=limits.gflops,
            copy=limits.copy,
        )
    ]
    for name, each in found.items():
        parts.append(f"\n## {name}\n\n{each.summary(limits)}.\n\n{markdown(rows(each.lines, limits))}")
    return "".join(parts)


def main() -> None:
    """Print the table of a workload, or write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.roofline", description=__doc__)
    parser.add_argument("workload", nargs="?", choices=list(WORKLOADS), metavar="WORKLOAD", help="nothing for the page")
    parser.add_argument("--threads", type=int, default=1, help="number of threads")
    parser.add_argument("--rounds", type=int, default=20, help="how often the program runs")
    arguments = parser.parse_args()
    with pinned(1 if arguments.workload is None else arguments.threads):
        if arguments.workload is None:
            limits = floors(1)
            found = {name: roofline(name, 1, arguments.rounds) for name in ON_THE_PAGE}
        else:
            limits = floors(arguments.threads)
            print(f"{limits.gflops:.0f} GFLOP/s in multiply-adds, {limits.copy:.1f} GB/s in copies")
            print(table(roofline(arguments.workload, arguments.threads, arguments.rounds), limits))
            return
    PAGE.write_text(document(found, limits, dt.datetime.now(dt.UTC).date().isoformat()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")


if __name__ == "__main__":
    main()
