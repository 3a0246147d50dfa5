"""What every op's samples come to on every way to a GPU: interpreted, on the processor, as CUDA C, compiled, run.

``python -m benchmarks.cuda_matrix`` runs them all and writes ``docs/cuda-matrix.md``; with patterns of ops, as in
``python -m benchmarks.cuda_matrix 'reduce_*'``, it prints their lines and writes nothing. It needs the tests' folder.
"""

from __future__ import annotations

import argparse
import datetime as dt
import fnmatch
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.machine import describe
from benchmarks.tables import markdown
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.compile import compile_text, compiler_name
from sigmagraph.codegen.cuda.relief import compile_with_room
from sigmagraph.codegen.cuda.schedule import schedule
from sigmagraph.driver import compile_graph
from sigmagraph.dtypes import F32, I64
from sigmagraph.errors import CompileError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import CompileOptions, as_target
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.runtime.cuda import cuda_devices, probe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cuda-matrix.md"
ARCHS = ("sm_75", "sm_80", "sm_90", "sm_90a")
OPTIONS = CompileOptions(cache=False, checks=False, verify=False, precision="highest")
TOGETHER = 50  # programs whose texts are compiled as one
Case: TypeAlias = Any  # one sample of one op, of the tests
Faults: TypeAlias = dict[str, str]  # by sample what went wrong; empty where nothing did
Run: TypeAlias = Callable[[Any, Sequence[tuple[int, Case]]], Faults]  # of programs together, and their numbers


@dataclass(frozen=True, slots=True)
class Column:
    """What came of one way.

    Attributes:
        title: its name.
        about: what it is, in a line.
        faults: by sample what went wrong, empty where nothing did; None where the way is not open here.
    """

    title: str
    about: str
    faults: Mapping[str, str] | None

    def cell(self, cases: Sequence[Case]) -> str:
        """How many of some samples are right, of how many."""
        if self.faults is None:
            return "not run"
        return f"{sum(not self.faults[str(case)] for case in cases)}/{len(cases)}"


def tests(name: str) -> Any:
    """A module of the tests' folder, which has the samples and the shim."""
    folder = str(ROOT / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def columns(cases: Sequence[Case]) -> Iterator[Column]:
    """Go every way with all samples."""
    evaluators, shim = tests("evaluators"), tests("cuda_shim")
    exact = Chip.of("sm_80", narrow=False)
    for_gpus = evaluators.kernels(STANDARD, lambda work: schedule(work, exact))
    yield Column("graph", "the graph interpreter, which the others are compared with", _each(cases, interpret))
    yield Column(
        "kernels", "the schedules for GPUs, verified and run by the kernel interpreter", _each(cases, for_gpus)
    )
    yield Column("LLVM", "compiled for this processor", _each(cases, evaluators.native(OPTIONS)))
    yield Column(
        "shim",
        "the CUDA C, compiled by g++ and executed on this processor" if shim.available() else "there is no g++",
        _together(cases, "sm_80", _on_shim) if shim.available() else None,
    )
    compiler, missing = _compiler()
    for arch in ARCHS:
        faults = _together(cases, arch, _compiled) if compiler else None
        about = f"the CUDA C, compiled by {compiler} with nothing spilled to memory" if compiler else missing
        yield Column(arch, about, faults)
    yield _device(cases)


def _device(cases: Sequence[Case]) -> Column:
    found = probe()
    if not found.ok:
        return Column("GPU", found.reason, None)
    device = cuda_devices()[0]

    def run(graph: Any, inputs: Any) -> Any:
        return compile_graph(graph, {}, replace(OPTIONS, target=as_target("cuda")))(**inputs)

    return Column("GPU", f"{device.name}, {device.arch}", _each(cases, run))


def _compiler() -> tuple[str, str]:
    """The compiler of CUDA C, or why there is none."""
    try:
        return compiler_name(), ""
    except CompileError as error:
        return "", str(error.got or error.message)


def _each(cases: Sequence[Case], run: Callable[[Any, Any], Any]) -> Faults:
    """Run samples one by one, and compare what comes out with the interpreter."""

    def one(case: Case) -> None:
        graph, inputs = case.single(F32, I64)
        case.agree(run(graph, inputs), interpret(graph, inputs))

    return {str(case): _fault(partial(one, case)) for case in cases}


def _together(cases: Sequence[Case], arch: str, run: Run) -> Faults:
    """Do something with the text of many programs for an architecture; where that fails, with each of them."""
    out: Faults = {}
    for start in range(0, len(cases), TOGETHER):
        part = cases[start : start + TOGETHER]
        try:
            out |= _of_one_text(part, arch, run)
        except Exception:  # noqa: BLE001  # whatever it was, the samples by themselves say it
            for case in part:
                out |= _alone(case, arch, run)
    return out


def _alone(case: Case, arch: str, run: Run) -> Faults:
    found: Faults = {}
    fault = _fault(lambda: found.update(_of_one_text([case], arch, run)))
    return found or {str(case): fault}


def _of_one_text(cases: Sequence[Case], arch: str, run: Run) -> Faults:
    together = tests("cuda_programs").Together(arch)
    return run(together, [(together.add(case.single(F32, I64)[0], OPTIONS), case) for case in cases])


def _on_shim(together: Any, programs: Sequence[tuple[int, Case]]) -> Faults:
    together.build()

    def one(number: int, case: Case) -> None:
        graph, inputs = case.single(F32, I64)
        case.agree(together.run(number, inputs), interpret(graph, inputs))

    return {str(case): _fault(partial(one, number, case)) for number, case in programs}


def _compiled(together: Any, programs: Sequence[tuple[int, Case]]) -> Faults:
    resources = compile_with_room(together.text(), lambda text: compile_text(text, together.arch))[1].resources
    spilled = {
        r.symbol: f"{r.symbol} stores {r.spill_stores} bytes and loads {r.spill_loads}, at {r.registers} registers"
        for r in resources
        if r.spill_stores or r.spill_loads
    }
    own = {str(case): [what for s, what in spilled.items() if s.startswith(f"p{number}_")] for number, case in programs}
    return {name: f"spills: {', '.join(found)}" if found else "" for name, found in own.items()}


def _fault(run: Callable[[], object]) -> str:
    """What goes wrong, in a line; empty if nothing does."""
    try:
        with np.errstate(all="ignore"):
            run()
    except Exception as error:  # noqa: BLE001  # a way that fails with any error is one that does not work
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return ""


def rows(found: Sequence[Column], cases: Sequence[Case]) -> list[list[str]]:
    """The cells of the table: a head, all ops together, and a line for each."""
    ops = dict.fromkeys(case.op.name for case in cases)
    lines = [["all", *(column.cell(cases) for column in found)]]
    for op in ops:
        own = [case for case in cases if case.op.name == op]
        lines.append([f"`{op}`", *(column.cell(own) for column in found)])
    return [["op", *(column.title for column in found)], *lines]


def faults(found: Sequence[Column]) -> list[str]:
    """A line for each sample that is wrong somewhere."""
    return [f"- `{n}`, {c.title}: {what}" for c in found for n, what in (c.faults or {}).items() if what]


def page(found: Sequence[Column], cases: Sequence[Case]) -> str:
    """The page of the documentation."""
    machine = describe()
    about = "".join(f"- *{c.title}*: {'not run: ' if c.faults is None else ''}{c.about}\n" for c in found)
    wrong = "\n".join(faults(found)) or "None."
    return f"""# Ops on every way to a GPU

Written by `python -m benchmarks.cuda_matrix`; do not edit. {dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine.processor}, \
{machine.cores} cores, {machine.system},
Python {machine.python}.

How many of each op's samples are right, in float32 and int64, within the tolerance of the op's record: integers are
equal, floats differ by at most 8 units in the last place, results of sums by at most 64 units of the largest number.

{about}
{markdown(rows(found, cases))}
## What is wrong

{wrong}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the samples, print the lines of the ops, and write the page if it is all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda_matrix", description=__doc__)
    parser.add_argument("patterns", nargs="*", help="of the ops that are wanted; nothing is written then")
    patterns = parser.parse_args(arguments).patterns
    cases = [c for c in tests("op_cases").CASES if not patterns or any(fnmatch.fnmatch(c.op.name, p) for p in patterns)]
    found = []
    for column in columns(cases):
        print(f"{column.title}: {column.cell(cases)}, {column.about}", flush=True)
        found.append(column)
    print(markdown(rows(found, cases)), *faults(found), sep="\n")
    if not patterns:
        PAGE.write_text(page(found, cases), encoding="utf-8")


if __name__ == "__main__":
    main()
