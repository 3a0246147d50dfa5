"""Random graphs with random updates as native programs: memory shared between buffers, parameters written in place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from graph_checks import arrays_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import graphs

from sigmagraph.dims import evaluate
from sigmagraph.driver import compile_graph
from sigmagraph.errors import DimError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.state import Variable


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def add_updates(graph: Graph, choose: st.DataObject) -> None:
    """Let random values of the graph be new values of those of its parameters that have none."""
    updated = {output.updates for output in graph.outputs}
    for param in graph.params:
        if graph.node(param).name in updated:
            continue
        fitting = [v for node in graph.nodes() for v in node.outputs if graph.type(v) == graph.type(param)]
        name = graph.node(param).name
        if choose.draw(st.booleans()):
            graph.add_output(f"new {name}", choose.draw(st.sampled_from(fitting)), name)


def poison(function: CompiledFunction) -> None:
    """Let the arena be full of NaN, so that what is read before it is written shows."""
    function.executor._arena[:] = 0xFF


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(composites=True, nodes=20), choose=st.data())
def test_programs_compute_what_the_graph_says(graph: Graph, choose: st.DataObject) -> None:
    add_updates(graph, choose)
    fuse, threads = choose.draw(st.booleans()), choose.draw(st.sampled_from([1, 2]))
    shapes = {graph.node(v).name: graph.type(v) for v in graph.params}
    variables = {n: Variable(n, t.dtype, tuple(evaluate(s, {}) for s in t.shape)) for n, t in shapes.items()}
    options = CompileOptions(Target(threads=threads), fuse=fuse, cache=False)
    function = compile_graph(graph, variables, options)
    for seed, n in enumerate((4, 1, 7, 0)):
        inputs = arrays_for(graph, graph.inputs, seed, {"n": n})
        params = arrays_for(graph, graph.params, seed, {"n": n})
        try:
            expected = interpret(graph, inputs, params)
        except DimError:  # not for these sizes
            with pytest.raises(DimError):
                function(**inputs)
            continue
        for name, variable in variables.items():
            variable.assign(params[name])
        poison(function)
        outputs = function(**inputs)
        updated = {o.name: o.updates for o in graph.outputs if o.updates is not None}
        for name, array in expected.items():
            got = variables[updated[name]].value if name in updated else outputs[name]
            np.testing.assert_allclose(got, array, rtol=1e-5, atol=1e-5, err_msg=f"{name}\n{graph}")
        kept = variables.keys() - set(updated.values())
        assert all(np.array_equal(variables[k].value, params[k], equal_nan=True) for k in kept)
