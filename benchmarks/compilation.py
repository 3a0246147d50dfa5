"""What it takes to compile training steps, stage by stage: those of the benchmarks, and deeper and deeper networks.

``python -m benchmarks.compilation`` prints a line for each and writes ``docs/compilation.md``; ``--only`` takes a
pattern, and then nothing is written; ``--profile`` adds where Python's time went for the deepest transformer.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import fnmatch
import pstats
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import sigmagraph as sg
from benchmarks.machine import describe
from benchmarks.peers import sigma
from benchmarks.tables import markdown
from benchmarks.workloads import WORKLOADS, Training
from sigmagraph import layers as L
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.driver import build, no_collections, planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.guard import Guard
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.passes.specialise import unify
from sigmagraph.tensor.capture import capture
from sigmagraph.training.graphs import TrainGraph

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compilation.md"


def perceptron(depth: int) -> TrainGraph:
    """Dense layers one behind the other."""
    layers: L.Layer | L.Chain = L.Input(32)
    for _ in range(depth):
        layers += L.Dense(32, "tanh")
    return _step(sg.Network("perceptron", layers + L.Dense(10) + L.SoftmaxCrossEntropy()))


def transformer(depth: int) -> TrainGraph:
    """A small GPT."""
    layers = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(40, 64) + L.PositionalEncoding()
    layers += depth * L.TransformerBlock(heads=4, causal=True, name="block#")
    return _step(sg.Network("transformer", layers + L.Dense(40, flatten=False) + L.SoftmaxCrossEntropy()))


def _step(network: sg.Network) -> TrainGraph:
    return network.train_graph(sg.optimisers.Adam())


STEPS: Mapping[str, Callable[[], TrainGraph]] = MappingProxyType(
    {w.name: partial(sigma.step_of, w) for w in WORKLOADS.values() if isinstance(w, Training)}
    | {f"perceptron of {depth}": partial(perceptron, depth) for depth in (4, 16, 66)}
    | {f"transformer of {depth}": partial(transformer, depth) for depth in (1, 3, 7)}
)


@dataclass(frozen=True, slots=True)
class Split:
    """What compiling a step takes.

    Attributes:
        nodes, kernels: of the captured graph, and of the program.
        built: seconds until there is a graph.
        passes, lowered, written, native: a processor's seconds in graph passes, in making kernels, in writing LLVM IR,
            and in LLVM, each stage alone.
        wall, busy: seconds that it takes altogether without the building of the graph, LLVM beside Python, and a
            processor's seconds in it.
    """

    nodes: int
    kernels: int
    built: float
    passes: float
    lowered: float
    written: float
    native: float
    wall: float
    busy: float

    def cells(self) -> list[str]:
        """As cells of a table; Python's share comes last, in ms a node of the captured graph."""
        seconds = (self.built, self.passes, self.lowered, self.written, self.native, self.wall, self.busy)
        each = 1000 * (self.passes + self.lowered + self.written) / self.nodes
        return [str(self.nodes), str(self.kernels), *(f"{s:.2f}" for s in seconds), f"{each:.2f}"]


COLUMNS = ("nodes", "kernels", "build", "passes", "kernels, s", "IR", "LLVM", "wall", "CPU", "Python, ms a node")


def captured(step: TrainGraph) -> Graph:
    """The graph of a step."""
    return capture(step.inputs, step.outputs, step.updates)[0]


def split(make: Callable[[], TrainGraph]) -> Split:
    """Compile a step twice: stage by stage, and as users do. Its passes run once more, alone."""
    options = CompileOptions()
    backend = CpuBackend(options.target)
    with no_collections():
        start = time.thread_time()
        graph = captured(make())
        built = time.thread_time()
        PassManager((Guard(), *STANDARD), OPS, verify=options.verify).run(unify(graph, OPS))
        passed = time.thread_time()
        made = planned(graph, options, backend)
        lowered = time.thread_time()
        elsewhere = time.process_time() - lowered
        with backend.generation(listing=False) as generation:
            generation.enter(made.plan, made.legal, [array.data for array in made.parts.arrays()])
            generation.finish()
        written = time.thread_time()
        native = time.process_time() - written - elsewhere
        wall, busy = time.perf_counter(), time.process_time()
        build(graph, options, backend)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
    passes = passed - built
    stages = (built - start, passes, lowered - passed - passes, written - lowered, native)
    return Split(len(graph), len(made.legal), *stages, wall, busy)


# ---- the page

_HEAD = """# Compilation

Written by `make bench` (`python -m benchmarks.compilation`); do not edit. {date}, {processor}, {cores} cores, {system},
Python {python}.

Seconds to compile training steps, nothing from the cache. *Build* is from layers to the captured graph, gradients and
optimiser included. Then a processor's seconds in each stage alone: graph *passes*; lowering, schedules, transforms and
verification of *kernels*; writing LLVM's *IR*; *LLVM*. Programs are compiled with LLVM in a thread beside Python:
*wall* is what that takes from the captured graph to object code, *CPU* a processor's seconds in it. Equal kernels are
compiled once; all batch sizes are served by the same program.

"""


def document(found: Mapping[str, Split], date: str) -> str:
    """The table as a page in Markdown."""
    machine = describe()
    head = _HEAD.format(
        date=date,
        processor=machine.processor,
        cores=machine.cores,
        system=machine.system,
        python=machine.python,
    )
    return head + markdown([["training step", *COLUMNS], *([name, *each.cells()] for name, each in found.items())])


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser("python -m benchmarks.compilation", description=__doc__)
    parser.add_argument("--only", default="*", help="pattern of the steps to compile; then nothing is written")
    parser.add_argument("--profile", action="store_true", help="print a profile of the deepest transformer")
    arguments = parser.parse_args()
    width = max(map(len, STEPS))
    print(" " * width, *COLUMNS, sep="  ")
    found: dict[str, Split] = {}
    for name in fnmatch.filter(STEPS, arguments.only):
        found[name] = split(STEPS[name])
        cells = zip(found[name].cells(), COLUMNS, strict=True)
        print(name.ljust(width), *(cell.rjust(len(column)) for cell, column in cells), sep="  ", flush=True)
    if arguments.only == "*":
        PAGE.write_text(document(found, dt.datetime.now(dt.UTC).date().isoformat()), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")
    if arguments.profile:
        graph, options = captured(transformer(7)), CompileOptions()
        profile = cProfile.Profile()
        with no_collections():
            profile.runcall(planned, graph, options, CpuBackend(options.target))
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
