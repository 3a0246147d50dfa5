"""Block: which operands of a loop are laid out before it, as text and by numbers, and which stay as they are."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, check_same_numbers, graph_of, run_pass

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.passes.block import Block


def loop(statements: str, width: int = 96, matrix: str = "") -> str:
    """A loop with a state ``%h`` [3,5], slices ``%x`` [3,5], and a matrix ``%m`` that is the same at each turn."""
    type = matrix or f"f32[5,{width}]"
    return f"""graph @main(%w: input f32[3,5], %a: input f32[n,3,5], %k: input {type}) -> (h: %0, y: %0#1) {{
      %0:2 = scan(%w, %a, %k) {{body = graph @turn(%x: input f32[3,5], %m: input {type}, %h: param f32[3,5])
          -> (h: %2 updates %h, y: %3) {{
        {statements}
      }}, length = n, reverse = false, sequences = 1}}
    }}"""


BODY = "%2 = tanh(%h) %3 = matmul(%2, %m)"
AFTER = """graph @main(%w: input f32[3,5], %a: input f32[n,3,5], %k: input f32[5,96]) -> (h: %0, y: %0#1) {
  %parts = reshape(%k) {shape = [5, 3, 32]}
  %b = transpose(%parts) {axes = [1, 0, 2]}
  %0:2 = scan(%w, %a, %k, %b) {
    body = graph @turn(%x: input f32[3,5], %m: input f32[5,96], %blocks: input f32[3,5,32], %h: param f32[3,5])
        -> (h: %2 updates %h, y: %3) {
      %t = transpose(%blocks) {axes = [1, 0, 2]}
      %r = reshape(%t) {shape = [5, 96]}
      %2 = tanh(%h)
      %3 = matmul(%2, %r)
    }, length = n, reverse = false, sequences = 1}
}"""
TURNED = """graph @main(%w: input f32[3,5], %a: input f32[n,3,5], %k: input f32[64,5]) -> (h: %0, y: %0#1) {
  %u = transpose(%k) {axes = [1, 0]}
  %parts = reshape(%u) {shape = [5, 1, 64]}
  %b = transpose(%parts) {axes = [1, 0, 2]}
  %0:2 = scan(%w, %a, %k, %b) {
    body = graph @turn(%x: input f32[3,5], %m: input f32[64,5], %blocks: input f32[1,5,64], %h: param f32[3,5])
        -> (h: %2 updates %h, y: %3) {
      %t = transpose(%blocks) {axes = [1, 0, 2]}
      %r = reshape(%t) {shape = [5, 64]}
      %2 = tanh(%h)
      %v = transpose(%m) {axes = [1, 0]}
      %3 = matmul(%2, %r)
    }, length = n, reverse = false, sequences = 1}
}"""
TRANSPOSED = "%2 = tanh(%h) %t = transpose(%m) {axes = [1, 0]} %3 = matmul(%2, %t)"


@pytest.mark.parametrize("reverse", ["false", "true"])
def test_a_matrix_is_laid_out_before_the_loop(reverse: str) -> None:
    before, after = (text.replace("reverse = false", f"reverse = {reverse}") for text in (loop(BODY), AFTER))
    check_pass(Block(), before, after)


def test_a_matrix_with_its_axes_turned_is_laid_out_as_the_product_reads_it() -> None:
    check_pass(Block(), loop(TRANSPOSED, matrix="f32[64,5]"), TURNED)


def blocks(graph: Graph) -> list[tuple[object, ...]]:
    """The shapes of the blocks that a loop is handed."""
    (node,) = (n for n in graph.nodes() if n.op.name == "scan")
    body: Graph = node.attrs["body"].graph
    return [body.type(v).shape for v in body.inputs if body.node(v).name.startswith("blocks")]


@pytest.mark.parametrize(
    ("width", "shape"), [(16, (1, 5, 16)), (48, (3, 5, 16)), (32, (1, 5, 32)), (160, (5, 5, 32)), (128, (2, 5, 64))]
)
def test_blocks_are_as_wide_as_the_matrix_divides(width: int, shape: tuple[int, ...]) -> None:
    before = graph_of(loop(BODY, width))
    after, hits = run_pass(Block(), before)
    assert hits == {"matrices": 1}
    assert blocks(after) == [shape]
    check_same_numbers(before, after)


def test_a_second_time_nothing_is_left_to_do() -> None:
    after, _ = run_pass(Block(), graph_of(loop(BODY)))
    assert run_pass(Block(), after)[0] is after


def test_other_readers_of_the_matrix_go_on_reading_it() -> None:
    before = graph_of(loop("%2 = tanh(%h) %p = matmul(%2, %m) %e = exp(%m) %q = matmul(%h, %e) %3 = add(%p, %q)"))
    after, hits = run_pass(Block(), before)
    assert hits == {"matrices": 1}
    check_same_numbers(before, after)


def test_a_matrix_on_both_sides_is_read_in_blocks_on_the_right_only() -> None:
    before = graph_of(loop("%2 = tanh(%h) %3 = matmul(%m, %m)", matrix="f32[32,32]"))
    after, hits = run_pass(Block(), before)
    assert hits == {"matrices": 1}
    check_same_numbers(before, after, exact=False)


def test_a_matrix_that_is_read_both_ways_has_two_layouts() -> None:
    """As by a recurrent layer and, with its axes turned, by the way back through it."""
    statements = "%2 = tanh(%h) %p = matmul(%2, %m) %t = transpose(%m) {axes = [1, 0]} %3 = matmul(%p, %t)"
    before = graph_of(loop(statements, matrix="f32[5,80]"))
    assert blocks(run_pass(Block(), before)[0]) == [(5, 5, 16)]  # 5 columns are no block
    both = "%2 = tanh(%h) %t = transpose(%m) {axes = [1, 0]} %p = matmul(%m, %t) %3 = matmul(%p, %m)"
    before = graph_of(loop(both, matrix="f32[32,80]"))
    after, hits = run_pass(Block(), before)
    assert hits == {"matrices": 2}
    assert blocks(after) == [(1, 80, 32), (5, 32, 16)]
    check_same_numbers(before, after, exact=False)


KEPT = {
    "columns that no width divides": loop(BODY, 40),
    "a matrix on the left": loop("%2 = tanh(%h) %t = transpose(%2) {axes = [1, 0]} %3 = matmul(%m, %t)", matrix="f32[32,5]"),
    "a matrix that the loop computes": loop("%2 = tanh(%h) %e = exp(%m) %3 = matmul(%2, %e)"),
    "a slice": loop("%2 = tanh(%h) %t = transpose(%h) {axes = [1, 0]} %3 = matmul(%t, %x)").replace(",3,5]", ",3,16]")
    .replace("%x: input f32[3,5]", "%x: input f32[3,16]"),
    "the state": loop("%2 = tanh(%h) %t = transpose(%x) {axes = [1, 0]} %3 = matmul(%t, %h)").replace("3,5]", "3,16]"),
    "a batch of matrices": loop(
        "%2 = tanh(%h) %r = reshape(%2) {shape = [1, 3, 5]} %3 = matmul(%r, %m)", matrix="f32[1,5,32]"
    ),
    "columns that only a call knows": loop(BODY, matrix="f32[5,k]"),
}  # fmt: skip


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_stays_as_it_is(text: str) -> None:
    before = graph_of(text)
    assert run_pass(Block(), before)[0] is before


def test_products_outside_of_loops_stay_as_they_are() -> None:
    before = graph_of("graph @g(%a: input f32[3,5], %m: input f32[5,32]) -> (y: %0) { %0 = matmul(%a, %m) }")
    assert run_pass(Block(), before)[0] is before
