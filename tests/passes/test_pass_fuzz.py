"""Every pass keeps the meaning of random graphs, and what it makes of them verifies."""

from __future__ import annotations

import numpy as np
import pytest
from evaluators import kernels
from graph_checks import arrays_for, assert_same, check_same_numbers, run_pass
from hypothesis import HealthCheck, given, settings
from random_graphs import graphs

from sigmagraph.errors import DimError
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import Pass, PassContext
from sigmagraph.passes.canonicalize import Canonicalize
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.dce import Dce
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.fold import Fold
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.passes.simplify import Simplify

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    np.seterr(all="ignore")


@pytest.mark.parametrize("item", [Canonicalize(), Simplify(), Fold(), Cse(), Dce()], ids=lambda p: p.name)
@quick
@given(graph=graphs())
def test_a_pass_keeps_the_meaning(item: Pass, graph: Graph) -> None:
    out, hits = run_pass(item, graph)
    assert (out is graph) == (not hits)
    check_same_numbers(graph, out, exact=False, seeds=2)
    again, _ = run_pass(item, out)
    check_same_numbers(graph, again, exact=False, seeds=2)


@quick
@given(graph=graphs(composites=True))
def test_decompose_keeps_the_meaning(graph: Graph) -> None:
    out, _ = run_pass(Decompose(), graph)
    assert out.stage is Stage.PRIMITIVE
    check_same_numbers(graph, out, exact=False, seeds=2)


@pytest.mark.parametrize("merge", [True, False])
@quick
@given(graph=graphs(nodes=24))
def test_fuse_keeps_the_nodes(merge: bool, graph: Graph) -> None:
    graph.stage = Stage.PRIMITIVE
    out, _ = run_pass(Fuse(merge=merge), graph)
    assert out.stage is Stage.FUSED
    out.stage, out.groups = Stage.PRIMITIVE, ()
    assert difference(Dce().run(graph, PassContext(OPS)), out) is None


@pytest.mark.parametrize("fuse", [Fuse(), Fuse(recompute=0, spread=0, depth=2)], ids=["usual", "tight"])
@quick
@given(graph=graphs(params=False, nodes=20))
def test_kernels_of_groups_compute_what_the_graph_says(fuse: Fuse, graph: Graph) -> None:
    graph.stage = Stage.PRIMITIVE
    for n in (4, 1):
        inputs = arrays_for(graph, graph.inputs, n, {"n": n})
        try:
            expected = interpret(graph, inputs)
        except DimError:  # not for these sizes
            continue
        actual = kernels((fuse,))(graph, inputs)
        for name, array in expected.items():
            assert_same(actual[name], array, exact=False)


@quick
@given(graph=graphs(composites=True, nodes=24))
def test_the_standard_pipeline_keeps_the_meaning_and_comes_to_rest(graph: Graph) -> None:
    manager = PassManager(STANDARD, OPS, verify=True)
    out = manager.run(graph)
    check_same_numbers(graph, out, exact=False, seeds=2)
    assert print_graph(PassManager(STANDARD, OPS).run(graph)) == print_graph(out)
    rounds = [s for s in manager.steps if s.name == "simplify"]
    assert not rounds[-1].changed
