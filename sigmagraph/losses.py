"""What a prediction costs: functions of tensors, by row or element, or reduced to one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from sigmagraph.dims import Size
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor import functions
from sigmagraph.tensor.activations import softplus
from sigmagraph.tensor.alignment import connectionist_cost
from sigmagraph.tensor.creation import full
from sigmagraph.tensor.functions import exp, log, maximum, minimum, where
from sigmagraph.tensor.neural import cosine_similarity
from sigmagraph.tensor.shapes import text
from sigmagraph.tensor.shaping import moveaxis
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast_to, emit, floating, promoted
from sigmagraph.tensor.workspace import here

Reduction: TypeAlias = Literal["none", "mean", "sum"]

# ---- of classes


def softmax_cross_entropy(
    logits: TensorLike,
    labels: TensorLike,
    reduction: Reduction = "none",
    *,
    class_weights: TensorLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """``-log(softmax(logits)[label])``, in nats, computed without overflow or loss of small probabilities.

    Source: I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning" (2016), section 6.2.2.3; label smoothing: C. Szegedy
    et al., "Rethinking the Inception architecture" (2016), section 7.

    Args:
        logits: [..., classes], floats.
        labels: [...], the numbers of the right classes; a call with one that is out of range is refused.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar. The mean is weighted: its divisor is the sum of
            the weights of the labels that count.
        class_weights: [classes], what the cost of each class is multiplied with.
        ignore_index: a label that costs nothing and does not count.
        label_smoothing: in [0, 1], the part of the probability that is spread evenly over all classes.
        axis: where the logits have their classes, which the labels lack.

    Raises:
        ShapeError: the labels do not have the shape of the logits without their classes.
        DTypeError: the labels are no integers.
        AttributeValueError: the smoothing or the reduction is none.
    """
    _check_range("label_smoothing", label_smoothing, 0, 1)
    logits, labels = _classes_last(logits, axis), as_tensor(labels)
    cost = functions.softmax_cross_entropy(logits, _named(labels, ignore_index))
    cost, weights = _weighted(cost, logits.shape, labels, class_weights, ignore_index)
    if label_smoothing:
        share = full(logits.shape, label_smoothing, logits.dtype) / _count_classes(logits)
        if class_weights is not None:
            share = share * as_tensor(class_weights, logits.dtype)
        spread = emit("distribution_cross_entropy", logits, share)
        cost = cost * (1 - label_smoothing) + _counted(spread, labels, ignore_index)
    return _weighted_mean(cost, weights, reduction)


def negative_log_likelihood(
    log_probabilities: TensorLike,
    labels: TensorLike,
    reduction: Reduction = "none",
    *,
    class_weights: TensorLike | None = None,
    ignore_index: int | None = None,
    axis: int = -1,
) -> Tensor:
    """``-log_probabilities[label]``; arguments and errors are those of :func:`softmax_cross_entropy`."""
    rows, labels = _classes_last(log_probabilities, axis), as_tensor(labels)
    cost = emit("negative_log_likelihood", rows, _named(labels, ignore_index))
    return _weighted_mean(*_weighted(cost, rows.shape, labels, class_weights, ignore_index), reduction)


def distribution_cross_entropy(
    logits: TensorLike,
    probabilities: TensorLike,
    reduction: Reduction = "none",
    *,
    class_weights: TensorLike | None = None,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """``-sum(probabilities * log(softmax(logits)))`` over the classes: the softmax cross entropy on probabilities.

    Args:
        logits: [..., classes], floats.
        probabilities: [..., classes], floats.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        class_weights: [classes], what the cost of each class is multiplied with.
        label_smoothing: in [0, 1], the part of the probability that is spread evenly over all classes.
        axis: where both have their classes.

    Raises:
        ShapeError: the shapes differ.
        AttributeValueError: the smoothing or the reduction is none.
    """
    _check_range("label_smoothing", label_smoothing, 0, 1)
    logits, targets = (_classes_last(t, axis) for t in promoted(logits, probabilities))
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / _count_classes(logits)
    if class_weights is not None:
        targets = targets * as_tensor(class_weights, targets.dtype)
    return _reduced(emit("distribution_cross_entropy", logits, targets), reduction)


def sigma_cross_entropy(logits: TensorLike, targets: TensorLike) -> Tensor:
    """The cost of Sigma's ``SoftMaxCrossEntropyCostLayer``, for compatibility; new programs want the others.

    ``-sum(t * log(p) + (1 - t) * log(1 + 1e-6 - p)) / rows`` for ``p = softmax(logits)``: a *binary* cross entropy of
    every class. Where Sigma took the logarithm of 0, ``log(p)`` is finite here.

    Args:
        logits: [rows, ..., classes], floats.
        targets: of the same shape, 1 for the right class and 0 for the others.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ, or there are no rows.
    """
    x, t = _alike("sigma_cross_entropy", logits, targets)
    if x.ndim < 2:
        raise ShapeError("there are no rows", expected="[rows, ..., classes]", got=text(x.shape), location=here())
    rest = log(1 + 1e-6 - functions.softmax(x))
    cost = -(t * functions.log_softmax(x) + (1 - t) * rest)
    return cost.reshape(x.shape[0], -1).sum(1).mean()


def _classes_last(x: TensorLike, axis: int) -> Tensor:
    x = floating(x)
    return x if axis == -1 else moveaxis(x, axis, -1)


def _count_classes(x: Tensor) -> int:
    classes = x.shape[-1]
    if not isinstance(classes, int):
        raise ShapeError("smoothing needs a known number of classes", expected="a number", got=classes, location=here())
    return classes


def _counted(value: Tensor, labels: Tensor, ignore_index: int | None) -> Tensor:
    """0 where the label is to be ignored."""
    if ignore_index is None:
        return value
    return where(labels.equal(ignore_index), 0.0, value)


def _weighted(
    cost: Tensor, shape: Sequence[Size], labels: Tensor, class_weights: TensorLike | None, ignore_index: int | None
) -> tuple[Tensor, Tensor | None]:
    """Costs times the weights of their labels, and these weights if they are not all 1; ``shape`` is [..., classes]."""
    if class_weights is None and ignore_index is None:
        return cost, None
    weights = full(cost.shape, 1.0, cost.dtype)
    if class_weights is not None:
        table = full(shape, as_tensor(class_weights, cost.dtype))
        weights = -emit("negative_log_likelihood", table, _named(labels, ignore_index))
        cost = cost * weights
    return _counted(cost, labels, ignore_index), _counted(weights, labels, ignore_index)


def _named(labels: Tensor, ignore_index: int | None) -> Tensor:
    """The labels with class 0 in the place of the one that does not count, which need not be the number of a class."""
    return labels if ignore_index is None else where(labels.equal(ignore_index), 0, labels)


def _weighted_mean(cost: Tensor, weights: Tensor | None, reduction: Reduction) -> Tensor:
    if reduction == "mean" and weights is not None:
        return cost.sum() / weights.sum()
    return _reduced(cost, reduction)


# ---- of yes and no


def binary_cross_entropy_with_logits(
    logits: TensorLike, targets: TensorLike, reduction: Reduction = "none", pos_weight: TensorLike | None = None
) -> Tensor:
    """``-pos_weight * t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x))`` by element, without overflow.

    Args:
        logits: [...], floats.
        targets: of the same shape, in [0, 1].
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        pos_weight: is broadcast to the logits; 1 if left out.

    Raises:
        ShapeError: the shapes differ.
    """
    x, t = _alike("binary_cross_entropy_with_logits", logits, targets)
    yes = t * softplus(-x)
    if pos_weight is not None:
        yes = yes * broadcast_to(as_tensor(pos_weight, x.dtype), x.shape)
    return _reduced(yes + (1 - t) * softplus(x), reduction)


def binary_cross_entropy(probabilities: TensorLike, targets: TensorLike, reduction: Reduction = "none") -> Tensor:
    """``-t * log(p) - (1 - t) * log(1 - p)`` by element, where logarithms are at least -100.

    Args:
        probabilities: [...], floats in [0, 1]; where there are logits,
            :func:`binary_cross_entropy_with_logits` is more exact.
        targets: of the same shape, in [0, 1].
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.

    Raises:
        ShapeError: the shapes differ.
    """
    p, t = _alike("binary_cross_entropy", probabilities, targets)
    return _reduced(emit("binary_cross_entropy", p, t), reduction)


def hinge(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none", margin: float = 1.0) -> Tensor:
    """``maximum(0, margin - target * prediction)`` by element, for targets -1 and 1.

    Raises:
        ShapeError: the shapes differ.
    """
    x, t = _alike("hinge", prediction, target)
    return _reduced(functions.relu(margin - t * x), reduction)


# ---- of distances


def squared_difference(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none") -> Tensor:
    """``(prediction - target) ** 2`` by element.

    Nothing is broadcast, here and in the other losses: a target of another shape is nearly always a mistake.

    Args:
        prediction: [...], floats.
        target: of the same shape.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.

    Raises:
        ShapeError: the shapes differ.
    """
    a, b = _alike("squared_difference", prediction, target)
    return _reduced(emit("square", a - b), reduction)


def absolute_difference(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none") -> Tensor:
    """``abs(prediction - target)`` by element; arguments and errors as in :func:`squared_difference`."""
    a, b = _alike("absolute_difference", prediction, target)
    return _reduced(functions.abs(a - b), reduction)


def huber(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none", delta: float = 1.0) -> Tensor:
    """Half the square of differences up to delta, and from there on a straight line.

    Source: P. J. Huber, "Robust estimation of a location parameter" (1964). Arguments and errors are those of
    :func:`squared_difference`; a delta that is not positive is an AttributeValueError.
    """
    _check_positive("delta", delta)
    a, b = _alike("huber", prediction, target)
    difference = a - b
    near = maximum(minimum(difference, delta), -delta)
    return _reduced(near * (difference - near * 0.5), reduction)


def smooth_l1(prediction: TensorLike, target: TensorLike, reduction: Reduction = "none", beta: float = 1.0) -> Tensor:
    """:func:`huber` with delta = beta, divided by beta (R. Girshick, "Fast R-CNN", 2015)."""
    _check_positive("beta", beta)
    return huber(prediction, target, reduction, beta) * (1 / beta)


def cosine_embedding(
    a: TensorLike, b: TensorLike, target: TensorLike, reduction: Reduction = "none", margin: float = 0.0
) -> Tensor:
    """``1 - cos`` where the target is 1, ``maximum(0, cos - margin)`` where it is -1.

    Args:
        a: [..., size], floats.
        b: of the same shape.
        target: [...], 1 or -1.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        margin: in [-1, 1].

    Raises:
        ShapeError: the shapes differ, or the target is not [...].
    """
    _check_range("margin", margin, -1, 1)
    cosine = cosine_similarity(*_alike("cosine_embedding", a, b))
    cosine, t = _alike("cosine_embedding", cosine, as_tensor(target, cosine.dtype))
    return _reduced(where(t > 0, 1 - cosine, functions.relu(cosine - margin)), reduction)


def triplet_margin(
    anchor: TensorLike,
    positive: TensorLike,
    negative: TensorLike,
    reduction: Reduction = "none",
    margin: float = 1.0,
    epsilon: float = 1e-6,
) -> Tensor:
    """``maximum(0, |anchor - positive| - |anchor - negative| + margin)`` with Euclidean distances over the last axis.

    Source: V. Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses" (2016).

    Args:
        anchor: [..., size], floats.
        positive: of the same shape.
        negative: of the same shape.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        margin: positive.
        epsilon: is added to each difference, so that equal vectors have a gradient.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_positive("margin", margin)
    a, p = _alike("triplet_margin", anchor, positive)
    a, n = _alike("triplet_margin", a, negative)
    near, far = (functions.sqrt(emit("square", a - other + epsilon).sum(-1)) for other in (p, n))
    return _reduced(functions.relu(near - far + margin), reduction)


# ---- of distributions


def kl_divergence(
    log_prediction: TensorLike, target: TensorLike, reduction: Reduction = "none", log_target: bool = False
) -> Tensor:
    """``target * (log(target) - log_prediction)`` by element; 0 where the target is 0.

    Args:
        log_prediction: [...], logarithms of probabilities.
        target: of the same shape, probabilities, or their logarithms if ``log_target``.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar; the divergence of rows is the sum over them.
        log_target: whether the target is given by logarithms.

    Raises:
        ShapeError: the shapes differ.
    """
    x, t = _alike("kl_divergence", log_prediction, target)
    if log_target:
        return _reduced(exp(t) * (t - x), reduction)
    nothing = t.equal(0.0)
    entropy = t * log(where(nothing, 1.0, t))  # the logarithm of 0 would have an infinite slope
    return _reduced(entropy - where(nothing, 0.0, t * x), reduction)


def poisson_nll(
    prediction: TensorLike,
    target: TensorLike,
    reduction: Reduction = "none",
    log_input: bool = True,
    complete: bool = False,
    epsilon: float = 1e-8,
) -> Tensor:
    """``rate - target * log(rate)`` by element: what counts cost that are drawn from a Poisson distribution.

    Args:
        prediction: [...], the logarithm of the rate, or the rate if not ``log_input``.
        target: of the same shape, the counts.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        log_input: what the prediction is.
        complete: whether Stirling's formula for ``log(target!)`` is added where the target is above 1.
        epsilon: is added to a rate whose logarithm is taken.

    Raises:
        ShapeError: the shapes differ.
    """
    x, t = _alike("poisson_nll", prediction, target)
    cost = exp(x) - t * x if log_input else x - t * log(x + epsilon)
    if complete:
        safe = where(t > 1.0, t, 1.0)
        stirling = safe * log(safe) - safe + 0.5 * log(safe * (2 * math.pi))
        cost = cost + where(t > 1.0, stirling, 0.0)
    return _reduced(cost, reduction)


def gaussian_nll(
    mean: TensorLike,
    target: TensorLike,
    variance: TensorLike,
    reduction: Reduction = "none",
    complete: bool = False,
    epsilon: float = 1e-6,
) -> Tensor:
    """``(log(variance) + (mean - target) ** 2 / variance) / 2`` by element, where the variance is at least epsilon.

    Args:
        mean: [...], floats.
        target: of the same shape.
        variance: of the same shape, not negative.
        reduction: ``none`` gives [...], ``mean`` and ``sum`` a scalar.
        complete: whether the constant ``log(2 * pi) / 2`` is added.
        epsilon: positive.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_positive("epsilon", epsilon)
    m, t = _alike("gaussian_nll", mean, target)
    m, v = _alike("gaussian_nll", m, variance)
    v = maximum(v, epsilon)
    cost = 0.5 * (log(v) + emit("square", m - t) / v)
    return _reduced(cost + 0.5 * math.log(2 * math.pi) if complete else cost, reduction)


# ---- of sequences


def ctc(
    logits: TensorLike,
    labels: TensorLike,
    lengths: TensorLike,
    label_lengths: TensorLike,
    reduction: Reduction = "none",
    blank: int = 0,
) -> Tensor:
    """Minus the logarithm of the probability that the steps say the labels, in order, with blanks anywhere between.

    A step says one class; the same class at neighbouring steps is said once, and blanks are left out. Source: A. Graves
    et al., "Connectionist temporal classification" (2006).

    Args:
        logits: [batch, time, classes], floats; logarithms of probabilities stay what they are.
        labels: [batch, most labels], integers that are no blanks; those beyond the length are not read.
        lengths: [batch], numbers of steps that count.
        label_lengths: [batch], numbers of labels.
        reduction: ``none`` gives [batch], infinite where there are too few steps, with gradient 0; ``sum`` a scalar;
            ``mean`` that of the costs divided by the numbers of labels (by 1 where there are none).
        blank: the class that says nothing.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: labels or lengths are no integers.
        AttributeValueError: the blank is no class, or there is no such reduction.
    """
    cost = connectionist_cost(logits, labels, lengths, label_lengths, blank)
    if reduction == "mean":
        cost = cost / maximum(as_tensor(label_lengths), 1).astype(cost.dtype)
    return _reduced(cost, reduction)


# ---- what they share


def _alike(what: str, a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor]:
    """Two float tensors of one dtype and, as far as can be told, of one shape."""
    a, b = map(floating, promoted(a, b))
    fits = a.ndim == b.ndim and all(not isinstance(x - y, int) or x == y for x, y in zip(a.shape, b.shape, strict=True))
    if not fits:
        ranks = "the ranks" if a.ndim != b.ndim else "the shapes"
        raise ShapeError(f"{what}: {ranks} differ", expected=text(a.shape), got=text(b.shape), location=here())
    return a, b


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise AttributeValueError(f"'{name}' is out of range", expected="(0, inf)", got=value, location=here())


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise AttributeValueError(f"'{name}' is out of range", expected=f"[{low}, {high}]", got=value, location=here())


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise AttributeValueError(
            "there is no such reduction", expected="none, mean or sum", got=repr(reduction), location=here()
        )
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()
