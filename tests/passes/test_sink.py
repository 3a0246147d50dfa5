"""Sink: transposes meet and cancel; told by texts, by the transposes that are left, and by the bytes that groups write."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph_checks import check_pass, check_same_numbers, graph_of, run_pass

import sigmagraph as sg
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.fuse import Fuse
from sigmagraph.passes.manager import PassManager, parse_pipeline
from sigmagraph.passes.pipelines import CLEAN
from sigmagraph.passes.sink import Sink, Traffic, traffic
from sigmagraph.tensor.capture import capture


def primitive(head: str, body: str) -> str:
    return f"graph @g stage(primitive) {head} {{ {body} }}"


def check(head: str, before: str, after: str, *, exact: bool = True) -> None:
    check_pass(Sink(), primitive(head, before), primitive(head, after), exact=exact)


def check_unchanged(head: str, body: str) -> None:
    graph = graph_of(primitive(head, body))
    out, hits = run_pass(Sink(), graph)
    assert out is graph
    assert not hits


def test_a_chain_with_a_bias_works_in_the_order_of_the_contraction_before_it() -> None:
    head = "(%x: input f32[n,4,6], %w: input f32[6,5], %u: input f32[5,3], %b: input f32[5,1]) -> (y: %y)"
    check(
        head,
        """%v = broadcast(%w) {shape = [n, 6, 5]} %p = matmul(%x, %v) %t = transpose(%p) {axes = [0, 2, 1]}
        %bb = broadcast(%b) {shape = [n, 5, 4]} %s = add(%t, %bb) %e = tanh(%s) %r = transpose(%e) {axes = [0, 2, 1]}
        %q = broadcast(%u) {shape = [n, 5, 3]} %z = exp(%r) %y = matmul(%z, %q)""",
        """%v = broadcast(%w) {shape = [n, 6, 5]} %p = matmul(%x, %v) %bf = reshape(%b) {shape = [1, 1, 5]}
        %bb = broadcast(%bf) {shape = [n, 4, 5]} %s = add(%p, %bb) %e = tanh(%s)
        %q = broadcast(%u) {shape = [n, 5, 3]} %z = exp(%e) %y = matmul(%z, %q)""",
        exact=False,
    )


def test_pads_slices_reversals_and_concatenations_are_turned_too() -> None:
    check(
        "(%x: input f32[2,3,4], %z: input f32[2,3,4]) -> (y: %y)",
        """%a = transpose(%x) {axes = [2, 0, 1]} %b = transpose(%z) {axes = [2, 0, 1]} %n = neg(%b)
        %c = concatenate(%a, %n) {axis = 0} %r = reverse(%c) {axes = [1, 2]}
        %p = pad(%r) {low = [0, 1, 0], high = [0, 0, 2], interior = [0, 0, 0], value = 7.0}
        %s = slice(%p) {start = [1, 0, 1], stop = [7, 3, 5], step = [2, 1, 1]}
        %e = exp(%s) %y = transpose(%e) {axes = [1, 2, 0]}""",
        """%n = neg(%z) %c = concatenate(%x, %n) {axis = 2} %r = reverse(%c) {axes = [0, 1]}
        %p = pad(%r) {low = [1, 0, 0], high = [0, 2, 0], interior = [0, 0, 0], value = 7.0}
        %s = slice(%p) {start = [0, 1, 1], stop = [3, 5, 7], step = [1, 1, 2]} %y = exp(%s)""",
    )


def test_a_reduction_takes_the_axes_as_they_come_unless_its_result_had_to_be_turned_by_a_kernel_of_its_own() -> None:
    check_unchanged(
        "(%x: input f32[n,4,6]) -> (y: %y)", "%t = transpose(%x) {axes = [2, 0, 1]} %y = reduce_max(%t) {axes = [1]}"
    )
    check(
        "(%x: input f32[n,4,6]) -> (y: %y)",
        "%t = transpose(%x) {axes = [2, 0, 1]} %y = reduce_sum(%t) {axes = [0, 2], keepdims = true}",
        """%m = reduce_sum(%x) {axes = [1, 2], keepdims = true} %y = reshape(%m) {shape = [1, n, 1]}""",
        exact=False,
    )


def test_the_last_transposes_of_a_split_into_heads_are_read_through() -> None:
    heads = "{axes = [0, 2, 1, 3]}"
    head = "(%q: input f32[n,5,2,3], %k: input f32[n,5,2,3]) -> (y: %y)"
    check(
        head,
        f"""%a = tanh(%q) %t = transpose(%a) {heads} %e = exp(%t) %u = transpose(%k) {heads}
        %y = contract(%e, %u) {{left = [0, 1, 2, 3], right = [0, 1, 4, 3], result = [0, 1, 2, 4]}}""",
        f"""%a = tanh(%q) %e = exp(%a) %t = transpose(%e) {heads} %u = transpose(%k) {heads}
        %y = contract(%t, %u) {{left = [0, 1, 2, 3], right = [0, 1, 4, 3], result = [0, 1, 2, 4]}}""",
        exact=False,
    )


def test_small_masks_are_transposed_instead_of_numbers() -> None:
    check(
        "(%x: input f32[n,3,4], %g: input f32[n,4,3], %h: input f32[n,4,3]) -> (y: %y)",
        """%t = transpose(%x) {axes = [0, 2, 1]} %m = lt(%g, %h) %e = exp(%t) %s = select(%m, %e, %t)
        %r = neg(%s) %y = transpose(%r) {axes = [0, 2, 1]}""",
        """%m = lt(%g, %h) %k = transpose(%m) {axes = [0, 2, 1]} %e = exp(%x) %s = select(%k, %e, %x) %y = neg(%s)""",
    )


def test_one_of_two_that_are_compared_is_transposed() -> None:
    check(
        "(%x: input f32[n,3,4], %h: input f32[n,4,3]) -> (y: %y)",
        """%t = transpose(%x) {axes = [0, 2, 1]} %m = lt(%h, %t) %e = exp(%t) %s = select(%m, %e, %t)
        %r = neg(%s) %y = transpose(%r) {axes = [0, 2, 1]}""",
        """%g = transpose(%h) {axes = [0, 2, 1]} %m = lt(%g, %x) %e = exp(%x) %s = select(%m, %e, %x) %y = neg(%s)""",
    )


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("(%x: input f32[n,4]) -> (y: %y)", "%t = transpose(%x) {axes = [1, 0]} %y = exp(%t)"),
        ("(%x: input f32[n,4]) -> (y: %y)", "%e = exp(%x) %y = neg(%e)"),
        (
            "(%x: input f32[n,4], %w: param f32[4,3], %g: input f32[n,3]) -> (w: %v updates %w)",
            """%t = transpose(%x) {axes = [1, 0]} %d = matmul(%t, %g) %a = tanh(%d) %v = sub(%w, %a)""",
        ),
        (
            "(%x: input f32[4,3], %w: param f32[3,4], %m: param f32[3,4]) -> (w: %v updates %w, m: %k updates %m)",
            """%t = transpose(%x) {axes = [1, 0]} %a = mul(%t, %t) %k = add(%m, %a) %b = mul(%k, %t) %v = sub(%w, %b)""",
        ),
    ],
    ids=["a tie", "no transpose", "read through", "parameters"],
)
def test_what_would_gain_nothing_stays(head: str, body: str) -> None:
    check_unchanged(head, body)


def test_rows_that_are_swept_again_stay_in_one_piece() -> None:
    check_unchanged(
        "(%x: input f32[n,5,4], %w: input f32[n,4,3]) -> (y: %y)",
        """%p = matmul(%x, %w) %t = transpose(%p) {axes = [0, 2, 1]} %m = reduce_max(%t) {axes = [2], keepdims = true}
        %b = broadcast(%m) {shape = [n, 3, 5]} %d = sub(%t, %b) %y = exp(%d)""",
    )


def test_it_works_inside_bodies() -> None:
    rng = np.random.default_rng(0)
    x, s = sg.placeholder("x", (3, 4, 5)), sg.placeholder("s", (4, 5))
    y = sg.scan(lambda state, row: ((sg.tanh(state.transpose((1, 0))) * 2).transpose((1, 0)) + row, state), s, x)[1]
    graph, _ = capture([x, s], {"y": y}, None, "loop")
    out = PassManager((*CLEAN, Sink()), OPS, verify=True).run(graph)
    assert "transpose" not in str(out)
    function = sg.compile([x, s], {"y": y})
    a, b = rng.standard_normal((3, 4, 5)), rng.standard_normal((4, 5))
    rows = [b, np.tanh(b) * 2 + a[0], np.tanh(np.tanh(b) * 2 + a[0]) * 2 + a[1]]
    np.testing.assert_allclose(function(a.astype("f"), b.astype("f"))["y"], rows, rtol=1e-5, atol=1e-6)


# ---- whole networks


def weights(name: str, *shape: int) -> sg.Tensor:
    seed = sum(map(ord, name))
    return sg.parameter(name, (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype("f"))


def images(data_format: str, *, channels: int) -> sg.Tensor:
    n = sg.Dim("n")
    return sg.placeholder("x", (n, channels, 7, 6) if data_format == "channels_first" else (n, 7, 6, channels))


def plain(data_format: str) -> tuple[sg.Tensor, sg.Tensor, list[sg.Tensor]]:
    """Convolution, bias, relu, pooling, twice."""
    x = images(data_format, channels=3)
    h, params = x, []
    for number, (c, o) in enumerate(((3, 4), (4, 5))):
        w, b = weights(f"w{number}", 3, 3, c, o), weights(f"b{number}", o)
        params += [w, b]
        h = sg.convolution(h, w, padding=1, data_format=data_format)
        h = sg.relu(h + (b.reshape(o, 1, 1) if data_format == "channels_first" else b))
        h = sg.max_pool(h, 2, data_format=data_format)
    return x, h, params


def residual(data_format: str) -> tuple[sg.Tensor, sg.Tensor, list[sg.Tensor]]:
    """Convolutions with sums around them, and the mean of all pixels."""
    x = images(data_format, channels=3)
    params = [weights(f"w{number}", 3, 3, 3, 3) for number in range(4)]
    h = x
    for first, second in (params[:2], params[2:]):
        inner = sg.relu(sg.convolution(h, first, padding=1, data_format=data_format))
        h = sg.relu(sg.convolution(inner, second, padding=1, data_format=data_format) + h)
    return x, h.mean((2, 3) if data_format == "channels_first" else (1, 2)), params


def cleaned(make: Callable[[str], tuple[sg.Tensor, sg.Tensor, list[sg.Tensor]]], layout: str, train: bool) -> Graph:
    x, y, params = make(layout)
    if not train:
        graph, _ = capture([x], {"y": y}, None, "network")
    else:
        loss = (y * y).mean()
        gradients = sg.gradients(loss, params)
        updates = {p: p - 0.1 * g for p, g in zip(params, gradients, strict=True)}
        graph, _ = capture([x], {"loss": loss}, updates, "network")
    return PassManager(CLEAN, OPS).run(graph)


def cost(graph: Graph) -> Traffic:
    return traffic(graph, PassContext(OPS))


def transposes(graph: Graph) -> int:
    return sum(node.op.name == "transpose" for node in graph.nodes())


def kernels(graph: Graph) -> int:
    return len(Fuse().run(graph, PassContext(OPS)).groups)


@pytest.mark.parametrize(
    ("make", "train", "left", "launches"),
    [(plain, False, (5, 1), (4, 4)), (plain, True, (10, 2), (17, 15)), (residual, True, (18, 5), (20, 14))],
    ids=["plain", "plain training", "residual training"],
)
def test_a_network_with_channels_first_costs_what_one_with_channels_last_does(
    make: Callable[[str], tuple[sg.Tensor, sg.Tensor, list[sg.Tensor]]],
    train: bool,
    left: tuple[int, int],
    launches: tuple[int, int],
) -> None:
    graph = cleaned(make, "channels_first", train)
    out, _ = run_pass(Sink(), graph)
    assert (transposes(graph), transposes(out)) == left
    assert (kernels(graph), kernels(out)) == launches
    before, after = cost(graph), cost(out)
    assert after.written <= before.written
    assert after.total <= before.total
    if train:
        assert after.written < 0.8 * before.written
        assert after.written <= 1.1 * cost(cleaned(make, "channels_last", train)).written
    check_same_numbers(graph, out, exact=False, seeds=2)


def test_compiled_networks_give_the_same_numbers() -> None:
    x, y, params = residual("channels_first")
    gradients = dict(enumerate(sg.gradients((y * y).mean(), params)))
    images_ = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype("f")
    results = [
        sg.compile([x], {str(k): g for k, g in gradients.items()}, options=sg.CompileOptions(passes=passes))(images_)
        for passes in ("standard", "clean,fuse")
    ]
    assert [s.name for s in _steps("standard", cleaned(residual, "channels_first", train=True))][-3:] == [
        "sink",
        "windows",
        "fuse",
    ]
    for name, array in results[0].items():
        np.testing.assert_allclose(array, results[1][name], rtol=1e-4, atol=1e-5)


def _steps(pipeline: str, graph: Graph) -> list[object]:
    manager = PassManager(parse_pipeline(pipeline), OPS, verify=True)
    manager.run(graph)
    return list(manager.steps)
