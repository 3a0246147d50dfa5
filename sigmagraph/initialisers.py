"""First values of parameters: distributions that know how wide a layer is, and constants.

An initialiser is any callable ``(shape, rng) -> array``; those here are frozen, comparable records.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Initialiser: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], Any]
Kind: TypeAlias = Literal["normal", "uniform"]


@dataclass(frozen=True, slots=True)
class Normal:
    """Numbers from the normal distribution.

    Raises:
        AttributeValueError: ``std`` is negative, or a number is not finite.
    """

    std: float = 0.05
    mean: float = 0.0

    def __post_init__(self) -> None:
        _finite(self, "std", self.std, at_least=0)
        _finite(self, "mean", self.mean)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return rng.normal(self.mean, self.std, shape)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Numbers from [low, high), all equally likely.

    Raises:
        AttributeValueError: ``high`` is less than ``low``, or a number is not finite.
    """

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        _finite(self, "low", self.low)
        _finite(self, "high", self.high, at_least=self.low)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same number everywhere.

    Raises:
        AttributeValueError: it is not finite.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        _finite(self, "value", self.value)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:  # noqa: ARG002
        return np.full(shape, self.value)


@dataclass(frozen=True, slots=True)
class Glorot:
    """Numbers of variance ``2 / (fan_in + fan_out)``, which keeps signals alive through layers with tanh or sigmoid.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
    2010, section 4.2.

    Raises:
        AttributeValueError: there is no such kind of distribution.
    """

    kind: Kind = "uniform"

    def __post_init__(self) -> None:
        _check_kind(self, self.kind)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        fan_in, fan_out = fans(shape)
        return _of_variance(self.kind, 2 / max(fan_in + fan_out, 1), shape, rng)


@dataclass(frozen=True, slots=True)
class He:
    """Numbers of variance ``2 / fan_in``, which keeps signals alive through layers with relu.

    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015, section 2.2.

    Raises:
        AttributeValueError: there is no such kind of distribution.
    """

    kind: Kind = "normal"

    def __post_init__(self) -> None:
        _check_kind(self, self.kind)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        fan_in, _ = fans(shape)
        return _of_variance(self.kind, 2 / max(fan_in, 1), shape, rng)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs an output depends on, and how many outputs an input reaches, for weights[..., inputs, outputs].

    Leading axes are a window, over which both are counted.

    Raises:
        ShapeError: there are fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError("weights of this shape have no inputs and outputs", expected="rank 2 or more", got=shape)
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _of_variance(kind: Kind, variance: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
    if kind == "normal":
        return rng.normal(0.0, math.sqrt(variance), shape)
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _check_kind(owner: object, kind: str) -> None:
    if kind not in ("normal", "uniform"):
        raise AttributeValueError(
            f"{type(owner).__name__}: there is no such distribution", expected="normal or uniform", got=repr(kind)
        )


def _finite(owner: object, name: str, value: object, at_least: float = -math.inf) -> None:
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < at_least:  # type: ignore[arg-type, operator]
        expected = "a finite number" if at_least == -math.inf else f"a finite number of at least {at_least}"
        raise AttributeValueError(
            f"{type(owner).__name__}: '{name}' makes no sense", expected=expected, got=repr(value)
        )
