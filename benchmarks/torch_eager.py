"""The workloads as eager PyTorch, with its fused optimisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.program import Program
from benchmarks.workloads import Array, Product, Training, Workload

NAME = "PyTorch eager"
_OPTIMISERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}
)


def version() -> str:
    """Of PyTorch."""
    return str(torch.__version__)


def program(workload: Workload, threads: int) -> Program:
    """The workload on a number of threads."""
    torch.set_num_threads(threads)
    return _product(workload) if isinstance(workload, Product) else _training(workload)


def _product(product: Product) -> Program:
    a, b = map(torch.from_numpy, product.operands())

    def step() -> Any:
        return a @ b

    return Program(step, step)


def _training(training: Training) -> Program:
    model = _model(training)
    optimiser = _OPTIMISERS[training.optimiser](model.parameters(), lr=training.learning_rate, fused=True)
    feeds = [(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in training.batches()]
    judge = nn.CrossEntropyLoss()
    count = 0

    def step() -> Any:
        nonlocal count
        count += 1
        x, y = feeds[count % len(feeds)]
        optimiser.zero_grad(set_to_none=True)
        cost = judge(model(x), y)
        cost.backward()
        optimiser.step()
        return cost

    def certain() -> Array:
        model.eval()  # dropout is all that differs
        cost = step()
        model.train()
        return np.asarray(cost.detach())

    return Program(step, certain)


def _model(training: Training) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, (weights, biases) in enumerate(training.parameters()):
        if training.dropout:
            layers.append(nn.Dropout(training.dropout[number]))
        dense = nn.Linear(*weights.shape)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(weights.T))
            dense.bias.copy_(torch.from_numpy(biases))
        layers += [dense, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
