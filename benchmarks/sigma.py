"""The workloads as programs of sigmagraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import llvmlite.binding as llvm
import numpy as np

import sigmagraph as sg
from benchmarks.program import Program
from benchmarks.workloads import Array, Product, Training, Workload
from sigmagraph import layers, optimisers
from sigmagraph.layers.base import Composable
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions

NAME = "sigmagraph"
_UNCACHED = CompileOptions(cache=False)
_OPTIMISERS: Mapping[str, Callable[[float], Optimiser]] = MappingProxyType(
    {"adagrad": optimisers.Adagrad, "adam": optimisers.Adam}
)


def version() -> str:
    """Of the package and of LLVM."""
    return f"{sg.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


def program(workload: Workload, threads: int) -> Program:
    """The workload, compiled (never from the cache)."""
    return _product(workload, threads) if isinstance(workload, Product) else _training(workload, threads)


def _product(product: Product, threads: int) -> Program:
    a, b = product.operands()
    x, y = sg.placeholder("a", a.shape), sg.placeholder("b", b.shape)
    function = sg.compile([x, y], {"c": x @ y}, target=f"cpu:{threads}", options=_UNCACHED)

    def step() -> Array:
        return function(a=a, b=b)["c"]

    return Program(step, step, function.compile_seconds)


def _training(training: Training, threads: int) -> Program:
    network = sg.Network("bench", _layers(training))
    for number, (weights, biases) in enumerate(training.parameters(), 1):
        network.resolve(f"fc{number}.weights")[f"fc{number}.weights"][...] = weights
        network.resolve(f"fc{number}.biases")[f"fc{number}.biases"][...] = biases
    graph = network.train_graph(_OPTIMISERS[training.optimiser](training.learning_rate))
    function = sg.compile(graph.inputs, graph.outputs, graph.updates, target=f"cpu:{threads}", options=_UNCACHED)
    records, labels = (t.name for t in graph.inputs[:2])
    feeds = [{records: x, labels: y} for x, y in training.batches()]
    scalars = {name: np.float32(value) for name, value in graph.hyperparameters.items()}
    certain = {name: np.float32(0) if name.endswith(".rate") else value for name, value in scalars.items()}
    count = 0

    def step(values: Mapping[str, np.float32] = scalars) -> Array:
        nonlocal count
        count += 1
        return function(**feeds[count % len(feeds)], **values)["cost"]

    return Program(step, lambda: step(certain), function.compile_seconds)


def _layers(training: Training) -> Composable:
    network: Composable = layers.Input(training.sizes[0])
    hidden = len(training.sizes) - 2
    for number, size in enumerate(training.sizes[1:]):
        if training.dropout:
            network = network + layers.Dropout(training.dropout[number])
        activation = "relu" if number < hidden else "none"
        network = network + layers.Dense(size, activation=activation, name=f"fc{number + 1}")
    return network + layers.SoftmaxCrossEntropy()
