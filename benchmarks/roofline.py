"""Where the time of a workload goes, kernel by kernel, and how near each comes to what the machine can do.

``python -m benchmarks.roofline WORKLOAD`` runs a program step by step, each step through an entry point of its own, so
that all kernels find the memory as they do in the program. Operations are those that the kernel's formula has, bytes
those of its arrays, each counted once; the limit is the longer of the times that both take at the machine's best.
Arrays that lie in a cache can be faster.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.floors import Floors, floors
from benchmarks.machine import pinned
from benchmarks.peers import sigma
from benchmarks.workloads import WORKLOADS
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.dims import Size, evaluate, names
from sigmagraph.driver import Planned, no_collections, planned
from sigmagraph.ir.kernel.expr import Apply, Expr, walk
from sigmagraph.ir.kernel.kernel import Block, For, If, Kernel, Let, Role, Stmt, Store
from sigmagraph.ir.plan import Branch, Copy, Launch, Loop, Step, flat_steps
from sigmagraph.options import CompileOptions, as_target

Dims = Mapping[str, int]
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 6)


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, turns: int) -> Work:
        """The same several times."""
        return Work(self.flops * turns, self.bytes * turns)

    def least(self, limits: Floors) -> float:
        """Seconds that it takes at the machine's best."""
        return max(self.flops / limits.gflops, self.bytes / limits.copy) / 1e9


@dataclass(slots=True)
class Line:
    """All steps that run the same kernel, or a loop of kernels."""

    name: str
    launches: int = 0
    seconds: float = 0.0
    work: Work = Work()


# ---- what steps do


def work_of(step: Step, kernels: Mapping[str, Kernel], dims: Dims) -> Work:
    """Operations and bytes of a step; of a branch those of its first side."""
    match step:
        case Launch(name, _, own):
            kernel = kernels[name]
            values = {theirs: dims[ours] for theirs, ours in zip(kernel.dims, own, strict=True)}
            return Work(_flops(kernel.body, values), _bytes(kernel, values))
        case Copy(_, _, size):
            return Work(0, 2 * evaluate(size, dims))
        case Loop(_, extent, steps):
            return _sum(steps, kernels, dims).times(evaluate(extent, dims))
        case Branch(_, then, _):
            return _sum(then, kernels, dims)
        case _:
            return Work()


def _sum(steps: Sequence[Step], kernels: Mapping[str, Kernel], dims: Dims) -> Work:
    return sum((work_of(step, kernels, dims) for step in steps), Work())


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
    floats = (e for e in walk(value) if isinstance(e, Apply) and e.dtype.is_float)
    return sum(2 if e.op == "fma" else 1 for e in floats)


def _bytes(kernel: Kernel, dims: Dims) -> int:
    buffers = (b for b in kernel.params if b.role is not Role.TEMP)  # what a chain keeps to itself stays in the cache
    return sum((2 if b.role is Role.INOUT else 1) * evaluate(b.size, dims) * b.dtype.itemsize for b in buffers)


def name_of(step: Step) -> str:
    """What a step is called: its kernel, or those of its loop."""
    inner = [s.kernel for s in flat_steps((step,)) if isinstance(s, Launch)]
    match step:
        case Launch(name, _, _):
            return name
        case Loop():
            return f"loop of {', '.join(dict.fromkeys(inner))}"
        case _:
            return type(step).__name__.lower()


# ---- how long they take


def entries(made: Planned, backend: CpuBackend) -> Iterator[Callable[..., int]]:
    """An entry point for no step at all, and one for each step."""
    constants = [array.data for array in made.parts.arrays()]
    kernels = {kernel.name: kernel for kernel in made.legal}
    for number, steps in enumerate([(), *((step,) for step in made.plan.steps)]):
        plan = replace(made.plan, name=f"step_{number}", steps=steps)
        used = dict.fromkeys(s.kernel for s in flat_steps(steps) if isinstance(s, Launch))
        with backend.generation(listing=False) as generation:
            code = generation.finish(plan, [kernels[name] for name in used], constants)
        library = backend.load(code.object, (plan.name,))
        yield _call(library.address(plan.name), library)


def _call(address: int, library: object) -> Callable[..., int]:
    entry = _ENTRY(address)

    def call(*tables: int) -> int:
        return int(entry(*tables)) if library else 0  # the code must outlive its use

    return call


def roofline(workload: str, threads: int, rounds: int) -> tuple[list[Line], float]:
    """The lines of a workload, the longest time first, and seconds of a call of the whole."""
    compiled = sigma.compiled(WORKLOADS[workload], threads)
    function, feed = compiled.function, compiled.feeds[0]
    options = CompileOptions(target=as_target(f"cpu:{threads}"), cache=False)
    backend = CpuBackend(options.target)
    with no_collections():
        made = planned(function.graph, options, backend)
        nothing, *calls = entries(made, backend)
    kept = function(**feed)  # the tables still point at these arrays
    e = function.executor
    (binding,) = e._bindings.values()
    pool = e.pool.address if e.pool is not None else 0
    tables = (e._arena_at, e._params_at, binding.table_at, e._inputs_at, e._outputs_at, pool)
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, found in zip(calls, times, strict=True):
            found.append(_seconds(call, *tables))
    idle = statistics.median(_seconds(nothing, *tables) for _ in range(1000))
    whole = statistics.median(_seconds(lambda: function(**feed)) for _ in range(rounds))
    naive = {work.name: naive_kernel(work) for work in made.parts.works}
    lines: dict[str, Line] = {}
    for step, found in zip(made.plan.steps, times, strict=True):
        line = lines.setdefault(name_of(step), Line(name_of(step)))
        line.launches += 1
        line.seconds += max(0.0, statistics.median(found[1:]) - idle)
        line.work += work_of(step, naive, binding.dims)
    assert kept is not None
    return sorted(lines.values(), key=lambda line: -line.seconds), whole


def _seconds(action: Callable[..., object], *arguments: int) -> float:
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


# ---- the table


def table(lines: Sequence[Line], whole: float, limits: Floors) -> str:
    """The lines as text."""
    total = sum(line.seconds for line in lines)
    least = sum(line.work.least(limits) for line in lines)
    rows = [
        f"{'ms':>9} {'share':>6} {'runs':>5} {'GFLOP':>8} {'MB':>8} {'GFLOP/s':>8} {'GB/s':>6} {'limit':>6}  kernel"
    ]
    for line in lines:
        seconds, work = line.seconds or 1e-9, line.work
        rows.append(
            f"{1000 * line.seconds:9.4f} {line.seconds / total:6.1%} {line.launches:5} {work.flops / 1e9:8.4f} "
            f"{work.bytes / 1e6:8.2f} {work.flops / seconds / 1e9:8.1f} {work.bytes / seconds / 1e9:6.1f} "
            f"{work.least(limits) / seconds:6.0%}  {line.name}"
        )
    rows.append(
        f"{1000 * total:9.4f} in kernels, {1000 * whole:.4f} in a call, {1000 * least:.4f} at the machine's best"
    )
    return "\n".join(rows)


def main() -> None:
    """Print the table of a workload."""
    parser = argparse.ArgumentParser("python -m benchmarks.roofline", description=__doc__)
    parser.add_argument("workload", choices=list(WORKLOADS), metavar="WORKLOAD", help="one of `python -m benchmarks`")
    parser.add_argument("--threads", type=int, default=1, help="number of threads")
    parser.add_argument("--rounds", type=int, default=20, help="how often the program runs")
    arguments = parser.parse_args()
    with pinned(arguments.threads):
        limits = floors(arguments.threads)
        print(f"{limits.gflops:.0f} GFLOP/s in multiply-adds, {limits.copy:.1f} GB/s in copies")
        lines, whole = roofline(arguments.workload, arguments.threads, arguments.rounds)
    print(table(lines, whole, limits))


if __name__ == "__main__":
    main()
