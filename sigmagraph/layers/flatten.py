"""The layer that makes one axis of all features."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import product
from sigmagraph.layers.base import Layer, Site
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Flatten(Layer):
    """All axes but the first as one: [batch, a, b, ...] -> [batch, a*b*...]."""

    name: str = "#-flatten"

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        return flat(x)


def flat(x: Tensor) -> Tensor:
    """The tensor with all axes but the first as one."""
    return x.reshape(x.shape[0], product(x.shape[1:]))
