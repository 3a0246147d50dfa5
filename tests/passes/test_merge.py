"""Merge: which loops become one."""

from __future__ import annotations

import numpy as np
from graph_checks import graph_of, run_pass

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.passes.merge import Merge


def loops(first: str, second: str, attrs: str = "length = 5, reverse = false, sequences = 1") -> Graph:
    """Two scans over the same operands whose bodies compute some node and an output of it."""
    parts = []
    for number, text in enumerate((first, second)):
        body = f"""graph @turn(%x: input f32[], %h: param f32[]) -> (h: %0 updates %h, y: %1) {{
          {text}
        }}"""
        other = attrs if number else "length = 5, reverse = false, sequences = 1"
        parts.append(f"%{number}:2 = scan(%s, %a) {{body = {body}, {other}}} : f32[], f32[5]")
    return graph_of(
        "graph @main(%s: input f32[], %a: input f32[5]) -> (h: %0, y: %0#1, k: %1, z: %1#1) {\n"
        + "\n".join(parts)
        + "\n}"
    )


ADDS = "%0 = add(%h, %x) : f32[]\n%1 = mul(%0, %x) : f32[]"


def count(graph: Graph) -> int:
    return sum(n.op.name == "scan" for n in graph.nodes())


def check(before: Graph, loops: int) -> Graph:
    after, hits = run_pass(Merge(), before)
    assert count(after) == loops
    assert hits.get("loops", 0) == 2 - loops
    rng = np.random.default_rng(1)
    arrays = {"s": rng.standard_normal(), "a": rng.standard_normal(5)}
    for name, expected in interpret(before, arrays).items():
        np.testing.assert_array_equal(interpret(after, arrays)[name], expected)
    return after


def test_loops_with_equal_states_become_one() -> None:
    check(loops(ADDS, "%0 = add(%h, %x) : f32[]\n%1 = exp(%h) : f32[]"), 1)


def test_loops_with_different_states_stay_two() -> None:
    before = loops(ADDS, "%0 = sub(%h, %x) : f32[]\n%1 = mul(%0, %x) : f32[]")
    assert check(before, 2) is before


def test_loops_in_different_directions_stay_two() -> None:
    check(loops(ADDS, ADDS, "length = 5, reverse = true, sequences = 1"), 2)
