"""Windows: what touches is a reshape, with the same numbers; pooling and its gradient are one kernel."""

from __future__ import annotations

import pytest
from graph_checks import check_pass, graph_of, run_pass

import sigmagraph as sg
from sigmagraph.options import CompileOptions
from sigmagraph.passes.windows import Windows

CASES = [
    (
        "%x: input f32[n,7]",
        "%y = unfold(%x) {axis = -1, size = 2, stride = 2}",
        "%s = slice(%x) {start = [0, 0], stop = [n, 6], step = [1, 1]} %y = reshape(%s) {shape = [n, 3, 2]}",
    ),
    (
        "%x: input f32[3*n,5]",
        "%y = unfold(%x) {axis = 0, size = 3, stride = 3}",
        "%y = reshape(%x) {shape = [n, 3, 5]}",
    ),
    (
        "%x: input f32[n,3,2]",
        "%y = fold(%x) {axis = 1, length = [7], stride = 2}",
        (
            "%r = reshape(%x) {shape = [n, 6]} %c = constant() {value = dense<f32[]>[0.0]} "
            "%z = broadcast(%c) {shape = [n, 6]} %a = add(%r, %z) "
            "%y = pad(%a) {low = [0, 0], high = [0, 1], interior = [0, 0], value = 0.0}"
        ),
    ),
    (
        "%x: input i32[n,3,2]",
        "%y = fold(%x) {axis = 1, length = [6], stride = 2}",
        "%y = reshape(%x) {shape = [n, 6]}",
    ),
]


@pytest.mark.parametrize(("ports", "before", "expected"), CASES)
def test_windows_that_touch_are_a_reshape(ports: str, before: str, expected: str) -> None:
    check_pass(Windows(), *(f"graph @g stage(primitive) ({ports}) -> (y: %y) {{ {b} }}" for b in (before, expected)))


@pytest.mark.parametrize(
    "attributes", ["size = 2, stride = 1", "size = 2, stride = 3", "size = 2, stride = 2, dilation = 2"]
)
def test_other_windows_stay(attributes: str) -> None:
    body = f"%y = unfold(%x) {{axis = 1, {attributes}}}"
    graph = graph_of(f"graph @g stage(primitive) (%x: input f32[n,9]) -> (y: %y) {{ {body} }}")
    out, hits = run_pass(Windows(), graph)
    assert [node.op.name for node in out.nodes()] == ["input", "unfold"]
    assert not hits


def test_pooling_and_its_gradient_are_one_kernel() -> None:
    x, g = sg.placeholder("x", (2, 8, 6, 16)), sg.placeholder("g", (2, 4, 3, 16))
    y = sg.max_pool(x, (2, 2))
    (dx,) = sg.vjp([y], [x], [g])
    function = sg.compile([x, g], {"y": y, "dx": dx}, options=CompileOptions(cache=False))
    assert len(function.plan.steps) == 1
