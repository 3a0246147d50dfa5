"""The layer that tells the steps of a sequence where they stand."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np

from sigmagraph.errors import AttributeValueError
from sigmagraph.initialisers import Normal
from sigmagraph.layers.attention import check_sequence
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, known, making
from sigmagraph.tensor.creation import arange
from sigmagraph.tensor.functions import constant
from sigmagraph.tensor.math import sin
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class PositionalEncoding(Layer):
    """x plus a vector for each position: [batch, time, features] -> the same shape.

    The vectors are ``sin(t / base ** (2i / features))`` at feature 2i and the cosine of the same at 2i + 1 (A. Vaswani
    et al., "Attention is all you need", 2017), or, if ``learned`` is a number of positions, the rows of a parameter
    ``weights`` [learned, features] of x's dtype, at first normal with standard deviation 0.02.

    Args:
        learned: greatest number of steps, for vectors that are learnt.
        base: a positive number.

    Raises:
        AttributeValueError: a number makes no sense.
    """

    learned: int | None = None
    _: KW_ONLY
    base: float = 10000.0
    name: str = "#-positionalencoding"

    def __post_init__(self) -> None:
        with making(self.name):
            if self.learned is not None:
                check_count(self.learned, "learned")
            if not 0 < self.base < math.inf:
                raise AttributeValueError("'base' is out of range", expected="a number in (0, inf)", got=self.base)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_sequence(x)
        features = known(x.shape[2], "the number of features")
        if self.learned is not None:
            return x + site.parameter("weights", (self.learned, features), x.dtype, Normal(0.02))[: x.shape[1]]
        pairs = np.arange(features) // 2 * 2
        rates = self.base ** (-pairs / features)
        # A cosine is a sine a quarter of a turn later.
        shifts = np.arange(features) % 2 * (math.pi / 2)
        angles = arange(x.shape[1], dtype="float64")[:, None] * constant(rates) + constant(shifts)
        return x + sin(angles).astype(x.dtype)
