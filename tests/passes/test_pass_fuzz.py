"""Every pass keeps the meaning of random graphs, and what it makes of them verifies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from graph_checks import run_pass
from hypothesis import given
from ladder import Point, live, point
from random_graphs import SIZES, examples, graphs

from sigmagraph.errors import IndexRangeError
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import Pass, PassContext
from sigmagraph.passes.canonicalize import Canonicalize
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.fold import Fold
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.guard import Guard
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.merge import Merge
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.passes.prune import Prune
from sigmagraph.passes.remat import Remat
from sigmagraph.passes.simplify import Simplify
from sigmagraph.passes.sink import Sink

EVERY_PASS = (Canonicalize(), Simplify(), Fold(), Cse(), Dce(), Merge(), Prune(), Sink(), Remat())


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def points(graph: Graph, *, checks: bool = False) -> Iterator[Point]:
    """The graph at arrays of several sizes, special numbers among some."""
    for seed, sizes in enumerate((SIZES, {"n": 7, "m": 2}, {"n": 0, "m": 0})):
        yield point(graph, sizes, seed, special=0.1 * seed, checks=checks)


def check_same(graph: Graph, out: Graph, what: str, *, checks: bool = False) -> None:
    """Assert that what became of a graph has its meaning."""
    for at in points(graph, checks=checks):
        at.check_call(partial(interpret, out, at.inputs, at.params), what)


@pytest.mark.parametrize("item", EVERY_PASS, ids=lambda p: p.name)
@examples(10)
@given(graph=graphs(composites=False))
def test_a_pass_keeps_the_meaning(item: Pass, graph: Graph) -> None:
    if item.requires is Stage.PRIMITIVE:
        graph = PassManager((Decompose(),), OPS).run(graph)
    out, hits = run_pass(item, graph)
    assert (out is graph) == (not hits)
    check_same(graph, out, item.name)
    again, _ = run_pass(item, out)
    check_same(graph, again, f"{item.name} twice")


@examples(25)
@given(graph=graphs())
def test_decompose_keeps_the_meaning(graph: Graph) -> None:
    out, _ = run_pass(Decompose(), graph)
    assert out.stage is Stage.PRIMITIVE
    check_same(graph, out, "decompose")


@examples(15)
@given(graph=graphs())
def test_guards_refuse_and_change_nothing_else(graph: Graph) -> None:
    graph = live(graph)
    out, _ = run_pass(Guard(), graph)
    for at in points(graph):
        if isinstance(at.expected, Exception):
            continue
        try:
            results = interpret(out, at.inputs, at.params)
        except IndexRangeError:
            continue
        at.check(results, "guard")


@pytest.mark.parametrize("merge", [True, False])
@examples(15)
@given(graph=graphs(composites=False, nodes=20))
def test_fuse_keeps_the_nodes(merge: bool, graph: Graph) -> None:
    graph.stage = Stage.PRIMITIVE
    out, _ = run_pass(Fuse(merge=merge), graph)
    assert out.stage is Stage.FUSED
    out.stage, out.groups = Stage.PRIMITIVE, ()
    assert difference(Dce().run(graph, PassContext(OPS)), out) is None


@examples(25)
@given(graph=graphs(nodes=20))
def test_the_standard_pipeline_keeps_the_meaning_and_comes_to_rest(graph: Graph) -> None:
    manager = PassManager(STANDARD, OPS, verify=True)
    out = manager.run(graph)
    check_same(graph, out, "standard")
    assert print_graph(PassManager(STANDARD, OPS).run(graph)) == print_graph(out)
    rounds = [s for s in manager.steps if s.name == "simplify"]
    assert not rounds[-1].changed


@examples(25)
@given(graph=graphs())
def test_text_has_the_whole_meaning(graph: Graph) -> None:
    graph = live(graph)
    again = parse_graph(print_graph(graph), OPS)
    assert difference(graph, again) is None
    for at in points(graph):
        if not isinstance(at.expected, Exception):
            results = interpret(again, at.inputs, at.params)
            assert all(results[name].tobytes() == array.tobytes() for name, array in at.expected.items())
