"""The samples of all ops as graphs, in every type, and what it means that results of them agree."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from evaluators import assert_agree
from graph_checks import retyped

from sigmagraph.dtypes import BF16, F16, F32, F64, I16, I32, I64, U8, DType, as_dtype
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.body import map_bodies
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import NDArray, OpDef, OpKind, Sample
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS

HERE = Location("model.py", 12, "fc1")
# What float64 and int32 arrays of samples are cast to.
TYPES = ((F64, I32), (F32, I64), (F16, I16), (BF16, U8))
SUMS = (OpKind.REDUCTION, OpKind.CONTRACTION, OpKind.COMPOSITE, OpKind.OPAQUE, OpKind.CONTROL)


@contextmanager
def about(what: object) -> Iterator[None]:
    """Have an error say what it is about: tests of one sample are one test, because there are many thousands."""
    try:
        yield
    except Exception as error:
        error.add_note(f"at {what}")
        raise


@dataclass(frozen=True)
class Case:
    """One sample of one op."""

    op: OpDef
    number: int
    sample: Sample

    def __str__(self) -> str:
        return f"{self.op.name}-{self.number}"

    def arrays(self, floats: DType, integers: DType) -> list[NDArray]:
        """The operands, float64 and int32 cast to other types."""
        targets = {np.dtype(np.float64): floats.numpy, np.dtype(np.int32): integers.numpy}
        with np.errstate(over="ignore"):
            return [a.astype(targets.get(a.dtype, a.dtype)) for a in self.sample.inputs]

    def graph(self, floats: DType, integers: DType) -> tuple[Graph, Builder, tuple[Value, ...], Mapping[str, NDArray]]:
        """A graph of inputs and the op on them: graph, builder, results and the arrays by name."""
        graph, arrays = Graph("sample"), self.arrays(floats, integers)
        attrs = map_bodies(Attrs(self.sample.attrs), lambda body: retyped(body, {F64: floats, I32: integers}))
        shapes = self.sample.shapes or [a.shape for a in arrays]
        values = [
            graph.add_input(f"x{i}", TensorType(as_dtype(a.dtype), tuple(s)))
            for i, (a, s) in enumerate(zip(arrays, shapes, strict=True))
        ]
        builder = Builder(graph, OPS, HERE)
        results = builder.emit_all(self.op, *values, **attrs)
        return graph, builder, results, {f"x{i}": a for i, a in enumerate(arrays)}

    def single(self, floats: DType, integers: DType) -> tuple[Graph, Mapping[str, NDArray]]:
        """A graph whose outputs ``y0``, ``y1`` ... are the op's results."""
        graph, _, results, inputs = self.graph(floats, integers)
        for number, result in enumerate(results):
            graph.add_output(f"y{number}", result)
        return graph, inputs

    def agree(self, actual: Mapping[str, NDArray], expected: Mapping[str, NDArray]) -> None:
        """Assert that results are the reference's, as far as the op's record says they are."""
        assert actual.keys() == expected.keys()
        for name, array in expected.items():
            assert_agree(actual[name], array, exact=self.sample.exact, sums=self.op.kind in SUMS)


def _cases() -> list[Case]:
    cases = []
    for op in OPS.values():
        rng = np.random.default_rng(zlib.crc32(op.name.encode()))
        cases += [Case(op, number, sample) for number, sample in enumerate(op.samples(rng))]
    return cases


CASES = _cases()
BY_OP = [list(cases) for _, cases in groupby(CASES, lambda case: case.op.name)]
# The sample of each op that has most elements: several threads, warps and blocks have something to do.
LARGEST = [max(cases, key=lambda case: sum(array.size for array in case.sample.inputs)) for cases in BY_OP]
OTHERS = [case for cases, one in zip(BY_OP, LARGEST, strict=True) for case in cases if case is not one]


def parts(cases: Sequence[Case], size: int = 40) -> list[Any]:
    """Parts of the cases for `pytest.mark.parametrize`: what takes long for each case is done once for a part."""
    found = [cases[start : start + size] for start in range(0, len(cases), size)]
    return [pytest.param(part, id=f"{part[0]}..{part[-1]}") for part in found]
