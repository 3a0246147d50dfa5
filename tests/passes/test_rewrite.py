"""The rewriting driver: patterns, hits, and rules that go wrong."""

from __future__ import annotations

import pytest
from graph_checks import graph_of

from sigmagraph.dtypes import F64
from sigmagraph.errors import PassError
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.rewrite import Match, P, Rule, RuleSet, rewrite, rule, uniform

TEXT = """graph @g(%x: input f32[n,3], %b: param f32[]) -> (y: %y) {
  %k = constant() {value = dense<f32[]>[-0.0]}
  %z = broadcast(%k) {shape = [n, 3]}
  %a = add(%x, %z) loc("model.py":7 "fc")
  %y = mul(%a, %a)
}"""


@rule(P.op("add", P.any("x"), P.const(-0.0)))
def drop_zero(m: Match) -> Value:
    return m["x"]


@rule(P.op("mul", P.any("x"), P.any("x")))
def square(m: Match) -> Value:
    return m.emit("square", m["x"])


@rule(P.op("add", P.any("a"), P.any("b")))
def turn(m: Match) -> Value:
    return m.emit("add", m["b"], m["a"])


@rule(P.op("add", P.any("a"), P.any("b")))
def widen(m: Match) -> Value:
    return m.emit("cast", m["a"], dtype=F64)


def test_rules_apply_bottom_up_and_hits_are_counted() -> None:
    context = PassContext(OPS)
    out = rewrite(graph_of(TEXT), RuleSet((drop_zero, square)), context)
    assert context.hits == {"drop_zero": 1, "square": 1}
    result = out.node(out.outputs[0].value)
    assert result.op.name == "square"
    assert result.inputs == out.inputs


def test_the_graph_itself_is_returned_when_no_rule_applies() -> None:
    graph, context = graph_of(TEXT), PassContext(OPS)

    @rule(P.op("mul"))
    def declines(m: Match) -> None:
        return None

    assert rewrite(graph, RuleSet((declines,)), context) is graph
    assert context.hits == {}


def test_dead_nodes_are_not_rewritten() -> None:
    graph = graph_of("graph @g(%x: input f32[3]) -> (y: %y) { %d = mul(%x, %x) %y = exp(%x) }")
    assert rewrite(graph, RuleSet((square,)), PassContext(OPS)) is graph


def test_rules_without_end_are_stopped_with_the_last_rewrites() -> None:
    with pytest.raises(PassError, match="over and over") as caught:
        rewrite(graph_of(TEXT), RuleSet((turn,)), PassContext(OPS), limit=30)
    lines = [line for line in str(caught.value).splitlines() if "turn:" in line]
    assert len(lines) == 10
    assert "add(" in lines[0]
    assert 'model.py":7 "fc"' in str(caught.value)


def test_a_rule_that_changes_a_type_is_refused() -> None:
    with pytest.raises(PassError, match="'widen' changes a type") as caught:
        rewrite(graph_of(TEXT), RuleSet((widen,)), PassContext(OPS))
    assert str(caught.value.expected) == "f32[n,3]"
    assert str(caught.value.got) == "f64[n,3]"


def test_what_rules_build_stands_at_the_place_of_the_node() -> None:
    @rule(P.op("add", P.any("x"), P.const()))
    def negate(m: Match) -> Value:
        return m.emit("neg", m.emit("neg", m["x"]))

    out = rewrite(graph_of(TEXT), RuleSet((negate,)), PassContext(OPS))
    places = [str(n.location) for n in out.nodes() if n.op.name == "neg"]
    assert places == ['"model.py":7 "fc"'] * 2


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (P.op("add"), True),
        (P.op(("mul", "add")), True),
        (P.op(()), True),
        (P.op("add", P.any("x")), False),
        (P.op("add", P.any("x"), P.any("x")), False),
        (P.op("add", P.any("x"), P.const()), True),
        (P.op("add", P.any("x"), P.const(-0.0)), True),
        (P.op("add", P.any("x"), P.const(0.0)), False),
        (P.op("add", P.const(), P.any("x")), False),
        (P.op("add", P.any("x"), P.op("broadcast", P.op("constant"), name="z")), True),
        (P.op("add", P.any("x"), P.op("broadcast", P.op("input"))), False),
    ],
)
def test_patterns(pattern: object, fits: bool) -> None:
    graph = graph_of(TEXT)
    add = next(n for n in graph.nodes() if n.op.name == "add")
    assert pattern.fits(graph, add, {}) is fits  # type: ignore[attr-defined]


def test_uniform_sees_through_movement() -> None:
    graph = graph_of("""graph @g(%x: input f32[3]) -> (y: %t, c: %c, x: %x) {
      %k = constant() {value = dense<i32[1]>[7]}
      %b = broadcast(%k) {shape = [2, 3]}
      %t = transpose(%b) {axes = [1, 0]}
      %c = constant() {value = dense<f32[2]>[1.0, 2.0]}
    }""")
    assert [uniform(graph, o.value) for o in graph.outputs] == [7, None, None]


def test_rules_are_found_by_op_in_their_order() -> None:
    general = Rule("general", P.op(()), lambda m: None)
    rules = RuleSet((square, general, turn))
    assert rules.for_op("mul") == (square, general)
    assert rules.for_op("add") == (general, turn)
    assert rules.for_op("exp") == (general,)
