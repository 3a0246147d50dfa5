"""One optimiser step while it is put together: run-time scalars, memory, new values, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sigmagraph.dtypes import F32, DType, promote
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.tensor import Parameter, Tensor

PREFIX = "optimiser"


@dataclass(eq=False, slots=True)
class OptimiserGraph:
    """One optimiser step as part of a graph.

    Attributes:
        hyperparameters: run-time scalars by name, each with its placeholder.
        earlier: memory of an earlier graph that is to go on, by name.
        updates: new values of the parameters and of the memory.
        memory: what is kept from step to step, by name.
        outputs: what the step reports, such as ``gradient_norm``, by name.
        factors: what the learning rate of a parameter is multiplied with.
    """

    hyperparameters: dict[str, tuple[Hyperparameter, Tensor]]
    earlier: Mapping[str, Parameter] = field(default_factory=dict)
    updates: dict[Tensor, Tensor] = field(default_factory=dict)
    memory: dict[str, Parameter] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    factors: dict[Parameter, Tensor] = field(default_factory=dict)

    def scalar(self, name: str) -> Tensor:
        """A hyperparameter, by the name of its field."""
        return self.hyperparameters[f"{PREFIX}.{name}"][1]

    def rate(self, parameter: Parameter) -> Tensor:
        """The learning rate of a parameter."""
        rate, factor = self.scalar("learning_rate"), self.factors.get(parameter)
        return rate if factor is None else rate * factor

    def remember(self, name: str, dtype: DType, shape: tuple[int, ...] = (), initial: float = 0.0) -> Parameter:
        """Memory that starts with ``initial`` everywhere, or goes on where an earlier graph left it."""
        name = f"{PREFIX}.{name}"
        if name in self.earlier:
            variable = self.earlier[name].variable
        else:
            variable = Variable(name, dtype, shape, np.asarray(initial, dtype.numpy) if initial else None)
        self.memory[name] = Parameter(variable, trainable=False)
        return self.memory[name]

    def remember_like(self, parameter: Parameter, name: str) -> Parameter:
        """Memory of a parameter's shape that starts with zeros, of a dtype for what is computed from its gradient."""
        return self.remember(f"{parameter.name}.{name}", step_dtype(parameter), parameter.variable.shape)

    def set(self, target: Parameter, value: Tensor) -> Tensor:
        """Let a parameter or memory have a new value, in its own dtype, and return that value."""
        self.updates[target] = value.astype(target.dtype)
        return self.updates[target]


def step_dtype(parameter: Tensor) -> DType:
    """What a step is computed in: the parameter's dtype, but at least f32, as squares of gradients vanish in f16."""
    return promote(parameter.dtype, F32)


def specify(
    name: str, value: Number, high: float = float("inf"), *, positive: bool = False, low: float = 0.0
) -> Hyperparameter:
    """A hyperparameter of an optimiser.

    Raises:
        AttributeValueError: the value is out of range.
    """
    return Hyperparameter(f"{PREFIX}.{name}", value, high, positive, low)
