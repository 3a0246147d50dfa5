"""The rectifier that learns its slope."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.errors import ShapeError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_floats, known
from sigmagraph.tensor.activations import prelu
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class PReLU(Layer):
    """``x`` above 0, ``slopes * x`` below.

    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015. Parameter, of x's dtype: ``slopes`` [1], or
    [channels]; 0.25.

    Args:
        by_channel: whether each channel has a slope of its own.
        channels_first: whether x is [batch, channels, ...].
        name: of the layer.
    """

    by_channel: bool = False
    channels_first: bool = False
    name: str = "#-prelu"

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        if not self.by_channel:
            return prelu(x, site.parameter("slopes", (1,), x.dtype, initial=0.25))
        if x.ndim < 2:
            raise ShapeError("it needs an axis of channels", expected="2 axes or more", got=x.type)
        channels = known(x.shape[1 if self.channels_first else -1], "the number of channels")
        slopes = site.parameter("slopes", (channels,), x.dtype, initial=0.25)
        return prelu(x, slopes.reshape(channels, *(1,) * (x.ndim - 2)) if self.channels_first else slopes)
