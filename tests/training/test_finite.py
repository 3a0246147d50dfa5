"""Where a training step goes astray is found: the node, its layer and the user's line; nothing is lost by it."""

from __future__ import annotations

import numpy as np
import pytest
from training.wedge import QUIET, bits, trainer

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import NotFiniteError, TrainingStateError
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.sgd import SGD
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer


def roots(x: sg.Tensor) -> sg.Tensor:
    return sg.sqrt(x)  # of negative numbers


def test_the_layer_and_the_line_are_named_that_make_nan() -> None:
    network = Network("astray", L.Input(3) + L.Dense(4, name="first") + roots + L.Dense(1) + L.SquaredDifference())
    x = np.ones((40, 3), np.float32)
    x[25:] = -1
    network.parameters()["first.weights"][:] = 1
    of = Trainer(network, Adam(0.001), Dataset(x, x[:, :1]).undivided(), check_finite=True)
    of.data = of.data.sized(10)
    with pytest.raises(NotFiniteError, match="'sqrt' makes NaN of finite numbers") as caught:
        of.run(1, **QUIET)
    assert "20 of 40 elements" in str(caught.value)
    assert "test_finite.py" in str(caught.value.location)
    assert of.iteration == 2
    assert all(np.isfinite(array).all() for array in network.parameters().values())
    assert all(np.isfinite(parameter.value).all() for parameter in of.memory.values())


def test_infinity_is_named_where_there_is_no_nan() -> None:
    network = Network("large", L.Input(3) + L.Dense(2, name="first") + L.SquaredDifference(reduction="sum"))
    x = np.full((10, 3), 1e20, np.float32)
    of = Trainer(network, SGD(1e-3), Dataset(x, x[:, :2]).batches(10), check_finite=True)
    with pytest.raises(NotFiniteError, match="makes infinity of finite numbers") as caught:
        of.run(1, **QUIET)
    assert "squareddifference" in str(caught.value)


def test_looking_changes_no_bit() -> None:
    plain, checked = trainer(), trainer(check_finite=True)
    for of in (plain, checked):
        of.run(2, **QUIET)
    assert bits(plain) == bits(checked)
    with pytest.raises(TrainingStateError, match="cannot be looked into"):
        trainer(operator="cpu:2", check_finite=True)
