from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph import losses
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, IndexRangeError, ShapeError
from sigmagraph.losses import Reduction
from sigmagraph.tensor.derivatives import gradients
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.tensor import Tensor

NDArray = np.ndarray[Any, Any]
N = Dim("n")
RNG = np.random.default_rng(5)
LOGITS = RNG.uniform(-3, 3, (4, 3))
LABELS = np.array([0, 2, 1, 1], np.int32)
WEIGHTS = np.array([0.5, 2.0, 1.25])
A, B, P, T = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5)), RNG.uniform(0.1, 0.9, (3, 5)), RNG.random((3, 5))


def log_softmax(x: NDArray) -> NDArray:
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


# ---- of classes


def test_softmax_cross_entropy_is_by_row() -> None:
    logits, labels = placeholder("logits", (N, 3), "float64"), placeholder("labels", (N,), "int32")
    inputs = {logits: LOGITS, labels: LABELS}
    rows = np.log(np.exp(LOGITS).sum(-1)) - LOGITS[range(4), LABELS]
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels), inputs), rows)
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels, "mean"), inputs), rows.mean())
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels, "sum"), inputs), rows.sum())


def test_a_label_out_of_range_is_refused_by_a_call() -> None:
    labels = placeholder("labels", (4,), "int32")
    cost = sg.compile([labels], {"cost": losses.softmax_cross_entropy(LOGITS, labels, "mean", ignore_index=7)})
    assert cost([0, 2, 7, 1])["cost"] > 0
    with pytest.raises(IndexRangeError, match=r"0 \.\. 2"):
        cost([0, 3, 7, 1])


def test_a_label_out_of_range_costs_nan_where_nothing_is_checked() -> None:
    costs = value(losses.softmax_cross_entropy(LOGITS, np.array([0, 3, -1, 2])))
    np.testing.assert_array_equal(np.isnan(costs), [False, True, True, False])
    assert np.isnan(value(losses.softmax_cross_entropy(LOGITS, np.array([0, 3, 1, 2]), "mean", ignore_index=1)))


def test_great_logits_do_not_overflow() -> None:
    assert value(losses.softmax_cross_entropy([[1e4, 0.0]], [1], "sum")) == 1e4


@pytest.mark.parametrize("ignored", [1, -100])
def test_ignored_labels_cost_nothing_and_do_not_count(ignored: int) -> None:
    labels = np.where(LABELS == 1, ignored, LABELS)
    rows = np.where(LABELS == 1, 0.0, -log_softmax(LOGITS)[range(4), LABELS])
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(LOGITS, labels, ignore_index=ignored)), rows)
    mean = losses.softmax_cross_entropy(LOGITS, labels, "mean", ignore_index=ignored)
    np.testing.assert_allclose(value(mean), rows.sum() / 2)


def test_the_mean_of_weighted_classes_is_weighted() -> None:
    weights = WEIGHTS[LABELS]
    rows = -log_softmax(LOGITS)[range(4), LABELS] * weights
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(LOGITS, LABELS, class_weights=WEIGHTS)), rows)
    mean = losses.softmax_cross_entropy(LOGITS, LABELS, "mean", class_weights=WEIGHTS)
    np.testing.assert_allclose(value(mean), rows.sum() / weights.sum())
    likelihood = losses.negative_log_likelihood(log_softmax(LOGITS), LABELS, "mean", class_weights=WEIGHTS)
    np.testing.assert_allclose(value(likelihood), value(mean))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_smoothed_labels_are_a_distribution(weights: NDArray | None) -> None:
    smooth = losses.softmax_cross_entropy(LOGITS, LABELS, class_weights=weights, label_smoothing=0.3)
    even = losses.distribution_cross_entropy(LOGITS, np.eye(3)[LABELS], class_weights=weights, label_smoothing=0.3)
    targets = (np.eye(3)[LABELS] * 0.7 + 0.1) * (1 if weights is None else weights)
    np.testing.assert_allclose(value(smooth), -(targets * log_softmax(LOGITS)).sum(-1))
    np.testing.assert_allclose(value(even), value(smooth))


def test_the_gradient_of_ignored_rows_is_zero() -> None:
    x = placeholder("x", (4, 3), "float64")
    labels = np.where(LABELS == 1, -100, LABELS)
    loss = losses.softmax_cross_entropy(
        x, labels, "mean", class_weights=WEIGHTS, ignore_index=-100, label_smoothing=0.1
    )
    slope = value(gradients(loss, [x])[0], {x: LOGITS})
    np.testing.assert_array_equal(slope[2:], 0)
    assert np.isfinite(slope).all()
    assert np.abs(slope[:2]).min() > 1e-3


def test_classes_on_another_axis() -> None:
    logits, labels = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 3, (2, 4))
    expected = value(losses.softmax_cross_entropy(logits.transpose(0, 2, 1), labels))
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels, axis=1)), expected)


def test_a_class_that_must_not_be_costs_nothing() -> None:
    assert value(losses.distribution_cross_entropy([[0.0, -np.inf]], [[1.0, 0.0]], "sum")) == 0


def test_sigma_s_cross_entropy_is_binary() -> None:
    p = np.exp(log_softmax(LOGITS))
    t = np.eye(3)[LABELS]
    expected = -(t * np.log(p) + (1 - t) * np.log(1 + 1e-6 - p)).sum() / 4
    np.testing.assert_allclose(value(losses.sigma_cross_entropy(LOGITS, t)), expected)
    assert np.isfinite(value(losses.sigma_cross_entropy([[1e3, 0.0]], [[0.0, 1.0]])))


# ---- by element

HALF_LOG_TAU = math.log(2 * math.pi) / 2
STIRLING = [
    0,
    0,
    2 * math.log(2) - 2 + HALF_LOG_TAU + math.log(2) / 2,
    3 * math.log(3) - 3 + HALF_LOG_TAU + math.log(3) / 2,
]
COUNTS = np.array([0.0, 1.0, 2.0, 3.0])
RATES = np.array([0.3, 1.2, 0.7, 2.0])
SIGNS = np.array([1.0, -1.0, 1.0])
COSINES = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda r: losses.squared_difference(A, B, r), (A - B) ** 2),
        (lambda r: losses.absolute_difference(A, B, r), np.abs(A - B)),
        (
            lambda r: losses.huber(A, B, r, delta=0.7),
            np.where(np.abs(A - B) < 0.7, (A - B) ** 2 / 2, 0.7 * (np.abs(A - B) - 0.35)),
        ),
        (
            lambda r: losses.smooth_l1(A, B, r, beta=0.7),
            np.where(np.abs(A - B) < 0.7, (A - B) ** 2 / 1.4, np.abs(A - B) - 0.35),
        ),
        (
            lambda r: losses.binary_cross_entropy_with_logits(A, T, r),
            T * np.log1p(np.exp(-A)) + (1 - T) * np.log1p(np.exp(A)),
        ),
        (
            lambda r: losses.binary_cross_entropy_with_logits(A, T, r, pos_weight=np.arange(5.0)),
            np.arange(5) * T * np.log1p(np.exp(-A)) + (1 - T) * np.log1p(np.exp(A)),
        ),
        (lambda r: losses.binary_cross_entropy(P, T, r), -T * np.log(P) - (1 - T) * np.log(1 - P)),
        (lambda r: losses.hinge(A, np.sign(B), r), np.maximum(0, 1 - A * np.sign(B))),
        (lambda r: losses.kl_divergence(np.log(P), T, r), T * np.log(T / P)),
        (lambda r: losses.kl_divergence(np.log(P), np.log(T), r, log_target=True), T * np.log(T / P)),
        (lambda r: losses.poisson_nll(RATES, COUNTS, r), np.exp(RATES) - COUNTS * RATES),
        (
            lambda r: losses.poisson_nll(RATES, COUNTS, r, log_input=False, complete=True, epsilon=0.0),
            RATES - COUNTS * np.log(RATES) + STIRLING,
        ),
        (
            lambda r: losses.gaussian_nll(A, B, P, r, complete=True),
            HALF_LOG_TAU + (np.log(P) + (A - B) ** 2 / P) / 2,
        ),
        (
            lambda r: losses.cosine_embedding(A, B, SIGNS, r, margin=-0.5),
            np.where(SIGNS > 0, 1 - COSINES, np.maximum(0, COSINES + 0.5)),
        ),
        (
            lambda r: losses.triplet_margin(A, B, P, r, margin=2.0, epsilon=0.0),
            np.maximum(0, np.linalg.norm(A - B, axis=1) - np.linalg.norm(A - P, axis=1) + 2),
        ),
    ],
)
def test_meanings(loss: Callable[[Reduction], Tensor], expected: NDArray, reduction: Reduction) -> None:
    wanted = {"none": expected, "mean": expected.mean(), "sum": expected.sum()}[reduction]
    np.testing.assert_allclose(value(loss(reduction)), wanted, rtol=1e-12, atol=1e-14)


def test_great_logits_of_yes_and_no_have_their_slopes() -> None:
    x = placeholder("x", (4,), "float64")
    loss = losses.binary_cross_entropy_with_logits(x, np.array([0.0, 1.0, 0.0, 1.0]), "sum")
    slope = value(gradients(loss, [x])[0], {x: np.array([800.0, 800.0, -40.0, -800.0])})
    np.testing.assert_allclose(slope, [1, 0, math.exp(-40), -1])


def test_certain_probabilities_have_finite_costs_and_slopes() -> None:
    x = placeholder("x", (3,), "float64")
    loss = losses.binary_cross_entropy(x, np.array([1.0, 0.0, 0.5]))
    point = {x: np.array([0.0, 1.0, 0.5])}
    np.testing.assert_allclose(value(loss, point), [100, 100, math.log(2)])
    np.testing.assert_allclose(value(gradients(loss.sum(), [x])[0], point), [-1e12, 1e12, 0])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_divergence_from_what_cannot_be_is_zero(zero: float) -> None:
    x, t = (placeholder(name, (2,), "float64") for name in "xt")
    loss = losses.kl_divergence(x, t, "sum")
    point = {x: np.array([-np.inf, math.log(0.5)]), t: np.array([zero, 1.0])}
    np.testing.assert_allclose(value(loss, point), math.log(2))
    np.testing.assert_allclose(value(gradients(loss, [t])[0], point)[1], 1 + math.log(2))


def test_the_bend_of_huber_s_loss_is_smooth() -> None:
    x = placeholder("x", (3,), "float64")
    slope = gradients(losses.huber(x, np.zeros(3), "sum"), [x])[0]
    np.testing.assert_array_equal(value(slope, {x: np.array([-1.0, 1.0, 5.0])}), [-1, 1, 1])


# ---- errors


def test_bad_losses() -> None:
    with pytest.raises(ShapeError, match="ranks differ"):
        losses.squared_difference(np.ones((4, 1)), np.ones(4))
    with pytest.raises(ShapeError, match="shapes differ") as caught:
        losses.squared_difference(np.ones((4, 1)), np.ones((4, 3)))
    assert caught.value.location.file.endswith("test_losses.py")
    with pytest.raises(ShapeError):
        losses.softmax_cross_entropy(LOGITS, LABELS[:3])
    with pytest.raises(DTypeError, match="labels"):
        losses.softmax_cross_entropy(LOGITS, LABELS.astype(np.float32))
    with pytest.raises(ShapeError, match="ranks differ"):
        losses.cosine_embedding(A, B, 1.0)
    with pytest.raises(ShapeError, match="no rows"):
        losses.sigma_cross_entropy(A[0], B[0])
    with pytest.raises(ShapeError, match="known number of classes"):
        losses.softmax_cross_entropy(placeholder("x", (4, N)), LABELS, label_smoothing=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: losses.softmax_cross_entropy(LOGITS, LABELS, "max"),  # type: ignore[arg-type]
        lambda: losses.softmax_cross_entropy(LOGITS, LABELS, "max", ignore_index=1),  # type: ignore[arg-type]
        lambda: losses.softmax_cross_entropy(LOGITS, LABELS, label_smoothing=1.5),
        lambda: losses.huber(A, B, delta=0),
        lambda: losses.smooth_l1(A, B, beta=-1),
        lambda: losses.triplet_margin(A, B, P, margin=0),
        lambda: losses.cosine_embedding(A, B, SIGNS, margin=2),
        lambda: losses.gaussian_nll(A, B, P, epsilon=0),
    ],
)
def test_numbers_out_of_range(wrong: Callable[[], Tensor]) -> None:
    with pytest.raises(AttributeValueError, match=r"out of range|no such reduction"):
        wrong()
