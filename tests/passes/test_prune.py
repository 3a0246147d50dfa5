"""Prune: what loops and branches lose, as text, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import graph_of, run_pass

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.passes.prune import Prune

RNG = np.random.default_rng(2)

TURN = """graph @turn(%x: input f32[], %u: input f32[], %w: input f32[], %v: input f32[], %h: param f32[], %k: param f32[])
    -> (h: %2 updates %h, k: %k updates %k, y: %0, z: %1, again: %0) {
  %0 = mul(%x, %k) : f32[]
  %1 = exp(%u) : f32[]
  %2 = add(%0, %w) : f32[]
}"""
SCAN = f"""graph @main(%a: input f32[5], %b: input f32[], %c: input f32[]) -> (%s) {{
  %0:5 = scan(%b, %c, %a, %a, %c, %b) {{body = {TURN}, length = 5, reverse = false, sequences = 2}}
    : f32[], f32[], f32[5], f32[5], f32[5]
}}"""


def scan(outputs: str) -> Graph:
    return graph_of(SCAN.replace("%s", outputs))


def body(graph: Graph) -> Graph:
    (node,) = (n for n in graph.nodes() if n.op.name == "scan")
    return node.attrs["body"].graph


def same(before: Graph, after: Graph) -> None:
    arrays = {"a": RNG.standard_normal(5), "b": RNG.standard_normal(), "c": RNG.standard_normal()}
    expected = interpret(before, arrays)
    for name, actual in interpret(after, arrays).items():
        np.testing.assert_array_equal(actual, expected[name])


def test_results_that_nobody_reads_are_not_computed() -> None:
    before = scan("y: %0#2")
    after, hits = run_pass(Prune(), before)
    assert hits == {"smaller": 1}
    assert [n.op.name for n in body(after).nodes() if n.inputs] == ["mul"]
    assert not body(after).params  # the one state is read by nothing, the other one never changes
    same(before, after)


def test_a_state_that_never_changes_is_an_operand_of_its_own() -> None:
    before = scan("h: %0, k: %0#1")
    after, _ = run_pass(Prune(), before)
    assert [body(after).node(p).name for p in body(after).params] == ["h"]
    assert after.node(after.outputs[1].value).name == "c"
    same(before, after)


def test_equal_operands_and_results_become_one() -> None:
    before = scan("y: %0#2, z: %0#3, again: %0#4")
    after, _ = run_pass(Prune(), before)
    assert len(body(after).outputs) == 2
    (node,) = (n for n in after.nodes() if n.op.name == "scan")
    assert [after.node(v).name for v in node.inputs] == ["a", "c"]
    same(before, after)


def test_a_second_time_nothing_is_left_to_do() -> None:
    for outputs in ("y: %0#2", "h: %0, k: %0#1", "y: %0#2, z: %0#3, again: %0#4"):
        after, _ = run_pass(Prune(), scan(outputs))
        assert run_pass(Prune(), after)[0] is after


COND = """graph @main(%f: input bool[], %a: input f32[3], %b: input f32[3], %c: input f32[3]) -> (y: %0) {
  %0:2 = cond(%f, %a, %b, %a, %c) {
    orelse = graph @no(%x: input f32[3], %y: input f32[3], %z: input f32[3], %w: input f32[3]) -> (p: %0, q: %w) {
      %0 = sub(%x, %z) : f32[3]
    },
    then = graph @yes(%x: input f32[3], %y: input f32[3], %z: input f32[3], %w: input f32[3]) -> (p: %1, q: %0) {
      %0 = exp(%w) : f32[3]
      %1 = mul(%y, %z) : f32[3]
    }
  } : f32[3], f32[3]
}"""


@pytest.mark.parametrize("flag", [True, False])
def test_branches_lose_the_same_results_and_operands(flag: bool) -> None:
    before = graph_of(COND)
    after, hits = run_pass(Prune(), before)
    assert hits == {"smaller": 1}
    (node,) = (n for n in after.nodes() if n.op.name == "cond")
    assert [after.node(v).name for v in node.inputs] == ["f", "a", "b"]
    assert len(node.types) == 1
    arrays = {name: RNG.standard_normal(3) for name in "abc"}
    np.testing.assert_array_equal(
        interpret(after, arrays | {"f": flag})["y"], interpret(before, arrays | {"f": flag})["y"]
    )
