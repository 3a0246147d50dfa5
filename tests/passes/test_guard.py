"""Guard: which indices are checked, and that a failed check leaves everything as it was."""

from __future__ import annotations

import numpy as np
import pytest
from graph_checks import graph_of, run_pass

import sigmagraph as sg
from sigmagraph.errors import IndexRangeError
from sigmagraph.ir.plan import Check, flat_steps
from sigmagraph.options import CompileOptions
from sigmagraph.passes.guard import Guard

FRESH = CompileOptions(cache=False)


def test_indices_that_are_data_are_guarded() -> None:
    after, hits = run_pass(
        Guard(),
        graph_of(
            """graph @main(%t: input f32[4,3], %i: input i32[n]) -> (y: %0) {
              %0 = gather(%t, %i) {axis = 0} : f32[n,3]
            }"""
        ),
    )
    assert hits == {"gather": 1}
    assert [n.op.name for n in after.nodes()].count("guard") == 1


def test_indices_that_are_counted_are_not() -> None:
    x = sg.placeholder("x", (5,))
    for y in (sg.take(x, sg.arange(0, 3)), sg.sort(x)):
        program = sg.compile([x], {"y": y}, options=FRESH)
        assert not program.plan.checks


def table() -> tuple[sg.Tensor, sg.Tensor]:
    return sg.parameter("t", np.arange(12, dtype=np.float32).reshape(4, 3)), sg.placeholder(
        "i", (sg.Dim("n"),), "int32"
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bad", [4, -1, 2**31 - 1, -(2**31)])
def test_an_index_out_of_range_is_refused_and_nothing_is_written(bad: int, threads: int) -> None:
    t, i = table()
    y = sg.take(t, i)
    count = sg.parameter("count", np.zeros((), np.int64))
    updates = {t: t - sg.gradients(y.sum(), [t])[0], count: count + 1}
    step = sg.compile([i], {"y": y}, updates, target=f"cpu:{threads}", options=FRESH)
    step(i=np.array([1, 1, 3], np.int32))
    before = t.value.copy()
    with pytest.raises(IndexRangeError, match=r"out of range, 0 \.\. 3 .*test_guard") as caught:
        step(i=np.array([1, bad], np.int32))
    assert isinstance(caught.value, IndexError)
    np.testing.assert_array_equal(t.value, before)
    assert count.value == 1
    assert step(i=np.array([2], np.int32))["y"].shape == (1, 3)


def test_one_check_serves_the_gradient_too() -> None:
    t, i = table()
    loss = (sg.take(t, i) * sg.take(t, i)).sum()
    step = sg.compile([i], {"loss": loss}, {t: t - sg.gradients(loss, [t])[0]}, options=FRESH)
    assert len(step.plan.checks) == 1


def test_checks_reach_into_loops() -> None:
    t, i = table()
    total, _ = sg.scan(lambda s, k: (s + sg.take(t, k), None), sg.zeros((3,)), i)
    program = sg.compile([i], {"total": total}, options=FRESH)
    assert any(isinstance(step, Check) for step in flat_steps(program.plan.steps))
    np.testing.assert_array_equal(program(i=np.array([0, 3], np.int32))["total"], [9, 11, 13])
    with pytest.raises(IndexRangeError):
        program(i=np.array([0, 3, 4], np.int32))


def test_without_checks_elements_that_do_not_exist_are_nan() -> None:
    t, i = table()
    program = sg.compile([i], {"y": sg.take(t, i)}, options=CompileOptions(cache=False, checks=False))
    assert not program.plan.checks
    np.testing.assert_array_equal(program(i=np.array([1, 4], np.int32))["y"], [[3, 4, 5], [np.nan] * 3])


def test_an_empty_list_of_indices_is_in_range() -> None:
    t, i = table()
    program = sg.compile([i], {"y": sg.take(t, i)}, options=FRESH)
    assert program(i=np.zeros(0, np.int32))["y"].shape == (0, 3)
