"""The workloads in JAX, compiled by XLA: images channels last, training with donated state."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from benchmarks import networks as N
from benchmarks.networks import Network, trained
from benchmarks.peers.program import Program
from benchmarks.workloads import SHIFT, SLOPE, Inference, Operation, Training, Workload

Values = Mapping[str, Any]
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # of Adam
_wait: Any = jax.block_until_ready  # untyped in JAX
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def version() -> str:
    """Of JAX."""
    return str(jax.__version__)


def has(_: Workload) -> bool:
    """All of them."""
    return True


def program(workload: Workload, _threads: int) -> Program:
    """The workload; XLA uses as many threads as the process has cores."""
    made = begun(workload)
    return replace(made, step=lambda: _wait(made.step()))


def begun(workload: Workload) -> Program:
    """The workload on JAX's default device. A step returns at once, with what is to be waited for."""
    match workload:
        case Training():
            return _training(workload)
        case Inference():
            values = _values(workload.network)
            return _pure(lambda p, x: _forward(workload.network, p, x, None)[0], values, workload.inputs())
        case Operation():
            return (
                _update(workload)
                if workload.kind == "adam"
                else _pure(_OPERATIONS[workload.kind], *workload.operands())
            )


def _values(network: Network) -> dict[str, Any]:
    return {name: jnp.asarray(array) for name, array in network.parameters().items()}


def _compiled(function: Any, *arguments: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    return compiled, time.perf_counter() - begin


def _pure(function: Callable[..., Any], *arguments: Any) -> Program:
    arguments = jax.tree.map(jnp.asarray, arguments)
    compiled, seconds = _compiled(jax.jit(function), *arguments)

    def step() -> Any:
        return compiled(*arguments)

    return Program(step, lambda: list(map(np.asarray, jax.tree.leaves(step()))), seconds)


# ---- training


class _Mode:
    """What a training step has besides parameters: random numbers, and new running statistics to be filled in."""

    def __init__(self, key: Any, dropping: Any) -> None:
        self.key = key
        self.dropping = dropping
        self.statistics: dict[str, Any] = {}


def _training(training: Training) -> Program:
    values = _values(training.network)
    learnt = {name: v for name, v in values.items() if trained(name)}
    statistics = {name: v for name, v in values.items() if not trained(name)}
    rule, memories = _OPTIMISERS[training.optimiser]

    def cost_of(learnt: Values, statistics: Values, x: Any, y: Any, key: Any, dropping: Any) -> Any:
        logits, mode = _forward(training.network, {**learnt, **statistics}, x, _Mode(key, dropping))
        rows = jax.nn.log_softmax(logits.reshape(-1, logits.shape[-1]))
        return -jnp.take_along_axis(rows, y.reshape(-1, 1), 1).mean(), mode.statistics

    def train(state: Any, x: Any, y: Any, dropping: Any) -> Any:
        learnt, memory, statistics, count, key = state
        key, now = jax.random.split(key)
        slope = jax.value_and_grad(cost_of, has_aux=True)
        (cost, statistics), gradients = slope(learnt, statistics, x, y, now, dropping)
        learnt, memory = rule(learnt, gradients, memory, count + 1, training.learning_rate)
        return (learnt, memory, statistics, count + 1, key), cost

    memory = [jax.tree.map(jnp.zeros_like, learnt) for _ in range(memories)]
    state = (learnt, memory, statistics, jnp.float32(0), jax.random.key(0))
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in training.batches()]
    feeds = itertools.cycle(batches)
    on, off = jnp.float32(1), jnp.float32(0)
    compiled, seconds = _compiled(jax.jit(train, donate_argnums=0), state, *batches[0], on)

    def step(dropping: Any = on) -> Any:
        nonlocal state
        state, cost = compiled(state, *next(feeds), dropping)
        return state, cost

    return Program(step, lambda: [np.asarray(step(off)[1])], seconds)


def _adam(values: Any, gradients: Any, memory: Any, count: Any, rate: float) -> Any:
    first, second = 1 - _BETA1**count, 1 - _BETA2**count
    mean = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, memory[0], gradients)
    squares = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, memory[1], gradients)

    def moved(p: Any, m: Any, v: Any) -> Any:
        return p - rate * (m / first) / (jnp.sqrt(v / second) + _EPSILON)

    return jax.tree.map(moved, values, mean, squares), [mean, squares]


def _adagrad(values: Any, gradients: Any, memory: Any, _count: Any, rate: float) -> Any:
    squares = jax.tree.map(lambda s, g: s + g * g, memory[0], gradients)
    return jax.tree.map(lambda p, g, s: p - rate * g / (jnp.sqrt(s) + 1e-10), values, gradients, squares), [squares]


_OPTIMISERS: Mapping[str, tuple[Callable[..., Any], int]] = MappingProxyType(
    {"adam": (_adam, 2), "adagrad": (_adagrad, 1)}
)


def _update(operation: Operation) -> Program:
    operands = list(map(jnp.asarray, operation.operands()))
    count = len(operands) // 2
    values, slopes = operands[:count], operands[count:]
    state = (values, [jax.tree.map(jnp.zeros_like, values) for _ in range(2)], jnp.float32(0))

    def update(state: Any, slopes: Any) -> Any:
        values, memory, count = state
        return (*_adam(values, slopes, memory, count + 1, 0.001), count + 1)

    compiled, seconds = _compiled(jax.jit(update, donate_argnums=0), state, slopes)

    def step() -> Any:
        nonlocal state
        state = compiled(state, slopes)
        return state[0]

    return Program(step, lambda: list(map(np.array, step())), seconds)


# ---- layers


def _forward(network: Network, p: Values, x: Any, mode: Any) -> Any:
    return _chain(network.layers, p, x, mode), mode


def _chain(layers: tuple[N.Layer, ...], p: Values, x: Any, mode: Any) -> Any:
    for layer in layers:
        x = _LAYERS[type(layer)](layer, p, x, mode)
    return x


def _dense(name: str, p: Values, x: Any) -> Any:
    return x @ p[f"{name}.weights"] + p[f"{name}.biases"]


def _dropout(layer: N.Dropout, _p: Values, x: Any, mode: Any) -> Any:
    mode.key, now = jax.random.split(mode.key)
    rate = layer.rate * mode.dropping
    kept = jax.random.uniform(now, x.shape) >= rate
    return jnp.where(kept, x / (1 - rate), 0)


def _convolution(layer: N.Convolution, p: Values, x: Any, _mode: Any) -> Any:
    around = [(layer.padding, layer.padding)] * 2
    strides = (layer.stride, layer.stride)
    y = lax.conv_general_dilated(x, p[f"{layer.name}.weights"], strides, around, dimension_numbers=_DIMENSIONS)
    return y + p[f"{layer.name}.biases"] if layer.bias else y


def _max_pool(layer: N.MaxPool, _p: Values, x: Any, _mode: Any) -> Any:
    around = ((0, 0), (layer.padding, layer.padding), (layer.padding, layer.padding), (0, 0))
    window, strides = ((1, n, n, 1) for n in (layer.window, layer.stride))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, around)


def _batch_norm(layer: N.BatchNorm, p: Values, x: Any, mode: Any) -> Any:
    name = layer.name
    mean, variance = p[f"{name}.mean"], p[f"{name}.variance"]
    if mode is not None:
        running, count = (mean, variance), x.size // x.shape[-1]
        mean = x.mean((0, 1, 2))
        variance = jnp.square(x - mean).mean((0, 1, 2))
        mode.statistics[f"{name}.mean"] = 0.9 * running[0] + 0.1 * mean
        mode.statistics[f"{name}.variance"] = 0.9 * running[1] + 0.1 * variance * (count / (count - 1))
    return (x - mean) * (lax.rsqrt(variance + 1e-5) * p[f"{name}.scale"]) + p[f"{name}.biases"]


def _norm(x: Any, scale: Any, biases: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * scale + biases


def _named_norm(name: str, p: Values, x: Any) -> Any:
    return _norm(x, p[f"{name}.scale"], p[f"{name}.biases"])


def _lstm(layer: N.LSTM, p: Values, x: Any, _mode: Any) -> Any:
    inputs = _dense(layer.name, p, x).swapaxes(0, 1)
    recurrent = p[f"{layer.name}.recurrent.weights"]

    def turn(carried: Any, inputs: Any) -> Any:
        state, cell = carried
        i, f, g, o = jnp.split(inputs + state @ recurrent, 4, -1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        state = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (state, cell), state

    zeros = jnp.zeros((x.shape[0], layer.size), x.dtype)
    return lax.scan(turn, (zeros, zeros), inputs)[1].swapaxes(0, 1)


def _attention(q: Any, k: Any, v: Any, causal: bool = False) -> Any:
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5)
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    return jax.nn.softmax(scores, -1) @ v


def _transformer_block(layer: N.TransformerBlock, p: Values, x: Any, _mode: Any) -> Any:
    name, (batch, time, _) = layer.name, x.shape
    y = _named_norm(f"{name}.norm1", p, x)
    q, k, v = (
        _dense(f"{name}.attention.{part}", p, y).reshape(batch, time, layer.heads, -1).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )
    mixed = _attention(q, k, v, causal=True).swapaxes(1, 2).reshape(x.shape)
    x = x + _dense(f"{name}.attention.output", p, mixed)
    wide = _dense(f"{name}.expand", p, _named_norm(f"{name}.norm2", p, x))
    return x + _dense(f"{name}.contract", p, jax.nn.gelu(wide, approximate=True))


def _sum(layer: N.Sum, p: Values, x: Any, mode: Any) -> Any:
    return _chain(layer.main, p, x, mode) + _chain(layer.around, p, x, mode)


_LAYERS: Mapping[type, Callable[..., Any]] = MappingProxyType(
    {
        N.Relu: lambda _layer, _p, x, _mode: jax.nn.relu(x),
        N.Dropout: _dropout,
        N.Dense: lambda layer, p, x, _mode: _dense(layer.name, p, x),
        N.Convolution: _convolution,
        N.MaxPool: _max_pool,
        N.MeanPool: lambda _layer, _p, x, _mode: x.mean((1, 2)),
        N.Flatten: lambda _layer, _p, x, _mode: x.reshape(x.shape[0], -1),
        N.BatchNorm: _batch_norm,
        N.LayerNorm: lambda layer, p, x, _mode: _named_norm(layer.name, p, x),
        N.Embedding: lambda layer, p, x, _mode: p[f"{layer.name}.weights"][x],
        N.Positions: lambda layer, p, x, _mode: x + p[f"{layer.name}.weights"],
        N.LSTM: _lstm,
        N.TransformerBlock: _transformer_block,
        N.Sum: _sum,
    }
)


# ---- operations


def _same_convolution(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=_DIMENSIONS)


def _norm_gradients(x: Any, scale: Any, biases: Any, slope: Any) -> Any:
    return jax.vjp(_norm, x, scale, biases)[1](slope)


_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "matmul": lambda a, b: a @ b,
        "convolution": _same_convolution,
        "attention": _attention,
        "causal_attention": lambda q, k, v: _attention(q, k, v, causal=True),
        "softmax": jax.nn.softmax,
        "layer_norm": _norm,
        "layer_norm_gradients": _norm_gradients,
        "gelu": lambda x: jax.nn.gelu(x * SLOPE + SHIFT, approximate=True),
        "bias_gelu": lambda x, b: jax.nn.gelu(x + b, approximate=True),
        "sum": jnp.sum,
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)
