"""The workloads in PyTorch with its fused optimisers, as eager PyTorch and torch.compile share them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.networks import Array
from benchmarks.peers.program import Program
from benchmarks.peers.torch_modules import Net
from benchmarks.workloads import SHIFT, SLOPE, Inference, Operation, Training, Workload

_OPTIMISERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}
)

Compile = Callable[[Any], Any]


def version() -> str:
    """Of PyTorch."""
    return str(torch.__version__)


def program(workload: Workload, compile: Compile, layout: Any, note: str = "") -> Program:
    """The workload with its networks and operations handed through ``compile``; images in a layout of PyTorch's."""
    match workload:
        case Training():
            return _training(workload, compile, layout, note)
        case Inference():
            return _inference(workload, compile, layout, note)
        case Operation():
            return _update(workload) if workload.kind == "adam" else _operation(workload, compile, layout, note)


def _tensor(array: Array, layout: Any) -> Any:
    """Integers as PyTorch wants them, images channels first in a layout."""
    if array.dtype.kind == "i":
        return torch.from_numpy(array).long()
    if array.ndim == 4:
        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    return torch.from_numpy(array)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network in training: ``step`` returns the cost."""

    model: Net
    optimiser: Any
    step: Callable[[], Any]


def trained(training: Training, compile: Compile, layout: Any) -> Trained:
    """The network of a workload with its optimiser."""
    model = Net(training.network, layout)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = _OPTIMISERS[training.optimiser](parameters, lr=training.learning_rate, fused=True)
    batches = [(_tensor(x, layout), torch.from_numpy(y).long().flatten()) for x, y in training.batches()]
    feeds = itertools.cycle(batches)
    cost_of = compile(lambda x, y: functional.cross_entropy(model(x).flatten(0, -2), y))

    def step() -> Any:
        x, y = next(feeds)
        optimiser.zero_grad(set_to_none=True)
        cost = cost_of(x, y)
        cost.backward()
        optimiser.step()
        return cost

    return Trained(model, optimiser, step)


def _training(training: Training, compile: Compile, layout: Any, note: str) -> Program:
    made = trained(training, compile, layout)
    dropouts = [module for module in made.model.modules() if isinstance(module, nn.Dropout)]

    def certain() -> list[Array]:
        for module in dropouts:
            module.eval()
        cost = made.step()
        for module in dropouts:
            module.train()
        return [np.asarray(cost.detach())]

    return Program(made.step, certain, note=note)


def _inference(inference: Inference, compile: Compile, layout: Any, note: str) -> Program:
    model = Net(inference.network, layout).eval()
    x, run = _tensor(inference.inputs(), layout), compile(model)

    def step() -> Any:
        with torch.inference_mode():
            return run(x)

    return Program(step, lambda: [step().numpy()], note=note)


def _operation(operation: Operation, compile: Compile, layout: Any, note: str) -> Program:
    function = compile(_OPERATIONS[operation.kind])
    operands = operation.operands()
    images = operation.kind == "convolution"
    if images:
        tensors = [_tensor(operands[0], layout), torch.from_numpy(operands[1]).permute(3, 2, 0, 1)]
        tensors[1] = tensors[1].contiguous(memory_format=layout)
    else:
        tensors = list(map(torch.from_numpy, operands))

    def step() -> Any:
        with torch.no_grad():
            return function(*tensors)

    def certain() -> list[Array]:
        found = step()
        found = [found.permute(0, 2, 3, 1)] if images else found
        return [y.numpy() for y in (found if isinstance(found, Sequence) else [found])]

    return Program(step, certain, note=note)


def _update(operation: Operation) -> Program:
    values, slopes = map(torch.from_numpy, operation.operands())
    parameter = nn.Parameter(values.clone())
    parameter.grad = slopes
    optimiser = torch.optim.Adam([parameter], lr=0.001, fused=True)

    def certain() -> list[Array]:
        optimiser.step()
        return [parameter.detach().numpy().copy()]

    return Program(optimiser.step, certain)


def _layer_norm(x: Any, scale: Any, biases: Any) -> Any:
    return functional.layer_norm(x, scale.shape, scale, biases)


def _layer_norm_gradients(x: Any, scale: Any, biases: Any, slope: Any) -> Any:
    with torch.enable_grad():
        variables = [t.detach().requires_grad_() for t in (x, scale, biases)]
        return torch.autograd.grad(_layer_norm(*variables), variables, slope)


_OPERATIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "matmul": lambda a, b: a @ b,
        "convolution": lambda x, w: functional.conv2d(x, w, padding=w.shape[2] // 2),
        "attention": functional.scaled_dot_product_attention,
        "causal_attention": lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        "softmax": lambda x: torch.softmax(x, -1),
        "layer_norm": _layer_norm,
        "layer_norm_gradients": _layer_norm_gradients,
        "gelu": lambda x: functional.gelu(x * SLOPE + SHIFT, approximate="tanh"),
        "sum": torch.sum,
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)
