"""The workloads as programs of sigmagraph, compiled anew, never taken from the cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm
import numpy as np

import sigmagraph as sg
from benchmarks import networks as N
from benchmarks.networks import Array, Network
from benchmarks.peers.program import Program
from benchmarks.workloads import INPUTS, SHIFT, SLOPE, Inference, Operation, Training, Workload
from sigmagraph import layers as L
from sigmagraph.dims import evaluate
from sigmagraph.layers.base import Composable
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.options import CompileOptions
from sigmagraph.program import CompiledFunction, MemoryReport
from sigmagraph.training.graphs import TrainGraph

_UNCACHED = CompileOptions(cache=False)
_OPTIMISERS: Mapping[str, Callable[[float], Optimiser]] = MappingProxyType(
    {"adagrad": sg.optimisers.Adagrad, "adam": sg.optimisers.Adam}
)


@dataclass(frozen=True, slots=True)
class Written:
    """A workload as tensors, before it is compiled, and what it is called with.

    Attributes:
        inputs, outputs, updates: as :func:`sigmagraph.compile` takes them.
        feeds: arguments of calls, which take turns.
        certain: those that make a call the same without randomness.
        results: from what a call returns to what is compared.
    """

    inputs: Sequence[sg.Tensor]
    outputs: Mapping[str, sg.Tensor]
    updates: Mapping[sg.Tensor, sg.Tensor]
    feeds: Sequence[Mapping[str, Any]]
    certain: Mapping[str, Any] = field(default_factory=dict)
    results: Callable[[Mapping[str, Array]], list[Array]] = lambda found: list(found.values())

    @property
    def hints(self) -> dict[str, int]:
        """Sizes of symbolic dims, which others are told as well."""
        symbolic = any(isinstance(size, sg.Dim) for tensor in self.inputs for size in tensor.shape)
        return {"batch": len(next(iter(self.feeds[0].values())))} if symbolic else {}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A workload as a function and what it is called with: see :class:`Written`."""

    function: CompiledFunction
    feeds: Sequence[Mapping[str, Any]]
    certain: Mapping[str, Any]
    results: Callable[[Mapping[str, Array]], list[Array]]

    @property
    def report(self) -> MemoryReport:
        """Bytes by purpose, for the sizes of the feeds."""
        batch = {"batch": len(next(iter(self.feeds[0].values())))} if self.function.plan.dims else {}
        return self.function.memory(**batch)

    @property
    def memory(self) -> int:
        """Bytes of state, what is computed from it ahead, arena, inputs and outputs."""
        report = self.report
        sizes = (report.state, report.prepared, report.arena, report.inputs, report.outputs)
        return sum(evaluate(size, {}) for size in sizes)


def version() -> str:
    """Of the package and of LLVM."""
    return f"{sg.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


def has(_: Workload) -> bool:
    """All of them."""
    return True


def program(workload: Workload, threads: int, options: CompileOptions = _UNCACHED) -> Program:
    """The workload on a number of threads."""
    made = compiled(workload, threads, options)
    feeds, certain = (itertools.cycle([{**feed, **more} for feed in made.feeds]) for more in ({}, made.certain))
    function = made.function
    return Program(
        lambda: function(**next(feeds)),
        lambda: made.results(function(**next(certain))),
        function.compile_seconds,
        memory=made.memory,
    )


def compiled(workload: Workload, threads: int, options: CompileOptions = _UNCACHED) -> Compiled:
    """The workload as a function of the processor."""
    return compiled_for(f"cpu:{threads}", workload, options)


def compiled_for(target: str, workload: Workload, options: CompileOptions = _UNCACHED) -> Compiled:
    """The workload as a function of a target."""
    made = written(workload)
    function = sg.compile(made.inputs, made.outputs, made.updates, target=target, hints=made.hints, options=options)
    return Compiled(function, made.feeds, made.certain, made.results)


def written(workload: Workload) -> Written:
    """The workload as tensors."""
    match workload:
        case Training():
            return _training(workload)
        case Inference():
            return _inference(workload)
        case Operation():
            return _update(workload) if workload.kind == "adam" else _operation(workload)


def step_of(training: Training, optimiser: Optimiser | None = None) -> TrainGraph:
    """The training step before it is compiled, perhaps with another optimiser than the workload's."""
    network = _network(training.network, L.SoftmaxCrossEntropy())
    return network.train_graph(optimiser or _OPTIMISERS[training.optimiser](training.learning_rate))


def _training(training: Training) -> Written:
    graph = step_of(training)
    scalars = {name: np.float32(value) for name, value in graph.hyperparameters.items()}
    feeds = [{graph.records[0]: x, graph.targets[0]: y, **scalars} for x, y in training.batches()]
    certain = {name: np.float32(0) for name in scalars if name.endswith(".rate")}
    return Written(graph.inputs, graph.outputs, graph.updates, feeds, certain, lambda found: [found["cost"]])


def _inference(inference: Inference) -> Written:
    graph = _network(inference.network).forward(training=False)
    return Written(graph.inputs, graph.predictions, {}, [{graph.inputs[0].name: inference.inputs()}])


def _operation(operation: Operation) -> Written:
    operands = operation.operands()
    count = INPUTS.get(operation.kind, len(operands))
    inputs = [sg.placeholder(f"x{n}", array.shape, str(array.dtype)) for n, array in enumerate(operands[:count])]
    fixed = [sg.parameter(f"w{n}", array) for n, array in enumerate(operands[count:])]
    results = _OPERATIONS[operation.kind](*inputs, *fixed)
    outputs = {f"y{n}": y for n, y in enumerate([results] if isinstance(results, sg.Tensor) else results)}
    return Written(inputs, outputs, {}, [{f"x{n}": array for n, array in enumerate(operands[:count])}])


def _update(operation: Operation) -> Written:
    """A step of Adam alone: parameters are state, gradients inputs."""
    operands = operation.operands()
    count = len(operands) // 2
    parameters = {f"w{n}": sg.parameter(f"w{n}", values) for n, values in enumerate(operands[:count])}
    slopes = {f"g{n}": array for n, array in enumerate(operands[count:])}
    gradients = {f"w{n}": sg.placeholder(f"g{n}", slopes[f"g{n}"].shape) for n in range(count)}
    step = sg.optimisers.Adam(0.001).updates(parameters, gradients)
    scalars = {name: np.float32(h.first) for name, (h, _) in step.hyperparameters.items()}
    inputs = [*gradients.values(), *(tensor for _, tensor in step.hyperparameters.values())]
    feeds = [{**slopes, **scalars}]
    return Written(inputs, {}, step.updates, feeds, results=lambda _: [p.value.copy() for p in parameters.values()])


# ---- operations


def _gradients(x: sg.Tensor, scale: sg.Tensor, biases: sg.Tensor, slope: sg.Tensor) -> list[sg.Tensor]:
    return sg.vjp([sg.layer_norm(x, scale, biases)], [x, scale, biases], [slope])


_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "matmul": sg.matmul,
        "convolution": lambda x, w: sg.convolution(x, w, padding=w.shape[0] // 2),
        "attention": sg.attention,
        "causal_attention": lambda q, k, v: sg.attention(q, k, v, causal=True),
        "softmax": sg.softmax,
        "layer_norm": sg.layer_norm,
        "layer_norm_gradients": _gradients,
        "gelu": lambda x: sg.gelu(x * SLOPE + SHIFT, approximate=True),
        "bias_gelu": lambda x, b: sg.gelu(x + b, approximate=True),
        "sum": lambda x: x.sum(),
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)


# ---- networks


def _network(network: Network, *ends: Composable) -> sg.Network:
    kind = "int32" if network.vocabulary else "float32"
    layers: L.Layer | L.Chain = L.Input(*network.shape, dtype=kind)
    for layer in (*_chain(network.layers), *ends):
        layers = layers + layer
    made = sg.Network("bench", layers)
    for name, array in network.parameters().items():
        made.resolve(name)[name][...] = array
    return made


def _chain(layers: Sequence[N.Layer]) -> list[Composable]:
    return [_LAYERS[type(layer)](layer) for layer in layers]


def _convolution(layer: N.Convolution) -> Composable:
    return L.Conv2d(layer.filters, layer.window, layer.stride, layer.padding, bias=layer.bias, name=layer.name)


def _sum(layer: N.Sum) -> Composable:
    main, around = (_chain(part) for part in (layer.main, layer.around))
    return lambda x: _applied(main, x) + _applied(around, x)


def _applied(layers: Sequence[Any], x: sg.Tensor) -> sg.Tensor:
    for layer in layers:
        x = layer(x)
    return x


_LAYERS: Mapping[type, Callable[[Any], Composable]] = MappingProxyType(
    {
        N.Relu: lambda _: L.Activation("relu"),
        N.Dropout: lambda layer: L.Dropout(layer.rate),
        N.Dense: lambda layer: L.Dense(layer.size, flatten=False, name=layer.name),
        N.Convolution: _convolution,
        N.MaxPool: lambda layer: L.MaxPool(layer.window, layer.stride, layer.padding),
        N.MeanPool: lambda _: L.GlobalAveragePool(),
        N.Flatten: lambda _: L.Flatten(),
        N.BatchNorm: lambda layer: L.BatchNorm(name=layer.name),
        N.LayerNorm: lambda layer: L.LayerNorm(name=layer.name),
        N.Embedding: lambda layer: L.Embedding(layer.count, layer.size, name=layer.name),
        N.Positions: lambda layer: L.PositionalEncoding(learned=layer.steps, name=layer.name),
        N.LSTM: lambda layer: L.LSTM(layer.size, name=layer.name),
        N.TransformerBlock: lambda layer: L.TransformerBlock(
            layer.heads, causal=True, activation="gelu_tanh", name=layer.name
        ),
        N.Sum: _sum,
    }
)
