"""Defer: which sums leave a loop, as text and by numbers (no turns among them), and which stay where they are."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, check_same_numbers, graph_of, run_pass

from sigmagraph.passes.defer import Defer

PORTS = "%a: input f32[n,3,4], %g: input f32[n,3,5], %w: input f32[4,5], %v: input f32[5], %k: input f32[3,5]"
# The gradient of a recurrent layer: %s adds up products with the axes of one factor turned, %b what is summed over rows.
BEFORE = f"""graph @main({PORTS}) -> (s: %0, b: %0#1, h: %0#2, d: %0#3) {{
  %0:4 = scan(%w, %v, %k, %a, %g) {{body = graph @turn(
        %x: input f32[3,4], %y: input f32[3,5], %s: param f32[4,5], %b: param f32[5], %h: param f32[3,5])
      -> (s: %4 updates %s, b: %6 updates %b, h: %2 updates %h, d: %2) {{
    %2 = mul(%h, %y)
    %t = transpose(%x) {{axes = [1, 0]}}
    %3 = matmul(%t, %2)
    %4 = add(%s, %3)
    %5 = reduce_sum(%2) {{axes = [0]}}
    %6 = add(%5, %b)
  }}, length = n, reverse = false, sequences = 2}}
}}"""
AFTER = f"""graph @main({PORTS}) -> (s: %s, b: %b, h: %0, d: %0#1) {{
  %0:2 = scan(%k, %a, %g) {{body = graph @turn(%x: input f32[3,4], %y: input f32[3,5], %h: param f32[3,5])
      -> (h: %2 updates %h, d: %2) {{
    %2 = mul(%h, %y)
    %t = transpose(%x) {{axes = [1, 0]}}
  }}, length = n, reverse = false, sequences = 2}}
  %left = reshape(%a) {{shape = [3*n, 4]}}
  %right = reshape(%0#1) {{shape = [3*n, 5]}}
  %t = transpose(%left) {{axes = [1, 0]}}
  %p = matmul(%t, %right)
  %s = add(%w, %p)
  %r = reduce_sum(%0#1) {{axes = [0, 1]}}
  %b = add(%v, %r)
}}"""


@pytest.mark.parametrize("reverse", ["false", "true"])
def test_sums_of_a_recurrent_layer_are_taken_behind_its_loop(reverse: str) -> None:
    before, after = (text.replace("reverse = false", f"reverse = {reverse}") for text in (BEFORE, AFTER))
    check_pass(Defer(), before, after, exact=False)


def test_a_second_time_nothing_is_left_to_do() -> None:
    after, hits = run_pass(Defer(), graph_of(BEFORE))
    assert hits == {"sums": 2}
    assert run_pass(Defer(), after)[0] is after


def test_a_loop_whose_states_are_all_sums_is_left_without_any() -> None:
    """What is multiplied and is no operand or result is stacked for it."""
    check_pass(
        Defer(),
        """graph @main(%a: input f32[n,3,2], %g: input f32[n,7,2], %w: input f32[3,7]) -> (s: %0) {
          %0 = scan(%w, %a, %g) {body = graph @turn(%x: input f32[3,2], %y: input f32[7,2], %s: param f32[3,7])
              -> (s: %4 updates %s) {
            %e = tanh(%x)
            %t = transpose(%y) {axes = [1, 0]}
            %3 = matmul(%e, %t)
            %4 = add(%3, %s)
          }, length = n, reverse = false, sequences = 2}
        }""",
        """graph @main(%a: input f32[n,3,2], %g: input f32[n,7,2], %w: input f32[3,7]) -> (s: %s) {
          %0 = scan(%a, %g) {body = graph @turn(%x: input f32[3,2], %y: input f32[7,2]) -> (stack: %e) {
            %e = tanh(%x)
            %t = transpose(%y) {axes = [1, 0]}
          }, length = n, reverse = false, sequences = 2}
          %l = transpose(%0) {axes = [0, 2, 1]}
          %left = reshape(%l) {shape = [2*n, 3]}
          %r = transpose(%g) {axes = [0, 2, 1]}
          %right = reshape(%r) {shape = [2*n, 7]}
          %u = transpose(%left) {axes = [1, 0]}
          %p = matmul(%u, %right)
          %s = add(%w, %p)
        }""",
        exact=False,
    )


def loop(statements: str, new: str = "%4", more: str = "", state: str = "f32[4,5]", results: str = "s: %0") -> str:
    """A loop with a state ``%s``, slices ``%x`` [3,4] and ``%y`` [3,5], and the same ``%c`` [3,4] at each turn."""
    count = "" if results == "s: %0" else ":2"
    return f"""graph @main(%a: input f32[n,3,4], %g: input f32[n,3,5], %k: input f32[3,4], %w: input {state})
        -> ({results}) {{
      %0{count} = scan(%w, %a, %g, %k) {{body = graph @turn(
            %x: input f32[3,4], %y: input f32[3,5], %c: input f32[3,4], %s: param {state})
          -> (s: {new} updates %s{more}) {{
        {statements}
      }}, length = n, reverse = false, sequences = 2}}
    }}"""


# A stack of 21 numbers a turn is larger than two times the 6 of the state.
LARGE = """graph @main(%a: input f32[n,3,7], %g: input f32[n,2,7], %w: input f32[3,2]) -> (s: %0) {
  %0 = scan(%w, %a, %g) {body = graph @turn(%x: input f32[3,7], %y: input f32[2,7], %s: param f32[3,2])
      -> (s: %4 updates %s) {
    %e = tanh(%x)
    %t = transpose(%y) {axes = [1, 0]}
    %3 = matmul(%e, %t)
    %4 = add(%3, %s)
  }, length = n, reverse = false, sequences = 2}
}"""
PRODUCT = "%t = transpose(%x) {axes = [1, 0]} %3 = matmul(%t, %y)"
KEPT = {
    "the state is read by another node": loop(f"{PRODUCT} %5 = mul(%s, %3) %4 = add(%s, %3) %6 = add(%4, %5)", "%6"),
    "the state is multiplied as well": loop(f"{PRODUCT} %5 = add(%s, %3) %4 = mul(%5, %3)"),
    "the state is subtracted from": loop(f"{PRODUCT} %4 = sub(%s, %3)"),
    "the state is added to itself": loop("%4 = add(%s, %s)"),
    "the old state is stacked": loop(f"{PRODUCT} %4 = add(%s, %3)", more=", z: %s", results="s: %0, z: %0#1"),
    "the new state is stacked": loop(f"{PRODUCT} %4 = add(%s, %3)", more=", z: %4", results="s: %0, z: %0#1"),
    "a factor is the same at each turn": loop(
        "%t = transpose(%c) {axes = [1, 0]} %3 = matmul(%t, %y) %4 = add(%s, %3)"
    ),
    "what is added is no product": loop("%3 = mul(%x, %x) %4 = add(%s, %3)", state="f32[3,4]"),
    "a summand would be stacked for a sum": loop(
        "%e = exp(%x) %3 = reduce_sum(%e) {axes = [0]} %4 = add(%s, %3)", state="f32[4]"
    ),
    "stacks would be larger than what they save": LARGE,
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_stays_in_the_loop(text: str) -> None:
    before = graph_of(text)
    assert run_pass(Defer(), before)[0] is before


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ("axes = [0]", "f32[4]"),
        ("axes = [1]", "f32[3]"),
        ("axes = [0, 1]", "f32[]"),
        ("axes = [1, 0]", "f32[]"),
        ("axes = [0], keepdims = true", "f32[1,4]"),
        ("axes = [1], keepdims = true", "f32[3,1]"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_sums_over_every_choice_of_axes(attributes: str, state: str, turned: bool) -> None:
    if turned:
        state = {"f32[4]": "f32[3]", "f32[3]": "f32[4]", "f32[1,4]": "f32[1,3]", "f32[3,1]": "f32[4,1]"}.get(
            state, state
        )
    operand = "%t" if turned else "%x"
    statements = f"%t = transpose(%x) {{axes = [1, 0]}} %3 = reduce_sum({operand}) {{{attributes}}} %4 = add(%s, %3)"
    before = graph_of(loop(statements, state=state))
    after, hits = run_pass(Defer(), before)
    assert hits == {"sums": 1}
    check_same_numbers(before, after, exact=False)


@pytest.mark.parametrize("left", ["%x", "%t"])
@pytest.mark.parametrize("right", ["%y", "%u"])
def test_products_of_operands_turned_or_not(left: str, right: str) -> None:
    """Slices of [3, 4] and what the other one must be for each of the four ways to multiply them."""
    inner, outer = (3, 4) if left == "%t" else (4, 3)
    other = f"{inner},5" if right == "%y" else f"5,{inner}"
    before = graph_of(f"""graph @main(%a: input f32[n,3,4], %g: input f32[n,{other}], %w: input f32[{outer},5])
        -> (s: %0) {{
      %0 = scan(%w, %a, %g) {{body = graph @turn(%x: input f32[3,4], %y: input f32[{other}], %s: param f32[{outer},5])
          -> (s: %4 updates %s) {{
        %t = transpose(%x) {{axes = [1, 0]}}
        %u = transpose(%y) {{axes = [1, 0]}}
        %3 = matmul({left}, {right})
        %4 = add(%3, %s)
      }}, length = n, reverse = false, sequences = 2}}
    }}""")
    after, hits = run_pass(Defer(), before)
    assert hits == {"sums": 1}
    check_same_numbers(before, after, exact=False)


def test_integers_are_summed_to_the_last_bit() -> None:
    text = loop(f"{PRODUCT} %4 = add(%s, %3)").replace("f32", "i32")
    before = graph_of(text)
    after, hits = run_pass(Defer(), before)
    assert hits == {"sums": 1}
    check_same_numbers(before, after)


def test_a_loop_that_did_nothing_else_is_gone() -> None:
    before = graph_of(loop(f"{PRODUCT} %4 = add(%s, %3)"))
    after, _ = run_pass(Defer(), before)
    assert "scan" not in {n.op.name for n in after.nodes()}
