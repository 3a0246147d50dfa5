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


def test_the_tensor_is_a_scalar_input() -> None:
    tensor = RATE.tensor()
    assert (tensor.name, tensor.dtype, tensor.shape) == ("optimiser.learning_rate", F32, ())
