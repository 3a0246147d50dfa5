"""What is timed on GPUs, and looked at without one: sizes that keep one busy."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

from benchmarks import networks
from benchmarks.networks import Shape
from benchmarks.race import TOLERANCE
from benchmarks.workloads import Inference, Operation, Training, Workload
from sigmagraph.dtypes import as_dtype

GROUPS = ("training", "contractions", "attention", "memory", "inference")
# Of bfloat16 a result has 8 bits, of tf32 each factor 11, and steps of training are products of products.
_TOLERANCES: Mapping[str, float] = MappingProxyType({"f32": TOLERANCE, "tf32": 1e-2, "bf16": 1e-2})


def kind_of(workload: Workload) -> str:
    """Which units of a chip the operations of a workload are for."""
    if isinstance(workload, Operation):
        return "bf16" if workload.dtype == "bfloat16" else "f32" if workload.exact or workload.bytes else "tf32"
    return "tf32"


def tolerance(workload: str) -> float:
    """By how much the numbers of a workload may differ, relative to the greatest one of an array."""
    return _TOLERANCES[kind_of(WORKLOADS[workload])]


def _product(n: int, kind: str) -> Operation:
    dtype = "bfloat16" if kind == "bf16" else "float32"
    shapes = ((n, n), (n, n))
    return Operation(f"matmul {n} {kind}", "matmul", shapes, 2 * n**3, 0, "contractions", dtype, kind == "f32")


def _convolution(batch: int, window: int, size: int, channels: int, filters: int) -> Operation:
    shapes = ((batch, size, size, channels), (window, window, channels, filters))
    flops = 2 * batch * size * size * window * window * channels * filters
    name = f"conv {window}x{window}, {batch}x{size}x{size}x{channels} to {filters}"
    return Operation(name, "convolution", shapes, flops, 0, "contractions")


def _attention(heads: int, time: int, size: int, causal: bool) -> Operation:
    flops = 4 * heads * time * time * size // (2 if causal else 1)
    kind, name = ("causal_attention", "causal attention") if causal else ("attention", "attention")
    shape = (1, heads, time, size)
    return Operation(f"{name} {heads} x {time} x {size}", kind, (shape,) * 3, flops, 0, "attention")


def _memory(name: str, kind: str, *shapes: Shape, arrays: int) -> Operation:
    """An operation that reads or writes as many arrays like the first operand."""
    moved = as_dtype("float32").itemsize * arrays * prod(shapes[0])
    return Operation(name, kind, shapes, bytes=moved, group="memory")


def _rows(rows: int, columns: int) -> tuple[Operation, ...]:
    shape, vector = (rows, columns), (columns,)
    size = f"{rows} x {columns}"
    return (
        _memory(f"softmax {size}", "softmax", shape, arrays=2),
        _memory(f"layer norm {size}", "layer_norm", shape, vector, vector, arrays=2),
    )


_MANY = 1 << 25  # elements: 128 MiB, more than a cache has
_ROWS, _COLUMNS = 8192, 4096
_LAYERS: tuple[Shape, ...] = ((4096, 1024), (1024,), (1024, 4096), (4096,), (4096, 4096), (4096,))
_TRAINING: tuple[Workload, ...] = (
    Training("train MLP b128", networks.perceptron(784, 512, 512, 10), 128),
    Training("train Sigma's README b100", networks.readme(), 100, "adagrad", 0.02),
    Training("train LeNet b64", networks.lenet(), 64),
    Training("train CNN b64", networks.batch_normalised(), 64),
    Training("train LSTM b32", networks.character_lstm(64, 65, 128, 256), 32),
    Training("train GPT b16", networks.gpt(64, 65, 128, 4, 4), 16),
    Training("train ResNet-18 b16", networks.resnet18(64, 10), 16, learning_rate=0.0001),
    Training("train GPT wide b8", networks.gpt(256, 256, 512, 8, 6), 8),
)
_CONTRACTIONS: tuple[Workload, ...] = (
    *(_product(n, kind) for kind in ("f32", "tf32", "bf16") for n in (512, 1024, 2048, 4096, 8192)),
    *(_convolution(32, 3, size, n, n) for size, n in ((56, 64), (28, 128), (14, 256), (7, 512))),
    *(_convolution(32, 1, 56, a, b) for a, b in ((256, 64), (64, 256))),
)
_ATTENTION: tuple[Workload, ...] = (
    *(_attention(8, time, 64, causal=False) for time in (512, 2048)),
    *(_attention(8, time, 64, causal=True) for time in (512, 2048)),
)
_MEMORY: tuple[Workload, ...] = (
    _memory("gelu(a x + b) of 32 M", "gelu", (_MANY,), arrays=2),
    _memory("gelu(x + biases) 8192 x 4096", "bias_gelu", (_ROWS, _COLUMNS), (_COLUMNS,), arrays=2),
    *(
        operation
        for rows, columns in ((4096, 1024), (_ROWS, _COLUMNS), (2048, 32768))
        for operation in _rows(rows, columns)
    ),
    _memory(
        "layer norm gradients 8192 x 4096",
        "layer_norm_gradients",
        *((_ROWS, _COLUMNS), (_COLUMNS,), (_COLUMNS,), (_ROWS, _COLUMNS)),
        arrays=3,
    ),
    _memory("sum of 32 M", "sum", (_MANY,), arrays=1),
    _memory("sum of rows 8192 x 4096", "sum_rows", (_ROWS, _COLUMNS), arrays=1),
    _memory("sum of columns 8192 x 4096", "sum_columns", (_ROWS, _COLUMNS), arrays=1),
    Operation("Adam of 6 parameters", "adam", (*_LAYERS, *_LAYERS), bytes=28 * sum(map(prod, _LAYERS)), group="memory"),
)
_INFERENCE: tuple[Workload, ...] = (
    Inference("infer ResNet-18 b32", networks.resnet18(224, 1000), 32),
    Inference("infer GPT b1", networks.gpt(128, 65, 256, 4, 4), 1),
)
# What takes others minutes to compile comes last: a run may have an end.
_ALL = (*_MEMORY, *_CONTRACTIONS, *_ATTENTION, *_INFERENCE, *_TRAINING)
WORKLOADS: Mapping[str, Workload] = MappingProxyType({w.name: w for w in _ALL})
