"""Fuse: which nodes become one kernel, told by the groups in text form, and by the numbers of the kernels."""

from __future__ import annotations

import pytest
from evaluators import assert_agree, kernels
from graph_checks import arrays_for, graph_of, run_pass

from sigmagraph.errors import PassError
from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.groups import interfaces
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.manager import PassManager

ZERO = "%zero = constant() {value = dense<f32[]>[0.0]}"


def check_groups(head: str, body: str, groups: str, fuse: Fuse | None = None, *, numbers: bool = True) -> None:
    """Assert the groups that fuse makes of a graph, and that their kernels compute what the graph says."""
    graph = graph_of(f"graph @g stage(primitive) {head} {{ {body} }}")
    fused, _ = run_pass(fuse or Fuse(), graph)
    lines = [f"fusion @k{number} {{ {members} }}" for number, members in enumerate(groups.strip().splitlines())]
    wanted = graph_of(f"graph @g stage(fused) {head} {{ {body} {' '.join(lines)} }}")
    assert difference(fused, wanted) is None, f"{difference(fused, wanted)}\n{fused}"
    if numbers:
        inputs = arrays_for(graph, graph.inputs, 1, {"n": 4, "k": 3, "m": 6})
        expected = interpret(graph, inputs)
        actual = kernels((fuse or Fuse(),))(graph, inputs)
        for name, array in expected.items():
            assert_agree(actual[name], array, sums=True)


def test_bias_and_activation_are_the_epilogue_of_a_contraction() -> None:
    check_groups(
        "(%x: input f32[n,5], %w: input f32[5,3], %b: input f32[3]) -> (y: %y)",
        f"""%p = matmul(%x, %w) %bb = broadcast(%b) {{shape = [n, 3]}} %s = add(%p, %bb)
        {ZERO} %zz = broadcast(%zero) {{shape = [n, 3]}} %y = maximum(%s, %zz)""",
        "%p %bb %s %zz %y",
    )


def test_only_movement_and_casts_go_into_the_operands_of_a_contraction() -> None:
    check_groups(
        "(%x: input f64[5,n], %w: input f32[3,5]) -> (y: %y)",
        """%c = cast(%x) {dtype = f32} %t = transpose(%c) {axes = [1, 0]}
        %e = exp(%w) %u = transpose(%e) {axes = [1, 0]} %y = matmul(%t, %u)""",
        "%e\n%c %t %u %y",
    )


def test_padding_goes_into_the_operands_of_a_contraction() -> None:
    check_groups(
        "(%x: input f32[n,4], %w: input f32[5,3]) -> (y: %y)",
        """%p = pad(%x) {low = [0, 1], high = [0, 0], interior = [0, 0], value = 0.0} %y = matmul(%p, %w)""",
        "%p %y",
    )


def test_a_chain_goes_into_the_operand_of_a_reduction_and_small_results_behind_it() -> None:
    check_groups(
        "(%x: input f32[n,5], %z: input f32[n,5]) -> (y: %y)",
        """%d = sub(%x, %z) %q = mul(%d, %d) %e = exp(%q) %s = reduce_sum(%e) {axes = [1]} %y = sqrt(%s)""",
        "%d %q %e %s %y",
    )


SOFTMAX = """%m = reduce_max(%x) {axes = [1], keepdims = true} %mb = broadcast(%m) {shape = [n, 5]}
    %d = sub(%x, %mb) %e = exp(%d) %s = reduce_sum(%e) {axes = [1], keepdims = true}
    %sb = broadcast(%s) {shape = [n, 5]} %y = div(%e, %sb)"""


def test_softmax_is_one_group() -> None:
    head = "(%x: input f32[n,5]) -> (y: %y)"
    check_groups(head, SOFTMAX, "%m %mb %d %e %s %sb %y")
    check_groups(head, SOFTMAX, "%m\n%mb %d %e %s\n%mb %d %e %sb %y", Fuse(rows=False))


def test_what_is_dear_is_not_computed_again() -> None:
    head = "(%x: input f32[n,5]) -> (y: %y)"
    body = """%t = tanh(%x) %s = reduce_sum(%t) {axes = [1], keepdims = true}
        %sb = broadcast(%s) {shape = [n, 5]} %y = div(%t, %sb)"""
    check_groups(head, body, "%t %s %sb %y")
    check_groups(head, body, "%t\n%s\n%sb %y", Fuse(rows=False))


def test_what_others_need_of_a_row_is_stored_on_the_way() -> None:
    check_groups(
        "(%x: input f32[n,5], %w: input f32[5,3]) -> (y: %y, z: %z)",
        """%t = tanh(%x) %s = reduce_sum(%t) {axes = [1]} %r = reshape(%s) {shape = [n, 1]}
        %sb = broadcast(%r) {shape = [n, 5]} %y = div(%t, %sb) %z = matmul(%t, %w)""",
        "%t %s %r %sb %y\n%z",
    )


def test_reductions_of_the_same_rows_share_a_sweep() -> None:
    head = "(%x: input f32[n,5]) -> (a: %a, b: %b)"
    check_groups(head, "%a = reduce_sum(%x) {axes = [1]} %q = mul(%x, %x) %b = reduce_sum(%q) {axes = [1]}", "%a %q %b")
    check_groups(head, "%a = reduce_sum(%x) {axes = [0]} %q = mul(%x, %x) %b = reduce_sum(%q) {axes = [0]}", "%a %q %b")
    check_groups(head, "%a = reduce_sum(%x) {axes = [0]} %b = reduce_sum(%x) {axes = [1]}", "%a\n%b")


def test_rows_are_the_same_with_and_without_the_axes_that_they_lost() -> None:
    check_groups(
        "(%x: input f32[n,1,5,2]) -> (y: %y)",
        """%m = reduce_max(%x) {axes = [1, 2, 3]} %r = reshape(%m) {shape = [n, 1, 1, 1]}
        %b = broadcast(%r) {shape = [n, 1, 5, 2]} %d = sub(%x, %b)
        %y = reduce_sum(%d) {axes = [2, 3], keepdims = true}""",
        "%m %r %b %d %y",
    )


def test_elements_of_rows_may_be_stored_in_another_shape() -> None:
    check_groups(
        "(%x: input f32[n,2,3], %w: input f32[6]) -> (y: %y)",
        """%m = reduce_max(%x) {axes = [2], keepdims = true} %b = broadcast(%m) {shape = [n, 2, 3]}
        %d = sub(%x, %b) %r = reshape(%d) {shape = [n, 6]} %v = broadcast(%w) {shape = [n, 6]} %y = mul(%r, %v)""",
        "%m %b %d %r %v %y",
    )


def test_whole_columns_are_stored_by_a_group_of_their_own() -> None:
    """Only so are there tasks enough for several threads, as a long sum is cut into tasks only where it is the only one."""
    check_groups(
        "(%x: input f32[n,5]) -> (y: %y, v: %v)",
        """%m = reduce_max(%x) {axes = [0]} %b = broadcast(%m) {shape = [n, 5]} %d = sub(%x, %b)
        %q = mul(%d, %d) %v = reduce_sum(%q) {axes = [0]} %y = tanh(%d)""",
        "%m\n%b %d %q %v\n%b %d %y",
    )


def test_long_sums_to_a_scalar_that_depend_on_each_other_stay_apart() -> None:
    body = """%m = reduce_sum(%x) {axes = [0]} %b = broadcast(%m) {shape = [n]} %d = sub(%x, %b)
        %q = mul(%d, %d) %v = reduce_sum(%q) {axes = [0]}"""
    check_groups("(%x: input f32[n]) -> (v: %v)", body, "%m\n%b %d %q %v")
    check_groups("(%x: input f32[7]) -> (v: %v)", body.replace("[n]", "[7]"), "%m %b %d %q %v")


def test_a_square_that_is_turned_has_other_rows() -> None:
    check_groups(
        "(%x: input f32[4,4]) -> (y: %y)",
        """%m = reduce_max(%x) {axes = [1]} %b = broadcast(%m) {shape = [4, 4]} %d = sub(%x, %b)
        %y = reduce_sum(%d) {axes = [1]}""",
        "%m\n%b %d %y",
    )
    check_groups(
        "(%x: input f32[4,4]) -> (y: %y)",
        """%e = exp(%x) %m = reduce_max(%e) {axes = [1]} %t = transpose(%e) {axes = [1, 0]}
        %r = reshape(%m) {shape = [4, 1]} %b = broadcast(%r) {shape = [4, 4]} %y = sub(%t, %b)""",
        "%e %m %r\n%t %b %y",
        Fuse(recompute=0),
    )


def test_groups_do_not_join_around_a_third_one() -> None:
    check_groups(
        "(%x: input f32[n,5], %w: input f32[5,5]) -> (y: %y)",
        """%t = tanh(%x) %s = reduce_sum(%t) {axes = [1], keepdims = true} %p = matmul(%t, %w)
        %sb = broadcast(%s) {shape = [n, 5]} %q = mul(%t, %sb) %o = mul(%q, %p)
        %y = reduce_sum(%o) {axes = [1], keepdims = true}""",
        "%t %s\n%p %sb %q %o\n%y",
    )


def test_an_adagrad_step_is_the_epilogue_of_its_gradient() -> None:
    check_groups(
        "(%x: input f32[n,5], %dy: input f32[n,3], %acc: input f32[5,3], %w: input f32[5,3], %lr: input f32[])"
        " -> (acc: %a, w: %v)",
        """%t = transpose(%x) {axes = [1, 0]} %g = matmul(%t, %dy) %gg = mul(%g, %g) %a = add(%acc, %gg)
        %r = sqrt(%a) %lb = broadcast(%lr) {shape = [5, 3]} %lg = mul(%lb, %g) %q = div(%lg, %r) %v = sub(%w, %q)""",
        "%t %g %gg %a %r %lb %lg %q %v",
        numbers=False,  # square roots of random numbers
    )


def test_dropout_stores_its_mask_and_the_sign_instead_of_activations() -> None:
    check_groups(
        "(%x: input f32[n,5], %w: input f32[5,3], %v: input f32[3,2], %dz: input f32[n,2], %key: input i64[2])"
        " -> (z: %z, dw: %dw, dv: %dv)",
        f"""%p = matmul(%x, %w) {ZERO} %zz = broadcast(%zero) {{shape = [n, 3]}} %h = maximum(%p, %zz)
        %bits = random_bits(%key) {{shape = [n, 3], stream = 1}}
        %half = constant() {{value = dense<i32[]>[0]}} %hh = broadcast(%half) {{shape = [n, 3]}}
        %keep = ge(%bits, %hh) %d = select(%keep, %h, %zz) %z = matmul(%d, %v)
        %vt = transpose(%v) {{axes = [1, 0]}} %dd = matmul(%dz, %vt) %dk = select(%keep, %dd, %zz)
        %on = gt(%h, %zz) %dp = select(%on, %dk, %zz)
        %xt = transpose(%x) {{axes = [1, 0]}} %dw = matmul(%xt, %dp)
        %dt = transpose(%d) {{axes = [1, 0]}} %dv = matmul(%dt, %dz)""",
        """%p %zz %h %bits %hh %keep %d %on
        %z
        %zz %vt %dd %dk %dp
        %xt %dw
        %dt %dv""",
    )


def test_a_residual_joins_the_epilogue() -> None:
    check_groups(
        "(%x: input f32[n,3], %w: input f32[3,3]) -> (y: %y)",
        "%e = exp(%x) %p = matmul(%x, %w) %t = tanh(%p) %y = add(%t, %e)",
        "%e %p %t %y",
    )


def test_a_diamond_across_a_reduction_makes_no_cycle() -> None:
    check_groups(
        "(%x: input f32[n,3]) -> (y: %y)",
        """%t = tanh(%x) %s = reduce_sum(%t) {axes = [0, 1]} %b = broadcast(%s) {shape = [n, 3]} %y = add(%t, %b)""",
        "%t\n%s\n%b %y",
    )


def test_a_stored_node_joins_a_group_that_reads_it_unless_that_makes_a_cycle() -> None:
    head = "(%x: input f32[n,3], %w: input f32[3,3]) -> (y: %y, z: %z)"
    check_groups(head, "%t = tanh(%x) %y = matmul(%t, %w) %z = neg(%t)", "%t %z\n%y")
    check_groups(head, "%t = tanh(%x) %y = matmul(%t, %w) %z = add(%t, %y)", "%t\n%y %z")


def test_several_outputs_of_one_shape_come_from_one_group() -> None:
    check_groups(
        "(%x: input f32[n,3]) -> (a: %a, b: %b, c: %c)",
        "%a = exp(%x) %b = add(%a, %x) %c = mul(%b, %a)",
        "%a %b %c",
    )


def test_two_contractions_make_two_groups() -> None:
    check_groups(
        "(%x: input f32[n,3], %w: input f32[3,4], %v: input f32[3,4]) -> (y: %y)",
        "%a = matmul(%x, %w) %b = matmul(%x, %v) %y = add(%a, %b)",
        "%a\n%b %y",
    )


def test_a_reshape_may_stand_in_the_epilogue() -> None:
    check_groups(
        "(%x: input f32[n,3], %w: input f32[3,4]) -> (y: %y)",
        "%p = matmul(%x, %w) %r = reshape(%p) {shape = [n, 2, 2]} %y = neg(%r)",
        "%p %r %y",
    )


def test_a_transpose_ends_the_epilogue() -> None:
    check_groups(
        "(%x: input f32[n,3], %w: input f32[3,4]) -> (y: %y)",
        "%p = matmul(%x, %w) %q = neg(%p) %t = transpose(%q) {axes = [1, 0]} %y = exp(%t)",
        "%p %q\n%t %y",
    )


def test_random_numbers_are_drawn_once() -> None:
    check_groups(
        "(%key: input i64[2], %x: input i32[n,3]) -> (y: %y)",
        """%r = random_bits(%key) {shape = [n, 3], stream = 1} %s = reduce_max(%r) {axes = [0]}
        %b = broadcast(%s) {shape = [n, 3]} %d = xor(%r, %b) %y = and(%d, %x)""",
        "%r\n%s\n%b %d %y",
    )


def test_dear_numbers_are_not_spread_by_a_broadcast_and_cheap_ones_are() -> None:
    head = "(%x: input f32[n,3], %s: input f32[]) -> (y: %y)"
    check_groups(head, "%e = tanh(%s) %b = broadcast(%e) {shape = [n, 3]} %y = mul(%x, %b)", "%e\n%b %y")
    check_groups(head, "%e = neg(%s) %b = broadcast(%e) {shape = [n, 3]} %y = mul(%x, %b)", "%e %b %y")


def test_chains_that_read_three_arrays_are_not_computed_again() -> None:
    check_groups(
        "(%x: input f32[n,3], %u: input f32[n,3], %v: input f32[n,3]) -> (a: %a, b: %b)",
        "%p = add(%x, %u) %q = add(%p, %v) %a = reduce_sum(%q) {axes = [0]} %b = reduce_sum(%q) {axes = [1]}",
        "%p %q %b\n%a",
    )
    check_groups(
        "(%x: input f32[n,3], %u: input f32[n,3]) -> (a: %a, b: %b)",
        "%p = add(%x, %u) %a = reduce_sum(%p) {axes = [0]} %b = reduce_sum(%p) {axes = [1]}",
        "%p %a\n%p %b",
    )


def test_a_gather_reads_through_cheap_nodes() -> None:
    check_groups(
        "(%t: input f32[6,3], %i: input i32[n]) -> (y: %y)",
        """%one = constant() {value = dense<i32[]>[1]} %o = broadcast(%one) {shape = [n]} %j = add(%i, %o)
        %a = neg(%t) %g = gather(%a, %j) {axis = 0} %y = exp(%g)""",
        "%o %j %a %g %y",
    )


def test_without_merging_every_node_is_a_group() -> None:
    check_groups(
        "(%x: input f32[n,3]) -> (y: %y)",
        f"{ZERO} %z = broadcast(%zero) {{shape = [n, 3]}} %m = maximum(%x, %z) %y = exp(%m)",
        "%z\n%m\n%y",
        Fuse(merge=False),
    )


def test_options_bound_what_is_computed_again() -> None:
    head = "(%x: input f32[n,3]) -> (a: %a, b: %b)"
    body = "%e = exp(%x) %a = reduce_sum(%e) {axes = [0]} %b = reduce_sum(%e) {axes = [1]}"
    check_groups(head, body, "%e %a\n%e %b")
    check_groups(head, body, "%e %b\n%a", Fuse(recompute=15))


def test_long_chains_are_cut() -> None:
    chain = " ".join(f"%a{i + 1} = neg(%a{i})" for i in range(1, 7))
    check_groups(
        "(%x: input f32[n,3]) -> (y: %y)",
        f"%a1 = neg(%x) {chain} %t = transpose(%a7) {{axes = [1, 0]}} %y = exp(%t)",
        "%a1 %a2 %a3\n%a4 %a5 %a6\n%a7 %t %y",
        Fuse(depth=2),
    )


def test_dead_nodes_are_in_no_group() -> None:
    graph = graph_of("graph @g stage(primitive) (%x: input f32[3]) -> (y: %y) { %d = neg(%x) %y = exp(%x) }")
    fused, _ = run_pass(Fuse(), graph)
    assert [n.op.name for n in fused.nodes()] == ["input", "exp"]


def test_interfaces_say_what_is_read_and_written() -> None:
    fused, _ = run_pass(
        Fuse(),
        graph_of("""graph @g stage(primitive) (%x: input f32[n,3], %w: input f32[3,3]) -> (y: %y, z: %z) {
          %t = tanh(%x) %y = matmul(%t, %w) %z = add(%t, %y)
        }"""),
    )
    names = {n.id: n.name for n in fused.nodes()}
    seen = [
        (i.root and i.root.name, [names[v.node] for v in i.inputs], [names[v.node] for v in i.outputs])
        for i in interfaces(fused)
    ]
    assert seen == [(None, ["x"], ["t"]), ("y", ["t", "w"], ["y", "z"])]


def test_captured_graphs_are_refused() -> None:
    with pytest.raises(PassError, match="captured graph cannot be fused"):
        Fuse().run(graph_of("graph @g() -> () { }"), PassContext(OPS))


def test_the_manager_decomposes_before_it_fuses() -> None:
    graph = graph_of("graph @g(%x: input f32[n]) -> (y: %y) { %y = square(%x) }")
    manager = PassManager((Fuse(),), OPS, verify=True)
    assert [n.op.name for n in manager.run(graph).nodes()] == ["input", "mul"]
    assert [s.name for s in manager.steps] == ["decompose", "fuse"]


def test_what_several_contractions_read_through_windows_is_stored_before_them() -> None:
    """Stored behind the windows it would be as large as all of them."""
    check_groups(
        "(%x: input f32[n,9,4], %w: input f32[3,4,5], %v: input f32[3,4,6]) -> (y: %y, z: %z)",
        """%e = tanh(%x) %f = tanh(%e) %q = tanh(%f) %u = unfold(%q) {axis = 1, size = 3}
        %y = contract(%u, %w) {left = [0, 1, 2, 3], right = [2, 3, 4], result = [0, 1, 4]}
        %z = contract(%u, %v) {left = [0, 1, 2, 3], right = [2, 3, 4], result = [0, 1, 4]}""",
        "%e %f %q\n%u %y\n%u %z",
    )
