"""Prepare: what is computed ahead of a program, what is not, and that both parts together are the program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

import numpy as np
import pytest
from graph_checks import arrays_for, assert_same, graph_of
from hypothesis import given
from ladder import point
from random_graphs import SIZES, examples, graphs

from sigmagraph.ir.graph.equal import difference
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.verify import verify_graph
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import CLEAN
from sigmagraph.passes.prepare import Prepared, prepare

Arrays: TypeAlias = "Mapping[str, NDArray]"


def parts_of(statements: str, ports: str, results: str = "y: %y") -> Prepared | None:
    """The parts of a graph, which mean the same together."""
    graph = graph_of(f"graph @main ({ports}) -> ({results}) {{ {statements} }}")
    parts = prepare(graph, OPS)
    if parts is not None:
        check_same(graph, parts)
    return parts


def check_same(graph: Graph, parts: Prepared) -> None:
    """Assert that the parts, one after the other, give what the graph gives, to the last bit."""
    inputs, params = (arrays_for(graph, ports, 1, {"n": 3}) for ports in (graph.inputs, graph.params))
    with np.errstate(all="ignore"):
        expected = interpret(graph, inputs, params)
    found = _both(parts, inputs, params)
    for name, array in expected.items():
        assert_same(found[name], array)


def check_parts(parts: Prepared | None, ahead: str, main: str) -> None:
    """Assert what the parts are."""
    assert parts is not None
    for graph, text in ((parts.ahead, ahead), (parts.main, main)):
        wanted = graph_of(text)
        assert difference(graph, wanted) is None, f"{difference(graph, wanted)}\n{graph}\n{wanted}"


def test_the_matrix_of_a_product_is_laid_out_in_blocks() -> None:
    parts = parts_of("%y = matmul(%x, %w)", "%x: input f32[n,20], %w: param f32[20,128]")
    check_parts(
        parts,
        """graph @main_ahead(%w: param f32[20,128], %k: param f32[2,20,64]) -> (k: %b updates %k) {
          %p = reshape(%w) {shape = [20, 2, 64]}
          %b = transpose(%p) {axes = [1, 0, 2]}
        }""".replace("%k", '%"w.prepared"').replace("(k:", '("w.prepared":'),
        """graph @main(%x: input f32[n,20], %"w.prepared": param f32[2,20,64]) -> (y: %y) {
          %t = transpose(%"w.prepared") {axes = [1, 0, 2]}
          %m = reshape(%t) {shape = [20, 128]}
          %y = matmul(%x, %m)
        }""",
    )


def test_a_transposed_matrix_is_laid_out_as_the_product_reads_it() -> None:
    parts = parts_of(
        "%t = transpose(%w) {axes = [1, 0]} %y = matmul(%x, %t)", "%x: input f32[n,20], %w: param f32[96,20]"
    )
    assert parts is not None
    assert parts.main.type(parts.main.params[0]).shape == (3, 20, 32)


def test_the_kernel_of_a_convolution_is_laid_out_by_its_channels() -> None:
    parts = parts_of(
        "%y = contract(%x, %w) {left = [0, 1, 2, 3, 4], right = [2, 3, 4, 5], result = [0, 1, 5]}",
        "%x: input f32[n,4,3,3,8], %w: param f32[3,3,8,128]",
    )
    assert parts is not None
    assert parts.main.type(parts.main.params[0]).shape == (2, 3, 3, 8, 64)


@pytest.mark.parametrize(
    ("ports", "statements"),
    [
        ("%x: input f32[n,20], %w: param f32[20,64]", "%y = matmul(%x, %w)"),  # is a block as it is
        ("%x: input f32[n,20], %w: param f32[20,100]", "%y = matmul(%x, %w)"),  # no whole blocks
        ("%x: input f32[1,20], %w: param f32[20,128]", "%y = matmul(%x, %w)"),  # a row reads it once
        ("%x: input f32[n,4], %w: param f32[4,128]", "%y = matmul(%x, %w)"),  # small
        ("%x: input f16[n,20], %w: param f16[20,128]", "%y = matmul(%x, %w)"),  # is cast on the way
        ("%x: input f32[128,n], %w: param f32[20,128]", "%y = matmul(%w, %x)"),  # rows
        ("%x: input f32[n,20], %w: input f32[20,128]", "%y = matmul(%x, %w)"),  # another one at each call
        ("%x: input f32[3,n], %w: param f32[n,3]", "%t = transpose(%w) {axes = [1, 0]} %y = add(%x, %t)"),
        ("%x: input f32[4]", "%c = constant() {value = dense<f32[4]>[1.0, 2.0, 3.0, 4.0]} %d = exp(%c) %y = add(%x, %d)"),
    ],
)  # fmt: skip
def test_nothing_is_kept_where_nothing_is_won(ports: str, statements: str) -> None:
    assert parts_of(statements, ports) is None


def test_arithmetic_is_kept_and_what_repeats_it_is_not() -> None:
    parts = parts_of(
        "%e = exp(%w) %b = broadcast(%e) {shape = [n, 5]} %y = mul(%x, %b)", "%x: input f32[n,5], %w: param f32[5]"
    )
    check_parts(
        parts,
        """graph @main_ahead(%w: param f32[5], %"w.prepared": param f32[5]) -> ("w.prepared": %e updates %"w.prepared") {
          %e = exp(%w)
        }""",
        """graph @main(%x: input f32[n,5], %"w.prepared": param f32[5]) -> (y: %y) {
          %b = broadcast(%"w.prepared") {shape = [n, 5]}
          %y = mul(%x, %b)
        }""",
    )


def test_what_is_larger_than_its_parameters_is_computed_at_each_call() -> None:
    parts = parts_of(
        "%e = exp(%w) %b = broadcast(%e) {shape = [9, 5]} %s = sin(%b) %y = mul(%x, %s)",
        "%x: input f32[9,5], %w: param f32[5]",
    )
    assert parts is not None
    assert [n.op.name for n in parts.ahead.nodes() if n.inputs] == ["exp"]


def test_the_own_parameters_of_a_program_are_not_kept() -> None:
    ports = "%x: input f32[n,20], %w: param f32[20,128], %v: param f32[20,128]"
    statements = "%a = matmul(%x, %w) %b = matmul(%x, %v) %y = add(%a, %b) %u = neg(%w)"
    parts = parts_of(statements, ports, "y: %y, w: %u updates %w")
    assert parts is not None
    assert parts.kept == ("v.prepared",)
    assert "w" not in [parts.ahead.node(v).name for v in parts.ahead.params]


def test_what_a_loop_reads_lies_in_memory() -> None:
    parts = parts_of(
        """%t = transpose(%w) {axes = [1, 0]}
        %y = scan(%h, %x, %t) {body = graph @turn(%a: input f32[5], %m: input f32[4,5], %s: param f32[5])
            -> (s: %3 updates %s) {
          %1 = reduce_sum(%m) {axes = [0], keepdims = false} %2 = add(%a, %1) %3 = add(%s, %2)
        }, length = n, reverse = false, sequences = 1}""",
        "%h: input f32[5], %x: input f32[n,5], %w: param f32[5,4]",
    )
    assert parts is not None
    assert parts.main.type(parts.main.params[0]).shape == (4, 5)


def test_a_result_that_parameters_decide_is_kept() -> None:
    parts = parts_of("%y = exp(%w)", "%x: input f32[n], %w: param f32[5]")
    assert parts is not None
    assert [n.op.name for n in parts.main.nodes()] == ["input", "param"]


def test_names_that_are_taken_are_not_given_again() -> None:
    parts = parts_of(
        '%a = exp(%w) %b = sin(%w) %c = add(%a, %"w.prepared") %d = add(%c, %x) %y = add(%b, %d)',
        '%x: input f32[5], %w: param f32[5], %"w.prepared": param f32[5]',
    )
    assert parts is not None
    assert len({*parts.kept, "w", "w.prepared"}) == len(parts.kept) + 2


@examples(60)
@given(graph=graphs(nodes=20))
def test_the_parts_of_random_graphs(graph: Graph) -> None:
    graph = PassManager(CLEAN, OPS).run(graph)
    parts = prepare(graph, OPS)
    if parts is None:
        return
    for seed in range(2):
        at = point(graph, SIZES, seed, special=0.1 * seed)
        at.check_call(partial(_both, parts, at.inputs, at.params), "prepare")


def _both(parts: Prepared, inputs: Arrays, params: Arrays) -> Arrays:
    """The parts, one after the other."""
    ahead = parts.ahead
    for part in (ahead, parts.main):
        verify_graph(part)
    zeros = {ahead.node(v).name: np.zeros(ahead.type(v).shape, ahead.type(v).dtype.numpy) for v in ahead.params}
    with np.errstate(all="ignore"):
        kept = interpret(ahead, {}, {name: params.get(name, zero) for name, zero in zeros.items()})
        assert tuple(kept) == parts.kept
        return interpret(parts.main, inputs, {v: (params | kept)[v] for v in _names(parts.main)})


def _names(graph: Graph) -> list[str]:
    return [graph.node(v).name for v in graph.params]
