"""What attention keeps for its backward pass, and what queries get that see nothing."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dtypes import BOOL, F32, F64
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager

RNG = np.random.default_rng(3)
T, S, D, E = 3, 5, 2, 4


def attention_and_gradients(mask: TensorType | None, **attrs: Any) -> Graph:
    """``y`` and the derivatives of sum(y^2) by all operands but a mask of bools, as outputs of a graph."""
    dtype = F64 if mask is None or mask.dtype is BOOL else mask.dtype
    graph = Graph()
    values = [graph.add_input(n, TensorType(dtype, s)) for n, s in (("q", (T, D)), ("k", (S, D)), ("v", (S, E)))]
    if mask is not None:
        values.append(graph.add_input("mask", mask))
    builder = Builder(graph, OPS)
    y = builder.emit("attention", *values, **attrs)
    total = builder.emit("reduce_sum", builder.emit("square", y), axes=(0, 1))
    floats = [v for v in values if graph.type(v).dtype.is_float]
    graph.add_output("y", y)
    for value, gradient in zip(floats, gradients(graph, OPS, total, floats), strict=True):
        graph.add_output(f"d{graph.node(value).name}", gradient)
    return graph


def operands() -> dict[str, NDArray]:
    return {"q": RNG.standard_normal((T, D)), "k": RNG.standard_normal((S, D)), "v": RNG.standard_normal((S, E))}


@pytest.mark.parametrize("mask", [None, TensorType(BOOL, (T, S)), TensorType(F32, (T, S))], ids=str)
def test_nothing_of_the_size_of_the_scores_is_kept_for_the_backward_pass(mask: TensorType | None) -> None:
    """Whoever reads a value [t, s] leads to the result: the backward pass has values [s, t] of its own."""
    graph = PassManager((Decompose(), Cse()), OPS).run(attention_and_gradients(mask, causal=True))
    y = next(output.value.node for output in graph.outputs if output.name == "y")
    forward = nx.ancestors(graph.digraph, y) | {y}
    inputs = {v.node for v in graph.inputs}
    scores = [n for n in graph.nodes() if n.id in forward - inputs and n.types[0].shape == (T, S)]
    assert len(scores) > 3
    constant = {n.id for n in scores if not nx.ancestors(graph.digraph, n.id) & inputs}
    for node in scores:
        assert node.id in constant or set(graph.digraph.successors(node.id)) <= forward


@pytest.mark.parametrize("dtype", [BOOL, F64])
def test_a_query_that_sees_no_key_gives_zero_and_gets_none(dtype: Any) -> None:
    seen = np.array([[True, False, True, True, False], [False] * 5, [False, True, False, False, False]])
    mask = seen if dtype is BOOL else np.where(seen, 0.0, -np.inf)
    out = interpret(attention_and_gradients(TensorType(dtype, (T, S))), operands() | {"mask": mask})
    assert all(np.isfinite(array).all() for array in out.values())
    np.testing.assert_array_equal(out["y"][1], 0)
    np.testing.assert_array_equal(out["dq"][1], 0)
    np.testing.assert_array_equal(out["dv"][4], 0)
    if dtype is F64:
        np.testing.assert_array_equal(out["dmask"][~seen], 0)


def test_a_query_that_sees_one_key_gives_its_value() -> None:
    arrays = operands()
    out = interpret(attention_and_gradients(None, causal=True, scale=0.3), arrays)
    np.testing.assert_allclose(out["y"][0], arrays["v"][0])
    np.testing.assert_allclose(out["dq"][0], 0, atol=1e-15)
    np.testing.assert_array_equal(out["dv"][T:], 0)
