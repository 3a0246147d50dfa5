"""Fold: constant subgraphs become constants, numbers stay numbers, and nothing large appears."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, graph_of, run_pass

from sigmagraph.passes.fold import Fold

C = "%c = constant() {value = dense<f32[3]>[1.0, 2.0, 3.0]}"


def test_constant_subgraphs_are_computed() -> None:
    check_pass(
        Fold(),
        f"graph @g(%x: input f32[3]) -> (y: %y) {{ {C} %d = mul(%c, %c) %e = sqrt(%d) %s = add(%c, %e) %y = add(%x, %s) }}",
        "graph @g(%x: input f32[3]) -> (y: %y) { %s = constant() {value = dense<f32[3]>[2.0, 4.0, 6.0]} %y = add(%x, %s) }",
    )


def test_equal_elements_become_a_broadcast_number() -> None:
    check_pass(
        Fold(),
        f"graph @g(%x: input f32[3]) -> (y: %y) {{ {C} %s = sub(%c, %c) %y = add(%x, %s) }}",
        """graph @g(%x: input f32[3]) -> (y: %y) {
          %z = constant() {value = dense<f32[]>[0.0]} %s = broadcast(%z) {shape = [3]} %y = add(%x, %s)
        }""",
    )


def test_sequences_take_part() -> None:
    check_pass(
        Fold(),
        """graph @g() -> (y: %y) {
          %i = iota() {axis = 0, dtype = i64, shape = [6]}
          %s = slice(%i) {start = [5], stop = [6], step = [1]} %r = reshape(%s) {shape = []} %y = cast(%r) {dtype = f32}
        }""",
        "graph @g() -> (y: %y) { %y = constant() {value = dense<f32[]>[5.0]} }",
    )


@pytest.mark.parametrize(
    "body",
    [
        "%c = constant() {value = dense<f32[]>[2.0]} %b = broadcast(%c) {shape = [3]} %y = add(%x, %b)",
        "%c = constant() {value = dense<f32[]>[2.0]} %b = broadcast(%c) {shape = [n, 3]} %e = exp(%b) %y = reduce_max(%e) {axes = [0]}",
        (
            "%i = iota() {axis = 0, dtype = i64, shape = [n+1]} %s = slice(%i) {start = [n], stop = [n+1], step = [1]}"
            " %f = cast(%s) {dtype = f32} %b = broadcast(%f) {shape = [3]} %y = add(%x, %b)"
        ),
        "%c = constant() {value = dense<f32[]>[2.0]} %b = broadcast(%c) {shape = [2000, 3]} %e = exp(%b) %y = reduce_max(%e) {axes = [0]}",
    ],
)
def test_what_is_not_constant_small_or_static_stays(body: str) -> None:
    graph = graph_of(f"graph @g(%x: input f32[3], %z: input f32[n]) -> (y: %y) {{ {body} }}")
    assert run_pass(Fold(), graph)[0] is graph


def test_the_limit_is_an_option() -> None:
    text = f"graph @g(%x: input f32[3]) -> (y: %y) {{ {C} %e = exp(%c) %y = add(%x, %e) }}"
    assert run_pass(Fold(limit=2), graph_of(text))[1] == {}
    assert run_pass(Fold(limit=3), graph_of(text))[1] == {"constant": 1}
