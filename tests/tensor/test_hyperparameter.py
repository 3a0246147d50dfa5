from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sigmagraph.dtypes import F32
from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.tensor.hyperparameter import Hyperparameter, Hyperparameters

RATE = Hyperparameter("optimiser.learning_rate", 0.1)
MOMENTUM = Hyperparameter("optimiser.momentum", 0.9, 1)
EPSILON = Hyperparameter("optimiser.epsilon", 1e-8, positive=True)


@pytest.mark.parametrize("value", [math.nan, -0.1, math.inf, 1e39, "0.1", None, True, 1j, [0.1], 10**400])
def test_values_that_make_no_sense_are_refused(value: Any) -> None:
    with pytest.raises(AttributeValueError, match=r"optimiser\.learning_rate"):
        RATE.check(value)
    values = Hyperparameters([RATE])
    with pytest.raises(AttributeValueError, match=r"optimiser\.learning_rate"):
        values["optimiser.learning_rate"] = value
    assert values["optimiser.learning_rate"] == np.float32(0.1)


@pytest.mark.parametrize(
    ("known", "value"), [(MOMENTUM, 1), (MOMENTUM, 0.99999999999), (EPSILON, 0), (EPSILON, 1e-60), (EPSILON, -1)]
)
def test_the_range_is_that_of_f32(known: Hyperparameter, value: float) -> None:
    with pytest.raises(AttributeValueError, match="a number in"):
        known.check(value)


def test_the_first_value_is_checked_too() -> None:
    with pytest.raises(AttributeValueError, match="'rate'"):
        Hyperparameter("rate", -1)


def test_values_are_a_mapping_of_fixed_names() -> None:
    values = Hyperparameters([RATE, MOMENTUM])
    values["optimiser.momentum"] = np.float64(0.5)
    assert dict(values) == {"optimiser.learning_rate": float(np.float32(0.1)), "optimiser.momentum": 0.5}
    assert len(values) == 2
    assert "optimiser.momentum" in values
    assert "momentum" not in values
    assert values.get("momentum") is None
    with pytest.raises(IdentifierError, match="no hyperparameter 'momentum'") as caught:
        values["momentum"] = 0.5
    assert "optimiser.momentum" in str(caught.value)
    with pytest.raises(IdentifierError, match="cannot be removed"):
        del values["optimiser.momentum"]


def test_a_range_may_reach_below_zero() -> None:
    limit = Hyperparameter("low", -2.5, low=-math.inf)
    assert limit.check(-1e30) == np.float32(-1e30)
    for value in (-math.inf, math.inf, math.nan, -1e39):
        with pytest.raises(AttributeValueError, match="'low'") as caught:
            limit.check(value)
        assert caught.value.expected == "a number in (-inf, inf)"
    with pytest.raises(AttributeValueError) as caught:
        MOMENTUM.check(1)
    assert caught.value.expected == "a number in [0, 1)"
    with pytest.raises(AttributeValueError) as caught:
        EPSILON.check(0)
    assert caught.value.expected == "a number in (0, inf)"


def test_schedules_say_the_value_of_every_step() -> None:
    values = Hyperparameters([Hyperparameter("rate", lambda step, epoch: 1 + step + epoch / 8), MOMENTUM])
    assert values["rate"] == 1
    values.advance(3, 0.5)
    assert dict(values) == {"rate": 4.0625, "optimiser.momentum": float(np.float32(0.9))}
    values["optimiser.momentum"] = lambda step, epoch: step / 16  # counts from where training stands
    assert values["optimiser.momentum"] == 3 / 16
    values["rate"] = 0.5
    values.advance(4, 1.0)
    assert dict(values) == {"rate": 0.5, "optimiser.momentum": 0.25}


def test_a_schedule_that_goes_astray_changes_nothing() -> None:
    values = Hyperparameters(
        [Hyperparameter("first", lambda step, _: step), Hyperparameter("rate", lambda step, _: 10.0 ** (30 * step))]
    )
    values.advance(1, 0.0)
    for step in (2, 1000):  # too great for f32, and for any float
        with pytest.raises(AttributeValueError, match="'rate' makes no sense"):
            values.advance(step, 0.0)
    assert dict(values) == {"first": 1.0, "rate": float(np.float32(1e30))}
    with pytest.raises(AttributeValueError, match="'first'") as caught:
        values["first"] = lambda step, epoch: -1.0
    assert "step 1" in str(caught.value)
    with pytest.raises(AttributeValueError, match="'rate'"):
        Hyperparameter("rate", lambda step, epoch: None)  # type: ignore[arg-type, return-value]


def test_the_tensor_is_a_scalar_input() -> None:
    tensor = RATE.tensor()
    assert (tensor.name, tensor.dtype, tensor.shape) == ("optimiser.learning_rate", F32, ())
