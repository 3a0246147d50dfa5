from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError
from sigmagraph.optimisers import Adam
from sigmagraph.optimisers.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    PerEpoch,
    Piecewise,
    Polynomial,
    StepDecay,
    Warmup,
)
from sigmagraph.tensor.hyperparameter import Schedule


def values(schedule: Schedule, *steps: float) -> list[float]:
    return [schedule(step, 0.0) for step in steps]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.3), {0: 0.3, 7: 0.3}),
        (StepDecay(0.8, 3, 0.5), {0: 0.8, 2: 0.8, 3: 0.4, 5: 0.4, 6: 0.2}),
        (Exponential(0.8, 0.25), {0: 0.8, 1: 0.2, 2: 0.05}),
        (Exponential(0.8, 0.25, every=2), {0: 0.8, 1: 0.4, 2: 0.2}),
        (Polynomial(0.8, 4), {0: 0.8, 1: 0.6, 4: 0.0, 9: 0.0}),
        (Polynomial(1.0, 4, end=0.5, power=2), {0: 1.0, 2: 0.625, 4: 0.5}),
        (Cosine(0.8, 4), {0: 0.8, 2: 0.4, 4: 0.0, 5: 0.0}),
        (Cosine(0.8, 4, end=0.2), {1: 0.5 + 0.3 * math.sqrt(0.5), 4: 0.2}),
        (Cosine(0.8, 4, restarts=True), {0: 0.8, 2: 0.4, 4: 0.8, 6: 0.4, 8: 0.8}),
        (Cosine(0.8, 4, restarts=True, stretch=2), {2: 0.4, 4: 0.8, 8: 0.4, 12: 0.8, 20: 0.4, 28: 0.8}),
        (Cosine(0.8, 3, restarts=True, stretch=3), {3: 0.8, 12: 0.8, 39: 0.8, 120: 0.8}),
        (Warmup(4, 0.8), {0: 0.0, 1: 0.2, 4: 0.8, 9: 0.8}),
        (Warmup(2, Exponential(0.8, 0.5), start=0.4), {0: 0.4, 1: 0.6, 2: 0.8, 3: 0.4}),
        (OneCycle(1.0, 11, rise=0.5, low=5, end=10), {0: 0.2, 2.5: 0.6, 5: 1.0, 7.5: 0.55, 10: 0.1, 99: 0.1}),
        (Piecewise((0, 0.8), (3, Exponential(0.4, 0.5)), (5, 0.1)), {0: 0.8, 2: 0.8, 3: 0.4, 4: 0.2, 5: 0.1, 9: 0.1}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_numbers_at_steps(schedule: Schedule, expected: dict[float, float]) -> None:
    assert values(schedule, *expected) == pytest.approx([*expected.values()], abs=1e-12)
    assert schedule == type(schedule)(*_fields(schedule))  # a record
    hash(schedule)


def _fields(schedule: Any) -> tuple[Any, ...]:
    found = tuple(getattr(schedule, name) for name in schedule.__dataclass_fields__)
    return found[0] if isinstance(schedule, Piecewise) else found


def test_restarts_are_where_the_waves_before_end() -> None:
    schedule, at = Cosine(1.0, 10, restarts=True, stretch=1.5), 0.0
    for number in range(6):
        length = 10 * 1.5**number
        assert schedule(at, 0.0) == pytest.approx(1)
        assert schedule(at + length / 2, 0.0) == pytest.approx(0.5)
        assert schedule(at + 0.999 * length, 0.0) < 1e-5
        at += length


def test_epochs_take_the_place_of_steps() -> None:
    schedule = PerEpoch(StepDecay(0.8, every=2, factor=0.5))
    assert [schedule(1000, epoch) for epoch in (0.0, 1.9, 2.0, 4.5)] == [0.8, 0.8, 0.4, 0.2]
    smooth = Warmup(10, PerEpoch(Polynomial(0.8, 4)))
    assert [smooth(5, 0.5), smooth(10, 1.0), smooth(30, 2.5)] == pytest.approx([0.4, 0.6, 0.3])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Constant(math.nan), "value"),
        (lambda: Constant("0.1"), "value"),
        (lambda: Constant(True), "value"),
        (lambda: StepDecay(0.1, 0), "every"),
        (lambda: StepDecay(0.1, 10, -0.5), "factor"),
        (lambda: Exponential(0.1, 0), "factor"),
        (lambda: Exponential(math.inf, 0.5), "start"),
        (lambda: Polynomial(0.1, 0), "steps"),
        (lambda: Polynomial(0.1, 5, power=0), "power"),
        (lambda: Cosine(0.1, -5), "steps"),
        (lambda: Cosine(0.1, 5, stretch=0.5), "stretch"),
        (lambda: Warmup(0, 0.1), "steps"),
        (lambda: Warmup(5, None), "then"),
        (lambda: OneCycle(0.1, 1), "steps"),
        (lambda: OneCycle(0.1, 10, rise=1), "rise"),
        (lambda: OneCycle(0.1, 10, low=0.5), "low"),
        (Piecewise, "pieces"),
        (lambda: Piecewise((1, 0.1)), "pieces"),
        (lambda: Piecewise((0, 0.1), (0, 0.2)), "pieces"),
        (lambda: Piecewise((0, 0.1), (5, "0.2")), "pieces"),
        (lambda: Piecewise(0.1), "pieces"),
        (lambda: PerEpoch(0.1), "schedule"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], name: str) -> None:
    with pytest.raises(AttributeValueError, match=f"'{name}' makes no sense") as caught:
        make()
    assert caught.value.expected
    assert caught.value.got


def test_any_number_of_an_optimiser_takes_a_schedule() -> None:
    optimiser = Adam(Cosine(0.1, 10), beta1=OneCycle(0.95, 10), weight_decay=lambda step, epoch: 0.1 / (step + 1))
    first = {spec.name: spec.first for spec in optimiser.hyperparameters()}
    assert first["optimiser.learning_rate"] == np.float32(0.1)
    assert first["optimiser.beta1"] == np.float32(0.95 / 25)
    assert first["optimiser.weight_decay"] == np.float32(0.1)
