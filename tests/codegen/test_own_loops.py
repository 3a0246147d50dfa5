"""Programs of ops that write their own loops: memory, threads, sizes that only a call knows."""

from __future__ import annotations

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.codegen.in_place import may_overwrite
from sigmagraph.dims import Dim, Size, evaluate
from sigmagraph.driver import build
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Buffer, For, Kernel, LoopKind, Role, Store
from sigmagraph.ir.plan import Copy, Plan
from sigmagraph.options import CompileOptions
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor

RNG = np.random.default_rng(1)
FRESH = CompileOptions(cache=False, checks=False)


def plan_of(inputs: list[Tensor], outputs: dict[str, Tensor], updates: dict[Tensor, Tensor] | None = None) -> Plan:
    graph, _ = capture(inputs, outputs, updates)
    return build(graph, FRESH)[0].main


@pytest.mark.parametrize("axis", [0, 1])
def test_a_parameter_is_scattered_into_where_it_lies(axis: int) -> None:
    table = sg.parameter("table", np.zeros((40, 33), np.float32))
    rows = sg.placeholder("rows", (7,), "int32")
    updates = sg.placeholder("updates", (7, 33) if axis == 0 else (40, 7))
    plan = plan_of([rows, updates], {}, {table: sg.scatter(table, rows, updates, axis, "add")})
    assert not any(isinstance(step, Copy) for step in plan.steps)
    assert evaluate(plan.arena_bytes(1), {}) == 0


@pytest.mark.parametrize("guard", [(), (19 - Dim("%i"),), (17 - Dim("%i"),)])
def test_what_is_stored_elsewhere_than_it_is_read_is_no_copy(guard: tuple[Size, ...]) -> None:
    """A store without the load's guard would write zeros over what is still to be read."""
    i = Dim("%i")
    a, o = Buffer("%a", F32, (18,), Role.IN), Buffer("%o", F32, (18,), Role.OUT)
    copy = Store("%o", (i,), Load("%a", (i,), F32, (17 - i,)), guard)
    kernel = Kernel("k", (), (a, o), (For("%i", 18, LoopKind.SERIAL, (copy,)),))
    assert may_overwrite(kernel, a, o) == (guard == (17 - i,))


def test_the_gradient_of_a_lookup_needs_no_memory_beyond_the_table() -> None:
    n = Dim("n")
    table, rows = sg.placeholder("table", (1000, 8)), sg.placeholder("rows", (n,), "int32")
    (gradient,) = sg.gradients(sg.sum(sg.take(table, rows) ** 2), [table])
    plan = plan_of([table, rows], {"gradient": gradient})
    assert evaluate(plan.arena_bytes(1), {"n": 500}) < 3 * 4 * 8 * 1000


def test_threads_change_no_bit_and_one_program_serves_all_sizes() -> None:
    n, m = Dim("n"), Dim("m")
    x, rows = sg.placeholder("x", (n, m)), sg.placeholder("rows", (n,), "int64")
    square = x.T @ x + 8.0 * sg.eye(3)
    outputs = {
        "scattered": sg.scatter(sg.zeros((50, m)), rows, x, 0, "add"),
        "sorted": sg.sort(x, 0),
        "summed": sg.cumsum(x, 0),
        "factor": sg.linalg.cholesky(square),
    }
    programs = [sg.compile([x, rows], outputs, target=f"cpu:{k}", options=FRESH) for k in (1, 2, 3)]
    for size in (1, 2, 700):
        a, at = RNG.standard_normal((size, 3)).astype(np.float32), RNG.integers(-2, 52, size)
        first, *others = [program(a, at) for program in programs]
        for other in others:
            assert all(first[name].tobytes() == other[name].tobytes() for name in outputs)
        expected = np.zeros((50, 3))
        inside = (at >= 0) & (at < 50)
        np.add.at(expected, at[inside], a[inside])
        np.testing.assert_allclose(first["scattered"], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(first["sorted"], np.sort(a, 0))


def test_empty_axes_are_served_too() -> None:
    n = Dim("n")
    x, rows = sg.placeholder("x", (n, 3)), sg.placeholder("rows", (2,), "int32")
    outputs = {"order": sg.argsort(x, 0), "total": sg.cumsum(x, 0), "put": sg.scatter(x, rows, 1.0), "s": sg.sort(x, 0)}
    got = sg.compile([x, rows], outputs, options=FRESH)(np.zeros((0, 3), np.float32), np.array([0, 1], np.int32))
    assert all(array.shape == (0, 3) for array in got.values())
