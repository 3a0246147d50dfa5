"""What it takes to compile training steps of more and more nodes, stage by stage.

``python -m benchmarks.compilation`` prints a line for each depth of a network; ``--profile`` adds where Python's time
went for the deepest.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.driver import no_collections, planned
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.options import CompileOptions
from sigmagraph.passes.report import PassReport
from sigmagraph.tensor.capture import capture

HEAD = (
    f"{'network':<22} {'nodes':>6} {'build':>7} {'passes':>7} {'kernels':>8} {'IR':>7} {'LLVM':>7}  Python, ms a node"
)


def perceptron(depth: int) -> sg.Network:
    """Dense layers one behind the other."""
    layers: L.Layer | L.Chain = L.Input(32)
    for _ in range(depth):
        layers += L.Dense(32, "tanh")
    return sg.Network("perceptron", layers + L.Dense(10) + L.SoftmaxCrossEntropy())


def transformer(depth: int) -> sg.Network:
    """A small GPT."""
    layers = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(40, 64) + L.PositionalEncoding()
    layers += depth * L.TransformerBlock(heads=4, causal=True, name="block#")
    return sg.Network("transformer", layers + L.Dense(40, flatten=False) + L.SoftmaxCrossEntropy())


NETWORKS: Mapping[str, tuple[Callable[[int], sg.Network], tuple[int, ...]]] = MappingProxyType(
    {"perceptron": (perceptron, (4, 16, 66)), "transformer": (transformer, (1, 3, 7))}
)


def captured(network: sg.Network) -> Graph:
    """The training step with Adam."""
    step = network.train_graph(sg.optimisers.Adam())
    return capture(step.inputs, step.outputs, step.updates)[0]


def line(name: str, depth: int) -> str:
    """One line of the table: a processor's seconds in every stage, of which LLVM's pass beside the others'."""
    make, _ = NETWORKS[name]
    options = CompileOptions()
    backend = CpuBackend(options.target)
    with no_collections():
        start = time.thread_time()
        graph = captured(make(depth))
        built = time.thread_time()
        made = planned(graph, options, backend)
        passes = PassReport(made.steps).seconds
        lowered = time.thread_time()
        elsewhere = time.process_time() - lowered
        with backend.generation(listing=False) as generation:
            generation.enter(made.plan, made.legal, [array.data for array in made.parts.arrays()])
            generation.finish()
        emitted = time.thread_time()
        native = time.process_time() - emitted - elsewhere
    stages = (built - start, passes, lowered - built - passes, emitted - lowered, native)
    each = 1000 * (emitted - built) / len(graph)
    return f"{name + ' of ' + str(depth):<22} {len(graph):6} " + " ".join(f"{s:7.2f}" for s in stages) + f"  {each:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.compilation", description=__doc__)
    parser.add_argument("--profile", action="store_true", help="print a profile of the deepest transformer")
    wanted = parser.parse_args().profile
    print(HEAD)
    for name, (_, depths) in NETWORKS.items():
        for depth in depths:
            print(line(name, depth), flush=True)
    if wanted:
        graph, options = captured(transformer(7)), CompileOptions()
        profile = cProfile.Profile()
        with no_collections():
            profile.runcall(planned, graph, options, CpuBackend(options.target))
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
