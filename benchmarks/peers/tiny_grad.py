"""The workloads in tinygrad, which writes its own kernels, on its CPU device: jitted, without searching for kernels."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import tinygrad
from tinygrad import Context, Tensor, TinyJit, nn

from benchmarks import networks as N
from benchmarks.networks import Network
from benchmarks.peers.program import Program
from benchmarks.workloads import SHIFT, SLOPE, Inference, Operation, Training, Workload

Values = Mapping[str, Any]
_TRAINED = (N.Dense, N.Relu, N.Convolution, N.MaxPool, N.Flatten)


def version() -> str:
    """Of tinygrad."""
    return importlib.metadata.version("tinygrad")


def has(workload: Workload) -> bool:
    """What has a table entry below; the other steps of training take minutes to compile or seconds to run."""
    if isinstance(workload, Operation):
        return workload.kind in _OPERATIONS
    layers = _TRAINED if isinstance(workload, Training) else tuple(_LAYERS)
    return all(isinstance(layer, layers) for layer in workload.network.layers)


def program(workload: Workload, _threads: int) -> Program:
    """The workload; the number of threads is that of the environment's NUM_CPU_THREADS."""
    match workload:
        case Training():
            return _training(workload)
        case Inference():
            values, x = _values(workload.network), Tensor(workload.inputs()).realize()
            return _pure(lambda: _forward(workload.network, values, x))
        case Operation():
            operands = [Tensor(array).realize() for array in workload.operands()]
            return _pure(lambda: _OPERATIONS[workload.kind](*operands))


def _values(network: Network) -> dict[str, Any]:
    return {name: Tensor(array).realize() for name, array in network.parameters().items()}


def _wait() -> None:
    tinygrad.Device[tinygrad.Device.DEFAULT].synchronize()


def _pure(function: Callable[[], Any]) -> Program:
    compiled = TinyJit(lambda: function().contiguous().realize())

    def step() -> Any:
        found = compiled()
        _wait()
        return found

    return Program(step, lambda: [step().numpy()])


def _training(training: Training) -> Program:
    values = _values(training.network)
    # Its optimisers are Adam and others; what is trained here are perceptrons and LeNet, by Adam.
    optimiser = nn.optim.Adam(list(values.values()), lr=training.learning_rate, b1=0.9, b2=0.999, eps=1e-8)

    def train(x: Any, y: Any) -> Any:
        with Context(TRAINING=1):
            optimiser.zero_grad()
            logits = _forward(training.network, values, x)
            cost = logits.sparse_categorical_crossentropy(y).backward()
            return cost.realize(*optimiser.schedule_step())

    compiled = TinyJit(train)
    feeds = itertools.cycle([(Tensor(x).realize(), Tensor(y).realize()) for x, y in training.batches()])

    def step() -> Any:
        cost = compiled(*next(feeds))
        _wait()
        return cost

    return Program(step, lambda: [step().numpy()])


# ---- layers


def _forward(network: Network, p: Values, x: Any) -> Any:
    for layer in network.layers:
        x = _LAYERS[type(layer)](layer, p, x)
    return x


def _dense(name: str, p: Values, x: Any) -> Any:
    return x @ p[f"{name}.weights"] + p[f"{name}.biases"]


def _first(x: Any) -> Any:
    return x.permute(0, 3, 1, 2)


def _last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)


def _convolution(layer: N.Convolution, p: Values, x: Any) -> Any:
    weights, biases = p[f"{layer.name}.weights"].permute(3, 2, 0, 1), p.get(f"{layer.name}.biases")
    return _last(_first(x).conv2d(weights, biases, stride=layer.stride, padding=layer.padding))


def _max_pool(layer: N.MaxPool, _p: Values, x: Any) -> Any:
    return _last(_first(x).max_pool2d((layer.window, layer.window), layer.stride, padding=layer.padding))


def _norm(x: Any, scale: Any, biases: Any) -> Any:
    return x.layernorm(eps=1e-5) * scale + biases


def _named_norm(name: str, p: Values, x: Any) -> Any:
    return _norm(x, p[f"{name}.scale"], p[f"{name}.biases"])


def _transformer_block(layer: N.TransformerBlock, p: Values, x: Any) -> Any:
    name, (batch, time, _) = layer.name, x.shape
    y = _named_norm(f"{name}.norm1", p, x)
    q, k, v = (
        _dense(f"{name}.attention.{part}", p, y).reshape(batch, time, layer.heads, -1).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    mixed = q.scaled_dot_product_attention(k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
    x = x + _dense(f"{name}.attention.output", p, mixed)
    wide = _dense(f"{name}.expand", p, _named_norm(f"{name}.norm2", p, x))
    return x + _dense(f"{name}.contract", p, wide.gelu())  # by GPT-2's formula


_LAYERS: Mapping[type, Callable[[Any, Values, Any], Any]] = MappingProxyType(
    {
        N.Relu: lambda _layer, _p, x: x.relu(),
        N.Dense: lambda layer, p, x: _dense(layer.name, p, x),
        N.Convolution: _convolution,
        N.MaxPool: _max_pool,
        N.Flatten: lambda _layer, _p, x: x.flatten(1),
        N.LayerNorm: lambda layer, p, x: _named_norm(layer.name, p, x),
        N.Embedding: lambda layer, p, x: p[f"{layer.name}.weights"][x],
        N.Positions: lambda layer, p, x: x + p[f"{layer.name}.weights"],
        N.TransformerBlock: _transformer_block,
    }
)


# ---- operations

_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "matmul": lambda a, b: a @ b,
        "convolution": lambda x, w: _last(_first(x).conv2d(w.permute(3, 2, 0, 1), padding=w.shape[0] // 2)),
        "attention": lambda q, k, v: q.scaled_dot_product_attention(k, v),
        "causal_attention": lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=True),
        "softmax": lambda x: x.softmax(-1),
        "layer_norm": _norm,
        "gelu": lambda x: (x * SLOPE + SHIFT).gelu(),
        "sum": lambda x: x.sum(),
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)
