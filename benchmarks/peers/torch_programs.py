"""The workloads in PyTorch with its fused optimisers, as eager PyTorch and torch.compile share them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


def program(workload: Workload, compile: Compile, layout: Any, note: str = "", device: str = "cpu") -> Program:
    """The workload with its networks and operations handed through ``compile``.

    Args:
        workload: what is to be done.
        compile: gives what is called in place of a function.
        layout: of images, one of PyTorch's.
        note: what was chosen.
        device: where everything lies.
    """
    match workload:
        case Training():
            made = _training(workload, compile, layout, device)
        case Inference():
            made = _inference(workload, compile, layout, device)
        case Operation():
            make = _update if workload.kind == "adam" else _operation
            made = make(workload, compile, layout, device)
    return replace(made, note=note, finish=made.finish if device == "cpu" else torch.cuda.synchronize)


def _tensor(array: Array, layout: Any, device: str) -> Any:
    """Integers as PyTorch wants them, images channels first in a layout."""
    if array.dtype.kind == "i":
        return torch.from_numpy(array).long().to(device)
    if array.ndim == 4:
        return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout).to(device)
    return _plain(array, device)


def _plain(array: Array, device: str) -> Any:
    """An array as it is; of the halves PyTorch reads from NumPy only one."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(device, torch.bfloat16)
    return torch.from_numpy(array).to(device)


def _numpy(tensor: Any) -> Array:
    """A tensor as an array that NumPy can compare."""
    tensor = tensor.detach().cpu()
    return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network in training: ``step`` returns the cost."""

    model: Net
    optimiser: Any
    step: Callable[[], Any]


def trained(training: Training, compile: Compile, layout: Any, device: str = "cpu") -> Trained:
    """The network of a workload with its optimiser."""
    model = Net(training.network, layout).to(device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = optimiser_for(training.optimiser, parameters, training.learning_rate, device)
    batches = [(_tensor(x, layout, device), _plain(y, device).long().flatten()) for x, y in training.batches()]
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


def optimiser_for(name: str, parameters: Any, learning_rate: float, device: str) -> Any:
    """An optimiser in the form that takes the fewest launches; Adagrad is fused on processors only."""
    fused = device == "cpu" or name != "adagrad"
    return _OPTIMISERS[name](parameters, lr=learning_rate, **{"fused" if fused else "foreach": True})


def _training(training: Training, compile: Compile, layout: Any, device: str) -> Program:
    made = trained(training, compile, layout, device)
    dropouts = [module for module in made.model.modules() if isinstance(module, nn.Dropout)]

    def certain() -> list[Array]:
        for module in dropouts:
            module.eval()
        cost = made.step()
        for module in dropouts:
            module.train()
        return [_numpy(cost)]

    return Program(made.step, certain)


def _inference(inference: Inference, compile: Compile, layout: Any, device: str) -> Program:
    model = Net(inference.network, layout).to(device).eval()
    x, run = _tensor(inference.inputs(), layout, device), compile(model)

    def step() -> Any:
        with torch.inference_mode():
            return run(x)

    return Program(step, lambda: [_numpy(step())])


def _operation(operation: Operation, compile: Compile, layout: Any, device: str) -> Program:
    function = compile(_OPERATIONS[operation.kind])
    operands = operation.operands()
    images = operation.kind == "convolution"
    if images:
        tensors = [_tensor(operands[0], layout, device), _plain(operands[1], device).permute(3, 2, 0, 1)]
        tensors[1] = tensors[1].contiguous(memory_format=layout)
    else:
        tensors = [_plain(array, device) for array in operands]

    def step() -> Any:
        with torch.no_grad():
            return function(*tensors)

    def certain() -> list[Array]:
        found = step()
        found = [found.permute(0, 2, 3, 1)] if images else found
        return [_numpy(y) for y in (found if isinstance(found, Sequence) else [found])]

    return Program(step, certain)


def _update(operation: Operation, _compile: Compile, _layout: Any, device: str) -> Program:
    tensors = [_plain(array, device) for array in operation.operands()]
    count = len(tensors) // 2
    parameters = [nn.Parameter(values.clone()) for values in tensors[:count]]
    for parameter, slopes in zip(parameters, tensors[count:], strict=True):
        parameter.grad = slopes
    optimiser = optimiser_for("adam", parameters, 0.001, device)

    def certain() -> list[Array]:
        optimiser.step()
        return [_numpy(parameter).copy() for parameter in parameters]

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
        "bias_gelu": lambda x, b: functional.gelu(x + b, approximate="tanh"),
        "sum": torch.sum,
        "sum_rows": lambda x: x.sum(-1),
        "sum_columns": lambda x: x.sum(0),
    }
)
