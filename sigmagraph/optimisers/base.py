"""What an optimiser is: from parameters and gradients to new values, as part of the graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sigmagraph.dtypes import DType
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import here, scope

PREFIX = "optimiser"


@dataclass(eq=False, slots=True)
class OptimiserGraph:
    """One optimiser step as part of a graph.

    Attributes:
        hyperparameters: run-time scalars by name, each with its placeholder.
        updates: new values of the parameters and of the memory.
        memory: what is kept from step to step, by name.
    """

    hyperparameters: dict[str, tuple[Hyperparameter, Tensor]]
    updates: dict[Tensor, Tensor] = field(default_factory=dict)
    memory: dict[str, Parameter] = field(default_factory=dict)

    def scalar(self, name: str) -> Tensor:
        """A hyperparameter, by the name of its field."""
        return self.hyperparameters[f"{PREFIX}.{name}"][1]

    def remember(self, name: str, dtype: DType, shape: tuple[int, ...] = (), initial: float = 0.0) -> Parameter:
        """Memory that starts with ``initial`` everywhere."""
        variable = Variable(f"{PREFIX}.{name}", dtype, shape, np.asarray(initial, dtype.numpy))
        self.memory[variable.name] = Parameter(variable, trainable=False)
        return self.memory[variable.name]

    def remember_like(self, parameter: Parameter, name: str) -> Parameter:
        """Memory of a parameter's dtype and shape that starts with zeros."""
        return self.remember(f"{parameter.name}.{name}", parameter.dtype, parameter.variable.shape)

    def set(self, target: Parameter, value: Tensor) -> Tensor:
        """Let a parameter or memory have a new value, in its own dtype, and return that value."""
        self.updates[target] = value.astype(target.dtype)
        return self.updates[target]


class Optimiser(ABC):
    """A rule that makes new values of parameters from their gradients.

    Subclasses are frozen records of numbers. Each number is a hyperparameter: what the record holds is its first value;
    the program takes it at every call as ``optimiser.<field>``.
    """

    @abstractmethod
    def specifications(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters, with their first values and ranges."""

    @abstractmethod
    def step(self, pairs: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> None:
        """Enter new values of all parameters, and of the memory, into the graph, given parameters and gradients."""

    def __post_init__(self) -> None:
        self.specifications()  # which check the first values

    def updates(self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> OptimiserGraph:
        """The new values of parameters as part of their graph.

        Args:
            parameters: by identifier.
            gradients: one for each parameter, of its shape, by the same identifiers.

        Raises:
            GraphError: identifiers differ, or one is no parameter.
            ShapeError, DTypeError: a gradient does not have its parameter's shape, or a parameter holds no floats.
        """
        if parameters.keys() != gradients.keys():
            raise GraphError(
                "the gradients are not those of the parameters",
                expected=", ".join(parameters),
                got=", ".join(gradients),
                location=here(),
            )
        pairs = {_checked(name, tensor, gradients[name]): gradients[name] for name, tensor in parameters.items()}
        with scope(PREFIX):
            graph = OptimiserGraph({spec.name: (spec, spec.tensor()) for spec in self.specifications()})
            self.step(pairs, graph)
        return graph


def specify(name: str, value: float, high: float = float("inf"), *, positive: bool = False) -> Hyperparameter:
    """A hyperparameter of an optimiser.

    Raises:
        AttributeValueError: the value is out of range.
    """
    return Hyperparameter(f"{PREFIX}.{name}", value, high, positive)


def _checked(name: str, parameter: Tensor, gradient: Tensor) -> Parameter:
    if not isinstance(parameter, Parameter):
        raise GraphError(f"'{name}' is no parameter", expected="a parameter", got=repr(parameter), location=here())
    if not parameter.dtype.is_float:
        raise DTypeError(f"'{name}' cannot be optimised", expected="floats", got=parameter.type, location=here())
    if gradient.shape != parameter.shape:
        raise ShapeError(
            f"the gradient of '{name}' has another shape", expected=parameter.type, got=gradient.type, location=here()
        )
    return parameter
