"""Dce: dead nodes go, the signature stays."""

from __future__ import annotations

from graph_checks import check_pass, graph_of, run_pass

from sigmagraph.passes.dce import Dce


def test_dead_nodes_go_and_ports_stay() -> None:
    check_pass(
        Dce(),
        """graph @g(%x: input f32[3], %unused: input f32[n], %p: param f32[3]) -> (y: %y) {
          %a = exp(%x) %b = neg(%a) %c = mul(%b, %b) %y = add(%a, %x)
        }""",
        """graph @g(%x: input f32[3], %unused: input f32[n], %p: param f32[3]) -> (y: %y) {
          %a = exp(%x) %y = add(%a, %x)
        }""",
    )


def test_nothing_to_do() -> None:
    graph = graph_of("graph @g(%x: input f32[3], %u: param f32[]) -> (y: %x) { }")
    out, hits = run_pass(Dce(), graph)
    assert out is graph
    assert hits == {}
