"""The count of instructions that decides about threads: it follows the work, however a kernel goes about it."""

from __future__ import annotations

from evaluators import legal

import sigmagraph as sg
from sigmagraph.codegen.llvm.cost import cost
from sigmagraph.codegen.partition import partition
from sigmagraph.codegen.schedule.machine import AVX512
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import F32
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture


def instructions(y: sg.Tensor, inputs: list[sg.Tensor]) -> int:
    """Of all tasks of the one kernel that a tensor takes."""
    graph = PassManager(STANDARD, OPS).run(capture(inputs, {"y": y})[0])
    (work,) = partition(graph).works
    kernel = legal(AVX512)(work)
    return evaluate(cost(kernel.body, kernel.callees), {})


def convolution(size: int) -> int:
    x, w = sg.placeholder("x", (2, 20 + size - 1, 20 + size - 1, 32)), sg.placeholder("w", (size, size, 32, 64))
    return instructions(sg.convolution(x, w), [x, w])


def test_all_summed_axes_count() -> None:
    """A window of nine places takes nine times the products of one, which its inner loops walk."""
    one, nine = convolution(1), convolution(3)
    products = 2 * 20 * 20 * 32 * 64 // AVX512.lanes(F32)
    assert products < one < 16 * products
    assert 6 < nine / one < 12


def test_a_product_costs_more_the_longer_its_sums_are() -> None:
    costs = []
    for depth in (64, 128, 640):
        a, b = sg.placeholder("a", (48, depth)), sg.placeholder("b", (depth, 128))
        costs.append(instructions(a @ b, [a, b]))
    assert 1.5 < costs[1] / costs[0] < 2.5
    assert 7 < costs[2] / costs[0] < 12
