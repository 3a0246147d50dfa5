from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.tensor import emit

X = np.random.default_rng(1).normal(size=(3, 4, 5))


def constant(array: Any) -> sg.Tensor:
    return sg.constant(np.asarray(array))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_order_is_that_of_numpy(axis: int) -> None:
    x = np.round(X * 2)
    np.testing.assert_array_equal(value(sg.sort(constant(x), axis)), np.sort(x, axis))
    np.testing.assert_array_equal(value(sg.argsort(constant(x), axis)), np.argsort(x, axis, kind="stable"))
    down = value(sg.sort(constant(x), axis, descending=True))
    np.testing.assert_array_equal(down, np.flip(np.sort(x, axis), axis))


def test_equal_elements_keep_their_order_in_both_directions() -> None:
    x = constant([1, 0, 1, 0, 1])
    assert value(sg.argsort(x)).tolist() == [1, 3, 0, 2, 4]
    assert value(sg.argsort(x, descending=True)).tolist() == [0, 2, 4, 1, 3]


def test_top_k_gives_values_and_places() -> None:
    values, places = (value(t) for t in sg.top_k(constant(X), 2, axis=1))
    np.testing.assert_array_equal(values, -np.sort(-X, 1)[:, :2])
    np.testing.assert_array_equal(values, np.take_along_axis(X, places, 1))
    with pytest.raises(ShapeError, match="the axis is shorter"):
        sg.top_k(constant(X), 5, axis=1)


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_quantiles_are_those_of_numpy(axis: int | None) -> None:
    for q in (0.0, 0.25, 0.9, 1.0):
        np.testing.assert_allclose(value(sg.quantile(constant(X), q, axis)), np.quantile(X, q, axis), rtol=1e-12)
    got = value(sg.median(constant(X), axis, keepdims=True))
    np.testing.assert_allclose(got, np.median(X, axis, keepdims=True), rtol=1e-12)
    with pytest.raises(AttributeValueError, match="no such quantile"):
        sg.quantile(constant(X), 2)


def test_places_in_an_order() -> None:
    table, values = np.sort(np.round(X[0, 0] * 2)), np.round(X[1] * 2)
    for right, side in ((False, "left"), (True, "right")):
        got = value(sg.searchsorted(constant(table), constant(values), right))
        np.testing.assert_array_equal(got, np.searchsorted(table, values, side))


RUNNING: list[tuple[Callable[..., sg.Tensor], Callable[..., Any]]] = [
    (sg.cumsum, np.cumsum),
    (sg.cumprod, np.cumprod),
    (sg.cummax, np.maximum.accumulate),
    (sg.cummin, np.minimum.accumulate),
    (sg.cumlogsumexp, np.logaddexp.accumulate),
]


@pytest.mark.parametrize(("ours", "numpys"), RUNNING, ids=lambda f: f.__name__)
def test_running_totals_are_those_of_numpy(ours: Callable[..., sg.Tensor], numpys: Callable[..., Any]) -> None:
    for axis in (0, 1, 2):
        np.testing.assert_allclose(value(ours(constant(X), axis)), numpys(X, axis), rtol=1e-12)
        back = value(ours(constant(X), axis, reverse=True))
        np.testing.assert_allclose(back, np.flip(numpys(np.flip(X, axis), axis), axis), rtol=1e-12)


def test_running_totals_of_everything_and_without_the_element_itself() -> None:
    np.testing.assert_allclose(value(sg.cumsum(constant(X))), np.cumsum(X))
    assert value(sg.cumsum(constant([True, False, True]))).tolist() == [1, 1, 2]
    assert value(sg.cumsum(constant([1, 2, 3]), exclusive=True)).tolist() == [0, 1, 3]
    assert value(sg.cumprod(constant([1, 2, 3]), exclusive=True, reverse=True)).tolist() == [6, 3, 1]


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_running_extremes_go_to_the_last_of_equals(reverse: bool) -> None:
    x = sg.placeholder("x", (6,), "float64")
    (gradient,) = sg.gradients(sg.sum(sg.cummax(x, 0, reverse)[2:] * 1.0), [x])
    array = np.array([2.0, 1, 2, 3, 3, 0])
    got = sg.compile([x], {"g": gradient})(array)["g"]
    np.testing.assert_array_equal(got, [0, 0, 0, 2, 1, 1] if reverse else [0, 0, 1, 1, 2, 0])
    assert sg.compile([x], {"g": gradient})(np.full(6, np.nan))["g"].sum() == 4


@pytest.mark.parametrize("combine", ["min", "max"])
def test_gradients_of_exclusive_extremes_are_those_one_place_before(combine: str) -> None:
    x = sg.placeholder("x", (5, 3), "float64")
    weights = constant(X[0, :, :3])
    inclusive, exclusive = (emit("cumulative", x, axis=0, combine=combine, exclusive=e) for e in (False, True))
    pair = [sg.gradients(sg.sum(y * weights), [x])[0] for y in (inclusive[:-1], exclusive[1:])]
    array = np.random.default_rng(3).normal(size=(5, 3))
    np.testing.assert_array_equal(*(value(gradient, {x: array}) for gradient in pair))


def test_a_recurrence_is_a_filter() -> None:
    a, b = np.full(6, 0.5), np.array([1.0, 0, 0, 0, 1, 0])
    got = value(sg.recurrence(constant(a), constant(b), 0))
    np.testing.assert_array_equal(got, [1, 0.5, 0.25, 0.125, 1.0625, 0.53125])


def test_sorting_large_tensors_natively() -> None:
    x = np.random.default_rng(2).normal(size=(3, 5000)).astype(np.float32)
    x[0, ::7] = np.nan
    t = sg.placeholder("x", x.shape)
    sorted_, order = sg.compile([t], {"s": sg.sort(t), "o": sg.argsort(t, 0)})(x).values()
    np.testing.assert_array_equal(sorted_, np.sort(x))
    np.testing.assert_array_equal(order, np.argsort(x, 0, kind="stable"))
