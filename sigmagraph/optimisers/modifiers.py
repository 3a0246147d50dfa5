"""What is done to the values of parameters after every update: limits and factors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from sigmagraph.errors import AttributeValueError
from sigmagraph.optimisers.step import specify
from sigmagraph.tensor.functions import abs, maximum
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.math import clip
from sigmagraph.tensor.reductions import norm
from sigmagraph.tensor.tensor import Tensor


class Modifier(ABC):
    """A change of a parameter's new value, as part of the training step.

    Its numbers are hyperparameters ``optimiser.modifiers.<pattern>.<field>``.
    """

    @abstractmethod
    def specifications(self, pattern: str, /) -> tuple[Hyperparameter, ...]:
        """The hyperparameters for the parameters that a pattern names, with first values and ranges."""

    @abstractmethod
    def modify(self, value: Tensor, /, *scalars: Tensor) -> Tensor:
        """What takes the place of a value, given the hyperparameters in the order of :meth:`specifications`."""

    def __post_init__(self) -> None:
        self.specifications("*")  # which check the first values


def _specify(
    pattern: str, field: str, value: Number, *, positive: bool = False, low: float = -math.inf
) -> Hyperparameter:
    return specify(f"modifiers.{pattern}.{field}", value, positive=positive, low=low)


@dataclass(frozen=True)
class Clamp(Modifier):
    """``minimum(maximum(w, low), high)`` for every element; NaN stays NaN.

    Args:
        low, high: finite numbers, or schedules. If they come to cross while training runs, ``high`` counts.

    Raises:
        AttributeValueError: a number is not finite, or ``low`` is greater than ``high``.
    """

    low: Number = -1.0
    high: Number = 1.0

    def __post_init__(self) -> None:
        low, high = self.specifications("*")
        if low.first > high.first:
            raise AttributeValueError(
                "the limits of a clamp cross", expected="low <= high", got=f"low={low.first}, high={high.first}"
            )

    def specifications(self, pattern: str, /) -> tuple[Hyperparameter, ...]:
        return _specify(pattern, "low", self.low), _specify(pattern, "high", self.high)

    def modify(self, value: Tensor, /, *scalars: Tensor) -> Tensor:
        low, high = scalars
        return clip(value, low, high)


@dataclass(frozen=True)
class Scale(Modifier):
    """``factor * w``; a factor a little less than 1 makes weights decay, whatever the learning rate.

    Args:
        factor: a finite number, or a schedule.

    Raises:
        AttributeValueError: the factor is not finite.
    """

    factor: Number

    def specifications(self, pattern: str, /) -> tuple[Hyperparameter, ...]:
        return (_specify(pattern, "factor", self.factor),)

    def modify(self, value: Tensor, /, *scalars: Tensor) -> Tensor:
        return scalars[0] * value


@dataclass(frozen=True)
class MaxNorm(Modifier):
    """``w * limit / maximum(norm, limit)``, where ``norm`` is that of the weights which lead to one unit.

    The units are the last axis of ``w[..., inputs, units]``: the norm is taken over all other axes, and of a vector for
    each element by itself.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014),
    section 5.1.

    Args:
        limit: a number in (0, inf), or a schedule.

    Raises:
        AttributeValueError: the limit is out of range.
    """

    limit: Number

    def specifications(self, pattern: str, /) -> tuple[Hyperparameter, ...]:
        return (_specify(pattern, "limit", self.limit, positive=True, low=0.0),)

    def modify(self, value: Tensor, /, *scalars: Tensor) -> Tensor:
        limit = scalars[0]
        axes = tuple(range(value.ndim - 1))
        size = norm(value, axis=axes, keepdims=True) if axes else abs(value)
        return value * (limit / maximum(size, limit))
