"""The graphs in ``corpus/``: some use many features together, others are what random graphs once stumbled over.

To add one, put its text there with a comment that says what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from evaluators import EVALUATORS
from ladder import Point, Program, check_evaluator, point
from sparse import some

from sigmagraph.dims import names
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions, Target

FILES = sorted((Path(__file__).parent / "corpus").glob("*.sg"))
# For dims in the order of their names; the last ones fill vectors.
SIZES = ((4, 3), (3, 4), (1, 2), (0, 0), (19, 5))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
LARGE = ("several_costs", "attention_step")  # what they are made of is in the others too
most_files = pytest.mark.parametrize("file", some({f.stem: f for f in FILES}, {f.stem for f in FILES} - {*LARGE}))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def read(file: Path) -> Graph:
    return parse_graph(file.read_text(encoding="utf-8"), OPS, file.name)


@cache  # interpreted, and shaken by rounding, once for all ways to run a graph
def at_sizes(file: Path, seed: int) -> Point | None:
    """The graph at some of the sizes, NaN and infinities among the numbers at the second; None if it has no dims."""
    graph = read(file)
    dims = sorted({n for v in graph.inputs for size in graph.type(v).shape for n in names(size)})
    if seed > 1 and not dims:
        return None
    bound: Mapping[str, int] = dict(zip(dims, SIZES[seed], strict=False))
    return point(graph, bound, seed, special=0.1 if seed == 1 else 0)


@every_file
def test_the_text_says_what_it_shows_and_is_read_back(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    header, *lines = text.splitlines()
    assert lines[0].startswith("# ")
    graph = read(file)
    assert print_graph(graph).splitlines() == [header, *(line for line in lines if not line.startswith("# "))]
    assert difference(parse_graph(print_graph(graph), OPS), graph) is None


# By default those at the ends: what kernels are before they are legal is seen in them, too.
INTERPRETED = [name for name in EVALUATORS if "native" not in name]


@pytest.mark.parametrize("evaluator", some(INTERPRETED, ("decomposed", "kernels", "legal kernels")))
@most_files
def test_kernels_compute_what_the_graph_says(file: Path, evaluator: str) -> None:
    at = at_sizes(file, 0)
    assert at is not None
    check_evaluator(evaluator, at)


@pytest.mark.parametrize("fuse", some({"fused": True, "unfused": False}, ["fused"]))
@most_files
def test_programs_compute_what_the_graph_says(file: Path, fuse: bool) -> None:
    graph = read(file)
    program = Program(graph, CompileOptions(Target(threads=2), cache=False, checks=False, fuse=fuse))
    for at in filter(None, (at_sizes(file, seed) for seed in range(len(SIZES)))):
        program.check(at, f"native for {at.sizes}")
