"""Accesses that cannot be shown to be in bounds are guarded, and networks that people build need no guards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.transform.secure import secure
from sigmagraph.driver import Planned, planned
from sigmagraph.errors import VerifyError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.options import CompileOptions, Target
from sigmagraph.tensor.capture import capture
from sigmagraph.training.demo import readme_network

# The verifier does not know the range of %k: it is data.
KERNEL = """sigmagraph 1
kernel @k stage(scheduled) dims(n) params(%x: in f32[n], %i: in i64[n], %y: out f32[n]) {
  for %a in n parallel {
    let %k: i64 = %i[%a]
    let %v: f32 = %x[%k]
    %y[%a] = %v
  }
}
"""


def test_a_load_is_guarded_by_the_bounds_of_its_buffer() -> None:
    kernel = parse_kernel(KERNEL)
    secured, guarded = secure(kernel)
    assert guarded == 1
    assert "%x[%k] when(%k, -%k+n-1)" in print_kernel(secured)
    x, y = np.arange(1, 5, dtype=np.float32), np.zeros(4, np.float32)
    interpret_kernel(secured, [x, np.array([3, -1, 0, 4]), y], {"n": 4})
    np.testing.assert_array_equal(y, [4, 0, 1, 0])


def test_what_is_shown_stays_as_it_is() -> None:
    kernel = parse_kernel(KERNEL.replace("%x[%k]", "%x[%a]"))
    assert secure(kernel) == (kernel, 0)


def test_a_guard_is_no_help_for_a_race() -> None:
    with pytest.raises(VerifyError, match="may meet"):
        secure(parse_kernel(KERNEL.replace("%y[%a]", "%y[0]")))


def _planned(inputs: list[sg.Tensor], outputs: dict[str, sg.Tensor], updates: dict[sg.Tensor, sg.Tensor]) -> Planned:
    options = CompileOptions(Target(cpu="skylake-avx512", features="+avx512f,+avx2,+fma"))
    return planned(capture(inputs, outputs, updates)[0], options, backend_for(options.target))


def _lenet() -> sg.Network:
    images = L.Conv2d(6, 5, padding="same", activation="relu") + L.MaxPool(2) + L.Conv2d(16, 5) + L.MaxPool(2)
    return sg.Network("lenet", L.Input(28, 28, 1) + images + L.Flatten() + L.Dense(10) + L.SoftmaxCrossEntropy())


def _recurrent() -> sg.Network:
    sequence = L.Input(sg.Dim("time"), 5) + L.LSTM(8, bidirectional=True) + L.GRU(8, sequences=False)
    return sg.Network("recurrent", sequence + L.Dense(3) + L.SoftmaxCrossEntropy())


def _transformer() -> sg.Network:
    sequence = L.Input(sg.Dim("time"), dtype="int32") + L.Embedding(11, 16) + L.TransformerBlock(4, causal=True)
    return sg.Network("transformer", sequence + L.Dense(11, flatten=False) + L.SoftmaxCrossEntropy())


@pytest.mark.parametrize(
    "make",
    [lambda: readme_network(28, 28), _lenet, _recurrent, pytest.param(_transformer, marks=pytest.mark.extended)],
)
def test_networks_that_people_build_need_no_guards(make: Callable[[], sg.Network]) -> None:
    graph = make().train_graph(sg.optimisers.Adam())
    assert _planned(list(graph.inputs), dict(graph.outputs), dict(graph.updates)).guarded == 0


# Found at random: images, kernel, strides, dilation, padding; grouped in two.
HARD = [
    ((16, 5, 8, 6), (1, 2, 3, 3, 4), (1, 2, 1), (1, 1, 2), (0, 1, 1)),
    ((6, 6, 9, 8), (5, 3, 1, 4, 4), (1, 1, 2), (1, 2, 2), (2, 0, 0)),
    ((5, 8, 4), (3, 3, 2, 6), (2, 2), (2, 2), (0, 2)),
]


@pytest.mark.parametrize(("image", "kernel", "strides", "dilation", "padding"), HARD)
def test_windows_that_are_hard_to_prove_are_computed_all_the_same(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(0)
    n = sg.Dim("n")
    x, w = sg.placeholder("x", (n, *image)), sg.placeholder("w", kernel)
    y = sg.relu(sg.convolution(x, w, strides, padding, dilation, 2))
    dx, dw = sg.gradients((y * y).sum(), [x, w])
    outputs = {"y": y, "dx": dx, "dw": dw}
    arrays = {"x": rng.standard_normal((3, *image)).astype("f"), "w": rng.standard_normal(kernel).astype("f")}
    expected = interpret(capture([x, w], outputs)[0], arrays)
    for name, array in sg.compile([x, w], outputs)(**arrays).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5 * np.abs(expected[name]).max())
