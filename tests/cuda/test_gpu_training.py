"""On a CUDA device training steps of networks do what they do on the processor."""

from __future__ import annotations

from collections.abc import Callable

import gpu_checks
import gpu_table
import pytest

from benchmarks.workloads import Training

pytestmark = pytest.mark.gpu
NETWORKS = {**gpu_checks.TINY, **gpu_checks.LARGE}
TOLERANCE = f"costs {gpu_checks.COST:g}, changes {gpu_checks.CHANGE:g} of the greatest"


@pytest.mark.parametrize("training", NETWORKS.values(), ids=NETWORKS.keys())
def test_steps_are_those_of_the_processor(training: Training, record_property: Callable[..., None]) -> None:
    record_property(*gpu_table.noted("training steps", TOLERANCE))
    gpu_checks.steps_are_those_of_the_processor(training)
