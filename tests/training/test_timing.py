"""Time steps: when they fire, how they are written."""

from __future__ import annotations

from typing import Any

import pytest

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.hooking.timing import TimeScale, TimeStep, after, as_time_step, every


def fires(step: TimeStep, events: int) -> list[int]:
    """The numbers of the events, from 1, at which it fires."""
    fired: list[int] = []
    for seen in range(events):
        if step.due(seen, len(fired)):
            fired.append(seen + 1)
    return fired


def test_steps_fire_every_so_many_events_at_most_so_often() -> None:
    assert fires(every(1, TimeScale.EPOCH), 3) == [1, 2, 3]
    assert fires(every(3, "iterations"), 10) == [3, 6, 9]
    assert fires(every(3, "iteration", live=2), 10) == [3, 6]
    assert fires(after(4, "epochs"), 20) == [4]
    assert after(4, "epoch").spent(1)
    assert not after(4, "epoch").spent(0)
    assert not every(4, "epoch").spent(10**9)
    assert every(2, "epoch") == TimeStep(2, TimeScale.EPOCH)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("1 epoch", TimeStep(1, TimeScale.EPOCH)),
        ("epoch", TimeStep(1, TimeScale.EPOCH)),
        (" 10  Iterations ", TimeStep(10, TimeScale.ITERATION)),
        ("stop", TimeStep(1, TimeScale.STOP)),
        (TimeScale.PAUSE, TimeStep(1, TimeScale.PAUSE)),
        ((2, "epochs"), TimeStep(2, TimeScale.EPOCH)),
        ((2, TimeScale.START), TimeStep(2, TimeScale.START)),
        (TimeStep(3, TimeScale.RESET, 1), TimeStep(3, TimeScale.RESET, 1)),
    ],
)
def test_steps_are_written_in_several_ways(text: Any, step: TimeStep) -> None:
    assert as_time_step(text) == step


def test_every_scale_has_a_name() -> None:
    assert len(TimeScale) == 8
    for scale in TimeScale:
        assert as_time_step(scale.name) == as_time_step(f"1 {scale.value}s") == TimeStep(1, scale)
    texts = [str(step) for step in (every(1, "epoch"), every(10, "iteration", 3), after(2, "epoch"))]
    assert texts == ["every epoch", "every 10 iterations, 3 times", "every 2 epochs, once"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0 epochs",
        "-1 epoch",
        "1.5 epochs",
        "2 weeks",
        "every 2 epochs",
        "²  epochs",
        3,
        None,
        (1,),
        (True, "epoch"),
        ("1", "epoch"),
        (1, None),
    ],
)
def test_what_is_no_step_is_refused(value: Any) -> None:
    with pytest.raises(AttributeValueError) as caught:
        as_time_step(value)
    assert caught.value.expected
    assert caught.value.got


def test_numbers_and_scales_are_checked() -> None:
    for wrong in (0, -1, 1.0, True, None):
        with pytest.raises(AttributeValueError, match="count"):
            every(wrong, "epoch")  # type: ignore[arg-type]
    for wrong in (0, -1, 1.0, True):
        with pytest.raises(AttributeValueError, match="live time"):
            every(1, "epoch", wrong)  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="time scale") as caught:
        every(1, "epok")
    assert caught.value.expected == "epoch"
    with pytest.raises(AttributeValueError, match="time scale"):
        TimeStep(1, "epoch")  # type: ignore[arg-type]
