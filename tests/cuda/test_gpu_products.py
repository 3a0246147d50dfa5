"""On a CUDA device matrix products of integers are exact, in all tiles that their sizes bring about."""

from __future__ import annotations

from collections.abc import Callable

import gpu_checks
import gpu_table
import pytest

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("rows", "columns", "summed"),
    [(300, 500, 700), (512, 512, 4096), (2048, 2048, 512), (4096, 4096, 520), (8192, 8192, 256)],
)
def test_products_are_exact(rows: int, columns: int, summed: int, record_property: Callable[..., None]) -> None:
    """On sm_90a those of the larger ones last from step to step, and the largest one has its tiles in stripes."""
    record_property(*gpu_table.noted("matrix products", "equal"))
    gpu_checks.products_are_exact(rows, columns, summed)
