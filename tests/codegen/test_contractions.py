"""Contractions over windows and several axes: right on every machine, and without arrays of the size of all windows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from evaluators import assert_agree, kernels, legal
from native_kernels import callee_module
from sparse import pairs, some

import sigmagraph as sg
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.codegen.llvm.units import Units
from sigmagraph.codegen.schedule.machine import AVX2, AVX512, BASELINE, NEON, Machine, machine_of
from sigmagraph.codegen.templates.micro import micro_kernel
from sigmagraph.codegen.templates.tile import choose_tile
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import F32
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import CompileOptions, Target
from sigmagraph.passes.pipelines import STANDARD
from sigmagraph.tensor.capture import capture

MACHINES = {"baseline": BASELINE, "neon": NEON, "avx2": AVX2, "avx512": AVX512}
GEOMETRIES: dict[str, tuple[tuple[Any, ...], tuple[int, ...], dict[str, Any]]] = {
    "padded": ((2, 9, 8, 3), (3, 2, 3, 10), {"padding": 1}),
    "strided": ((1, 7, 15, 2), (3, 3, 2, 9), {"strides": (1, 2), "padding": 2}),
    "grouped": ((1, 9, 11, 4), (3, 2, 2, 8), {"padding": 2, "dilation": 2, "groups": 2}),
    "depthwise": ((1, 8, 7, 16), (3, 3, 1, 16), {"padding": 1, "groups": 16}),
}


def graph_of_gradients(shape: tuple[Any, ...], kernel: tuple[int, ...], how: dict[str, Any]) -> Graph:
    """A convolution with an epilogue, and its gradients by tensor and kernel."""
    x, w = sg.placeholder("x", shape), sg.placeholder("w", kernel)
    y = sg.convolution(x, w, **how)
    g = sg.placeholder("g", y.shape)
    dx, dw = sg.gradients((y * g).sum(), [x, w])
    return capture([x, w, g], {"y": sg.relu(y), "dx": dx, "dw": dw})[0]


def arrays(graph: Graph, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(batch)
    ports = {graph.node(v).name: graph.type(v).shape for v in graph.inputs}
    sizes = {name: [evaluate(size, {"n": batch}) for size in shape] for name, shape in ports.items()}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in sizes.items()}


@pytest.mark.parametrize(("geometry", "machine"), pairs(GEOMETRIES, MACHINES))
def test_every_machine_convolves_and_derives(geometry: tuple[Any, ...], machine: Machine) -> None:
    graph = graph_of_gradients(*geometry)
    inputs = arrays(graph, 1)
    expected = interpret(graph, inputs)
    got = kernels(STANDARD, legal(machine))(graph, inputs)
    for name, array in expected.items():
        assert_agree(got[name], array, sums=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_program_serves_every_batch(threads: int) -> None:
    x, w = sg.placeholder("x", (sg.Dim("n"), 9, 8, 3)), sg.placeholder("w", (3, 3, 3, 20))
    y = sg.convolution(x, w, padding=1)
    dx, dw = sg.gradients((y * y).sum(), [x, w])
    function = sg.compile(
        [x, w], {"y": y, "dx": dx, "dw": dw}, target=f"cpu:{threads}", options=CompileOptions(cache=False)
    )
    for batch in (1, 3, 8):
        inputs = arrays(function.graph, batch)
        for name, array in interpret(function.graph, inputs).items():
            assert_agree(function(**inputs)[name], array, sums=True)


def test_windows_are_read_from_the_image() -> None:
    """One launch for a convolution with its epilogue, one for each gradient, and no memory for all windows."""
    scratch = []
    for images in (4, 16):
        shape, kernel = (images, 30, 30, 32), (3, 3, 32, 32)
        x, w = sg.placeholder("x", shape), sg.placeholder("w", kernel)
        g = sg.placeholder("g", shape)
        y = sg.convolution(x, w, padding=1)
        dx, dw = sg.gradients((y * g).sum(), [x, w])
        function = sg.compile([x, w, g], {"y": sg.relu(y), "dx": dx, "dw": dw}, options=CompileOptions(cache=False))
        assert len(function.plan.steps) == 3
        assert function.plan.slots == ()
        scratch.append(evaluate(function.plan.scratch, {}))
        assert scratch[-1] < 4 * np.prod(shape) * 9 / 10
    assert scratch[0] == scratch[1]


def test_a_sum_over_long_axes_is_taken_in_steps() -> None:
    """Scratch memory does not grow with what is summed over."""
    n = sg.Dim("n")
    x, g = sg.placeholder("x", (n, 12, 40)), sg.placeholder("g", (n, 10, 24))
    w = sg.placeholder("w", (3, 40, 24))
    (dw,) = sg.gradients((sg.convolution(x, w) * g).sum(), [w])
    function = sg.compile([x, w, g], {"dw": dw}, options=CompileOptions(cache=False))
    assert isinstance(function.plan.scratch, int)
    assert function.plan.slots == ()
    inputs = arrays(function.graph, 50)
    got = function(**inputs)
    assert_agree(got["dw"] if isinstance(got, dict) else got, interpret(function.graph, inputs)["dw"], sums=True)


def test_outputs_between_the_rows() -> None:
    """Column axes that the outputs part become batch axes."""
    a, b = sg.placeholder("a", (3, 20, 6, 5)), sg.placeholder("b", (17, 20))
    graph = capture([a, b], {"y": sg.einsum("nhwc,oh->nowc", a, b)})[0]
    inputs = arrays(graph, 1)
    for machine in (BASELINE, AVX512):
        got = kernels(STANDARD, legal(machine))(graph, inputs)["y"]
        assert_agree(got, interpret(graph, inputs)["y"], sums=True)


# A product of vectors, one that goes through the stack, and a vector that is moved from one register to another. SSE2 has
# no multiply-add and overwrites a factor by the product, of which it takes a copy first: that is no move of a sum.
LINUX = "x86_64-linux-gnu"
_X86, _NEVER = r"%{0}\d+, -?\d*\(%rsp\)|-?\d*\(%rsp\), %{0}", r"(?!)"
_AVX2 = (r"vfmadd\w+\s.*%ymm", _X86.format("ymm"), r"vmovaps\s+%ymm\d+, %ymm")
_AVX512 = (r"vfmadd\w+\s.*%zmm", _X86.format("zmm"), r"vmovaps\s+%zmm\d+, %zmm")
_SSE2 = (r"mulps\s.*%xmm", _X86.format("xmm"), _NEVER)
_NEON = (r"fmla\s+v", r"(?:ld|st)\w+\s+q.*\[sp", r"mov\s+v\d+\.16b, v\d+\.16b")
PROCESSORS = {
    "skylake-avx512": (Target(cpu="skylake-avx512", features="+avx512f,+avx2,+fma", triple=LINUX), _AVX512),
    "haswell": (Target(cpu="haswell", features="+avx2,+fma", triple=LINUX), _AVX2),
    "any x86-64": (Target(triple=LINUX), _SSE2),
    "any aarch64": (Target(triple="aarch64-linux-gnu"), _NEON),
}


@pytest.mark.parametrize("chosen", some(PROCESSORS, ("haswell", "any x86-64")))
def test_sums_stay_in_their_registers(chosen: tuple[Target, tuple[str, str, str]]) -> None:
    """In every tile that is chosen for some size: with one register too few, all of them are moved in every turn."""
    target, (product, spill, move) = chosen
    host = processor(target)
    machine = machine_of(host.triple, host.features)
    sizes = [sg.Dim("n"), *range(1, 17), 24, 40, 48, 64, 65, 80, 96, 128, 200, 512]
    tiles = dict.fromkeys(choose_tile(machine, F32, rows, columns) for rows in sizes for columns in sizes)
    assert len(tiles) > 10
    units = Units(host, listing=True)
    for tile in tiles:
        units.add(callee_module(legalize(micro_kernel(machine, F32, tile.rows, tile.vectors)), host))
    codes = units.codes()
    units.close()
    for tile, code in zip(tiles, codes, strict=True):
        assert len(re.findall(product, code.assembly)) >= tile.rows * tile.vectors
        assert (tile, re.findall(spill, code.assembly), re.findall(move, code.assembly)) == (tile, [], [])
