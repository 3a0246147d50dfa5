"""Gradients that are kept small: each number by itself, or all of them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sigmagraph.dtypes import F32, F64
from sigmagraph.optimisers.step import OptimiserGraph, specify
from sigmagraph.tensor.functions import maximum, sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameter, Number
from sigmagraph.tensor.math import clip, square
from sigmagraph.tensor.tensor import Parameter, Tensor


class Clipping(ABC):
    """A rule that makes gradients smaller before an optimiser uses them."""

    @abstractmethod
    def specifications(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters, with their first values and ranges."""

    @abstractmethod
    def clip(self, gradients: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> Mapping[Parameter, Tensor]:
        """Smaller gradients, each of its old type, by parameter."""


@dataclass(frozen=True)
class ClipByValue(Clipping):
    """``minimum(maximum(g, -limit), limit)`` for every element of every gradient; NaN stays NaN.

    Args:
        limit: hyperparameter ``optimiser.clip.limit``; a number in (0, inf), or a schedule.

    Raises:
        AttributeValueError: the limit is out of range.
    """

    limit: Number

    def __post_init__(self) -> None:
        self.specifications()

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (specify("clip.limit", self.limit, positive=True),)

    def clip(self, gradients: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> Mapping[Parameter, Tensor]:
        limit = graph.scalar("clip.limit")
        return {w: clip(g, -limit, limit).astype(g.dtype) for w, g in gradients.items()}


@dataclass(frozen=True)
class ClipByNorm(Clipping):
    """``g * limit / maximum(norm, limit)`` for all gradients, where ``norm`` is that of all their elements together.

    Directions stay, and gradients whose norm is not greater than the limit stay as they are. The norm before clipping
    is the output ``gradient_norm`` of the training step. Squares are summed in f32, in f64 if a gradient is of that
    type. A norm that is NaN makes all gradients NaN, an infinite one makes finite elements 0 and infinite ones NaN.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
    algorithm 1.

    Args:
        limit: hyperparameter ``optimiser.clip.limit``; a number in (0, inf), or a schedule.

    Raises:
        AttributeValueError: the limit is out of range.
    """

    limit: Number

    def __post_init__(self) -> None:
        self.specifications()

    def specifications(self) -> tuple[Hyperparameter, ...]:
        return (specify("clip.limit", self.limit, positive=True),)

    def clip(self, gradients: Mapping[Parameter, Tensor], graph: OptimiserGraph, /) -> Mapping[Parameter, Tensor]:
        limit = graph.scalar("clip.limit")
        norm = global_norm(gradients.values())
        graph.outputs["gradient_norm"] = norm
        scale = limit / maximum(norm, limit)
        return {w: (g * scale).astype(g.dtype) for w, g in gradients.items()}


def global_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all elements of all tensors together, f64 if one of them is, else f32."""
    found = list(tensors)
    wide = F64 if any(t.dtype is F64 for t in found) else F32
    sums = [square(t.astype(wide)).sum() for t in found]
    return sqrt(sum(sums[1:], sums[0]))
