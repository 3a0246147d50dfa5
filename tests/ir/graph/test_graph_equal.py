"""Structural equality: what does not count, and what does."""

from __future__ import annotations

import pytest
from graph_checks import graph_of
from hypothesis import given, settings
from random_graphs import graphs

from sigmagraph.ir.graph.equal import difference, equal
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.parser import parse_graph
from sigmagraph.ops.registry import OPS

HEAD = "graph @g(%x: input f32[n], %w: param f32[n]) -> (y: %y)"
BODY = "%a = neg(%x) %b = exp(%w) %y = add(%a, %b)"


def test_ids_hints_and_places_do_not_count() -> None:
    other = graph_of(f'{HEAD} {{ %q = exp(%w) loc("m.py":3) %p = neg(%x) name "p" %y = add(%p, %q) }}')
    assert equal(graph_of(f"{HEAD} {{ {BODY} }}"), other)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{HEAD} {{ {BODY} %z = neg(%y) }}", "number of nodes"),
        (f"{HEAD} {{ %a = neg(%w) %b = exp(%x) %y = add(%a, %b) }}", "uses"),
        (f"{HEAD} {{ %a = neg(%x) %b = exp(%w) %y = add(%b, %a) }}", "nodes"),
        (f"{HEAD} {{ %a = neg(%x) %b = tanh(%w) %y = add(%a, %b) }}", "nodes"),
        (f"{HEAD.replace('@g', '@h')} {{ {BODY} }}", "name"),
        (f"{HEAD.replace('@g', '@g stage(primitive)')} {{ {BODY} }}", "stage"),
        (f"{HEAD.replace('(y', '(z')} {{ {BODY} }}", "outputs"),
        (f"{HEAD.replace('%y)', '%y updates %w)')} {{ {BODY} }}", "outputs"),
        (f"{HEAD.replace('param', 'input')} {{ {BODY} }}", "inputs"),
        (f"{HEAD.replace('[n]', '[m]')} {{ {BODY} }}", "inputs"),
    ],
)
def test_what_counts(text: str, what: str) -> None:
    found = difference(graph_of(f"{HEAD} {{ {BODY} }}"), graph_of(text))
    assert found is not None
    assert found.startswith(what)


def test_shared_and_repeated_nodes_differ() -> None:
    head = "graph @g(%x: input f32[n]) -> (y: %y)"
    shared = graph_of(f"{head} {{ %a = neg(%x) %d = exp(%x) %y = add(%a, %a) }}")
    repeated = graph_of(f"{head} {{ %a = neg(%x) %b = neg(%x) %y = add(%a, %b) }}")
    assert difference(shared, repeated) is not None
    assert difference(repeated, shared) is not None


def test_dead_nodes_are_compared() -> None:
    head = "graph @g(%x: input f32[n]) -> (y: %y)"
    a = graph_of(f"{head} {{ %d = tanh(%x) %y = exp(%x) }}")
    b = graph_of(f"{head} {{ %y = exp(%x) %d = neg(%x) }}")
    assert str(difference(a, b)).startswith("nodes")


@pytest.mark.parametrize(("left", "right"), [("0.0", "-0.0"), ("1.0", "2.0"), ("nan", "inf")])
def test_constants_are_compared_bit_by_bit(left: str, right: str) -> None:
    a, b = (
        graph_of(f"graph @g() -> (y: %y) {{ %y = constant() {{value = dense<f32[]>[{v}]}} }}") for v in (left, right)
    )
    assert equal(a, a)
    assert not equal(a, b)


def test_groups_are_compared() -> None:
    body = "graph @g stage(fused) (%x: input f32[n]) -> (y: %b) { %a = neg(%x) %b = exp(%a)"
    one = graph_of(f"{body} fusion @k0 {{ %a %b }} }}")
    two = graph_of(f"{body} fusion @k0 {{ %a }} fusion @k1 {{ %b }} }}")
    assert str(difference(one, two)).startswith("groups")
    wide = graph_of(f"{body} fusion @k0 {{ %a }} fusion @k1 {{ %a %b }} }}".replace("fusion @k0 { %a } ", ""))
    assert str(difference(one, wide)).startswith("groups")


def test_the_operator_means_structural_equality() -> None:
    graph = graph_of(f"{HEAD} {{ {BODY} }}")
    assert graph == parse_graph(str(graph), OPS)
    assert graph != graph_of(f"{HEAD} {{ {BODY} %z = neg(%y) }}")
    assert graph != str(graph)
    with pytest.raises(TypeError, match="unhashable"):
        hash(graph)


@settings(max_examples=25, deadline=None)
@given(graph=graphs(composites=True))
def test_a_graph_equals_its_copy(graph: Graph) -> None:
    assert difference(graph, graph.copy()) is None
    assert difference(graph.copy(), graph) is None
