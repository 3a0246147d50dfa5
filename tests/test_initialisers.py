from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.initialisers import Constant, Glorot, He, Initialiser, Normal, Uniform, fans


def draw(initialiser: Initialiser, *shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.asarray(initialiser(shape, np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("initialiser", "mean", "std"),
    [
        (Normal(0.1), 0, 0.1),
        (Normal(0.1, mean=3), 3, 0.1),
        (Uniform(-1, 2), 0.5, 3 / math.sqrt(12)),
        (Glorot(), 0, math.sqrt(2 / 700)),
        (Glorot("normal"), 0, math.sqrt(2 / 700)),
        (He(), 0, math.sqrt(2 / 300)),
        (He("uniform"), 0, math.sqrt(2 / 300)),
        (Constant(0.5), 0.5, 0),
    ],
)
def test_mean_and_deviation(initialiser: Initialiser, mean: float, std: float) -> None:
    values = draw(initialiser, 300, 400)
    assert values.shape == (300, 400)
    assert abs(values.mean() - mean) < 0.01 * (std + 1e-9) + 1e-12
    assert abs(values.std() - std) <= 0.01 * std
    np.testing.assert_array_equal(values, draw(initialiser, 300, 400))


def test_uniform_distributions_have_bounds() -> None:
    limit = math.sqrt(6 / 700)
    values = draw(Glorot(), 300, 400)
    assert -limit <= values.min() < -0.99 * limit
    assert 0.99 * limit < values.max() <= limit


def test_fans_count_a_window() -> None:
    assert fans((3, 4)) == (3, 4)
    assert fans((5, 5, 3, 4)) == (75, 100)
    for initialiser in (Glorot(), He()):
        with pytest.raises(ShapeError, match="no inputs and outputs"):
            draw(initialiser, 7)


def test_nothing_is_drawn_for_empty_shapes() -> None:
    for initialiser in (Normal(), Uniform(), Glorot(), He(), Constant()):
        assert draw(initialiser, 0, 0).shape == (0, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(-0.1),
        lambda: Normal(math.nan),
        lambda: Normal(0.1, math.inf),
        lambda: Normal("0.1"),  # type: ignore[arg-type]
        lambda: Uniform(1, 0),
        lambda: Uniform(0, math.nan),
        lambda: Constant(math.inf),
        lambda: Constant(True),
        lambda: Glorot("cauchy"),  # type: ignore[arg-type]
        lambda: He("cauchy"),  # type: ignore[arg-type]
    ],
)
def test_bad_numbers_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError):
        make()


def test_initialisers_are_records() -> None:
    assert Normal(0.1) == Normal(0.1, 0)
    assert len({Glorot(), Glorot("uniform"), He()}) == 2
