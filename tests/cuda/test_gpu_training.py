"""On a CUDA device training steps of networks do what they do on the processor."""

from __future__ import annotations

from collections.abc import Callable

import gpu_checks
import gpu_table
import pytest

from benchmarks.workloads import Training
from sigmagraph.options import HIGHEST

pytestmark = pytest.mark.gpu
NETWORKS = {**gpu_checks.TINY, **gpu_checks.LARGE}
PRECISIONS = {HIGHEST: "training steps", "": "training steps, tf32 allowed"}


@pytest.mark.parametrize("precision", PRECISIONS, ids=["highest", "default"])
@pytest.mark.parametrize("training", NETWORKS.values(), ids=NETWORKS.keys())
def test_steps_are_those_of_the_processor(
    training: Training, precision: str, record_property: Callable[..., None]
) -> None:
    costs, changes = gpu_checks.TOLERANCES[precision]
    tolerance = f"costs {costs:g}, changes {changes:g} of the greatest"
    record_property(*gpu_table.noted(PRECISIONS[precision], tolerance))
    gpu_checks.steps_are_those_of_the_processor(training, precision)
