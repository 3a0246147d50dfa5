"""Simplify: every rule by before and expected text, and what must stay because it holds for numbers only."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, graph_of, run_pass

from sigmagraph.passes.simplify import RULES, Simplify

X = "%x: input f32[n,3]"
XZ = "%x: input f32[n,3], %z: input f32[n,3]"
INTS = "%x: input i32[n,3]"
BOOLS = "%x: input bool[n,3]"


def number(value: str, dtype: str = "f32") -> str:
    """``%k``: a number broadcast to the shape of %x."""
    return f"%c = constant() {{value = dense<{dtype}[]>[{value}]}} %k = broadcast(%c) {{shape = [n, 3]}} "


# rule, ports, body before, body expected
CASES = [
    ("add_zero", INTS, number("0", "i32") + "%e = abs(%x) %y = add(%e, %k)", "%y = abs(%x)"),
    ("add_negative_zero", X, number("-0.0") + "%e = exp(%x) %y = add(%e, %k)", "%y = exp(%x)"),
    ("subtract_zero", X, number("0.0") + "%e = exp(%x) %y = sub(%e, %k)", "%y = exp(%x)"),
    ("times_one", X, number("1.0") + "%e = exp(%x) %y = mul(%e, %k)", "%y = exp(%x)"),
    ("times_one", X, number("1.0") + "%e = exp(%x) %y = div(%e, %k)", "%y = exp(%x)"),
    (
        "times_zero",
        INTS,
        number("0", "i32") + "%m = mul(%x, %k) %y = concatenate(%m, %x) {axis = 0}",
        number("0", "i32") + "%y = concatenate(%k, %x) {axis = 0}",
    ),
    (
        "divide_by_power_of_two",
        X,
        number("-8.0") + "%y = div(%x, %k)",
        number("-0.125") + "%y = mul(%x, %k)",
    ),
    (
        "bits_with_number",
        BOOLS,
        number("true", "bool") + "%e = logical_not(%x) %y = and(%e, %k)",
        "%y = logical_not(%x)",
    ),
    ("bits_with_number", BOOLS, number("true", "bool") + "%y = xor(%x, %k)", "%y = logical_not(%x)"),
    ("bits_with_number", INTS, number("0", "i32") + "%e = abs(%x) %y = or(%e, %k)", "%y = abs(%x)"),
    ("bits_with_number", INTS, number("-1", "i32") + "%e = abs(%x) %y = and(%e, %k)", "%y = abs(%x)"),
    ("with_itself", X, "%e = exp(%x) %y = maximum(%e, %e)", "%y = exp(%x)"),
    (
        "minus_itself",
        INTS,
        "%y = sub(%x, %x)",
        "%c = constant() {value = dense<i32[]>[0]} %y = broadcast(%c) {shape = [n, 3]}",
    ),
    ("negative_of_negative", X, "%e = exp(%x) %a = neg(%e) %y = neg(%a)", "%y = exp(%x)"),
    ("not_not", XZ, "%e = lt(%x, %z) %a = logical_not(%e) %y = logical_not(%a)", "%y = lt(%x, %z)"),
    ("magnitude", X, "%a = neg(%x) %y = abs(%a)", "%y = abs(%x)"),
    ("round_whole", X, "%a = ceil(%x) %y = floor(%a)", "%y = ceil(%x)"),
    ("select_equal", f"{X}, %b: input bool[n,3]", "%e = exp(%x) %y = select(%b, %e, %e)", "%y = exp(%x)"),
    ("select_true", XZ, number("true", "bool") + "%e = exp(%x) %y = select(%k, %e, %z)", "%y = exp(%x)"),
    ("select_false", XZ, number("false", "bool") + "%e = exp(%z) %y = select(%k, %x, %e)", "%y = exp(%z)"),
    (
        "select_condition",
        X,
        (
            "%t = constant() {value = dense<bool[]>[true]} %tt = broadcast(%t) {shape = [n, 3]}"
            " %f = constant() {value = dense<bool[]>[false]} %ff = broadcast(%f) {shape = [n, 3]}"
            " %a = lt(%x, %x) %y = select(%a, %tt, %ff)"
        ),
        "%y = lt(%x, %x)",
    ),
    (
        "select_complement",
        f"{XZ}, %b: input bool[n,3]",
        "%a = logical_not(%b) %y = select(%a, %x, %z)",
        "%y = select(%b, %z, %x)",
    ),
    ("not_equal", XZ, "%a = eq(%x, %z) %y = logical_not(%a)", "%y = ne(%x, %z)"),
    ("cast_of_cast", INTS, "%a = cast(%x) {dtype = f64} %y = cast(%a) {dtype = f32}", "%y = cast(%x) {dtype = f32}"),
    ("cast_of_cast", INTS, "%e = abs(%x) %a = cast(%e) {dtype = i64} %y = cast(%a) {dtype = i32}", "%y = abs(%x)"),
    ("reduce_nothing", X, "%e = exp(%x) %y = reduce_sum(%e) {axes = []}", "%y = exp(%x)"),
    ("extreme_of_one", "%x: input f32[n,1,3]", "%y = reduce_max(%x) {axes = [1]}", "%y = reshape(%x) {shape = [n, 3]}"),
    (
        "reduce_of_reduce",
        "%x: input f32[4,n,3]",
        "%a = reduce_min(%x) {axes = [1]} %y = reduce_min(%a) {axes = [1]}",
        "%y = reduce_min(%x) {axes = [1, 2]}",
    ),
    (
        "reduce_of_broadcast",
        "%x: input i32[n,1]",
        "%a = broadcast(%x) {shape = [n, 5]} %y = reduce_sum(%a) {axes = [1]}",
        (
            "%a = broadcast(%x) {shape = [n, 1]} %b = reshape(%a) {shape = [n]}"
            " %c = constant() {value = dense<i32[]>[5]} %k = broadcast(%c) {shape = [n]} %y = mul(%b, %k)"
        ),
    ),
    (
        "move_number",
        "%x: input f32[n,3]",
        number("2.5") + "%t = transpose(%k) {axes = [1, 0]} %r = reshape(%x) {shape = [3, n]} %y = add(%r, %t)",
        (
            "%c = constant() {value = dense<f32[]>[2.5]} %t = broadcast(%c) {shape = [3, n]}"
            " %r = reshape(%x) {shape = [3, n]} %y = add(%r, %t)"
        ),
    ),
    (
        "compute_before_broadcast",
        "%x: input f32[3], %s: input f32[]",
        "%a = broadcast(%x) {shape = [n, 3]} %b = broadcast(%s) {shape = [n, 3]} %y = mul(%a, %b)",
        "%b = broadcast(%s) {shape = [3]} %m = mul(%x, %b) %y = broadcast(%m) {shape = [n, 3]}",
    ),
]


@pytest.mark.parametrize(("rule", "ports", "before", "expected"), CASES)
def test_rule(rule: str, ports: str, before: str, expected: str) -> None:
    old, new = (f"graph @g({ports}) -> (y: %y) {{ {body} }}" for body in (before, expected))
    assert rule in run_pass(Simplify(), graph_of(old))[1]
    check_pass(Simplify(), old, new)


def test_every_rule_has_a_case() -> None:
    assert {r.name for r in RULES.rules} == {case[0] for case in CASES}


@pytest.mark.parametrize(
    ("ports", "body"),
    [
        (X, number("0.0") + "%y = add(%x, %k)"),  # -0 + 0 is 0
        (X, number("-0.0") + "%y = sub(%x, %k)"),  # -0 - -0 is 0
        (X, number("0.0") + "%y = mul(%x, %k)"),  # NaN, infinities, -0
        (X, "%y = sub(%x, %x)"),
        (X, "%y = div(%x, %x)"),
        (X, number("3.0") + "%y = div(%x, %k)"),
        (X, number("1e-42") + "%y = div(%x, %k)"),
        (XZ, "%a = lt(%x, %z) %y = logical_not(%a)"),
        ("%x: input f32[n,1]", "%y = reduce_sum(%x) {axes = [1]}"),  # 0 + -0 is 0
        ("%x: input f32[4,n,3]", "%a = reduce_sum(%x) {axes = [1]} %y = reduce_sum(%a) {axes = [1]}"),
        ("%x: input f32[3,1]", "%a = broadcast(%x) {shape = [3, 5]} %y = reduce_sum(%a) {axes = [1]}"),
        ("%x: input f32[3,1]", "%a = broadcast(%x) {shape = [3, n]} %y = reduce_max(%a) {axes = [1]}"),  # n may be 0
        (INTS, "%a = cast(%x) {dtype = f32} %y = cast(%a) {dtype = f64}"),
        ("%x: input i8[n,3]", "%a = cast(%x) {dtype = f32} %y = cast(%a) {dtype = u8}"),  # wraps or saturates
        ("%x: input i64[n,3]", "%a = cast(%x) {dtype = i32} %y = cast(%a) {dtype = i64}"),
    ],
)
def test_what_holds_for_numbers_only_stays(ports: str, body: str) -> None:
    graph = graph_of(f"graph @g({ports}, %m: input f32[n]) -> (y: %y) {{ {body} }}")
    assert run_pass(Simplify(), graph)[0] is graph


def test_rules_apply_to_what_rules_build() -> None:
    body = number("-8.0") + "%a = div(%x, %k) %b = neg(%a) %m = neg(%b) %y = maximum(%m, %a)"
    _, hits = run_pass(Simplify(), graph_of(f"graph @g({X}) -> (y: %y) {{ {body} }}"))
    assert hits == {"divide_by_power_of_two": 1, "negative_of_negative": 1, "with_itself": 1}
