"""What a layer is, and how layers are composed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sigmagraph.errors import AttributeValueError
from sigmagraph.layers.assembly import Site, current
from sigmagraph.tensor.tensor import Tensor

__all__ = ["Chain", "Composable", "Forward", "Function", "Lambda", "Layer", "Shared", "Site", "chain"]

Forward: TypeAlias = Callable[..., Tensor]


class Layer(ABC):
    """A part of a network: a small frozen description that says its forward graph and holds no values.

    ``a + b`` puts ``b`` behind ``a``, ``n * a`` puts ``n`` of them one behind the other. Called on a tensor while a
    network is being assembled, a layer appends its nodes and returns its result, so that functions of tensors can join
    layers in any way. A ``#`` in the name stands for the layer's running number, which is 0 for the input.
    """

    name: str

    @abstractmethod
    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        """The result of the layer for ``x``; parameters and the like come from ``site``.

        Layers of several operands take the others behind the site, by place or by name.
        """

    def __call__(self, *operands: Tensor, **named: Tensor) -> Tensor:
        return current(self).apply(self, operands, named)

    def __add__(self, other: Composable) -> Chain:
        return Chain((self,)) + other

    def __radd__(self, other: Forward) -> Chain:
        return chain(other) + self

    def __rmul__(self, times: int) -> Chain:
        return times * Chain((self,))


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one behind the other."""

    layers: tuple[Layer, ...]

    def __add__(self, other: Composable) -> Chain:
        return Chain(self.layers + chain(other).layers)

    def __radd__(self, other: Forward) -> Chain:
        return chain(other) + self

    def __rmul__(self, times: int) -> Chain:
        if isinstance(times, bool) or not hasattr(times, "__index__") or times < 1:
            raise AttributeValueError("layers cannot be repeated like this", expected="an int of 1 or more", got=times)
        return Chain(self.layers * times.__index__())

    def __call__(self, *operands: Tensor, **named: Tensor) -> Tensor:
        if not self.layers:
            raise AttributeValueError(
                "a chain without layers cannot be called", expected="at least one layer", got="none"
            )
        first, *rest = self.layers
        x = first(*operands, **named)
        for layer in rest:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Function(Layer):
    """A function of tensors as a layer; it may call layers, and join their results in any way."""

    function: Forward
    name: str = "#-function"

    def forward(self, x: Tensor, _site: Site, /, *others: Tensor, **named: Tensor) -> Tensor:
        return self.function(x, *others, **named)


Lambda = Function


@dataclass(frozen=True, eq=False)
class Shared(Layer):
    """A layer, chain or function with one set of parameters, however often it is called.

    ``encode = L.Shared(L.Dense(8))`` called twice in a network gives one layer that stands in two places. Dropout draws
    other numbers in each of them; state passes through them in the order of the calls.

    Raises:
        AttributeValueError: what is shared is neither a layer nor a function.
    """

    inner: Composable
    name: str = "#-shared"

    def __post_init__(self) -> None:
        chain(self.inner)

    def __call__(self, *operands: Tensor, **named: Tensor) -> Tensor:
        with current(self).shared(self):
            return super().__call__(*operands, **named)

    def forward(self, x: Tensor, _site: Site, /, *others: Tensor, **named: Tensor) -> Tensor:
        return chain(self.inner)(x, *others, **named)


Composable: TypeAlias = Layer | Chain | Forward


def chain(part: Composable) -> Chain:
    """Anything that can stand in a network as a chain; plain functions of tensors become layers.

    Raises:
        AttributeValueError: it is neither a layer nor a function.
    """
    if isinstance(part, Chain):
        return part
    if isinstance(part, Layer):
        return Chain((part,))
    if not callable(part):
        raise AttributeValueError(
            "this is no part of a network", expected="a layer, a chain of layers, or a function", got=repr(part)
        )
    return Chain((Function(part),))
