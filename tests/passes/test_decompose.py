"""Decompose: composites go, at their place, down to primitives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graph_checks import check_pass, check_same_numbers, graph_of, run_pass

from sigmagraph.errors import PassError
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.opdef import OpKind, OpRegistry
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.decompose import Decompose


def test_composites_of_composites_are_expanded_at_their_place() -> None:
    graph = graph_of("""graph @g(%x: input f32[n,4], %w: param f32[4,3], %b: param f32[3]) -> (y: %y) {
      %y = dense(%x, %w, %b) {activation = "relu"} loc("mlp.py":12 "mlp/1-dense")
    }""")
    out, hits = run_pass(Decompose(), graph)
    assert out.stage is Stage.PRIMITIVE
    assert hits == {"dense": 1, "relu": 1}
    body = [n for n in out.nodes() if n.op.name not in ("input", "param")]
    assert all(n.op.kind is not OpKind.COMPOSITE for n in body)
    assert {str(n.location) for n in body} == {'"mlp.py":12 "mlp/1-dense"'}
    check_same_numbers(graph, out, exact=False)


def test_before_and_expected() -> None:
    check_pass(
        Decompose(),
        "graph @g(%x: input f32[n]) -> (y: %y) { %y = square(%x) }",
        "graph @g stage(primitive) (%x: input f32[n]) -> (y: %y) { %y = mul(%x, %x) }",
    )


def test_primitive_graphs_are_left_alone() -> None:
    graph = graph_of("graph @g stage(primitive) (%x: input f32[n]) -> (y: %y) { %y = exp(%x) }")
    assert run_pass(Decompose(), graph)[0] is graph


def test_a_decomposition_to_another_type_is_refused() -> None:
    wrong = replace(OPS["square"], decompose=lambda build, inputs, attrs: build.emit("reduce_sum", *inputs, axes=(0,)))
    registry = OpRegistry([wrong if op.name == "square" else op for op in OPS.values()])
    graph = graph_of("graph @g(%x: input f32[n]) -> (y: %x) { }")
    node = graph.add(wrong, graph.inputs, wrong.canonical_attrs({}), (graph.type(graph.inputs[0]),))
    graph.add_output("z", node.outputs[0])
    with pytest.raises(PassError, match="'square' decomposes to another type"):
        Decompose().run(graph, PassContext(registry))
