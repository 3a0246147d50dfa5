"""Random graphs as native programs: what they compute, in shared memory, with state, on threads, for any sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ladder import Program, check_evaluator, point
from random_graphs import SIZES, examples, graphs

from sigmagraph.ir.graph.graph import Graph
from sigmagraph.options import CompileOptions, Target

EVERY_SIZE = ({"n": 4, "m": 3}, {"n": 1, "m": 1}, {"n": 19, "m": 2}, {"n": 0, "m": 0}, {"n": 37, "m": 5})
KERNELS = ("kernels", "fused kernels", "scheduled kernels", "legal kernels")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def add_updates(graph: Graph, choose: st.DataObject) -> None:
    """Let random values of the graph be new values of those of its parameters that have none."""
    updated = {output.updates for output in graph.outputs}
    for param in graph.params:
        name = graph.node(param).name
        if name not in updated and choose.draw(st.booleans()):
            fitting = [v for node in graph.nodes() for v in node.outputs if graph.type(v) == graph.type(param)]
            graph.add_output(f"new {name}", choose.draw(st.sampled_from(fitting)), name)


def options(fuse: bool, checks: bool, threads: int = 1, **dims: int) -> CompileOptions:
    target = Target(threads=threads)
    return CompileOptions(target, cache=False, fuse=fuse, checks=checks, specialise=tuple(sorted(dims.items())))


@examples(40)
@given(graph=graphs(nodes=16), choose=st.data())
def test_programs_compute_what_the_graph_says(graph: Graph, choose: st.DataObject) -> None:
    add_updates(graph, choose)
    fuse, checks = choose.draw(st.booleans()), choose.draw(st.booleans())
    program = Program(graph, options(fuse, checks, choose.draw(st.sampled_from([1, 2]))))
    for seed, sizes in enumerate(EVERY_SIZE):
        at = point(graph, sizes, seed, special=0.1 if seed == 2 else 0, checks=checks)
        program.check(at, f"native, fuse={fuse}, checks={checks}, {sizes}")


@examples(40)
@given(graph=graphs(nodes=16), choose=st.data())
def test_kernels_compute_what_the_graph_says(graph: Graph, choose: st.DataObject) -> None:
    seed = choose.draw(st.integers(0, 2))
    sizes = ({"n": 4, "m": 3}, {"n": 7, "m": 2}, {"n": 0, "m": 1})[seed]
    at = point(graph, sizes, seed, special=0.1 * (seed == 2))
    check_evaluator(choose.draw(st.sampled_from(KERNELS)), at)


@examples(12)
@given(graph=graphs(nodes=16), choose=st.data())
def test_numbers_in_place_of_dims_change_nothing(graph: Graph, choose: st.DataObject) -> None:
    sizes = choose.draw(st.sampled_from([SIZES, {"n": 19, "m": 2}]))
    Program(graph, options(choose.draw(st.booleans()), False, **sizes)).check(point(graph, sizes, 3), f"for {sizes}")


@examples(12)
@given(graph=graphs(nodes=16), choose=st.data())
def test_threads_change_no_bit(graph: Graph, choose: st.DataObject) -> None:
    add_updates(graph, choose)
    fuse, sizes = choose.draw(st.booleans()), {"n": 2000, "m": 9}
    programs = [Program(graph, options(fuse, False, threads)) for threads in (1, 2)]
    if programs[1].function.executor.arena_bytes(sizes) > 1 << 27:
        sizes = {"n": 60, "m": 9}
    at = point(graph, sizes, 5)
    if isinstance(at.expected, Exception):
        return
    one, two = (program.results(at) for program in programs)
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), f"{name}\n{graph}"
