"""Finite differences: accurate where a function is smooth, and honest where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.autodiff.numeric import directional_derivative


def test_a_known_derivative_along_a_direction_of_two_arrays() -> None:
    x, y = np.array([0.3, -1.2]), np.array(0.7)
    u, v = np.array([1.0, 2.0]), np.array(-0.5)
    got = directional_derivative(lambda p: float(np.sum(np.sin(p[0])) * np.exp(p[1])), [x, y], [u, v])
    expected = float(np.sum(np.cos(x) * u) * np.exp(y) + np.sum(np.sin(x)) * np.exp(y) * v)
    assert abs(got.value - expected) <= max(10 * got.error, 1e-12)
    assert got.error < 1e-9


@pytest.mark.parametrize("step", [1.0, 0.1, 1e-3])
def test_the_step_hardly_matters(step: float) -> None:
    got = directional_derivative(lambda p: float(np.exp(p[0])), [np.array(1.0)], [np.array(1.0)], step)
    assert got.value == pytest.approx(np.e, rel=1e-9)


def test_the_estimate_of_a_linear_function_is_exact() -> None:
    got = directional_derivative(lambda p: 3.0 * float(p[0]), [np.array(2.0)], [np.array(1.0)])
    assert got.value == pytest.approx(3.0, rel=1e-12)


def test_a_jump_shows_in_the_error() -> None:
    got = directional_derivative(lambda p: float(p[0] > 1e-3), [np.array(0.0)], [np.array(1.0)])
    assert got.error > 1e-2
