"""Networks as modules of PyTorch, with the first values that all peers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import networks as N
from benchmarks.networks import Array, Network, Shape

Values = Mapping[str, Array]


class Net(nn.Module):
    """A network; takes images [n, channels, y, x], and has its convolutions in a layout of memory."""

    def __init__(self, network: Network, layout: Any) -> None:
        super().__init__()
        values = network.parameters()
        layers: Any = nn.Sequential(*_modules(network.layers, network.shape, values))
        self.layers = layers.to(memory_format=layout)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


def _modules(layers: tuple[N.Layer, ...], shape: Shape, values: Values) -> list[nn.Module]:
    made, flattened = [], None
    for layer in layers:
        if isinstance(layer, N.Dense) and flattened is not None:
            # What is flattened here has its channels first.
            order, flattened = N.channels_first(flattened), None
            values = {**values, f"{layer.name}.weights": values[f"{layer.name}.weights"][order]}
        if isinstance(layer, N.Flatten):
            flattened = shape
        made.append(_MODULES[type(layer)](layer, shape, values))
        shape = layer.result(shape)
    return made


def _set(parameter: Any, value: Array) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(value))


def _dense(layer: N.Dense, _: Shape, values: Values) -> nn.Module:
    return _linear(layer.name, values)


def _linear(name: str, values: Values) -> nn.Linear:
    weights = values[f"{name}.weights"]
    module = nn.Linear(*weights.shape)
    _set(module.weight, weights.T)
    _set(module.bias, values[f"{name}.biases"])
    return module


def _convolution(layer: N.Convolution, shape: Shape, values: Values) -> nn.Module:
    module = nn.Conv2d(shape[2], layer.filters, layer.window, layer.stride, layer.padding, bias=layer.bias)
    _set(module.weight, values[f"{layer.name}.weights"].transpose(3, 2, 0, 1))
    if module.bias is not None:
        _set(module.bias, values[f"{layer.name}.biases"])
    return module


def _batch_norm(layer: N.BatchNorm, shape: Shape, values: Values) -> nn.Module:
    module = nn.BatchNorm2d(shape[2])
    names = {"weight": "scale", "bias": "biases", "running_mean": "mean", "running_var": "variance"}
    for ours, theirs in names.items():
        _set(getattr(module, ours), values[f"{layer.name}.{theirs}"])
    return module


def _layer_norm(layer: N.LayerNorm, _: Shape, values: Values) -> nn.Module:
    return _norm(layer.name, values)


def _norm(name: str, values: Values) -> nn.LayerNorm:
    module = nn.LayerNorm(values[f"{name}.scale"].shape)
    _set(module.weight, values[f"{name}.scale"])
    _set(module.bias, values[f"{name}.biases"])
    return module


def _embedding(layer: N.Embedding, _: Shape, values: Values) -> nn.Module:
    module = nn.Embedding(layer.count, layer.size)
    _set(module.weight, values[f"{layer.name}.weights"])
    return module


class _Positions(nn.Module):
    def __init__(self, layer: N.Positions, _: Shape, values: Values) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.from_numpy(values[f"{layer.name}.weights"]))

    def forward(self, x: Any) -> Any:
        return x + self.rows[: x.shape[1]]


class _LSTM(nn.Module):
    """PyTorch's second biases stay 0, as only the sum of both counts."""

    def __init__(self, layer: N.LSTM, shape: Shape, values: Values) -> None:
        super().__init__()
        self.lstm = nn.LSTM(shape[1], layer.size, batch_first=True)
        _set(self.lstm.weight_ih_l0, values[f"{layer.name}.weights"].T)
        _set(self.lstm.weight_hh_l0, values[f"{layer.name}.recurrent.weights"].T)
        _set(self.lstm.bias_ih_l0, values[f"{layer.name}.biases"])
        _set(self.lstm.bias_hh_l0, np.zeros(4 * layer.size, np.float32))
        self.lstm.get_parameter("bias_hh_l0").requires_grad_(False)

    def forward(self, x: Any) -> Any:
        return self.lstm(x)[0]


class _TransformerBlock(nn.Module):
    """One product makes queries, keys and values, as is usual."""

    def __init__(self, layer: N.TransformerBlock, _: Shape, values: Values) -> None:
        super().__init__()
        name, attention = layer.name, f"{layer.name}.attention"
        joined = {
            f"joined.{kind}": np.concatenate(
                [values[f"{attention}.{part}.{kind}"] for part in ("query", "key", "value")], -1
            )
            for kind in ("weights", "biases")
        }
        self.heads = layer.heads
        self.norm1, self.norm2 = _norm(f"{name}.norm1", values), _norm(f"{name}.norm2", values)
        self.joined, self.output = _linear("joined", joined), _linear(f"{attention}.output", values)
        self.expand, self.contract = _linear(f"{name}.expand", values), _linear(f"{name}.contract", values)

    def forward(self, x: Any) -> Any:
        parts = self.joined(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        return x + self.contract(functional.gelu(self.expand(self.norm2(x)), approximate="tanh"))


class _MeanPool(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


class _Sum(nn.Module):
    def __init__(self, layer: N.Sum, shape: Shape, values: Values) -> None:
        super().__init__()
        self.main = nn.Sequential(*_modules(layer.main, shape, values))
        self.around = nn.Sequential(*_modules(layer.around, shape, values))

    def forward(self, x: Any) -> Any:
        return self.main(x) + self.around(x)


_MODULES: Mapping[type, Callable[[Any, Shape, Values], nn.Module]] = MappingProxyType(
    {
        N.Relu: lambda *_: nn.ReLU(),
        N.Dropout: lambda layer, *_: nn.Dropout(layer.rate),
        N.Dense: _dense,
        N.Convolution: _convolution,
        N.MaxPool: lambda layer, *_: nn.MaxPool2d(layer.window, layer.stride, layer.padding),
        N.MeanPool: lambda *_: _MeanPool(),
        N.Flatten: lambda *_: nn.Flatten(),
        N.BatchNorm: _batch_norm,
        N.LayerNorm: _layer_norm,
        N.Embedding: _embedding,
        N.Positions: _Positions,
        N.LSTM: _LSTM,
        N.TransformerBlock: _TransformerBlock,
        N.Sum: _Sum,
    }
)
