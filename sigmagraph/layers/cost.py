"""The layers that say what a network is to make small."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dtypes import I32
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.layers.base import Layer, Site
from sigmagraph.tensor.functions import softmax, softmax_cross_entropy
from sigmagraph.tensor.tensor import Tensor, emit


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Layer):
    """Mean over all rows of ``-log(softmax(x)[label])`` for x[batch, ..., classes] and integer labels[batch, ...].

    The network then predicts ``softmax(x)``, the probabilities of the classes.

    Args:
        importance: weight among several cost layers.
        targets: name of the labels among the inputs of the training program.

    Raises:
        AttributeValueError: the importance is negative.
    """

    importance: float = 1.0
    targets: str = "targets"
    name: str = "#-softmaxcrossentropy"

    def __post_init__(self) -> None:
        _check_importance(self.importance, self.name)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        if x.ndim < 2:
            raise ShapeError("it needs an axis of classes", expected="[batch, ..., classes]", got=x.type)
        labels = site.target(self.targets, TensorType(I32, x.shape[:-1]))
        loss = softmax_cross_entropy(x, labels).mean()
        site.cost(_weighted(loss, self.importance), x, softmax(x))
        return x


@dataclass(frozen=True)
class SquaredDifference(Layer):
    """Mean over all elements of ``(x - target) ** 2``, for targets of the shape and dtype of x.

    Args:
        importance: weight among several cost layers.
        targets: name of the targets among the inputs of the training program.

    Raises:
        AttributeValueError: the importance is negative.
    """

    importance: float = 1.0
    targets: str = "targets"
    name: str = "#-squareddifference"

    def __post_init__(self) -> None:
        _check_importance(self.importance, self.name)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        difference = x - site.target(self.targets, x.type)
        site.cost(_weighted(emit("square", difference).mean(), self.importance), x, x)
        return x


def _weighted(loss: Tensor, importance: float) -> Tensor:
    return loss if importance == 1 else loss * importance


def _check_importance(importance: float, layer: str) -> None:
    if not isinstance(importance, (int, float)) or not 0 <= importance < float("inf"):
        raise AttributeValueError(
            f"the layer '{layer}' cannot have this importance", expected="a number in [0, inf)", got=repr(importance)
        )
