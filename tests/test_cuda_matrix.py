"""The matrix of ops on every way to a GPU: how its lines come about, and what the page says."""

from __future__ import annotations

import pytest
from op_cases import CASES, Case

from benchmarks import cuda_matrix
from sigmagraph.errors import CompileError


def test_a_page_of_the_matrix_has_a_line_for_every_op_and_says_what_is_wrong() -> None:
    cases = [case for case in CASES if case.op.name in ("neg", "add")]
    right, wrong = {str(case): "" for case in cases}, {str(case): "" for case in cases} | {"add-1": "CompileError: no"}
    ways = [
        cuda_matrix.Column("graph", "one", right),
        cuda_matrix.Column("shim", "two", wrong),
        cuda_matrix.Column("GPU", "there is none", None),
    ]
    adds = sum(case.op.name == "add" for case in cases)
    page = cuda_matrix.page(ways, cases)
    assert f"| all | {len(cases)}/{len(cases)} | {len(cases) - 1}/{len(cases)} | not run |" in page
    assert f"| `add` | {adds}/{adds} | {adds - 1}/{adds} | not run |" in page
    assert "- *GPU*: not run: there is none" in page
    assert page.endswith("- `add-1`, shim: CompileError: no\n")


def test_samples_are_run_on_the_ways_that_are_open_here(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case for case in CASES if case.op.name == "neg"]
    monkeypatch.setattr(cuda_matrix, "ARCHS", ("sm_80",))
    found = list(cuda_matrix.columns(cases))
    assert [column.title for column in found] == ["graph", "kernels", "LLVM", "shim", "sm_80", "GPU"]
    assert cuda_matrix.faults(found) == []
    assert found[0].cell(cases) == found[2].cell(cases) == f"{len(cases)}/{len(cases)}"


def test_one_program_that_does_not_compile_is_told_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case for case in CASES if case.op.name == "neg"]

    def run(_: object, programs: list[tuple[int, Case]]) -> dict[str, str]:
        names = [str(case) for _, case in programs]
        if "neg-1" in names:
            raise CompileError("this is no text")
        return dict.fromkeys(names, "")

    found = cuda_matrix._together(cases, "sm_80", run)
    assert {name for name, fault in found.items() if fault} == {"neg-1"}
    assert "this is no text" in found["neg-1"]
