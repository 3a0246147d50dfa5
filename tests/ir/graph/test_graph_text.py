"""Graphs as text: what is written, that it is read back, and that equal graphs have one canonical text."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import graph_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from random_graphs import graphs

from sigmagraph.dims import Dim, Size, maximum, minimum
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, DType
from sigmagraph.ir.graph.attrs import Array, Attrs, AttrValue
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Group, Stage
from sigmagraph.ir.graph.opdef import OpDef, OpKind, OpRegistry
from sigmagraph.ir.graph.parser import parse_attr, parse_graph
from sigmagraph.ir.graph.printer import canonical_text, print_attr, print_graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.text.lexer import TokenStream
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.fuse import Fuse

N = Dim("n")
quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

READABLE = """\
sigmagraph 1
graph @train(
    %x: input f32[n,4],
    %lr: input f32[],
    %"1-dense.weights": param f32[4,3]
) -> (
    h: %0,
    "w'": %6 updates %"1-dense.weights"
) {
  %0 = matmul(%x, %"1-dense.weights") : f32[n,3] loc("mlp.py":12 "mlp/1-dense")
  %1 = constant() {value = dense<f32[]>[0.1]} : f32[]
  %2 = mul(%lr, %1) : f32[] name "step" loc("mlp.py":14 grad)
  %3 = cast(%2) {dtype = f64} : f64[]
  %4 = cast(%3) {dtype = f32} : f32[] loc(scope "mlp" grad)
  %5 = broadcast(%4) {shape = [4, 3]} : f32[4,3]
  %6 = sub(%"1-dense.weights", %5) : f32[4,3]
}
"""


def readable() -> Graph:
    graph = Graph("train")
    x = graph.add_input("x", TensorType(F32, (N, 4)))
    w = graph.add_param("1-dense.weights", TensorType(F32, (4, 3)))
    lr = graph.add_input("lr", TensorType(F32, ()))
    build = Builder(graph, OPS, Location("mlp.py", 12, "mlp/1-dense"))
    h = build.emit("matmul", x, w)
    build.location = Location()
    tenth = build.constant(0.1, F32)
    build.location = Location("mlp.py", 14, gradient=True)
    step = build.node("mul", lr, tenth, name="step").outputs[0]
    build.location = Location()
    wide = build.emit("cast", step, dtype=F64)
    build.location = Location("", 0, "mlp", True)
    narrow = build.emit("cast", wide, dtype=F32)
    build.location = Location()
    new = build.emit("sub", w, build.emit("broadcast", narrow, shape=(4, 3)))
    graph.add_output("h", h)
    graph.add_output("w'", new, "1-dense.weights")
    return graph


def test_readable_text() -> None:
    text = print_graph(readable())
    assert text == READABLE
    again = parse_graph(text, OPS)
    assert difference(again, readable()) is None
    assert print_graph(again) == text


def test_text_without_locations() -> None:
    text = print_graph(readable(), locations=False)
    assert "loc(" not in text
    assert 'name "step"' in text
    assert difference(parse_graph(text, OPS), readable()) is None


def test_long_signatures_and_port_locations_have_a_row_for_each_port() -> None:
    graph = Graph("g")
    value = graph.add_input("x", TensorType(F32, ()), Location("m.py", 3))
    graph.add_output("y", value)
    text = 'sigmagraph 1\ngraph @g(\n    %x: input f32[] loc("m.py":3)\n) -> (\n    y: %x\n) {\n}\n'
    assert print_graph(graph) == text
    assert print_graph(parse_graph(text, OPS)) == text
    assert print_graph(graph, locations=False) == "sigmagraph 1\ngraph @g(%x: input f32[]) -> (y: %x) {\n}\n"


def test_groups_and_stage() -> None:
    text = """\
sigmagraph 1
graph @g stage(fused) (%x: input f32[n]) -> (y: %2) {
  %0 = neg(%x) : f32[n]
  %1 = tanh(%0) : f32[n]
  %2 = exp(%1) : f32[n]
  fusion @k0 { %0 %1 }
  fusion @"the last" { %2 }
}
"""
    graph = parse_graph(text, OPS)
    assert graph.stage is Stage.FUSED
    assert [g.name for g in graph.groups] == ["k0", "the last"]
    assert print_graph(graph) == text


@pytest.mark.parametrize(
    "name", ["x", "1-dense.weights", "0", 'say "x"', "back\\slash", "line\nbreak", "Maß", "a b", "x#1", ""]
)
def test_any_name_of_a_port_an_output_or_a_graph_is_read_back(name: str) -> None:
    graph = Graph(name)
    value = graph.add_param(name, TensorType(F32, (3,)))
    build = Builder(graph, OPS)
    graph.add_output(name, build.emit("neg", build.emit("neg", value)), name)
    again = parse_graph(print_graph(graph), OPS)
    assert difference(graph, again) is None
    assert again.node(again.params[0]).name == name


def test_a_node_with_two_results() -> None:
    split = OpDef(
        name="split",
        doc="For the tests: two results.",
        kind=OpKind.OPAQUE,
        arity=1,
        infer=lambda context: (context.types[0], TensorType(I32, ())),
        reference=lambda inputs, attrs, types: (inputs[0], np.int32(0)),
    )
    registry = OpRegistry([*OPS.values(), split])
    text = """\
sigmagraph 1
graph @g(%x: input f32[n]) -> (y: %1, z: %0#1) {
  %0:2 = split(%x) : f32[n], i32[]
  %1 = neg(%0) : f32[n]
}
"""
    graph = parse_graph(text, registry)
    assert print_graph(graph) == text
    assert graph.outputs[1].value.index == 1


# ---- attributes and constants

atoms = st.sampled_from(["n", "m", "f32", "inf", "min", "true", "dense", "nan", "x.y", "_"]).map(Dim)


def _compound(inner: st.SearchStrategy[Size]) -> st.SearchStrategy[Size]:
    return st.one_of(
        inner,
        st.tuples(inner, inner, st.integers(-3, 3)).map(lambda t: t[2] - t[0] * t[1]),
        st.tuples(inner, st.integers(2, 5)).map(lambda t: t[0] // t[1]),
        st.tuples(inner, inner).map(lambda t: minimum(*t) - maximum(t[0], 3)),
    )


dims = _compound(_compound(atoms))
atomic = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.sampled_from(DType), dims)
lists = st.lists(atomic, max_size=3).map(tuple)
attributes = st.one_of(atomic, lists, st.lists(lists, max_size=3).map(tuple))


def read_back(value: AttrValue) -> AttrValue:
    tokens = TokenStream(print_attr(value))
    out = parse_attr(tokens)
    assert tokens.next.kind == "end"
    return out


@settings(max_examples=300, deadline=None)
@given(value=attributes)
def test_any_attribute_is_read_back(value: AttrValue) -> None:
    assert Attrs({"value": read_back(value)}) == Attrs({"value": value})


@pytest.mark.parametrize("dtype", DType)
@quick
@given(data=st.data())
def test_any_constant_is_read_back_to_the_last_bit(dtype: DType, data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    size = int(np.prod(shape)) * dtype.itemsize
    raw = data.draw(st.binary(min_size=size, max_size=size))
    if dtype is BOOL:
        raw = bytes(b & 1 for b in raw)
    array = Array(dtype, shape, raw)
    assert read_back(array) == array


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (2, F32, "dense<f32[]>[2.0]"),
        ([0.1, -0.0, np.inf, -np.inf, np.nan], F32, "dense<f32[5]>[0.1, -0.0, inf, -inf, nan]"),
        ([1e-7, 3e38], F32, "dense<f32[2]>[1e-07, 3e+38]"),
        ([0.1, 65504], F16, "dense<f16[2]>[0.1, 6.55e+04]"),
        (0.1, F64, "dense<f64[]>[0.1]"),
        (1.5, BF16, "dense<bf16[]>[1.5]"),
        ([[1, 2], [3, -4]], I64, "dense<i64[2,2]>[1, 2, 3, -4]"),
        ([200, 3], U8, "dense<u8[2]>[200, 3]"),
        ([True, False], BOOL, "dense<bool[2]>[true, false]"),
        (np.zeros((3, 4)), F32, "dense<f32[3,4]>[0.0]"),
        (np.zeros((3, 0)), I8, "dense<i8[3,0]>[]"),
    ],
)
def test_constants_are_short(value: object, dtype: DType, text: str) -> None:
    array = Array.of(value, dtype)
    assert print_attr(array) == text
    assert read_back(array) == array


def test_a_nan_that_is_not_the_usual_one_keeps_its_bits() -> None:
    array = Array(F32, (2,), np.array([0xFFC00001, 0x7FC00000], np.uint32).tobytes())
    assert print_attr(array) == "dense<f32[2]>[nan(4290772993), nan]"
    assert read_back(array) == array


# ---- round trips of whole graphs


@quick
@given(graph=graphs(composites=True))
def test_text_is_read_back_to_an_equal_graph(graph: Graph) -> None:
    text = print_graph(graph)
    again = parse_graph(text, OPS)
    assert difference(graph, again) is None
    assert print_graph(again) == text
    places = [[n.location for n in g.nodes() if n.op.kind is not OpKind.SOURCE] for g in (graph, again)]
    assert places[0] == places[1]


@quick
@given(graph=graphs(nodes=20))
def test_fused_graphs_are_read_back(graph: Graph) -> None:
    fused = Fuse().run(Decompose().run(graph, PassContext(OPS)), PassContext(OPS))
    text = print_graph(fused)
    again = parse_graph(text, OPS)
    assert difference(fused, again) is None
    assert print_graph(again) == text


# ---- canonical text


def test_canonical_text_does_not_depend_on_how_a_graph_was_put_together() -> None:
    a = graph_of("""graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %y, z: %b) {
      %a = neg(%x) %b = exp(%w) %dead = tanh(%x) %y = add(%a, %b) loc("a.py":1)
    }""")
    b = graph_of("""graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %sum, z: %q) {
      %q = exp(%w) %p = neg(%x) %sum = add(%p, %q) name "sum"
    }""")
    assert canonical_text(a) == canonical_text(b)
    assert print_graph(a) != print_graph(b)
    assert difference(parse_graph(canonical_text(a), OPS), b) is None


@pytest.mark.parametrize(
    "other",
    [
        "graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %a) { %a = sub(%w, %x) }",
        "graph @g(%x: input f32[n], %w: param f32[n]) -> (z: %a) { %a = sub(%x, %w) }",
        "graph @g(%x: input f32[n], %v: param f32[n]) -> (y: %a) { %a = sub(%x, %v) }",
        "graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %a updates %w) { %a = sub(%x, %w) }",
        "graph @g(%x: input f32[m], %w: param f32[m]) -> (y: %a) { %a = sub(%x, %w) }",
        "graph @g stage(primitive) (%x: input f32[n], %w: param f32[n]) -> (y: %a) { %a = sub(%x, %w) }",
    ],
)
def test_canonical_texts_of_different_graphs_differ(other: str) -> None:
    graph = graph_of("graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %a) { %a = sub(%x, %w) }")
    assert canonical_text(graph) != canonical_text(graph_of(other))


def test_large_constants_are_hashed_in_the_canonical_text_only() -> None:
    def text(last: float) -> tuple[str, str]:
        graph = Graph("g")
        values = np.arange(5000, dtype=np.float32)
        values[-1] = last
        graph.add_output("y", Builder(graph, OPS).constant(values, F32))
        return canonical_text(graph), print_graph(graph)

    assert len(text(1)[0]) < 300
    assert text(1)[0] == text(1)[0]
    assert text(1)[0] != text(2)[0]
    assert difference(parse_graph(text(1)[1], OPS), parse_graph(text(1)[1], OPS)) is None


def test_groups_in_the_canonical_text() -> None:
    graph = graph_of("graph @g stage(primitive) (%x: input f32[n]) -> (y: %b) { %a = neg(%x) %b = exp(%a) }")
    graph.set_groups((Group("k0", tuple(n.id for n in graph.nodes()[1:])),))
    assert "fusion @k0 { %0 %1 }" in canonical_text(graph)
