"""Axes are split by what indices divide them by, so that neighbours in memory are neighbours in a loop."""

from __future__ import annotations

import numpy as np
import pytest
from evaluators import assert_agree, kernels, legal
from graph_checks import arrays_for, graph_of

from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.schedule.machine import AVX2, BASELINE, Machine
from sigmagraph.codegen.templates.pieces import flatten, indices_of, split_axes
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Compute
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.pipelines import STANDARD


def moved(parts: str, axes: str, result: str, size: str = "n,48", end: str = "") -> Graph:
    """Rows of a matrix seen as ``parts``, these in another order, and all of it in another shape."""
    return graph_of(f"""graph @g stage(primitive) (%x: input f32[{size}]) -> (y: %{"z" if end else "y"}) {{
      %r = reshape(%x) {{shape = [{parts}]}}
      %t = transpose(%r) {{axes = [{axes}]}}
      %y = reshape(%t) {{shape = [{result}]}}
      {end}
    }}""")


def split(graph: Graph) -> Compute:
    """The only compute of a graph, flat and split."""
    (work,) = partition(Fuse().run(graph, PassContext(OPS))).works
    assert isinstance(work, Compute)
    return split_axes(flatten(work))


def extents(compute: Compute) -> list[str]:
    return [str(axis.extent) for axis in (*compute.axes, *compute.inner_axes())]


def divided(compute: Compute) -> bool:
    return any(list(divisions(index)) for index in indices_of(compute))


SUM = "%z = reduce_sum(%y) {axes = [1]}"
SPLIT = {
    "parts of the innermost axis": (moved("n, 16, 3", "0, 2, 1", "n, 48"), ["n", "3", "16"]),
    "as many parts as only the call knows": (moved("n, 3, 16", "1, 0, 2", "3*n, 16"), ["3", "n", "16"]),
    "parts of parts": (moved("n, 12, 2, 9", "0, 3, 2, 1", "n, 216", "n,216"), ["n", "9", "2", "12"]),
    "a summed axis": (moved("n, 12, 4", "0, 2, 1", "n, 48", end=SUM), ["n", "4", "12"]),
}


@pytest.mark.parametrize(("graph", "expected"), SPLIT.values(), ids=SPLIT)
def test_an_axis_is_split_by_what_it_is_divided_by(graph: Graph, expected: list[str]) -> None:
    found = split(graph)
    assert extents(found) == expected
    assert not divided(found)


WHOLE = {
    "nothing is divided": (moved("n, 48", "0, 1", "n, 48"), ["n", "48"]),
    "fewer than 8 neighbours": (moved("n, 3, 16", "0, 2, 1", "n, 48"), ["n", "48"]),
    "fewer than 8 neighbours to be added up": (moved("n, 3, 16", "0, 2, 1", "n, 48", end=SUM), ["n", "48"]),
}


@pytest.mark.parametrize(("graph", "expected"), WHOLE.values(), ids=WHOLE)
def test_an_axis_stays_whole(graph: Graph, expected: list[str]) -> None:
    assert extents(split(graph)) == expected


@pytest.mark.parametrize("machine", [BASELINE, AVX2])
@pytest.mark.parametrize("graph", [graph for graph, _ in (*SPLIT.values(), *WHOLE.values())], ids=[*SPLIT, *WHOLE])
def test_numbers_stay_what_they_are(graph: Graph, machine: Machine) -> None:
    for n in (0, 1, 5):
        inputs = {name: np.nan_to_num(x) for name, x in arrays_for(graph, graph.inputs, n, {"n": n}).items()}
        inputs = {name: np.clip(x, -9, 9) for name, x in inputs.items()}
        (name, expected), *_ = interpret(graph, inputs).items()
        assert_agree(kernels(STANDARD, legal(machine))(graph, inputs)[name], expected, sums=True)
