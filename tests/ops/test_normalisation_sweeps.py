"""How often the gradients of normalisations go over their operand, and what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dtypes import F64
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import OpKind
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.cse import Cse
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager

SHAPE = (4, 7)


def forward_and_gradient(op: str) -> Graph:
    """``y`` and the cotangent ``dx`` of x for one of y, as outputs of a graph."""
    graph = Graph()
    x, g = (graph.add_input(name, TensorType(F64, SHAPE)) for name in ("x", "g"))
    y = Builder(graph, OPS).emit(op, x)
    graph.add_output("y", y)
    graph.add_output("dx", gradients(graph, OPS, y, [x], g)[0])
    return graph


@pytest.mark.parametrize(("op", "forward"), [("standardise", 2), ("rms_normalise", 1)])
def test_the_backward_pass_adds_as_many_sums_as_the_forward_pass_has(op: str, forward: int) -> None:
    """The variance's and the mean's own gradients cancel: mean(g) and mean(g * y) are all that is left."""
    graph = PassManager((Decompose(), Cse()), OPS).run(forward_and_gradient(op))
    sums = [node for node in graph.nodes() if node.op.kind is OpKind.REDUCTION]
    assert len(sums) == 2 * forward


@pytest.mark.parametrize("op", ["standardise", "rms_normalise"])
def test_what_changes_no_result_gets_no_gradient(op: str) -> None:
    """Rows may be scaled, and for `standardise` shifted, without effect: the gradient is orthogonal to that."""
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal(SHAPE) * 1e4, rng.standard_normal(SHAPE)
    dx = interpret(forward_and_gradient(op), {"x": x, "g": g})["dx"]
    np.testing.assert_allclose((dx * x).sum(1), 0, atol=1e-9)
    if op == "standardise":
        np.testing.assert_allclose(dx.sum(1), 0, atol=1e-15)
