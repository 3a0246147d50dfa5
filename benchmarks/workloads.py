"""What is timed: training steps, predictions and single operations, on the same arrays for every peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from benchmarks import networks
from benchmarks.networks import Array, Network, Shape
from sigmagraph.dtypes import as_dtype

BATCHES = 4  # training goes round these, so that the moments of the optimiser stay ordinary numbers
GROUPS = ("training", "inference", "operations")


@dataclass(frozen=True, slots=True)
class Training:
    """One step of training: forward, softmax cross entropy, backward, optimiser; from arrays to updated parameters.

    Attributes:
        name: of the workload.
        network: what is trained.
        batch: records a step.
        optimiser: ``adam`` or ``adagrad``.
        learning_rate: of the optimiser.
    """

    name: str
    network: Network
    batch: int
    optimiser: str = "adam"
    learning_rate: float = 0.001

    group = "training"
    bytes = 0

    @property
    def flops(self) -> int:
        """Useful operations of the products."""
        return self.network.training_flops(self.batch)

    def batches(self) -> list[tuple[Array, Array]]:
        """Records and labels."""
        rng = np.random.default_rng(2)
        return [(self.network.records(self.batch, rng), self.network.labels(self.batch, rng)) for _ in range(BATCHES)]


@dataclass(frozen=True, slots=True)
class Inference:
    """What a network gives for a batch: logits, or the states of an LSTM."""

    name: str
    network: Network
    batch: int

    group = "inference"
    bytes = 0

    @property
    def flops(self) -> int:
        """Useful operations of the products."""
        return self.network.flops(self.batch)

    def inputs(self) -> Array:
        """The records."""
        return self.network.records(self.batch, np.random.default_rng(2))


@dataclass(frozen=True, slots=True)
class Operation:
    """A single operation, which peers know by its kind.

    Attributes:
        name: of the workload.
        kind: what is done; see :data:`KINDS`.
        shapes: of the operands, all normal random numbers.
        flops: useful operations, if those are the limit.
        bytes: read and written at least, if memory is the limit.
        group: where it stands.
        dtype: of operands and results.
        exact: whether products of float32 are such on GPUs, and not those of tf32.
    """

    name: str
    kind: str
    shapes: tuple[Shape, ...]
    flops: int = 0
    bytes: int = 0
    group: str = "operations"
    dtype: str = "float32"
    exact: bool = False

    def operands(self) -> list[Array]:
        """The operands."""
        rng = np.random.default_rng(3)
        return [rng.standard_normal(shape, np.float32).astype(as_dtype(self.dtype).numpy) for shape in self.shapes]


KINDS: Mapping[str, str] = MappingProxyType(
    {
        "matmul": "a @ b",
        "convolution": "windows of images [n, y, x, c] with weights [h, w, c, filters], around them zeros",
        "attention": "softmax(q @ k.T / sqrt(d)) @ v",
        "causal_attention": "the same where query i sees the keys 0 .. i",
        "softmax": "of the last axis",
        "layer_norm": "of the last axis, with scale and biases",
        "layer_norm_gradients": "of x, scale and biases, from x, scale, biases and the gradient of the result",
        "gelu": "gelu(1.25 x - 0.1), by GPT-2's formula",
        "bias_gelu": "gelu(x + biases), by GPT-2's formula",
        "sum": "of all elements",
        "sum_rows": "over the last axis",
        "sum_columns": "over the first axis",
        "adam": "an update of parameters by as many gradients, moments included",
    }
)
INPUTS: Mapping[str, int] = MappingProxyType({"convolution": 1, "layer_norm": 1, "bias_gelu": 1})
"""How many operands of a kind are inputs; the others stay the same from call to call. All are where it is not said."""
SLOPE, SHIFT = 1.25, -0.1  # of what the gelu is taken

Workload: TypeAlias = Training | Inference | Operation


def _product(m: int, k: int, n: int) -> Operation:
    return Operation(f"matmul {m} x {k} x {n}", "matmul", ((m, k), (k, n)), flops=2 * m * k * n)


def _convolution(window: int, size: int, channels: int, filters: int) -> Operation:
    shapes = ((1, size, size, channels), (window, window, channels, filters))
    flops = 2 * size * size * window * window * channels * filters
    return Operation(f"conv {window}x{window}, {size}x{size}x{channels} to {filters}", "convolution", shapes, flops)


def _attention(name: str, time: int, heads: int, size: int, causal: bool) -> Operation:
    flops = 4 * heads * time * time * size // (2 if causal else 1)
    kind = "causal_attention" if causal else "attention"
    return Operation(name, kind, ((1, heads, time, size),) * 3, flops, group="inference")


def _memory(name: str, kind: str, *shapes: Shape, arrays: int) -> Operation:
    """An operation that reads or writes as many arrays like the first operand."""
    return Operation(name, kind, shapes, bytes=4 * arrays * prod(shapes[0]))


_ROWS, _COLUMNS = 4096, 1024
_MANY = 10_000_000
_TRAINING: tuple[Workload, ...] = (
    Training("train MLP b128", networks.perceptron(784, 512, 512, 10), 128),
    Training("train Sigma's README b100", networks.readme(), 100, "adagrad", 0.02),
    Training("train LeNet b64", networks.lenet(), 64),
    Training("train CNN b64", networks.batch_normalised(), 64),
    Training("train LSTM b32", networks.character_lstm(64, 65, 128, 256), 32),
    Training("train GPT b16", networks.gpt(64, 65, 128, 4, 4), 16),
    Training("train ResNet-18 b16", networks.resnet18(64, 10), 16, learning_rate=0.0001),
)
_INFERENCE: tuple[Workload, ...] = (
    *(Inference(f"infer MLP b{n}", networks.perceptron(784, 128, 10), n) for n in (1, 64)),
    *(Inference(f"infer LeNet b{n}", networks.lenet(), n) for n in (1, 64)),
    Inference("infer ResNet-18 b1", networks.resnet18(224, 1000), 1),
    Inference("infer LSTM b1", networks.lstm(64, 128, 128), 1),
    Inference("infer GPT b1", networks.gpt(128, 65, 256, 4, 4), 1),
    _attention("infer attention", 1024, 4, 64, causal=False),
    _attention("infer attention, causal", 1024, 4, 64, causal=True),
)
_OPERATIONS: tuple[Workload, ...] = (
    *(_product(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)),
    *(_product(m, 1024, 1024) for m in (1, 8)),
    *(_product(*sizes) for sizes in ((100, 800, 10), (800, 100, 10))),
    *(_convolution(3, size, n, n) for size, n in ((56, 64), (28, 128), (14, 256), (7, 512))),
    *(_convolution(1, 56, a, b) for a, b in ((256, 64), (64, 256))),
    _memory("softmax", "softmax", (_ROWS, _COLUMNS), arrays=2),
    _memory("layer norm", "layer_norm", (_ROWS, _COLUMNS), (_COLUMNS,), (_COLUMNS,), arrays=2),
    _memory(
        "layer norm, gradients",
        "layer_norm_gradients",
        *((_ROWS, _COLUMNS), (_COLUMNS,), (_COLUMNS,), (_ROWS, _COLUMNS)),
        arrays=3,
    ),
    _memory("gelu(a x + b) of 10 M", "gelu", (_MANY,), arrays=2),
    _memory("sum of 10 M", "sum", (_MANY,), arrays=1),
    _memory("sum of rows", "sum_rows", (_ROWS, _COLUMNS), arrays=1),
    _memory("sum of columns", "sum_columns", (_ROWS, _COLUMNS), arrays=1),
    _memory("Adam of 4 M", "adam", (_ROWS, _COLUMNS), (_ROWS, _COLUMNS), arrays=7),
)
_ALL = (*_TRAINING, *_INFERENCE, *_OPERATIONS)
WORKLOADS: Mapping[str, Workload] = MappingProxyType({w.name: w for w in _ALL})
