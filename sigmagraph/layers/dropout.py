"""The layer that leaves out elements at random while a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.errors import DTypeError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.tensor.creation import ones_like
from sigmagraph.tensor.functions import dropout, where
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.tensor.tensor import Tensor


@dataclass(frozen=True)
class Dropout(Layer):
    """In training elements become 0 with probability ``rate`` and the others are divided by ``1 - rate``.

    With ``scale=False`` the others stay as they are, as in Sigma.Core, so that sums are smaller in training than later.
    The rate is a hyperparameter of the training program, ``<layer>.rate``; its value here is the first one. Which
    elements are left out is a function of the network's seed, the step, the layer's place and the element.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).

    Raises:
        AttributeValueError: the rate is not in [0, 1).
    """

    rate: float
    name: str = "#-dropout"
    scale: bool = True

    def __post_init__(self) -> None:
        Hyperparameter(f"{self.name}.rate", self.rate, 1)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if not x.dtype.is_float:
            raise DTypeError("it scales floats", expected="a float type", got=x.dtype)
        if not site.training:
            return x
        rate = site.hyperparameter("rate", self.rate, 1)
        if self.scale:
            return dropout(x, rate, site.random_key(), site.stream)
        return where(dropout(ones_like(x), rate, site.random_key(), site.stream) > 0, x, 0.0)
