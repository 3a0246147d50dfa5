"""The workloads in NumPy, where a careful user would write them so: without gradients and large convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks import networks as N
from benchmarks.networks import Array
from benchmarks.peers.program import Program
from benchmarks.workloads import SHIFT, SLOPE, Inference, Operation, Training, Workload

Values = Mapping[str, Array]


def version() -> str:
    """Of NumPy."""
    return np.__version__


def has(workload: Workload) -> bool:
    """What has a table entry below."""
    if isinstance(workload, Operation):
        return workload.kind in _OPERATIONS
    return isinstance(workload, Inference) and all(type(layer) in _LAYERS for layer in workload.network.layers)


def program(workload: Workload, _threads: int) -> Program:
    """The workload; the number of threads is that of the environment's OMP_NUM_THREADS."""
    assert not isinstance(workload, Training)
    if isinstance(workload, Operation):
        operands = workload.operands()
        function = _OPERATIONS[workload.kind]
        return _program(lambda: function(*operands))
    values, x, layers = workload.network.parameters(), workload.inputs(), workload.network.layers

    def step() -> Array:
        y = x
        for layer in layers:
            y = _LAYERS[type(layer)](layer, values, y)
        return y

    return _program(step)


def _program(step: Callable[[], Any]) -> Program:
    def certain() -> list[Array]:
        found = step()
        return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]

    return Program(step, certain)


# ---- layers


def _dense(name: str, p: Values, x: Array) -> Array:
    return x @ p[f"{name}.weights"] + p[f"{name}.biases"]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _lstm(layer: N.LSTM, p: Values, x: Array) -> Array:
    inputs, recurrent = _dense(layer.name, p, x), p[f"{layer.name}.recurrent.weights"]
    states = np.empty((*x.shape[:2], layer.size), np.float32)
    state = cell = np.zeros((x.shape[0], layer.size), np.float32)
    for time in range(x.shape[1]):
        gates = inputs[:, time] + state @ recurrent
        i, f, g, o = np.split(gates, 4, -1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        state = states[:, time] = _sigmoid(o) * np.tanh(cell)
    return states


def _norm(x: Array, scale: Array, biases: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    y: Array = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(1e-5)) * scale + biases
    return y


def _softmax(x: Array) -> Array:
    y: Array = np.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return y


def _attention(q: Array, k: Array, v: Array, causal: bool = False) -> Array:
    scores: Array = q @ k.swapaxes(-1, -2) * np.float32(q.shape[-1] ** -0.5)
    if causal:
        scores += np.triu(np.full(scores.shape[-2:], -np.inf, np.float32), 1)
    y: Array = _softmax(scores) @ v
    return y


def _gelu(x: Array) -> Array:
    y: Array = 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)))
    return y


def _transformer_block(layer: N.TransformerBlock, p: Values, x: Array) -> Array:
    def norm(number: int, x: Array) -> Array:
        return _norm(x, p[f"{layer.name}.norm{number}.scale"], p[f"{layer.name}.norm{number}.biases"])

    y = norm(1, x)
    q, k, v = (
        _dense(f"{layer.name}.attention.{part}", p, y).reshape(*x.shape[:2], layer.heads, -1).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )
    mixed = _attention(q, k, v, causal=True).swapaxes(1, 2).reshape(x.shape)
    x = x + _dense(f"{layer.name}.attention.output", p, mixed)
    return x + _dense(f"{layer.name}.contract", p, _gelu(_dense(f"{layer.name}.expand", p, norm(2, x))))


_LAYERS: Mapping[type, Callable[[Any, Values, Array], Array]] = MappingProxyType(
    {
        N.Relu: lambda _layer, _p, x: np.maximum(x, 0),
        N.Dense: lambda layer, p, x: _dense(layer.name, p, x),
        N.Flatten: lambda _layer, _p, x: x.reshape(len(x), -1),
        N.LayerNorm: lambda layer, p, x: _norm(x, p[f"{layer.name}.scale"], p[f"{layer.name}.biases"]),
        N.Embedding: lambda layer, p, x: p[f"{layer.name}.weights"][x],
        N.Positions: lambda layer, p, x: x + p[f"{layer.name}.weights"],
        N.LSTM: _lstm,
        N.TransformerBlock: _transformer_block,
    }
)


# ---- operations


def _convolution(x: Array, w: Array) -> Array:
    """Windows as rows of a matrix, and one product."""
    border = w.shape[0] // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[:2], (1, 2))
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(x.shape[1] * x.shape[2], -1)
    return (rows @ w.reshape(-1, w.shape[3])).reshape(*x.shape[:3], -1)


_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "matmul": np.matmul,
        "convolution": _convolution,
        "attention": _attention,
        "causal_attention": lambda q, k, v: _attention(q, k, v, causal=True),
        "softmax": _softmax,
        "layer_norm": _norm,
        "gelu": lambda x: _gelu(np.float32(SLOPE) * x + np.float32(SHIFT)),
        "sum": np.sum,
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)
