"""How far a layer and PyTorch are apart: results, gradients of all operands and of all parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import sigmagraph as sg
from sigmagraph import layers as L

NDArray = np.ndarray[Any, Any]
# From PyTorch's parameters by name (or their gradients, which have the same names) to one of ours.
Picture = Callable[[Mapping[str, NDArray]], NDArray]
LIMIT = 1e-5
LARGEST: dict[str, float] = {}  # what was found so far, for the table at the end of the run


@dataclass(frozen=True)
class Agreement:
    """What a comparison gave.

    Attributes:
        errors: largest error over largest magnitude, of the result, of the gradient of each float operand (``d x0``,
            ``d x1``, ...) and of each parameter (``d weights``, ...).
        network: the layer in a network of its own, after one call; its states are those after the call.
    """

    errors: dict[str, float]
    network: sg.Network

    @property
    def largest(self) -> float:
        return max(self.errors.values())

    def check(self, name: str, limit: float = LIMIT) -> None:
        """Note the largest error under a name, and assert that all are small."""
        LARGEST[name] = max(LARGEST.get(name, 0.0), self.largest)
        wrong = {name: error for name, error in self.errors.items() if not error <= limit}
        assert wrong == {}


def numbers(*shape: int, seed: int = 0) -> NDArray:
    """float32 numbers from a normal distribution."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def compare(
    layer: Any,
    reference: Callable[..., Any],
    *operands: NDArray,
    weights: Mapping[str, Picture] | None = None,
    slopes: Mapping[str, Picture] | None = None,
    module: torch.nn.Module | None = None,
    training: bool = True,
    steps: int = 1,
    states: Mapping[str, Picture] | None = None,
    vanishing: str | None = None,
) -> Agreement:
    """Give a layer PyTorch's parameters, run both forward and backward, and compare.

    Args:
        layer: a layer, or a function of tensors that calls layers.
        reference: the same from torch tensors to a torch tensor.
        operands: float arrays are differentiated; sizes of their first axis become the symbolic batch.
        weights: for each parameter of the layer (``weights``, or the whole identifier), how it is made of those of
            ``module``.
        slopes: how its gradient is made of theirs, where that is something else.
        module: whose parameters the reference uses.
        training: whether both behave as in training.
        steps: how often both are called before the last results are compared.
        states: for each state of the layer what it is to be of the buffers of ``module`` at the end.
        vanishing: end of the identifiers of parameters whose gradient is 0 but for rounding; their errors are measured
            by the largest of all gradients.
    """

    def build() -> sg.Tensor:
        return layer(*(L.Input(*x.shape[1:], alias=f"x{i}", dtype=x.dtype)() for i, x in enumerate(operands)))

    network = sg.Network("agreement", build)
    graph = network.forward(training=training)
    parameters = graph.assembly.parameters
    ours = {identifier: _picture(identifier, weights or {}) for identifier in parameters}
    for identifier, picture in ours.items():
        value = picture({name: p.detach().numpy() for name, p in module.named_parameters()}) if module else None
        network.parameters()[identifier][...] = value
    (result,) = graph.predictions.values()
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in operands]
    if module is not None:
        module.train(training)
        module.zero_grad()  # one module may be compared with several layers
    for _ in range(steps):
        expected = reference(*tensors)
    seed = numbers(*expected.shape, seed=1)
    expected.backward(torch.tensor(seed))
    cotangent = sg.placeholder("cotangent", result.shape)
    floats = [t for t, x in zip(graph.inputs, operands, strict=True) if x.dtype.kind == "f"]
    found = sg.gradients((result * cotangent).sum(), [*floats, *parameters.values()])
    names = [f"d {t.name}" for t in floats] + [f"d {identifier}" for identifier in parameters]
    outputs = {"result": result} | dict(zip(names, found, strict=True))
    program = sg.compile([*graph.inputs, cotangent], outputs, graph.updates, name="agreement")
    for _ in range(steps):
        got = program(*operands, seed)
    wanted = {"result": expected.detach().numpy()}
    wanted |= {f"d x{i}": t.grad.numpy() for i, t in enumerate(tensors) if t.requires_grad}
    for identifier in parameters:
        theirs = {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
        wanted[f"d {identifier}"] = _picture(identifier, {**(weights or {}), **(slopes or {})})(theirs)
    for identifier, value in network.states().items():
        if states is not None:
            got[identifier] = value
            wanted[identifier] = _picture(identifier, states)({n: b.numpy() for n, b in module.named_buffers()})
    assert set(got) == set(wanted)
    largest = max(float(np.abs(array).max(initial=0)) for name, array in wanted.items() if name.startswith("d "))
    scales = {name: largest if vanishing and name.endswith(vanishing) else None for name in wanted}
    return Agreement({name: error(got[name], wanted[name], scales[name]) for name in wanted}, network)


def error(got: NDArray, expected: NDArray, scale: float | None = None) -> float:
    """Largest error over largest magnitude, or over another one."""
    assert got.shape == tuple(expected.shape)
    scale = np.abs(expected).max(initial=0) if scale is None else scale
    return float(np.abs(got - expected).max(initial=0) / (scale or 1))


def _picture(identifier: str, pictures: Mapping[str, Picture]) -> Picture:
    """The one whose name the identifier ends in; of several the longest."""
    fitting = [name for name in pictures if identifier == name or identifier.endswith(f".{name}")]
    return pictures[max(fitting, key=len)]
