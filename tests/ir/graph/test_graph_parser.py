"""The graph parser: what hands may write, and errors that say where and what was expected."""

from __future__ import annotations

import pytest
from graph_checks import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmagraph.errors import ParseError, VerifyError
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ops.registry import OPS


def test_hands_may_leave_out_types_and_use_names_comments_and_ints_for_floats() -> None:
    short = graph_of("""
      # a comment
      graph @g(%x: input f32[n, 3]) -> (y: %out) {   # another
        %hidden = pad(%x) {low=[0,0], high=[0,1], interior=[0,0], value=2}
        %out = neg(%hidden)
      }""")
    full = graph_of("""graph @g(%x: input f32[n,3]) -> (y: %1) {
      %0 = pad(%x) {high = [0, 1], interior = [0, 0], low = [0, 0], value = 2.0} : f32[n,4]
      %1 = neg(%0) : f32[n,4]
    }""")
    assert difference(short, full) is None
    assert [n.name for n in short.nodes()] == ["x", "hidden", "out"]


def test_ports_may_be_quoted_without_need() -> None:
    graph = graph_of('graph @"g"(%"x": input f32[]) -> ("y": %x) { %a = neg(%"x") }')
    assert (graph.name, graph.outputs[0].name, len(graph)) == ("g", "y", 2)


# the text, the line and column of the error, its message, what was expected
WRONG = [
    ("", 1, 1, "version header", "'sigmagraph 1'"),
    ("graph @g() -> () { }", 1, 1, "version header", "'sigmagraph 1'"),
    ("sigmagraph 2\ngraph @g() -> () { }", 1, 12, "version", "1"),
    ("sigmagraph 1", 1, 13, "unexpected text", "'graph'"),
    ("sigmagraph 1\nkernel @k", 2, 1, "unexpected text", "'graph'"),
    ("sigmagraph 1\ngraph g() -> () { }", 2, 7, "unexpected text", "@name"),
    ("sigmagraph 1\ngraph @g() -> () { } x", 2, 22, "more text", "end of the text"),
    ("sigmagraph 1\ngraph @g stage(raw) () -> () { }", 2, 16, "no such stage", "captured, primitive, fused"),
    ("sigmagraph 1\ngraph @g(x: input f32[]) -> () { }", 2, 10, "unexpected text", "%name"),
    ("sigmagraph 1\ngraph @g(%x: output f32[]) -> () { }", 2, 14, "unexpected text", "'input' or 'param'"),
    ("sigmagraph 1\ngraph @g(%x: input f31[]) -> () { }", 2, 20, "not an element type", "f32"),
    ("sigmagraph 1\ngraph @g(%x: input f32[3) -> () { }", 2, 25, "unexpected text", "','"),
    ("sigmagraph 1\ngraph @g(%x: input f32[n//0]) -> () { }", 2, 25, "divided", "at least 1"),
    ("sigmagraph 1\ngraph @g(%x: input f32[] %y: input f32[]) -> () { }", 2, 26, "unexpected text", "','"),
    ("sigmagraph 1\ngraph @g(%x: input f32[], %x: param i8[]) -> () { }", 2, 27, "'x' is taken", None),
    ("sigmagraph 1\ngraph @g() { }", 2, 12, "unexpected text", "'->'"),
    ("sigmagraph 1\ngraph @g() -> (y: %0) { }", 2, 19, "no such value", "stands above"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %x, y: %x) { }", 2, 38, "two outputs are called 'y'", None),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %x updates %x) { }", 2, 45, "no such parameter", "none"),
    ("sigmagraph 1\ngraph @g(%x: input f32[], %w: param f32[3]) -> (y: %x updates %w) { }", 2, 52, "another type", "f32[3]"),
    (
        "sigmagraph 1\ngraph @g(%w: param f32[]) -> (y: %w updates %w, z: %w updates %w) { }",
        2, 49, "updated twice", "one update",
    ),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = warp(%x)\n}", 3, 8, "no such op", "name of an op"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%x, %x)\n}", 3, 8, "number of operands", "1"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%z)\n}", 3, 12, "no such value", "stands above"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %1 = neg(%0)\n  %0 = neg(%x)\n}", 3, 12, "no such value", "above"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%x)\n  %0 = neg(%x)\n}", 4, 3, "name is taken", "new"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %x = neg(%x)\n}", 3, 3, "name is taken", "new"),
    ('sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %"a b" = neg(%x)\n}', 3, 3, "cannot name a node", "letters"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0#1 = neg(%x)\n}", 3, 3, "cannot name a node", "letters"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %0#1) {\n  %0 = neg(%x)\n}", 2, 34, "no such result", "1 results"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %x#0) { }", 2, 34, "no such value", None),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0:2 = neg(%x)\n}", 3, 10, "number of results", "1"),
    ("sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = neg(%x) : f32[m]\n}", 3, 18, "another type", "f32[n]"),
    ("sigmagraph 1\ngraph @g(%x: input bool[n]) -> () {\n  %0 = neg(%x)\n}", 3, 8, "element types", "numbers"),
    ("sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = cast(%x)\n}", 3, 8, "'dtype' is missing", "element type"),
    ("sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = neg(%x) {to = 3}\n}", 3, 8, "no attribute 'to'", "none"),
    (
        "sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = cast(%x) {dtype = 3}\n}",
        3, 8, "no such element type", "float32",
    ),
    (
        "sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = reduce_sum(%x) {axes = [0], axes = [0]}\n}",
        3, 36, "given twice", "once",
    ),
    ("sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = reduce_sum(%x) {axes [0]}\n}", 3, 29, "unexpected", "'='"),
    ("sigmagraph 1\ngraph @g(%x: input f32[n]) -> () {\n  %0 = reduce_sum(%x) {axes = [1]}\n}", 3, 8, "no such axis", "-1 .. 0"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[3]>[1.0, 2.0]}\n}", 3, 28, "number of elements", "3"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[n]>[1.0]}\n}", 3, 28, "shape of an array", "numbers"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<i8[]>[128]}\n}", 3, 40, "does not fit into i8", "i8"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<u8[]>[-1]}\n}", 3, 40, "does not fit into u8", "u8"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<i8[]>[1.5]}\n}", 3, 40, "unexpected number", "an integer"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[]>[1e39]}\n}", 3, 41, "does not fit into f32", "f32"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<bool[]>[1]}\n}", 3, 42, "unexpected text", "true or false"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[]>[nan(3)]}\n}", 3, 41, "bits of a f32 NaN", "32 bits"),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[]>[x]}\n}", 3, 41, "unexpected text", "a number"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  neg(%x)\n}", 3, 3, "unexpected text", "a node"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%x) ;\n}", 3, 16, "does not belong here", None),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%x)", 3, 15, "unexpected text", "a node"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = neg(%x) loc(3)\n}", 3, 20, "unexpected text", "')'"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %0) {\n  fusion @k { %x }\n  %0 = neg(%x)\n}", 4, 3, "behind the groups", "'fusion'"),
    ("sigmagraph 1\ngraph @g stage(fused) (%x: input f32[]) -> (y: %0) {\n  %0 = neg(%x)\n}", 2, 7, "is in no group", None),
    ("sigmagraph 1\ngraph @g(%x: input f32[-3]) -> () { }", 2, 20, "size is negative", "at least 0"),
    ("sigmagraph 1\ngraph @g(%x: input f32[%i]) -> () { }", 2, 20, "speaks of a value", "without %"),
    ("sigmagraph 1\ngraph @g(%x: input f32[]) -> () {\n  %0 = broadcast(%x) {shape = [%x]}\n}", 3, 32, "speaks of a value", None),
    ("sigmagraph 1\ngraph @g() -> () {\n  %0 = constant() {value = dense<f32[9999999999]>[0.0]}\n}", 3, 28, "too large", "bytes"),
    ("sigmagraph 1\ngraph @g(%x: input f32[" + "9" * 5000 + "]) -> () { }", 2, 24, "unexpected number", "an integer"),
    (
        "sigmagraph 1\ngraph @g stage(primitive) (%x: input f32[]) -> (y: %0) {\n  %0 = relu(%x)\n}",
        2, 7, "behind decompose", None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message", "expected"), WRONG)
def test_wrong_text(text: str, line: int, column: int, message: str, expected: str | None) -> None:
    with pytest.raises(ParseError) as caught:
        parse_graph(text, OPS, "model.sg")
    error = caught.value
    lines = str(error).splitlines()
    assert (error.file, error.line, error.column) == ("model.sg", line, column), str(error)
    assert message in str(error)
    assert lines[0].startswith(f"model.sg:{line}:{column}: ")
    caret = next(i for i, text in enumerate(lines) if text.strip() == "^")
    assert lines[caret].index("^") == column + 1
    assert lines[caret - 1] == "  " + (text.splitlines() or [""])[line - 1]
    assert expected is None or expected in str(error.expected)


GOOD = """sigmagraph 1
graph @g stage(fused) (%x: input f32[n,3], %"1.w": param f32[3]) -> (y: %2, "w'": %3 updates %"1.w") {
  %0 = constant() {value = dense<f32[3]>[1.0, -inf, nan(4290772993)]} : f32[3] loc("m.py":3 "fc" grad)
  %1 = broadcast(%0) {shape = [n, 3]} : f32[n,3] name "b"
  %2 = mul(%x, %1) : f32[n,3]
  %3 = reduce_sum(%2) {axes = [0], keepdims = false} : f32[3]
  fusion @k0 { %1 %2 } fusion @"k 1" { %3 }
}
"""


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_text_is_refused_or_read_but_never_crashes(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD) - 1))
    length = data.draw(st.integers(0, 12))
    put = data.draw(st.one_of(st.just(""), st.sampled_from(list('%@#"[]{}()<>=:,-0n\n')), st.text(max_size=3)))
    try:
        graph = parse_graph(GOOD[:start] + put + GOOD[start + length :], OPS)
    except ParseError:
        return
    assert difference(parse_graph(str(graph), OPS), graph) is None


def test_what_verify_finds_is_told_with_its_reason() -> None:
    with pytest.raises(ParseError) as caught:
        graph_of("graph @g stage(fused) (%x: input f32[]) -> (y: %0) { %0 = neg(%x) }")
    assert isinstance(caught.value.__cause__, VerifyError)


@pytest.mark.parametrize("bracket", ["[", "("])
def test_deep_nesting_is_refused(bracket: str) -> None:
    with pytest.raises(ParseError, match="nested too deeply"):
        graph_of(f"graph @g() -> () {{ %0 = constant() {{value = {bracket * 100_000}}} }}")


def test_an_empty_graph() -> None:
    assert difference(graph_of("graph @main() -> () { }"), Graph()) is None
