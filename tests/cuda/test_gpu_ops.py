"""On a CUDA device every op gives what the graph interpreter gives, with the tolerances of the matrix of all ops."""

from __future__ import annotations

from collections.abc import Callable

import gpu_checks
import gpu_table
import pytest
from op_cases import CASES, TYPES, Case, about

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_agrees_with_the_reference(case: Case, record_property: Callable[..., None]) -> None:
    record_property(*gpu_table.noted(case.op.name, gpu_checks.tolerance(case)))
    for types in (*TYPES[:2], TYPES[2 + case.number % 2]):  # half of the samples in each of the half types
        with about(types):
            gpu_checks.op_agrees(case, types)
