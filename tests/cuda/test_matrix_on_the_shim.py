"""The matrix of all ops: the CUDA C of every sample, executed on the processor, computes what the graph interpreter does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cuda_shim
import numpy as np
import pytest
from cuda_programs import Together
from op_cases import CASES, LARGEST, OTHERS, TYPES, Case, about, parts

from sigmagraph.codegen.cuda import schedule
from sigmagraph.codegen.cuda.rows import Groups
from sigmagraph.dtypes import F32, I64, DType
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.options import CompileOptions

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
OPTIONS = CompileOptions(cache=False, checks=False, verify=False, precision="highest")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def agree(cases: Sequence[tuple[Case, tuple[DType, DType]]]) -> None:
    """The programs of samples in types compute what the interpreter does."""
    together = Together()
    for case, types in cases:
        with about((case, types)):
            together.add(case.single(*types)[0], OPTIONS)
    for number, (case, types) in enumerate(cases):
        with about((case, types)):
            graph, inputs = case.single(*types)
            case.agree(together.run(number, inputs), interpret(graph, inputs))


@pytest.mark.parametrize("cases", parts(LARGEST))
def test_a_sample_of_every_op(cases: Sequence[Case]) -> None:
    agree([(case, (F32, I64)) for case in cases])


@pytest.mark.extended
@pytest.mark.parametrize("cases", parts(OTHERS))
def test_every_other_sample(cases: Sequence[Case]) -> None:
    agree([(case, (F32, I64)) for case in cases])


@pytest.mark.extended
@pytest.mark.parametrize("cases", parts(CASES))
def test_every_sample_in_another_type(cases: Sequence[Case]) -> None:
    others = [types for types in TYPES if types != (F32, I64)]
    agree([(case, others[case.number % len(others)]) for case in cases])


@pytest.mark.extended
@pytest.mark.parametrize("groups", [Groups(4, 8), Groups(1, 64), Groups(32, 2, across=True)], ids=str)
@pytest.mark.parametrize("cases", parts(CASES))
def test_rows_in_groups_of_other_shapes(cases: Sequence[Case], groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes are: threads of one warp, of two, and of several with rows beside each other."""
    asked: list[Compute] = []

    def chosen(compute: Compute) -> Groups:
        asked.append(compute)
        return groups

    monkeypatch.setattr(schedule, "_groups", chosen)
    together, added = Together(), []
    for case in cases:
        asked.clear()
        with about(case):
            number = together.add(case.single(F32, I64)[0], OPTIONS)
        if asked:  # the others are what they are without this
            added.append((case, number))
    for case, number in added:
        with about(case):
            graph, inputs = case.single(F32, I64)
            case.agree(together.run(number, inputs), interpret(graph, inputs))
