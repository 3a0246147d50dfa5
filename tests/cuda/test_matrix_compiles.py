"""The matrix of all ops: the CUDA C of every sample is compiled for GPUs, and no kernel runs out of registers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cuda_programs import COMPILER, Together, assert_in_registers
from op_cases import LARGEST, OTHERS, Case, about, parts
from sparse import some

from sigmagraph.dtypes import F32, I64
from sigmagraph.options import CompileOptions

pytestmark = pytest.mark.skipif(not COMPILER, reason="neither NVRTC nor nvcc is on this machine")
ARCHS = ("sm_75", "sm_80", "sm_90", "sm_90a")
OPTIONS = CompileOptions(cache=False, checks=False, verify=False)


def compiles(cases: Sequence[Case], arch: str) -> None:
    together = Together(arch)
    for case in cases:
        with about(case):
            together.add(case.single(F32, I64)[0], OPTIONS)
    resources = assert_in_registers(together.text(), arch)
    assert {r.symbol for r in resources} >= {grid.symbol for grid in together.grids()}


@pytest.mark.parametrize("arch", some(ARCHS, ("sm_80",)))
@pytest.mark.parametrize("cases", parts(LARGEST))
def test_a_sample_of_every_op(cases: Sequence[Case], arch: str) -> None:
    compiles(cases, arch)


@pytest.mark.extended
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("cases", parts(OTHERS, 100))
def test_every_other_sample(cases: Sequence[Case], arch: str) -> None:
    compiles(cases, arch)
