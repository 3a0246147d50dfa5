from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembled import Builder, NDArray

from sigmagraph import layers as L
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError

RNG = np.random.default_rng(7)
X = RNG.standard_normal((4, 3)).astype(np.float32)
T = RNG.random((4, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 2], np.int32)


def softmax(x: NDArray) -> NDArray:
    return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))


def sigmoid(x: NDArray) -> NDArray:
    return np.asarray(1 / (1 + np.exp(-x)))


def huber(d: NDArray, delta: float) -> NDArray:
    return np.where(abs(d) < delta, d * d / 2, delta * (abs(d) - delta / 2))


P = softmax(X)
ONE = np.eye(3)[LABELS]
ROWS = -np.log(P[range(4), LABELS])
WEIGHTS = np.array([0.5, 2.0, 1.0])
SIGNS = np.where(T > 0.5, 1, -1).astype(np.float32)
Q = T / T.sum(1, keepdims=True)

CASES: dict[str, tuple[L.CostLayer, NDArray, Any, NDArray]] = {
    "classes": (L.SoftmaxCrossEntropy(), LABELS, ROWS.mean(), P),
    "smooth": (
        L.SoftmaxCrossEntropy(label_smoothing=0.1), LABELS, -((0.9 * ONE + 0.1 / 3) * np.log(P)).sum(1).mean(), P
    ),
    "weighted": (
        L.SoftmaxCrossEntropy(class_weights=(0.5, 2.0, 1.0)), LABELS,
        (WEIGHTS[LABELS] * ROWS).sum() / WEIGHTS[LABELS].sum(), P,
    ),
    "ignored": (L.SoftmaxCrossEntropy(ignore_index=2), LABELS, ROWS[LABELS != 2].mean(), P),
    "sigma": (
        L.SigmaCrossEntropy(), LABELS, -(ONE * np.log(P) + (1 - ONE) * np.log(1 + 1e-6 - P)).sum() / 4, P
    ),
    "kl": (L.KLDivergence(), Q, (Q * np.log(Q / P)).sum(1).mean(), P),
    "binary": (
        L.BinaryCrossEntropy(), T, -(T * np.log(sigmoid(X)) + (1 - T) * np.log(1 - sigmoid(X))).mean(), sigmoid(X)
    ),
    "squared": (L.SquaredDifference(), T, ((X - T) ** 2).mean(), X),
    "squared sum": (L.SquaredDifference(reduction="sum"), T, ((X - T) ** 2).sum(), X),
    "absolute": (L.AbsoluteDifference(), T, abs(X - T).mean(), X),
    "huber": (L.Huber(delta=0.5), T, huber(X - T, 0.5).mean(), X),
    "hinge": (L.Hinge(), SIGNS, np.maximum(0, 1 - SIGNS * X).mean(), X),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_costs_follow_the_formulas(name: str) -> None:
    layer, targets, expected, prediction = CASES[name]
    built = Builder(L.Input(3) + layer)
    (cost,) = built.assembly.costs
    np.testing.assert_allclose(built.value(cost.loss, X, targets=targets), expected, rtol=1e-5)
    np.testing.assert_allclose(built.value(cost.prediction, X), prediction, rtol=1e-5)
    np.testing.assert_array_equal(built(X), X)
    assert cost.labels == (None if targets.dtype.kind == "f" else "targets")
    assert cost.ignored == getattr(layer, "ignore_index", None)


def test_importance_weighs_costs() -> None:
    built = Builder(L.Input(3) + L.Huber(0.25, "a") + L.AbsoluteDifference(importance=4.0, targets="b"))
    first, second = built.assembly.costs
    np.testing.assert_allclose(built.value(first.loss, X, a=T), huber(X - T, 1).mean() / 4, rtol=1e-5)
    np.testing.assert_allclose(built.value(second.loss, X, b=T), 4 * abs(X - T).mean(), rtol=1e-5)


def test_labels_stand_somewhere_in_a_sequence() -> None:
    built = Builder(L.Input(5, 3) + L.CTC())
    assert {name: str(t.type) for name, t in built.assembly.targets.items()} == {
        "targets": "i32[batch,labels]", "targets.lengths": "i32[batch]", "targets.label_lengths": "i32[batch]"
    }  # fmt: skip
    x = np.log(np.full((1, 2, 3), 1 / 3, np.float32))
    targets = {
        "targets": np.array([[1]], np.int32),
        "targets.lengths": np.array([2], np.int32),
        "targets.label_lengths": np.array([1], np.int32),
    }
    built = Builder(L.Input(2, 3) + L.CTC())
    # Of nine ways that are equally likely "1 1", "1 -" and "- 1" say 1.
    np.testing.assert_allclose(built.value(built.assembly.costs[0].loss, x, **targets), np.log(3), rtol=1e-6)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (L.Input() + L.KLDivergence(), ShapeError, "'1-kldivergence' cannot take what '0-input' gives.*classes"),
        (L.Input(3) + L.CTC(), ShapeError, "'1-ctc' cannot take what '0-input' gives.*sequences"),
        (L.Input(2, 3) + L.CTC(blank=3), AttributeValueError, "'1-ctc' cannot take what '0-input' gives.*blank"),
        (L.Input(3, dtype="int32") + L.Hinge(), DTypeError, "'1-hinge' cannot take what '0-input' gives"),
        (L.Input(3) + L.Hinge() + L.SoftmaxCrossEntropy(), GraphError, "'2-softmaxcrossentropy' .*other targets"),
    ],
)
def test_wrong_operands_are_refused(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Builder(layers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.SoftmaxCrossEntropy(label_smoothing=1.5),
        lambda: L.SoftmaxCrossEntropy(importance=-1.0),
        lambda: L.Huber(delta=0.0),
        lambda: L.Hinge(reduction="none"),  # type: ignore[arg-type]
        lambda: L.BinaryCrossEntropy(float("inf")),
    ],
)
def test_bad_attributes_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError, match="#-"):
        make()
