"""What a prediction costs: functions of tensors, by row or reduced to one number."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor import functions
from sigmagraph.tensor.shapes import text
from sigmagraph.tensor.tensor import Tensor, TensorLike, emit, promoted
from sigmagraph.tensor.workspace import here

Reduction: TypeAlias = Literal["none", "mean", "sum"]


def softmax_cross_entropy(logits: TensorLike, labels: TensorLike, reduction: Reduction = "none") -> Tensor:
    """``-log(softmax(logits)[label])``, in nats, computed without overflow or loss of small probabilities.

    Source: I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning" (2016), section 6.2.2.3.

    Args:
        logits: [..., classes], floats.
        labels: [...], the numbers of the right classes; one that is out of range costs NaN.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.

    Raises:
        ShapeError: the labels do not have the shape of the logits without its last axis.
        DTypeError: the labels are no integers.
    """
    return _reduced(functions.softmax_cross_entropy(logits, labels), reduction)


def squared_difference(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none") -> Tensor:
    """``(prediction - target) ** 2`` by element.

    Nothing is broadcast: a target of another shape is nearly always a mistake.

    Args:
        prediction: [...], floats.
        target: of the same shape.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.

    Raises:
        ShapeError: the shapes differ.
    """
    a, b = promoted(prediction, target)
    if a.ndim != b.ndim:
        raise ShapeError(
            "squared_difference: the ranks differ", expected=text(a.shape), got=text(b.shape), location=here()
        )
    return _reduced(emit("square", emit("sub", a, b)), reduction)


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise AttributeValueError(
            "there is no such reduction", expected="none, mean or sum", got=repr(reduction), location=here()
        )
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()
