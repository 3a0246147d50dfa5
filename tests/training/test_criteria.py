"""Criteria decide as their formulas say, miss nothing when they are combined, and remember through JSON."""

from __future__ import annotations

import itertools
import json
import math
import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, IdentifierError, InputError
from sigmagraph.training.hooking.criteria import (
    And,
    Changed,
    Criterion,
    External,
    Extremum,
    Not,
    Or,
    Threshold,
)

A, B = Threshold("a", ">", 0), Threshold("b", ">", 0)


def decisions(criterion: Criterion, *values: Any, saved_at: int = -1) -> list[bool]:
    """What it decides for one value of ``a`` after the other; its state goes through JSON before one of them."""
    state = criterion.initial()
    found = []
    for number, value in enumerate(values):
        if number == saved_at:
            state = json.loads(json.dumps(state, allow_nan=False))
        found.append(criterion.holds(value if isinstance(value, dict) else {"a": value}, state))
    return found


# ---- single ones


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [(">", 0, 0, 1), (">=", 0, 1, 1), ("==", 0, 1, 0), ("<=", 1, 1, 0), ("<", 1, 0, 0)],
)
def test_thresholds_compare(comparison: Any, below: int, at: int, above: int) -> None:
    assert decisions(Threshold("a", comparison, 2.0), 1.5, 2.0, 2.5) == [below, at, above]


@pytest.mark.parametrize("comparison", [">", ">=", "==", "<=", "<"])
def test_what_is_not_a_number_passes_no_threshold(comparison: Any) -> None:
    assert decisions(Threshold("a", comparison, 0.0), math.nan) == [False]


def test_a_threshold_holds_once_for_each_crossing() -> None:
    hook = Threshold("a", ">", 0, once=True)
    assert decisions(hook, 1, 2, -1, 0, 3, 4) == [True, False, False, False, True, False]
    assert decisions(hook, -1, 2, 2) == [False, True, False]


@pytest.mark.parametrize("value", [np.float32(2), np.array([[2.0]]), np.array(2, ml_dtypes.bfloat16), True])
def test_numbers_come_in_several_shapes(value: Any) -> None:
    assert decisions(Threshold("a", ">", 0.5), value) == [True]


@pytest.mark.parametrize("value", [None, "2", np.ones(2), 1j])
def test_what_is_no_number_is_not_compared(value: Any) -> None:
    with pytest.raises(InputError, match="numbers"):
        decisions(A, value)


def test_extrema_hold_where_nothing_before_was_as_good() -> None:
    values = np.random.default_rng(7).integers(0, 30, 60).astype(float)
    grows = [n == 0 or value > values[:n].max() for n, value in enumerate(values)]
    shrinks = [n == 0 or value < values[:n].min() for n, value in enumerate(values)]
    assert decisions(Extremum("a", "max"), *values) == grows
    assert decisions(Extremum("a", "min"), *values) == shrinks


def test_extrema_have_to_be_better_by_more_than_the_least() -> None:
    assert decisions(Extremum("a", "max", 0.5), 1, 1.5, 1.6, 2.0, 2.2) == [True, False, True, False, True]
    assert decisions(Extremum("a", "min", 0.5), 1, 0.5, 0.25) == [True, False, True]


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_what_is_not_finite_is_never_a_best(strange: float, mode: Any) -> None:
    assert decisions(Extremum("a", mode), strange, 1.0, strange, 1.0) == [False, True, False, False]


def test_changes_are_from_one_check_to_the_next() -> None:
    assert decisions(Changed("a"), 1, 1, 2, 1) == [False, False, True, True]
    assert decisions(Changed("a", 0.5), 1, 1.5, 2.25, 2.0) == [False, False, True, False]
    assert decisions(Changed("a"), "x", "x", None, None, 0) == [False, False, True, False, True]
    assert decisions(Changed("a"), math.nan, math.nan, math.inf, 1.0) == [False, False, True, True]
    assert decisions(Changed("a", 9.0), 1.0, math.inf, -math.inf) == [False, True, True]


def test_changes_of_arrays_are_seen_in_any_element() -> None:
    values = [np.zeros(3), np.zeros(3), np.array([0, 0, 1.0]), np.zeros((3, 1)), np.zeros((3, 1), np.float32)]
    assert decisions(Changed("a"), *values) == [False, False, True, True, True]
    with pytest.raises(InputError, match="tolerance"):
        decisions(Changed("a", 0.1), np.zeros(3))
    with pytest.raises(InputError, match="cannot compare"):
        decisions(Changed("a"), object())


# ---- several


@pytest.mark.parametrize(("a", "b"), [*itertools.product([False, True], repeat=2)])
def test_truth_tables(a: bool, b: bool) -> None:
    now = {"a": int(a), "b": int(b)}
    table = {
        A & B: a and b,
        A | B: a or b,
        ~A: not a,
        ~(A & B) | (A & ~B): not (a and b) or (a and not b),
        (A | B) & ~(A & B): a != b,
    }
    for criterion, expected in table.items():
        assert decisions(criterion, now) == [expected], str(criterion)


def test_members_that_remember_are_asked_where_others_decide() -> None:
    """The fault of short circuits: the best value is missed while the other member says no."""
    now = [{"a": -1, "b": 5}, {"a": 1, "b": 3}, {"a": 1, "b": 6}]
    best = Extremum("b", "max")
    assert decisions(A & best, *now) == [False, False, True]
    assert decisions(~A | best, *now) == [True, False, True]


def test_chains_are_one_criterion() -> None:
    assert A & B & A == A & (B & A)
    assert (A & B & A).criteria == (A, B, A)
    assert (A | B | A).criteria == (A, B, A)
    assert (A & B | A).criteria == (And(A, B), A)
    assert Not(A) == ~A


def test_repetitions_count_with_and_without_interruption() -> None:
    values = [1, 1, 0, 1, 1, 1, 0, 1]
    assert decisions(A.repeated(3), *values) == [0, 0, 0, 1, 0, 0, 0, 1]
    assert decisions(A.repeated(3, in_a_row=True), *values) == [0, 0, 0, 0, 0, 1, 0, 0]
    assert decisions(A.repeated(1), *values) == [bool(value) for value in values]


@pytest.mark.parametrize("in_a_row", [False, True])
def test_repetitions_of_the_same_kind_multiply(in_a_row: bool) -> None:
    nested = A.repeated(2, in_a_row).repeated(3, in_a_row)
    assert nested == A.repeated(6, in_a_row)
    assert decisions(nested, *[1] * 12) == [n % 6 == 5 for n in range(12)]


def test_repetitions_of_another_kind_nest() -> None:
    pairs = A.repeated(2, in_a_row=True).repeated(2)
    assert decisions(pairs, 1, 1, 0, 1, 0, 1, 1) == [0, 0, 0, 0, 0, 0, 1]
    with pytest.raises(AttributeValueError, match="never"):
        A.repeated(2).repeated(2, in_a_row=True)


# ---- buttons


def presses(button: External, *iterations: int) -> list[bool]:
    return [button.holds({"iteration": n}, button.initial()) for n in iterations]


def test_a_press_holds_at_one_iteration_for_all_that_ask() -> None:
    button = External("save")
    assert presses(button, 1) == [False]
    button.press()
    assert presses(button, 2, 2, 2, 3) == [True, True, True, False]


def test_presses_of_another_thread_are_not_lost() -> None:
    button = External()
    thread = threading.Thread(target=button.press)
    thread.start()
    thread.join()
    assert presses(button, 5, 6) == [True, False]
    button.press()
    assert presses(button, 6) == [True]
    button.press()
    assert presses(button, 6, 7, 8) == [True, True, False]


def test_a_latched_button_holds_until_it_is_let_go() -> None:
    button = External()
    button.hold()
    assert presses(button, 1, 2) == [True, True]
    button.hold(False)
    assert presses(button, 3) == [False]


def test_a_press_counts_while_others_say_no() -> None:
    button = External()
    button.press()
    assert decisions(button & A, {"iteration": 1, "a": 0}, {"iteration": 2, "a": 1}) == [False, False]


def test_buttons_are_no_part_of_equality_or_checkpoints() -> None:
    button = External("save")
    before = hash(button)
    button.press()
    assert button != External("save")
    assert (button & A) == (button & A)
    assert hash(button) == before
    assert button.initial() == {}


# ---- all


CRITERIA = [
    Threshold("a", ">", 1, once=True),
    Extremum("a", "max", 0.1),
    Changed("a", 0.5),
    Changed("a"),
    A.repeated(3),
    A.repeated(2, in_a_row=True),
    ~Extremum("a", "min") & (Changed("a") | Threshold("a", "<", 0, once=True)).repeated(2),
]


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
def test_decisions_go_on_from_a_state_that_was_written_down(criterion: Criterion) -> None:
    values = [*np.random.default_rng(3).integers(-2, 3, 24).tolist(), math.nan, 1.0, math.inf, 2.0]
    expected = decisions(criterion, *values)
    assert True in expected
    for saved_at in range(len(values)):
        assert decisions(criterion, *values, saved_at=saved_at) == expected


def test_criteria_are_values() -> None:
    assert Threshold("a", ">", 1) == Threshold("a", ">", 1)
    assert Threshold("a", ">", 1) != Threshold("a", ">", 2)
    assert And(A, B) != Or(A, B)
    assert len({hash(c) for c in CRITERIA}) == len(CRITERIA)


def test_criteria_say_what_they_read_once() -> None:
    assert (A & B & Changed("a")).reads() == ("a", "b")
    assert (~(A | B)).repeated(2).reads() == ("a", "b")
    assert External().reads() == ("iteration",)


def test_criteria_say_what_they_are() -> None:
    assert str(A & ~B) == "(a > 0 and not (b > 0))"
    assert str(Extremum("a", "max").repeated(3, True)) == "(a has a new max) 3 times in a row"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Threshold("a", "!=", 1),  # type: ignore[arg-type]
        lambda: Threshold("a", ">", "1"),  # type: ignore[arg-type]
        lambda: Threshold("a", ">", math.nan),
        lambda: Extremum("a", "most"),  # type: ignore[arg-type]
        lambda: Extremum("a", "max", -1),
        lambda: Changed("a", -0.1),
        lambda: A.repeated(0),
        lambda: A.repeated(True),
        lambda: Not("a"),  # type: ignore[arg-type]
        And,
        lambda: Or(A, "b"),  # type: ignore[arg-type]
        lambda: External(""),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(AttributeValueError):
        make()


@pytest.mark.parametrize("identifier", ["optimiser.*", "", "a..b", 3])
def test_criteria_are_about_one_identifier(identifier: Any) -> None:
    with pytest.raises(IdentifierError):
        Threshold(identifier, ">", 0)


def test_only_criteria_are_combined() -> None:
    with pytest.raises(TypeError):
        A & 3  # type: ignore[operator]
    with pytest.raises(TypeError):
        A | "b"  # type: ignore[operator]
