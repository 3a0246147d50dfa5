"""Predictions and operations as ONNX models, written node by node from the arrays that all peers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import networks as N
from benchmarks.networks import Array, Shape
from benchmarks.workloads import INPUTS, SHIFT, SLOPE, Inference, Operation, Training, Workload

_OPSET, _FORMAT = 20, 10
_TYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT32}


def has(workload: Workload) -> bool:
    """No gradients."""
    return workload.kind in _OPERATIONS if isinstance(workload, Operation) else isinstance(workload, Inference)


def model(workload: Workload) -> tuple[bytes, dict[str, Array]]:
    """A model and its inputs; images have their channels first."""
    graph = _Graph()
    if isinstance(workload, Operation):
        operands = workload.operands()
        if workload.kind == "convolution":
            operands[0] = _channels_first(operands[0])
        names = [graph.input(array) for array in operands[: INPUTS.get(workload.kind)]]
        return graph.model(_OPERATIONS[workload.kind](graph, *names, *operands[len(names) :])), graph.inputs
    assert not isinstance(workload, Training)
    network, records = workload.network, workload.inputs()
    x = graph.input(_channels_first(records) if records.ndim == 4 else records)
    return graph.model(_chain(graph, network.layers, network.shape, network.parameters(), x)), graph.inputs


def channels_last(workload: Workload, result: Array) -> Array:
    """A result as other peers give it."""
    return (
        result.transpose(0, 2, 3, 1) if isinstance(workload, Operation) and workload.kind == "convolution" else result
    )


def _channels_first(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


class _Graph:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self.inputs: dict[str, Array] = {}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def input(self, array: Array) -> str:
        """Another input of the model."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = array
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Numbers that belong to the model."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(value, dtype)), name))
        return name

    def add(self, op: str, *operands: str, **attributes: Any) -> str:
        """Another node; its first result."""
        return self.several(op, 1, *operands, **attributes)[0]

    def several(self, op: str, results: int, *operands: str, **attributes: Any) -> list[str]:
        """Another node with several results."""
        names = [f"y{len(self._nodes)}_{n}" for n in range(results)]
        self._nodes.append(helper.make_node(op, operands, names, **attributes))
        return names

    def model(self, result: str) -> bytes:
        """The whole, with one result."""
        inputs = [helper.make_tensor_value_info(n, _TYPES[a.dtype.kind], a.shape) for n, a in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self._nodes, "benchmark", inputs, outputs, self._constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_FORMAT)
        return bytes(onnx.shape_inference.infer_shapes(made, strict_mode=True).SerializeToString())


# ---- layers

Values = Mapping[str, Array]


def _chain(g: _Graph, layers: Sequence[N.Layer], shape: Shape, p: Values, x: str) -> str:
    flattened = None
    for layer in layers:
        if isinstance(layer, N.Dense) and flattened is not None:
            # What is flattened here has its channels first.
            order, flattened = N.channels_first(flattened), None
            p = {**p, f"{layer.name}.weights": p[f"{layer.name}.weights"][order]}
        if isinstance(layer, N.Flatten):
            flattened = shape
        x = _LAYERS[type(layer)](g, layer, shape, p, x)
        shape = layer.result(shape)
    return x


def _linear(g: _Graph, name: str, p: Values, x: str) -> str:
    return g.add("Add", g.add("MatMul", x, g.constant(p[f"{name}.weights"])), g.constant(p[f"{name}.biases"]))


def _dense(g: _Graph, layer: N.Dense, shape: Shape, p: Values, x: str) -> str:
    if len(shape) > 1:
        return _linear(g, layer.name, p, x)
    return g.add("Gemm", x, g.constant(p[f"{layer.name}.weights"]), g.constant(p[f"{layer.name}.biases"]))


def _convolution(g: _Graph, layer: N.Convolution, _: Shape, p: Values, x: str) -> str:
    operands = [g.constant(p[f"{layer.name}.weights"].transpose(3, 2, 0, 1))]
    if layer.bias:
        operands.append(g.constant(p[f"{layer.name}.biases"]))
    return g.add("Conv", x, *operands, strides=[layer.stride] * 2, pads=[layer.padding] * 4)


def _max_pool(g: _Graph, layer: N.MaxPool, _shape: Shape, _p: Values, x: str) -> str:
    return g.add("MaxPool", x, kernel_shape=[layer.window] * 2, strides=[layer.stride] * 2, pads=[layer.padding] * 4)


def _mean_pool(g: _Graph, _layer: N.MeanPool, _shape: Shape, _p: Values, x: str) -> str:
    return g.add("Flatten", g.add("GlobalAveragePool", x))


def _batch_norm(g: _Graph, layer: N.BatchNorm, _: Shape, p: Values, x: str) -> str:
    operands = [g.constant(p[f"{layer.name}.{part}"]) for part in ("scale", "biases", "mean", "variance")]
    return g.add("BatchNormalization", x, *operands, epsilon=1e-5)


def _norm(g: _Graph, name: str, p: Values, x: str) -> str:
    operands = [g.constant(p[f"{name}.{part}"]) for part in ("scale", "biases")]
    return g.add("LayerNormalization", x, *operands, axis=-1, epsilon=1e-5)


def _embedding(g: _Graph, layer: N.Embedding, _: Shape, p: Values, x: str) -> str:
    return g.add("Gather", g.constant(p[f"{layer.name}.weights"]), x)


def _positions(g: _Graph, layer: N.Positions, _: Shape, p: Values, x: str) -> str:
    return g.add("Add", x, g.constant(p[f"{layer.name}.weights"]))


def _lstm(g: _Graph, layer: N.LSTM, _: Shape, p: Values, x: str) -> str:
    """ONNX has the gates in another order (input, output, forget, cell), and second biases."""

    def ordered(array: Array) -> Array:
        i, f, c, o = np.split(array, 4, -1)
        return np.concatenate([i, o, f, c], -1)

    weights, recurrent = (ordered(p[f"{layer.name}.{part}"]).T[None] for part in ("weights", "recurrent.weights"))
    biases = ordered(p[f"{layer.name}.biases"])
    both = np.concatenate([biases, np.zeros_like(biases)])[None]
    steps = g.add("Transpose", x, perm=[1, 0, 2])
    y = g.add("LSTM", steps, *map(g.constant, (weights, recurrent, both)), hidden_size=layer.size)
    return g.add("Transpose", g.add("Squeeze", y, g.constant([1], np.int64)), perm=[1, 0, 2])


def _attention(g: _Graph, q: str, k: str, v: str, shape: Shape, causal: bool = False) -> str:
    """Of operands [batch, heads, time, size]; the shape is [time, size]."""
    scaled = g.add("Mul", q, g.constant(shape[1] ** -0.5))
    scores = g.add("MatMul", scaled, g.add("Transpose", k, perm=[0, 1, 3, 2]))
    if causal:
        scores = g.add("Add", scores, g.constant(np.triu(np.full((shape[0],) * 2, -np.inf), 1)))
    return g.add("MatMul", g.add("Softmax", scores, axis=-1), v)


def _transformer_block(g: _Graph, layer: N.TransformerBlock, shape: Shape, p: Values, x: str) -> str:
    name, size = layer.name, shape[1] // layer.heads
    y = _norm(g, f"{name}.norm1", p, x)
    apart = g.constant([0, 0, layer.heads, size], np.int64)
    q, k, v = (
        g.add("Transpose", g.add("Reshape", _linear(g, f"{name}.attention.{part}", p, y), apart), perm=[0, 2, 1, 3])
        for part in ("query", "key", "value")
    )
    mixed = g.add("Transpose", _attention(g, q, k, v, (shape[0], size), causal=True), perm=[0, 2, 1, 3])
    joined = g.add("Reshape", mixed, g.constant([0, 0, shape[1]], np.int64))
    x = g.add("Add", x, _linear(g, f"{name}.attention.output", p, joined))
    wide = g.add("Gelu", _linear(g, f"{name}.expand", p, _norm(g, f"{name}.norm2", p, x)), approximate="tanh")
    return g.add("Add", x, _linear(g, f"{name}.contract", p, wide))


def _sum(g: _Graph, layer: N.Sum, shape: Shape, p: Values, x: str) -> str:
    return g.add("Add", _chain(g, layer.main, shape, p, x), _chain(g, layer.around, shape, p, x))


_LAYERS: Mapping[type, Callable[[_Graph, Any, Shape, Values, str], str]] = MappingProxyType(
    {
        N.Relu: lambda g, _layer, _shape, _p, x: g.add("Relu", x),
        N.Dense: _dense,
        N.Convolution: _convolution,
        N.MaxPool: _max_pool,
        N.MeanPool: _mean_pool,
        N.Flatten: lambda g, _layer, _shape, _p, x: g.add("Flatten", x),
        N.BatchNorm: _batch_norm,
        N.LayerNorm: lambda g, layer, _shape, p, x: _norm(g, layer.name, p, x),
        N.Embedding: _embedding,
        N.Positions: _positions,
        N.LSTM: _lstm,
        N.TransformerBlock: _transformer_block,
        N.Sum: _sum,
    }
)


# ---- operations


def _same_convolution(g: _Graph, x: str, w: Array) -> str:
    return g.add("Conv", x, g.constant(w.transpose(3, 2, 0, 1)), pads=[w.shape[0] // 2] * 4)


def _affine_gelu(g: _Graph, x: str) -> str:
    inner = g.add("Add", g.add("Mul", x, g.constant(SLOPE)), g.constant(SHIFT))
    return g.add("Gelu", inner, approximate="tanh")


def _reduced(axes: Sequence[int]) -> Callable[[_Graph, str], str]:
    return lambda g, x: g.add("ReduceSum", x, g.constant(axes, np.int64), keepdims=0)


def _attention_of(causal: bool) -> Callable[..., str]:
    def made(g: _Graph, q: str, k: str, v: str) -> str:
        return _attention(g, q, k, v, g.inputs[q].shape[-2:], causal)

    return made


_OPERATIONS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "matmul": lambda g, a, b: g.add("MatMul", a, b),
        "convolution": _same_convolution,
        "attention": _attention_of(causal=False),
        "causal_attention": _attention_of(causal=True),
        "softmax": lambda g, x: g.add("Softmax", x, axis=-1),
        "layer_norm": lambda g, x, scale, biases: g.add(
            "LayerNormalization", x, g.constant(scale), g.constant(biases), axis=-1, epsilon=1e-5
        ),
        "gelu": _affine_gelu,
        "sum": _reduced([0]),
        "sum_rows": _reduced([-1]),
        "sum_columns": _reduced([0]),
    }
)
