"""The cost of labels that stand anywhere in a sequence, against all ways to say them, written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.losses import ctc

NDArray = np.ndarray[Any, Any]
BATCH, TIME, MOST = sg.Dim("batch"), sg.Dim("time"), sg.Dim("most")
X = np.random.default_rng(8).standard_normal((6, 4, 3))
LABELS = np.array([[1, 2, 0], [2, 2, -7], [1, 0, 0], [1, 2, 1], [1, 1, 1], [99, 0, 0]])
LENGTHS, COUNTS = np.array([4, 3, 2, 4, 4, 3]), np.array([2, 2, 1, 3, 3, 0])


def said(path: tuple[int, ...], blank: int) -> list[int]:
    return [c for c, _ in itertools.groupby(path) if c != blank]


def enumerated(x: NDArray, labels: NDArray, length: int, count: int, blank: int) -> float:
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    paths = itertools.product(range(x.shape[1]), repeat=length)
    wanted = labels[:count].tolist()
    total = sum(np.prod(p[range(length), path]) for path in paths if said(path, blank) == wanted)
    return float(-np.log(total)) if total else np.inf


def program(reduction: Any = "none", blank: int = 0) -> Any:
    x = sg.placeholder("x", (BATCH, TIME, 3), "float64")
    labels = sg.placeholder("labels", (BATCH, MOST), "int64")
    lengths, counts = (sg.placeholder(name, (BATCH,), "int64") for name in ("lengths", "counts"))
    cost = ctc(x, labels, lengths, counts, reduction, blank)
    safe = sg.where(sg.isinf(cost), 0.0, cost)
    return sg.compile([x, labels, lengths, counts], {"cost": cost, "x": sg.gradients(safe.sum(), [x])[0]})


@pytest.mark.parametrize("blank", [0, 2])
def test_all_ways_to_say_the_labels_count(blank: int) -> None:
    labels = LABELS if blank == 0 else np.where(LABELS == 2, 0, LABELS)
    got = program(blank=blank)(X, labels, LENGTHS, COUNTS)["cost"]
    expected = [enumerated(*row, blank) for row in zip(X, labels, LENGTHS, COUNTS, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert np.isinf(got[4])  # three times the same label need two blanks between them


def test_the_gradient_goes_where_the_cost_falls() -> None:
    run = program()
    out = run(X, LABELS, LENGTHS, COUNTS)
    assert np.isfinite(out["x"]).all()
    way = np.random.default_rng(9).standard_normal(X.shape)
    ahead, behind = (run(X + t * way, LABELS, LENGTHS, COUNTS)["cost"] for t in (1e-6, -1e-6))
    finite = np.isfinite(out["cost"])
    slope = ((ahead[finite] - behind[finite]) / 2e-6).sum()
    assert (out["x"] * way).sum() == pytest.approx(slope, rel=1e-7)
    for b in range(len(X)):
        assert not out["x"][b, LENGTHS[b] :].any()
    assert not out["x"][4].any()


def test_costs_are_summed_or_averaged_by_label() -> None:
    rows = [0, 1, 2, 5]
    arrays = [array[rows] for array in (X, LABELS, LENGTHS, COUNTS)]
    each = program()(*arrays)["cost"]
    assert program("sum")(*arrays)["cost"] == pytest.approx(each.sum())
    assert program("mean")(*arrays)["cost"] == pytest.approx((each / [2, 2, 1, 1]).mean())


def test_nothing_is_said_by_no_steps() -> None:
    out = program()(np.zeros((2, 0, 3)), np.array([[1], [1]]), np.array([0, 0]), np.array([0, 1]))
    np.testing.assert_array_equal(out["cost"], [0, np.inf])
    assert program()(np.zeros((0, 4, 3)), np.zeros((0, 0), int), *np.zeros((2, 0), int))["cost"].shape == (0,)
    silent = program()(X[:1], np.zeros((1, 0), int), LENGTHS[:1], np.array([0]))["cost"]
    assert silent == pytest.approx(enumerated(X[0], LABELS[0], 4, 0, 0))


x, y, n = sg.placeholder("x", (2, 4, 3)), sg.placeholder("y", (2, 2), "int32"), sg.placeholder("n", (2,), "int32")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ctc(x[0], y, n, n), ShapeError, "ranks do not fit"),
        (lambda: ctc(x, y, n, y), ShapeError, "ranks do not fit"),
        (lambda: ctc(x, y.astype("float32"), n, n), DTypeError, "integers"),
        (lambda: ctc(x, y, n, n, blank=3), AttributeValueError, "blank is no class"),
        (lambda: ctc(x, y, n, n, blank=-1), AttributeValueError, "blank is no class"),
        (lambda: ctc(x, y, n, n, "median"), AttributeValueError, "no such reduction"),  # type: ignore[arg-type]
        (lambda: ctc(x, y, n, sg.placeholder("m", (3,), "int32")), ShapeError, "broadcast"),
    ],
)
def test_wrong_operands_are_refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
