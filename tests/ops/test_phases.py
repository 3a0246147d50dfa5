"""Convolutions over spread operands by phases: right for all geometries, and without products with the zeros between."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graph_checks import graph_of

import sigmagraph as sg
from sigmagraph.dims import evaluate
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager
from sigmagraph.tensor.capture import capture


def convolution(
    lengths: tuple[int, ...],
    kernel: tuple[int, ...],
    spread: tuple[int, ...],
    low: tuple[int, ...],
    high: tuple[int, ...],
) -> Graph:
    """A convolution over the spread operand, for any number of images."""
    ones = [1] * len(kernel)
    image, window = (", ".join(map(str, sizes)) for sizes in (lengths, kernel))
    return graph_of(f"""graph @g(%x: input f32[n, {image}, 3], %w: input f32[{window}, 3, 2]) -> (y: %y) {{
      %y = convolution(%x, %w) {{strides = {ones}, low = {list(low)}, high = {list(high)}, dilation = {ones},
        spread = {list(spread)}}}
    }}""")


def by_phases(graph: Graph) -> Graph:
    return PassManager((Decompose(),), OPS, verify=True).run(graph)


def products(graph: Graph, images: int) -> int:
    """Multiply-adds of the contractions in a graph of primitives."""
    count = 0
    for node in graph.nodes():
        if node.op.name == "contract":
            left, right = (graph.type(v).shape for v in node.inputs)
            labels = dict(zip(node.attrs["left"] + node.attrs["right"], (*left, *right), strict=True))
            count += math.prod(evaluate(size, {"n": images}) for size in labels.values())
    return count


def check(graph: Graph, images: int) -> None:
    rng = np.random.default_rng(images)
    shapes = {graph.node(v).name: graph.type(v).shape for v in graph.inputs}
    arrays = {
        name: rng.integers(-4, 5, [evaluate(size, {"n": images}) for size in shape]).astype(np.float32)
        for name, shape in shapes.items()
    }
    np.testing.assert_array_equal(interpret(by_phases(graph), arrays)["y"], interpret(graph, arrays)["y"])


@pytest.mark.parametrize("kernel", range(1, 8))
@pytest.mark.parametrize("spread", [2, 3, 4])
def test_every_phase_and_padding(spread: int, kernel: int) -> None:
    """Whole numbers, whose sums are exact; elements are cut off where a padding is negative."""
    for low, high in ((0, 0), (kernel - 1, kernel - 1), (-1, 2), (1, -2), (2, spread), (-spread, 0), (spread + 1, 1)):
        if 4 * spread + 1 + low + high >= kernel:
            check(convolution((5,), (kernel,), (spread,), (low,), (high,)), 2)


@pytest.mark.parametrize(
    ("lengths", "kernel", "spread", "low", "high"),
    [
        ((4, 3), (3, 2), (2, 1), (1, 1), (2, 0)),  # one of the axes is not spread
        ((3, 5), (2, 4), (3, 2), (0, 3), (1, -1)),
        ((2, 3, 4), (3, 1, 2), (2, 3, 2), (2, 0, 1), (0, 1, 2)),
    ],
)
def test_axes_have_phases_of_their_own(
    lengths: tuple[int, ...],
    kernel: tuple[int, ...],
    spread: tuple[int, ...],
    low: tuple[int, ...],
    high: tuple[int, ...],
) -> None:
    for images in (0, 1, 3):
        check(convolution(lengths, kernel, spread, low, high), images)


def test_an_axis_of_any_length() -> None:
    graph = graph_of("""graph @g(%x: input f32[2, m, 3], %w: input f32[4, 3, 5]) -> (y: %y) {
      %y = convolution(%x, %w) {strides = [1], low = [1], high = [2], dilation = [1], spread = [3]}
    }""")
    for length in (1, 2, 5, 8):
        rng = np.random.default_rng(length)
        arrays = {
            "x": rng.integers(-4, 5, (2, length, 3)).astype(np.float32),
            "w": rng.integers(-4, 5, (4, 3, 5)).astype(np.float32),
        }
        np.testing.assert_array_equal(interpret(by_phases(graph), arrays)["y"], interpret(graph, arrays)["y"])


def gradient(strides: int, kernel: int, padding: int) -> Graph:
    """The gradient of a convolution by its operand, for one of its result."""
    x, w = sg.placeholder("x", (sg.Dim("n"), 12, 17, 3)), sg.placeholder("w", (kernel, kernel, 3, 2))
    y = sg.convolution(x, w, strides=strides, padding=padding)
    g = sg.placeholder("g", y.shape)
    (dx,) = sg.gradients((y * g).sum(), [x])
    return capture([x, w, g], {"y": dx})[0]


@pytest.mark.parametrize("strides", range(1, 5))
@pytest.mark.parametrize("kernel", [1, 3, 4, 7])
def test_gradients_of_convolutions_with_strides(strides: int, kernel: int) -> None:
    check(gradient(strides, kernel, padding=kernel // 3), 2)


@pytest.mark.parametrize(
    ("strides", "kernel", "padding", "blocks"), [(2, 3, 1, 2), (2, 5, 2, 3), (2, 7, 3, 4), (4, 4, 0, 1), (3, 2, 0, 1)]
)
def test_zeros_between_elements_are_not_multiplied(strides: int, kernel: int, padding: int, blocks: int) -> None:
    """An element meets ``blocks`` places of the window along each axis, and the windows are whole phases."""
    phases = math.prod(-(-(size + padding % strides) // strides) * strides for size in (12, 17))
    found = products(by_phases(gradient(strides, kernel, padding)), images=5)
    assert 0 < found <= 5 * phases * blocks**2 * 3 * 2
    assert found < 5 * 12 * 17 * kernel**2 * 3 * 2
