"""Canonicalize: every rule by before and expected text, compared by structure and by numbers."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, graph_of, run_pass

from sigmagraph.passes.canonicalize import RULES, Canonicalize

X = "%x: input f32[n,3]"
C = "%c = constant() {value = dense<f32[]>[2.0]}  %k = broadcast(%c) {shape = [n, 3]}"

# rule, ports, body before, body expected
CASES = [
    ("commutative_order", X, f"{C} %y = mul(%k, %x)", f"{C} %y = mul(%x, %k)"),
    (
        "commutative_order",
        f"{X}, %z: input f32[n,3]",
        "%a = exp(%x) %b = tanh(%x) %p = add(%b, %a) %y = add(%p, %z)",
        "%a = exp(%x) %b = tanh(%x) %p = add(%a, %b) %y = add(%z, %p)",
    ),
    (
        "comparison_order",
        X,
        f"{C} %b = gt(%k, %x) %y = cast(%b) {{dtype = f32}}",
        f"{C} %b = lt(%x, %k) %y = cast(%b) {{dtype = f32}}",
    ),
    (
        "comparison_order",
        f"{X}, %z: input f32[n,3]",
        "%b = ge(%x, %z) %y = cast(%b) {dtype = f32}",
        "%b = le(%z, %x) %y = cast(%b) {dtype = f32}",
    ),
    ("reduction_axes", X, "%y = reduce_max(%x) {axes = [-1, 0]}", "%y = reduce_max(%x) {axes = [0, 1]}"),
    (
        "counted_axis",
        X,
        "%e = exp(%x) %y = concatenate(%x, %e) {axis = -1}",
        "%e = exp(%x) %y = concatenate(%x, %e) {axis = 1}",
    ),
    (
        "uniform_constant",
        "%x: input f32[3]",
        "%c = constant() {value = dense<f32[3]>[2.0, 2.0, 2.0]} %y = add(%x, %c)",
        "%c = constant() {value = dense<f32[]>[2.0]} %k = broadcast(%c) {shape = [3]} %y = add(%x, %k)",
    ),
    ("add_negative", f"{X}, %z: input f32[n,3]", "%m = neg(%z) %y = add(%x, %m)", "%y = sub(%x, %z)"),
    (
        "negative_add",
        f"{X}, %z: input f32[n,3]",
        "%m = neg(%x) %e = exp(%z) %y = add(%m, %e)",
        "%e = exp(%z) %y = sub(%e, %x)",
    ),
    ("subtract_negative", f"{X}, %z: input f32[n,3]", "%m = neg(%z) %y = sub(%x, %m)", "%y = add(%x, %z)"),
    (
        "times_minus_one",
        X,
        "%c = constant() {value = dense<f32[]>[-1.0]} %k = broadcast(%c) {shape = [n, 3]} %y = mul(%x, %k)",
        "%y = neg(%x)",
    ),
    ("nothing_moves", X, "%e = exp(%x) %y = reshape(%e) {shape = [n, 3]}", "%y = exp(%x)"),
    ("nothing_moves", X, "%e = exp(%x) %y = transpose(%e) {axes = [0, -1]}", "%y = exp(%x)"),
    ("nothing_moves", X, "%e = exp(%x) %y = slice(%e) {start = [0, 0], stop = [n, 3], step = [1, 1]}", "%y = exp(%x)"),
    ("nothing_moves", X, "%e = exp(%x) %y = cast(%e) {dtype = f32}", "%y = exp(%x)"),
    (
        "nothing_moves",
        X,
        "%e = exp(%x) %y = pad(%e) {low = [0, 0], high = [0, 0], interior = [0, 0], value = 1.0}",
        "%y = exp(%x)",
    ),
    (
        "reshape_of_reshape",
        X,
        "%a = reshape(%x) {shape = [3*n]} %y = reshape(%a) {shape = [3, n]}",
        "%y = reshape(%x) {shape = [3, n]}",
    ),
    (
        "transpose_of_transpose",
        "%x: input f32[n,3,4]",
        "%a = transpose(%x) {axes = [2, 0, 1]} %y = transpose(%a) {axes = [0, 2, 1]}",
        "%y = transpose(%x) {axes = [2, 1, 0]}",
    ),
    ("transpose_axes", X, "%y = transpose(%x) {axes = [-1, 0]}", "%y = transpose(%x) {axes = [1, 0]}"),
    (
        "transpose_axes",
        "%x: input f32[n,1,3]",
        "%y = transpose(%x) {axes = [1, 0, 2]}",
        "%y = reshape(%x) {shape = [1, n, 3]}",
    ),
    (
        "reverse_of_reverse",
        "%x: input f32[n,3,4]",
        "%a = reverse(%x) {axes = [2, 0]} %y = reverse(%a) {axes = [0, -2]}",
        "%y = reverse(%x) {axes = [1, 2]}",
    ),
    (
        "reverse_of_reverse",
        X,
        "%e = exp(%x) %a = reverse(%e) {axes = [1]} %y = reverse(%a) {axes = [-1]}",
        "%y = exp(%x)",
    ),
    (
        "reverse_axes",
        "%x: input f32[n,1,3]",
        "%y = reverse(%x) {axes = [-1, 1, 0]}",
        "%y = reverse(%x) {axes = [0, 2]}",
    ),
    (
        "broadcast_of_broadcast",
        "%x: input f32[1,3]",
        "%a = broadcast(%x) {shape = [4, 3]} %y = broadcast(%a) {shape = [2, 4, 3]}",
        "%y = broadcast(%x) {shape = [2, 4, 3]}",
    ),
    ("broadcast_without_repeats", X, "%y = broadcast(%x) {shape = [1, n, 3]}", "%y = reshape(%x) {shape = [1, n, 3]}"),
    (
        "broadcast_of_reshape",
        "%x: input f32[3]",
        "%a = reshape(%x) {shape = [1, 1, 3]} %y = broadcast(%a) {shape = [n, 4, 3]}",
        "%y = broadcast(%x) {shape = [n, 4, 3]}",
    ),
    (
        "slice_of_slice",
        "%x: input f32[n+6,9]",
        (
            "%a = slice(%x) {start = [2, 1], stop = [n+5, 9], step = [1, 1]}"
            " %y = slice(%a) {start = [1, 0], stop = [n+2, 7], step = [1, 3]}"
        ),
        "%y = slice(%x) {start = [3, 1], stop = [n+4, 8], step = [1, 3]}",
    ),
    (
        "flat_concatenate",
        X,
        "%e = exp(%x) %a = concatenate(%x, %e) {axis = 0} %y = concatenate(%a, %x) {axis = 0}",
        "%e = exp(%x) %y = concatenate(%x, %e, %x) {axis = 0}",
    ),
    ("flat_concatenate", X, "%e = exp(%x) %y = concatenate(%e) {axis = 0}", "%y = exp(%x)"),
]


@pytest.mark.parametrize(("rule", "ports", "before", "expected"), CASES)
def test_rule(rule: str, ports: str, before: str, expected: str) -> None:
    texts = [f"graph @g({ports}) -> (y: %y) {{ {body} }}" for body in (before, expected)]
    assert rule in run_pass(Canonicalize(), graph_of(texts[0]))[1]
    check_pass(Canonicalize(), *texts)


def test_every_rule_has_a_case() -> None:
    assert [r.name for r in RULES.rules] == list(dict.fromkeys(r.name for r in RULES.rules))
    assert {r.name for r in RULES.rules} == {case[0] for case in CASES}
