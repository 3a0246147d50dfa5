"""The checks that are made on a GPU, on the CUDA shim: so that they work when there is a GPU, and find what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import cuda_shim
import gpu_checks
import gpu_table
import pytest
from cuda_pretended import pretended
from op_cases import CASES, TYPES


@pytest.fixture(autouse=True, scope="module")
def device() -> Iterator[cuda_shim.HostDriver]:
    if not cuda_shim.available():
        pytest.skip("needs g++")
    with pretended() as driver:
        yield driver


def test_ops() -> None:
    (case,) = (case for case in CASES if str(case) == "softmax-0")
    gpu_checks.op_agrees(case, TYPES[1])
    assert gpu_checks.tolerance(case) == "64 units of the greatest"


def test_training_steps() -> None:
    gpu_checks.steps_are_those_of_the_processor(gpu_checks.TINY["tiny dropout"])


def test_the_device() -> None:
    gpu_checks.sizes_may_change()
    gpu_checks.launches_are_replayed()
    gpu_checks.values_follow_each_other()
    gpu_checks.results_may_stay()
    gpu_checks.products_are_exact(70, 130, 96)
    gpu_checks.too_much_memory_is_told(rows=30_000, results=3)


def test_products_of_warpgroups() -> None:
    gpu_checks.warpgroups_multiply(cuda_shim.HostDriver(arch="sm_90a"), cuda_shim.build)


def test_what_was_found_is_a_table() -> None:
    outcomes = [
        ("passed", [gpu_table.noted("softmax", "64 units"), ("other", 1)]),
        ("failed", [gpu_table.noted("softmax", "64 units")]),
        ("passed", [gpu_table.noted("argmax", "equal")]),
        ("passed", []),
    ]
    assert gpu_table.lines(outcomes) == [
        "what     passed  tolerance",
        "argmax      1/1  equal",
        "softmax     1/2  64 units",
        "all         2/3",
    ]
    assert gpu_table.lines([("passed", [])]) == []
