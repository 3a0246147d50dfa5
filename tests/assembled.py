"""Layers put together as a network does it, over variables that are drawn by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensor_value import run

from sigmagraph.layers.assembly import Assembly
from sigmagraph.layers.base import Function, chain
from sigmagraph.layers.records import ParameterSpec
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

NDArray = np.ndarray[Any, Any]


class Builder:
    """Assembles a chain, or a function without parameters that calls layers, and runs it by the interpreter."""

    def __init__(self, layers: Any, training: bool = False) -> None:
        self.specs: list[ParameterSpec] = []
        self.assembly = Assembly(self.variable, training)
        first, *rest = chain(layers).layers
        with self.assembly.open():
            x = first.function() if isinstance(first, Function) else first()
            for layer in rest:
                x = layer(x)
        self.output: Tensor = x
        self.inputs = list(self.assembly.inputs.values())
        self.input = self.inputs[0]

    def variable(self, spec: ParameterSpec) -> Variable:
        self.specs.append(spec)
        rng = np.random.default_rng(len(spec.identifier))
        given = isinstance(spec.initial, (int, float))
        initial = np.full(spec.shape, spec.initial) if given else rng.uniform(-1, 1, spec.shape)
        return Variable(spec.identifier, spec.dtype, spec.shape, initial.astype(spec.dtype.numpy))

    def parameters(self) -> dict[str, NDArray]:
        """Live values by identifier."""
        known = self.assembly.parameters | self.assembly.states
        return {name: parameter.value for name, parameter in known.items()}

    def __call__(self, *arrays: Any, **targets: Any) -> NDArray:
        return self.value(self.output, *arrays, **targets)

    def value(self, tensor: Tensor, *arrays: Any, **targets: Any) -> NDArray:
        """What a tensor is worth for the inputs in their order and targets by name; states are updated."""
        assembly = self.assembly
        wanted = [assembly.targets[name] for name in targets]
        updates: dict[Tensor, Tensor] = {assembly.states[name]: new for name, new in assembly.updates.items()}
        program = capture([*self.inputs, *wanted], {"out": tensor}, updates)
        named = {t.name: a for t, a in zip(self.inputs, arrays, strict=True)}
        return run(program, named | targets)["out"]

    @property
    def names(self) -> list[str]:
        """The layers in the order in which they were finished."""
        return [placed.name for placed in self.assembly.placed]
