"""The layers that say what a network is to make small."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from sigmagraph import losses
from sigmagraph.dims import Dim, product
from sigmagraph.dtypes import I32
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_floats, check_number, making
from sigmagraph.tensor.functions import log_softmax, one_hot, sigmoid, softmax
from sigmagraph.tensor.tensor import Tensor

Reduction: TypeAlias = Literal["mean", "sum"]


@dataclass(frozen=True)
class CostLayer(Layer):
    """What cost layers have in common: they give their operand as it is, and add a scalar to what training makes small.

    Args:
        importance: weight among several cost layers.
        targets: name of what x is compared with, among the inputs of the training program.

    Raises:
        AttributeValueError: the importance is negative.
    """

    importance: float = 1.0
    targets: str = "targets"
    name: str = "#-cost"

    def __post_init__(self) -> None:
        if not isinstance(self.importance, (int, float)) or not 0 <= self.importance < math.inf:
            raise AttributeValueError(
                f"the layer '{self.name}' cannot have this importance",
                expected="a number in [0, inf)",
                got=repr(self.importance),
            )

    @abstractmethod
    def cost(self, x: Tensor, site: Site) -> Tensor:
        """The scalar, without its weight."""

    def prediction(self, x: Tensor) -> Tensor:
        """What x means."""
        return x

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        cost = self.cost(x, site)
        weighted = cost if self.importance == 1 else cost * self.importance
        prediction = self.prediction(x)
        site.cost(weighted, x, prediction, self.targets, self._labels(), self._ignored(), self.importance)
        return x

    def _labels(self) -> str | None:
        """The target that holds numbers of classes."""
        return None

    def _ignored(self) -> int | None:
        """The label that does not count."""
        return None


# ---- of classes


@dataclass(frozen=True)
class SoftmaxCrossEntropy(CostLayer):
    """Mean over all rows of ``-log(softmax(x)[label])`` for x[batch, ..., classes] and integer labels[batch, ...].

    The network then predicts ``softmax(x)``, the probabilities of the classes.

    Args:
        importance: weight among several cost layers.
        targets: name of the labels among the inputs of the training program.
        label_smoothing: in [0, 1], the part of the probability that is spread evenly over all classes.
        class_weights: what the cost of each class is multiplied with; the mean is the weighted one.
        ignore_index: a label that costs nothing and does not count.

    Raises:
        AttributeValueError: the importance is negative, or the smoothing out of range.
    """

    name: str = "#-softmaxcrossentropy"
    _: KW_ONLY
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        with making(self.name):
            check_number(self.label_smoothing, "label_smoothing", 1)

    def cost(self, x: Tensor, site: Site) -> Tensor:
        return losses.softmax_cross_entropy(
            x,
            site.target(self.targets, _labels_of(x)),
            "mean",
            class_weights=None if self.class_weights is None else list(self.class_weights),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def prediction(self, x: Tensor) -> Tensor:
        return softmax(x)

    def _labels(self) -> str | None:
        return self.targets

    def _ignored(self) -> int | None:
        return self.ignore_index


@dataclass(frozen=True)
class SigmaCrossEntropy(CostLayer):
    """The cost of Sigma.Core's ``SoftMaxCrossEntropyCostLayer``, for compatibility: a binary cross entropy per class.

    ``-sum(t * log(p) + (1 - t) * log(1 + 1e-6 - p)) / rows`` for ``p = softmax(x)``, t = 1 for the label and 0 for the
    others, x[batch, ..., classes] and integer labels[batch, ...]. Where Sigma.Core took the logarithm of 0, ``log(p)``
    is finite here. The network then predicts ``softmax(x)``.
    """

    name: str = "#-sigmacrossentropy"

    def cost(self, x: Tensor, site: Site) -> Tensor:
        labels = site.target(self.targets, _labels_of(x))
        classes = x.shape[-1]
        if not isinstance(classes, int):
            raise ShapeError("it needs a known number of classes", expected="a number", got=classes)
        return losses.sigma_cross_entropy(x, one_hot(labels, classes, x.dtype))

    def prediction(self, x: Tensor) -> Tensor:
        return softmax(x)

    def _labels(self) -> str | None:
        return self.targets


@dataclass(frozen=True)
class KLDivergence(CostLayer):
    """Mean over all rows of ``sum(t * (log(t) - log(softmax(x))))``, for targets t[batch, ..., classes] with sum 1.

    The network then predicts ``softmax(x)``.
    """

    name: str = "#-kldivergence"

    def cost(self, x: Tensor, site: Site) -> Tensor:
        rows = _labels_of(x).shape
        cost = losses.kl_divergence(log_softmax(x), site.target(self.targets, x.type))
        return cost.sum(-1).reshape(product(rows)).mean()

    def prediction(self, x: Tensor) -> Tensor:
        return softmax(x)


@dataclass(frozen=True)
class CTC(CostLayer):
    """Mean over the batch of what :func:`sigmagraph.losses.ctc` costs, by label, for logits x[batch, time, classes].

    The training program takes three targets of i32: the labels ``<targets>`` [batch, most labels], the numbers of
    steps ``<targets>.lengths`` [batch] and of labels ``<targets>.label_lengths`` [batch].

    Args:
        importance: weight among several cost layers.
        targets: name of the labels among the inputs of the training program.
        blank: the class that says nothing.

    Raises:
        AttributeValueError: the importance is negative.
    """

    name: str = "#-ctc"
    _: KW_ONLY
    blank: int = 0

    def cost(self, x: Tensor, site: Site) -> Tensor:
        if x.ndim != 3:
            raise ShapeError("it judges sequences", expected="[batch, time, classes]", got=x.type)
        batch = x.shape[0]
        labels = site.target(self.targets, TensorType(I32, (batch, Dim("labels"))))
        lengths, label_lengths = (
            site.target(f"{self.targets}.{what}", TensorType(I32, (batch,))) for what in ("lengths", "label_lengths")
        )
        return losses.ctc(x, labels, lengths, label_lengths, "mean", blank=self.blank)

    def prediction(self, x: Tensor) -> Tensor:
        return softmax(x)


def _labels_of(x: Tensor) -> TensorType:
    if x.ndim < 2:
        raise ShapeError("it needs an axis of classes", expected="[batch, ..., classes]", got=x.type)
    return TensorType(I32, x.shape[:-1])


# ---- by element


@dataclass(frozen=True)
class _ByElement(CostLayer):
    """Costs of elements, for targets of the shape and dtype of x; trainers take targets[batch] for x[batch, 1] too."""

    _: KW_ONLY
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        with making(self.name):
            if self.reduction not in ("mean", "sum"):
                raise AttributeValueError(
                    "there is no such reduction", expected="mean or sum", got=repr(self.reduction)
                )

    def cost(self, x: Tensor, site: Site) -> Tensor:
        return self.of_elements(x, site.target(self.targets, x.type))

    @abstractmethod
    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        """The cost, reduced."""


@dataclass(frozen=True)
class BinaryCrossEntropy(_ByElement):
    """Mean of ``-t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x))`` over all elements, for targets t in [0, 1].

    The network then predicts ``sigmoid(x)``, the probability of yes.

    Args:
        importance: weight among several cost layers.
        targets: name of the targets among the inputs of the training program, of the shape and dtype of x; for
            x[batch, 1] a trainer takes targets[batch] too.
        reduction: ``mean`` or ``sum``.

    Raises:
        AttributeValueError: the importance is negative, or there is no such reduction.
    """

    name: str = "#-binarycrossentropy"

    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        return losses.binary_cross_entropy_with_logits(x, target, self.reduction)

    def prediction(self, x: Tensor) -> Tensor:
        return sigmoid(x)


@dataclass(frozen=True)
class SquaredDifference(_ByElement):
    """Mean over all elements of ``(x - target) ** 2``; with ``reduction="sum"`` their sum, as in Sigma.Core.

    Args:
        importance: weight among several cost layers.
        targets: name of the targets among the inputs of the training program, of the shape and dtype of x.
        reduction: ``mean`` or ``sum``, which grows with the batch.

    Raises:
        AttributeValueError: the importance is negative, or there is no such reduction.
    """

    name: str = "#-squareddifference"

    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        return losses.squared_difference(x, target, self.reduction)


@dataclass(frozen=True)
class AbsoluteDifference(_ByElement):
    """Mean over all elements of ``abs(x - target)``; arguments and errors as in :class:`SquaredDifference`."""

    name: str = "#-absolutedifference"

    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        return losses.absolute_difference(x, target, self.reduction)


@dataclass(frozen=True)
class Huber(_ByElement):
    """Mean over all elements of half the square of differences up to delta, and from there on a straight line.

    Source: P. J. Huber, "Robust estimation of a location parameter" (1964). Other arguments and errors as in
    :class:`SquaredDifference`; a delta that is not positive is an AttributeValueError.
    """

    name: str = "#-huber"
    _: KW_ONLY
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        with making(self.name):
            if (
                isinstance(self.delta, bool)
                or not isinstance(self.delta, (int, float))
                or not 0 < self.delta < math.inf
            ):
                raise AttributeValueError("'delta' is out of range", expected="a number in (0, inf)", got=self.delta)

    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        return losses.huber(x, target, self.reduction, self.delta)


@dataclass(frozen=True)
class Hinge(_ByElement):
    """Mean over all elements of ``maximum(0, 1 - target * x)``, for targets -1 and 1.

    Arguments and errors as in :class:`SquaredDifference`.
    """

    name: str = "#-hinge"

    def of_elements(self, x: Tensor, target: Tensor) -> Tensor:
        return losses.hinge(x, target, self.reduction)
