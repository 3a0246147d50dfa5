"""Bugs that are planted in the CUDA C of real programs, one at a time and at every place, are found by executing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ARCH, Together
from evaluators import assert_agree

import sigmagraph as sg
from sigmagraph.errors import DeviceError
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.options import CompileOptions
from sigmagraph.tensor.capture import capture

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="there is no g++")
SEEDS = range(6)
ROWS = 211  # of the operands: more than a block has, and no multiple of anything


def softmax() -> Graph:
    """Rows of several warps, which speak through shared memory.

    A softmax by itself is the same for any maximum, which only keeps it in range.
    """
    x = sg.placeholder("x", (sg.Dim("n"), 700))
    return capture([x], {"y": sg.softmax(x) * x.max(-1, keepdims=True)})[0]


def columns() -> Graph:
    """Sums along columns, in two launches of blocks that are cut off at the edge."""
    x = sg.placeholder("x", (sg.Dim("n"), 90))
    return capture([x], {"y": x.sum(0)})[0]


def elements() -> Graph:
    """Vectors of elements and a rest."""
    x = sg.placeholder("x", (sg.Dim("n"),))
    return capture([x], {"y": sg.relu(x) + 1})[0]


def product() -> Graph:
    """A matrix product whose size is no multiple of anything."""
    x, w = sg.placeholder("x", (sg.Dim("n"), 40)), sg.placeholder("w", (40, 37))
    return capture([x, w], {"y": x @ w})[0]


PROGRAMS: Mapping[str, Callable[[], Graph]] = {f.__name__: f for f in (softmax, columns, elements, product)}
# By what is wrong: where, in a text, and what stands there instead.
BUGS: Mapping[str, tuple[str, str]] = {
    "no barrier": (r"__syncthreads\(\);", ";"),
    "a barrier for some": (r"__syncthreads\(\);", "if (threadIdx.x != 7) __syncthreads();"),
    "a turn too many": (r"(k|r) < (\1_end\w*)", r"\1 <= \2"),
    "a turn too few": (r"(k|r) < (\1_end\w*)", r"\1 < \2 - 1"),
    "an element too many": (r"(lane <= 0 & [^\n]*) <= (\d+)\) \{", r"\1 <= \2 + 1) {"),
    "an element too few": (r"(lane <= 0 & [^\n]*) <= (\d+)\) \{", r"\1 < \2) {"),
    "a vector too many": (r"\+ 3 < n\)", "< n)"),
    "an output that is not written": (r"(o0\[([^\n\]]*)\] = )", r"if ((\2) % 30 != 29) \1"),
    "vectors that are not written": (r"(sg_store<4>\(o0)", r"if (threadIdx.x != 1) \1"),
    "an exchange with another lane": (r"(__shfl_xor_sync\([^\n]*), 8\)", r"\1, 4)"),
    "a copy that is not waited for": (r"sg_await_fetches_\d\(\);", ";"),
    "a wait for older copies": (r"sg_await_fetches_2\(\);", "sg_await_fetches_3();"),
    "copies that are in no group": (r"sg_commit_fetches\(\);", ";"),
    "an exchange without all lanes": (r"0xffffffffu", "0x7fffffffu"),
}


class Planted:
    """All programs, each by itself and with each bug at each place, as one text."""

    def __init__(self) -> None:
        self.together = Together()
        self.graphs = {name: program() for name, program in PROGRAMS.items()}
        self.right = {
            n: self.together.add(g, CompileOptions(cache=False, precision="highest")) for n, g in self.graphs.items()
        }
        self.wrong: dict[tuple[str, str], list[int]] = {}
        for name, number in self.right.items():
            text = self.together.text_of(number)
            for bug, (pattern, instead) in BUGS.items():
                places = list(re.finditer(pattern, text))
                copies = [f"{text[: p.start()]}{p.expand(instead)}{text[p.end() :]}" for p in places]
                self.wrong[name, bug] = [self.together.altered(number, copy) for copy in copies]

    @cache  # noqa: B019  # the fixture is gone with its module
    def inputs(self, name: str) -> tuple[Mapping[str, NDArray], Mapping[str, NDArray]]:
        """Operands of a program, and what it is to compute of them."""
        rng, graph = np.random.default_rng(5), self.graphs[name]
        arrays = {
            graph.node(v).name: rng.standard_normal([s if isinstance(s, int) else ROWS for s in graph.type(v).shape])
            for v in graph.inputs
        }
        operands = {key: array.astype(np.float32) for key, array in arrays.items()}
        return operands, interpret(graph, operands)

    def finds(self, name: str, number: int, seed: int) -> bool:
        """Whether an execution in some order says that something is wrong, or computes something else."""
        operands, expected = self.inputs(name)
        try:
            got = self.together.run(number, operands, cuda_shim.HostDriver(seed, ARCH))
            assert_agree(got["y"], expected["y"], sums=True)
        except (DeviceError, AssertionError):
            return True
        return False


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_without_bugs_are_right_in_any_order(planted: Planted, name: str) -> None:
    assert not any(planted.finds(name, planted.right[name], seed) for seed in SEEDS)


@pytest.mark.parametrize("bug", BUGS)
def test_bugs_are_found_wherever_they_are(planted: Planted, bug: str) -> None:
    places = [(name, number) for name in PROGRAMS for number in planted.wrong[name, bug]]
    assert places
    missed = [(n, planted.wrong[n, bug].index(k)) for n, k in places if not any(planted.finds(n, k, s) for s in SEEDS)]
    assert not missed, f"of {len(places)} places"
