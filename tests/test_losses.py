from __future__ import annotations

import numpy as np
import pytest
from tensor_value import value

from sigmagraph import losses
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.tensor.functions import placeholder

N = Dim("n")
LOGITS = np.random.default_rng(5).uniform(-3, 3, (4, 3))
LABELS = np.array([0, 2, 1, 1], np.int32)


def test_softmax_cross_entropy_is_by_row() -> None:
    logits, labels = placeholder("logits", (N, 3), "float64"), placeholder("labels", (N,), "int32")
    inputs = {logits: LOGITS, labels: LABELS}
    rows = np.log(np.exp(LOGITS).sum(-1)) - LOGITS[range(4), LABELS]
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels), inputs), rows)
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels, "mean"), inputs), rows.mean())
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, labels, "sum"), inputs), rows.sum())


def test_a_label_out_of_range_costs_nan() -> None:
    costs = value(losses.softmax_cross_entropy(LOGITS, np.array([0, 3, -1, 2])))
    np.testing.assert_array_equal(np.isnan(costs), [False, True, True, False])


def test_great_logits_do_not_overflow() -> None:
    assert value(losses.softmax_cross_entropy([[1e4, 0.0]], [1], "sum")) == 1e4


def test_squared_difference() -> None:
    target = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(value(losses.squared_difference(LOGITS, target)), (LOGITS - target) ** 2)
    np.testing.assert_allclose(
        value(losses.squared_difference(LOGITS, target, "mean")), ((LOGITS - target) ** 2).mean()
    )


def test_bad_losses() -> None:
    with pytest.raises(ShapeError, match="ranks differ"):
        losses.squared_difference(np.ones((4, 1)), np.ones(4))
    with pytest.raises(ShapeError, match="axis 1"):
        losses.squared_difference(np.ones((4, 1)), np.ones((4, 3)))
    with pytest.raises(ShapeError):
        losses.softmax_cross_entropy(LOGITS, LABELS[:3])
    with pytest.raises(DTypeError, match="labels"):
        losses.softmax_cross_entropy(LOGITS, LABELS.astype(np.float32))
    with pytest.raises(AttributeValueError, match="no such reduction"):
        losses.softmax_cross_entropy(LOGITS, LABELS, "max")  # type: ignore[arg-type]
