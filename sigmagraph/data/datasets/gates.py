"""Truth tables of logical gates, the smallest datasets there are."""

from __future__ import annotations

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError

_TABLES = {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "xor": (0, 1, 1, 0)}


def logic(gate: str) -> Dataset:
    """The truth table of a gate: inputs f32[4,2] of zeros and ones, targets i32[4], 0 or 1.

    Args:
        gate: ``and``, ``or`` or ``xor``; the last is the one that no linear model learns.

    Raises:
        AttributeValueError: there is no such gate.
    """
    if gate not in _TABLES:
        raise AttributeValueError("there is no such gate", expected=", ".join(_TABLES), got=repr(gate))
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return Dataset(inputs, np.array(_TABLES[gate], np.int32), gate)
