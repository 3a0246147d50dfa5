"""The graph verifier finds every broken rule, and says which node it is and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from graph_checks import graph_of

from sigmagraph.dtypes import F32, F64
from sigmagraph.errors import ParseError, VerifyError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Group, Node, Output, Stage
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.ops.registry import OPS

TEXT = """graph @g(%x: input f32[n,3], %w: param f32[n,3], %v: param f32[]) -> (y: %b, w: %s updates %w) {
  %a = neg(%x) loc("m.py":3 "fc")
  %b = exp(%a) loc("m.py":4 "fc")
  %s = sub(%w, %b)
  %r = reduce_sum(%b) {axes = [0, 1]}
}"""
FUSED = """graph @g stage(fused) (%x: input f32[n,3]) -> (y: %c, z: %d) {
  %a = neg(%x) %b = exp(%a) %c = reduce_sum(%b) {axes = [0]} %d = reduce_max(%b) {axes = [0]}
  fusion @k0 { %a %b %c } fusion @k1 { %a %b %d }
}"""


def test_a_use_of_an_op_is_checked_once() -> None:
    graph, sound = graph_of(TEXT), set[tuple[object, ...]]()
    verify_graph(graph, sound)
    assert len(sound) == len(graph)
    known = set(sound)
    verify_graph(graph.copy(), sound)
    assert sound == known


def put(graph: Graph, index: int, **changes: object) -> None:
    """Change a node behind the graph's back."""
    node = graph.nodes()[index]
    graph.digraph.nodes[node.id]["node"] = replace(node, **changes)
    graph._order = None


def ids(graph: Graph) -> list[int]:
    return [n.id for n in graph.nodes()]


def store_something_else(graph: Graph) -> None:
    graph.digraph.nodes[3]["node"] = "a node"


def remove_an_edge(graph: Graph) -> None:
    graph.digraph.remove_edge(3, 4)


def make_a_cycle(graph: Graph) -> None:
    graph.set_inputs(3, (Value(4),))


def read_a_node_that_is_not_there(graph: Graph) -> None:
    put(graph, 4, inputs=(Value(77),))


def read_a_result_that_is_not_there(graph: Graph) -> None:
    put(graph, 4, inputs=(Value(3, 1),))


def leave_out_an_attribute(graph: Graph) -> None:
    put(graph, 6, attrs=Attrs({"axes": (0, 1)}))


def write_an_attribute_otherwise(graph: Graph) -> None:
    put(graph, 6, attrs=Attrs({"axes": 0, "keepdims": False}))


def give_too_many_operands(graph: Graph) -> None:
    graph.set_inputs(4, (Value(3), Value(3)))


def claim_another_type(graph: Graph) -> None:
    put(graph, 4, types=(TensorType(F64, graph.type(Value(4)).shape),))


def put_a_composite_behind_decompose(graph: Graph) -> None:
    put(graph, 4, op=OPS["relu"])
    graph.stage = Stage.PRIMITIVE


def forget_an_input(graph: Graph) -> None:
    graph.inputs = ()


def list_a_parameter_among_the_inputs(graph: Graph) -> None:
    graph.inputs = graph.inputs + graph.params[:1]


def give_two_ports_one_name(graph: Graph) -> None:
    put(graph, 2, name="x")


def return_what_is_not_there(graph: Graph) -> None:
    graph.outputs += (Output("z", Value(77)),)


def return_two_values_of_one_name(graph: Graph) -> None:
    graph.outputs += (Output("y", Value(3)),)


def update_an_unknown_parameter(graph: Graph) -> None:
    graph.outputs += (Output("z", Value(3), "bias"),)


def update_with_another_type(graph: Graph) -> None:
    graph.outputs += (Output("z", Value(3), "v"),)


def update_twice(graph: Graph) -> None:
    graph.outputs += (Output("z", Value(3), "w"),)


BREAKS: list[tuple[Callable[[Graph], None], str]] = [
    (store_something_else, "the store has no node under %3"),
    (remove_an_edge, "edges of a node differ"),
    (make_a_cycle, "has a cycle"),
    (read_a_node_that_is_not_there, "operand does not exist"),
    (read_a_result_that_is_not_there, "operand has no such result"),
    (leave_out_an_attribute, "not canonical"),
    (write_an_attribute_otherwise, "not canonical"),
    (give_too_many_operands, "number of operands"),
    (claim_another_type, "types of a node are not what its op gives"),
    (put_a_composite_behind_decompose, "composite op stands behind decompose"),
    (forget_an_input, "inputs of the graph are not"),
    (list_a_parameter_among_the_inputs, "inputs of the graph are not"),
    (give_two_ports_one_name, "two inputs or parameters called 'x'"),
    (return_what_is_not_there, "the output 'z' does not exist"),
    (return_two_values_of_one_name, "two outputs called 'y'"),
    (update_an_unknown_parameter, "'z' updates no parameter"),
    (update_with_another_type, "'z' has another type than the parameter"),
    (update_twice, "two updates of one parameter called 'w'"),
]


def test_good_graphs_pass() -> None:
    verify_graph(graph_of(TEXT))
    verify_graph(graph_of(FUSED))
    verify_graph(Graph())


@pytest.mark.parametrize(("change", "message"), BREAKS, ids=lambda b: getattr(b, "__name__", ""))
def test_a_broken_rule_is_found(change: Callable[[Graph], None], message: str) -> None:
    graph = graph_of(TEXT)
    change(graph)
    with pytest.raises(VerifyError, match=message):
        verify_graph(graph)


def test_the_error_quotes_the_node_between_its_neighbours_and_its_place() -> None:
    graph = graph_of(TEXT)
    claim_another_type(graph)
    with pytest.raises(VerifyError) as caught:
        verify_graph(graph)
    text = str(caught.value)
    assert "expected: f32[n,3]" in text
    assert "got: f64[n,3]" in text
    assert "   %3 = neg(%0) : f32[n,3]" in text
    assert "-> %4 = exp(%3) : f64[n,3]" in text
    assert 'at: "m.py":4 "fc"' in text


# ---- groups


def regroup(*members: str) -> Graph:
    """The fused graph with other groups, each given by the names of its nodes."""
    graph = graph_of(FUSED)
    by_name = {n.name: n.id for n in graph.nodes()}
    graph.set_groups(Group(f"k{i}", tuple(by_name[m] for m in g.split())) for i, g in enumerate(members))
    return graph


@pytest.mark.parametrize(
    "members", [("a b c", "a b d"), ("a b", "c", "d"), ("a", "b", "c", "d"), ("a b c d",), ("a b c", "d")]
)
def test_good_groups(members: tuple[str, ...]) -> None:
    verify_graph(regroup(*members))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("a b c",), "a node is in no group"),
        (("b a c", "a b d"), "not in topological order"),
        (("d", "a b", "c"), "reads a value before it is there"),
        (("x a b c", "a b d"), "not a node that computes"),
        (("a b c", "a b d", "a b c"), "must be computed once is in several groups"),
    ],
)
def test_wrong_groups(members: tuple[str, ...], message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify_graph(regroup(*members))


def test_a_value_that_is_stored_is_computed_once() -> None:
    graph = regroup("a b c", "a b d")
    graph.add_output("b", next(n for n in graph.nodes() if n.name == "b").outputs[0])
    with pytest.raises(VerifyError, match="computed by several groups"):
        verify_graph(graph)


ROW_MAXIMUM = """graph @g stage(fused) (%x: input f32[4,4]) -> (y: %y) {
  %m = reduce_max(%x) {axes = [1], keepdims = KEEP} %b = broadcast(%m) {shape = [4, 4]} %y = sub(%x, %b)
  fusion @k0 { %m %b %y }
}"""


def test_what_is_reduced_is_read_back_by_its_own_row_only() -> None:
    graph_of(ROW_MAXIMUM.replace("KEEP", "true"))
    with pytest.raises(ParseError, match="reads what it reduces at other indices"):
        graph_of(ROW_MAXIMUM.replace("KEEP", "false"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("%y = matmul(%x, %x) %z = matmul(%x, %y)", "two reductions or contractions"),
        ("%y = reduce_sum(%x) {axes = [0]} %z = reduce_max(%x) {axes = [1]}", "two reductions or contractions"),
        ("%y = neg(%x) %z = reshape(%y) {shape = [16]}", "stores values of two shapes"),
        ("%y = reduce_sum(%x) {axes = [0]} %r = reshape(%y) {shape = [1, 4]} %z = broadcast(%r) {shape = [3, 4]}",
         "fits neither its rows nor their elements"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_rows_of_a_group(body: str, message: str) -> None:
    members = " ".join(re.findall(r"(%\w) =", body))
    with pytest.raises(ParseError, match=message):
        graph_of(
            f"graph @g stage(fused) (%x: input f32[4,4]) -> (y: %y, z: %z) {{ {body} fusion @k0 {{ {members} }} }}"
        )


def test_groups_belong_to_fused_graphs() -> None:
    graph = graph_of(FUSED)
    graph.stage = Stage.PRIMITIVE
    with pytest.raises(VerifyError, match="not fused has groups"):
        verify_graph(graph)


def test_group_names_differ() -> None:
    graph = graph_of(FUSED)
    graph.set_groups(replace(g, name="k") for g in graph.groups)
    with pytest.raises(VerifyError, match="two groups called 'k'"):
        verify_graph(graph)


def test_expensive_nodes_are_computed_once() -> None:
    with pytest.raises(ParseError, match="must be computed once is in several groups"):
        graph_of("""graph @g stage(fused) (%k: param i64[2]) -> (a: %a, b: %b) {
          %r = random_bits(%k) {stream = 1, shape = [n, 3]} %a = reduce_sum(%r) {axes = [0]} %b = reduce_sum(%r) {axes = [1]}
          fusion @k0 { %r %a } fusion @k1 { %r %b }
        }""")


def test_payload_nodes_are_immutable() -> None:
    node: Node = graph_of(TEXT).nodes()[0]
    with pytest.raises(AttributeError):
        node.name = "other"  # type: ignore[misc]
    assert node.types[0].dtype is F32
