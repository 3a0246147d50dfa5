"""Graphs from short texts, random arrays for their ports, and what it means that two graphs compute the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sigmagraph.dims import evaluate, names
from sigmagraph.dtypes import BOOL, DType
from sigmagraph.errors import DimError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import Pass, PassContext
from sigmagraph.passes.dce import Dce

SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1.5, -2.0, 1e-40)


def graph_of(text: str) -> Graph:
    """The graph of a text without header."""
    return parse_graph("sigmagraph 1\n" + text, OPS)


def run_pass(item: Pass, graph: Graph) -> tuple[Graph, Mapping[str, int]]:
    """What a pass makes of a graph, verified, and the hits of its rules; the graph must stay as it is."""
    context = PassContext(OPS)
    text = print_graph(graph)
    out = item.run(graph, context)
    assert print_graph(graph) == text
    verify_graph(out)
    return out, context.hits


def check_pass(item: Pass, before: str, expected: str, *, exact: bool = True) -> None:
    """Assert what a pass makes of a graph, dead nodes aside, by structure and by numbers."""
    old = graph_of(before)
    new = Dce().run(run_pass(item, old)[0], PassContext(OPS))
    wanted = graph_of(expected)
    assert difference(new, wanted) is None, f"{difference(new, wanted)}\n{print_graph(new)}\n{print_graph(wanted)}"
    check_same_numbers(old, new, exact=exact)


def arrays_for(graph: Graph, values: tuple[Value, ...], seed: int, sizes: Mapping[str, int]) -> dict[str, NDArray]:
    """An array for every port, with special floats among the numbers."""
    rng = np.random.default_rng(seed)
    out = {}
    for value in values:
        dtype, shape = graph.type(value).dtype, tuple(evaluate(s, sizes) for s in graph.type(value).shape)
        if dtype.is_float:
            array = rng.standard_normal(shape)
            array = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), array)
        elif dtype is BOOL:
            array = rng.integers(0, 2, shape)
        else:
            array = rng.integers(-3 if dtype.numpy.kind == "i" else 0, 9, shape)
        out[graph.node(value).name] = np.asarray(array).astype(dtype.numpy)
    return out


def check_same_numbers(a: Graph, b: Graph, *, exact: bool = True, seeds: int = 3) -> None:
    """Assert that two graphs give the same results for random arrays, to the last bit if ``exact``."""
    ports = (*a.inputs, *a.params)
    dims = sorted({name for port in ports for size in a.type(port).shape for name in names(size)})
    for seed in range(seeds):
        sizes = dict(zip(dims, (4, 7, 1, 6), strict=False)) if seed else dict.fromkeys(dims, 0)
        inputs, params = (arrays_for(a, p, seed, sizes) for p in (a.inputs, a.params))
        try:
            left = interpret(a, inputs, params)
        except DimError:  # not for these sizes
            continue
        right = interpret(b, inputs, params)
        assert left.keys() == right.keys()
        for name, array in left.items():
            assert_same(right[name], array, exact=exact)


def assert_same(actual: NDArray, expected: NDArray, *, exact: bool = True) -> None:
    """Assert that two arrays are equal: NaN equals NaN, and if ``exact``, zeros have the same sign."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if exact or expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        if expected.dtype.kind == "f":
            numbers = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def retyped(graph: Graph, dtypes: Mapping[DType, DType]) -> Graph:
    """The graph with other element types for its inputs and parameters; the types of results follow."""
    out = Graph(graph.name, graph.stage)
    values = {}
    for ports, add in ((graph.inputs, out.add_input), (graph.params, out.add_param)):
        for port in ports:
            type = graph.type(port)
            values[port] = add(graph.node(port).name, TensorType(dtypes.get(type.dtype, type.dtype), type.shape))
    for node in graph.nodes():
        if node.outputs[0] not in values:
            operands = (values[v] for v in node.inputs)
            values.update(zip(node.outputs, Builder(out, OPS).emit_all(node.op, *operands, **node.attrs), strict=True))
    for output in graph.outputs:
        out.add_output(output.name, values[output.value], output.updates)
    return out
