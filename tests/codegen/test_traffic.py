"""Bytes that programs move, counted by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import sigmagraph as sg
from sigmagraph.codegen.targets import backend_for
from sigmagraph.codegen.traffic import floor, moved
from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.driver import Planned, planned
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.options import CompileOptions
from sigmagraph.tensor.capture import capture

N = sg.Dim("n")


def made(
    inputs: list[sg.Tensor], outputs: dict[str, sg.Tensor], updates: Mapping[sg.Tensor, sg.Tensor] | None = None
) -> Planned:
    options = CompileOptions()
    return planned(capture(inputs, outputs, updates)[0], options, backend_for(options.target))


def counted(program: Planned) -> tuple[Size, Size]:
    kernels: dict[str, Kernel] = {kernel.name: kernel for kernel in program.legal}
    return moved(program.plan.steps, kernels), floor(program.plan, kernels)


def test_one_kernel_moves_what_must_be_moved() -> None:
    x, b = sg.placeholder("x", (N, 10)), sg.placeholder("b", (10,))
    assert counted(made([x, b], {"y": sg.relu(x + b)})) == (80 * Dim("n") + 40, 80 * Dim("n") + 40)


def test_what_lies_between_kernels_is_written_and_read() -> None:
    x, w, v = sg.placeholder("x", (N, 3)), sg.placeholder("w", (3, 5)), sg.placeholder("v", (5, 7))
    whole, least = counted(made([x, w, v], {"y": (x @ w) @ v}))
    assert least == 4 * (3 * Dim("n") + 15 + 35 + 7 * Dim("n"))
    assert whole == least + 2 * 4 * 5 * Dim("n")


def test_a_new_value_of_a_parameter_is_written_and_others_are_not() -> None:
    w, v = sg.parameter("w", np.ones(6, np.float32)), sg.parameter("v", np.ones(6, np.float32))
    x = sg.placeholder("x", (6,))
    assert counted(made([x], {"y": w * v}, {w: w + x})) == (24 * 6, 24 * 5)  # w is read by two kernels


def test_a_loop_moves_its_slices_in_every_turn() -> None:
    x, h = sg.placeholder("x", (sg.Dim("time"), 8)), sg.placeholder("h", (8,))
    last, _ = sg.scan(lambda state, now: (state * 0.5 + now, ()), h, x)
    whole, least = counted(made([x, h], {"y": last}))
    assert least == 32 * Dim("time") + 2 * 32
    turn = [evaluate(whole, {"time": n}) for n in (100, 101)]
    assert turn[1] - turn[0] == 3 * 32  # a slice and the state are read, the state is written
