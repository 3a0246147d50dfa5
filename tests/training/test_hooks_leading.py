"""Hooks that stop training, lead its learning rate and set values, decide as they say, in mid-course too."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from acting_runs import HandmadeTraining

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.optimisers.modifiers import Clamp
from sigmagraph.optimisers.schedules import Cosine, PerEpoch, StepDecay
from sigmagraph.training.hooks.change import ValueChange
from sigmagraph.training.hooks.schedule import ReduceOnPlateau, Schedule
from sigmagraph.training.hooks.stopping import EarlyStop, Stop

ACCURACIES = [0.5, 0.7, 0.7, 0.69, 0.8, 0.8, 0.79, 0.8, 0.9]


def accuracies(*values: Any) -> list[dict[str, Any]]:
    return [{"validation.accuracy": value} for value in values]


def costs(*values: Any) -> list[dict[str, Any]]:
    return [{"validation.cost": value, "optimiser.learning_rate": 0.5} for value in values]


# ---- Stop


def test_stop_ends_training_once_when_its_epoch_is_done() -> None:
    training, hook = HandmadeTraining(), Stop(at_epoch=2)
    training.epochs(hook, [{}] * 4)
    assert training.stops == ["Stop: epoch 2 is done"]


def test_stop_ends_training_again_after_going_back() -> None:
    training, hook = HandmadeTraining(), Stop(at_epoch=2)
    early = json.loads(json.dumps(training.epochs(hook, [{}])))
    training.epochs(hook, [{}] * 2)
    training.epoch = 1
    training.epochs(hook, [{}], early)
    assert len(training.stops) == 2


def test_stop_ends_training_at_the_first_event_behind_its_epoch() -> None:
    training, hook = HandmadeTraining(), Stop(at_epoch=3)
    training.epoch = 4
    training.epochs(hook, [{}] * 2)
    assert len(training.stops) == 1


def test_stop_without_an_epoch_ends_training_whenever_it_fires() -> None:
    training, hook = HandmadeTraining(), Stop(every="500 iterations")
    training.epochs(hook, [{}] * 2)
    assert training.stops == [
        "Stop: fires every 500 iterations, at iteration 10",
        "Stop: fires every 500 iterations, at iteration 20",
    ]


@pytest.mark.parametrize("epoch", [0, -1, 1.5, True, "3"])
def test_stop_refuses_an_epoch_that_is_none(epoch: Any) -> None:
    with pytest.raises(AttributeValueError, match="at_epoch"):
        Stop(at_epoch=epoch)


@pytest.mark.parametrize("options", [{"scope": "local"}, {"background": True}])
def test_what_acts_on_training_is_neither_local_nor_in_the_background(options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="Stop"):
        Stop(at_epoch=1, **options)


# ---- EarlyStop


def test_early_stop_waits_for_a_better_value() -> None:
    training = HandmadeTraining()
    state = training.epochs(EarlyStop(patience=3), accuracies(*ACCURACIES[:-1]))
    assert training.stops == [
        "EarlyStop: validation.accuracy has not become better than 0.8 (epoch 5) for 3 times in a row"
    ]
    assert state == {"best": 0.8, "epoch": 5, "waits": 0, "file": None}


@pytest.mark.parametrize("saved_at", range(len(ACCURACIES)))
def test_early_stop_decides_the_same_after_its_state_was_written_down(saved_at: int) -> None:
    whole, resumed = HandmadeTraining(), HandmadeTraining()
    hook = EarlyStop(patience=2)
    assert whole.epochs(hook, accuracies(*ACCURACIES)) == resumed.epochs(hook, accuracies(*ACCURACIES), None, saved_at)
    assert whole.stops == resumed.stops != []


def test_early_stop_works_again_after_it_stopped() -> None:
    training = HandmadeTraining()
    training.epochs(EarlyStop(patience=2), accuracies(0.5, 0.4, 0.4, 0.4, 0.4, 0.4))
    assert len(training.stops) == 2


def test_early_stop_counts_what_is_not_finite_as_no_better() -> None:
    training = HandmadeTraining()
    training.epochs(EarlyStop("validation.cost", patience=2), costs(math.nan, math.inf))
    training.epochs(EarlyStop("validation.cost", patience=2), costs(1.0, math.nan, -math.inf))
    assert training.stops == [
        "EarlyStop: validation.cost was no finite number 2 times in a row",
        "EarlyStop: validation.cost has not become better than 1 (epoch 3) for 2 times in a row",
    ]


def test_early_stop_wants_more_than_min_delta() -> None:
    training = HandmadeTraining()
    training.epochs(EarlyStop(patience=2, min_delta=0.1), accuracies(0.5, 0.55, 0.59, 0.65))
    assert len(training.stops) == 1


@pytest.mark.parametrize(
    ("identifier", "mode"),
    [
        ("validation.accuracy", "max"),
        ("validation.cost", "min"),
        ("optimiser.cost_total", "min"),
        ("shared.validation_accuracy_top3", "max"),
    ],
)
def test_early_stop_knows_what_is_best_from_the_identifier(identifier: str, mode: Any) -> None:
    assert EarlyStop(identifier) == EarlyStop(identifier, mode=mode)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"identifier": "shared.score"}, "which values of 'shared.score'"),
        ({"mode": "best"}, "which values"),
        ({"patience": 0}, "'patience' makes no sense"),
        ({"min_delta": -1.0}, "'min_delta' makes no sense"),
        ({"min_delta": math.nan}, "'min_delta' makes no sense"),
    ],
)
def test_early_stop_refuses_what_makes_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(AttributeValueError, match=said):
        EarlyStop(**options)


@pytest.mark.parametrize("value", [None, "much", np.zeros(2)])
def test_early_stop_refuses_values_that_are_no_numbers(value: Any) -> None:
    with pytest.raises(InputError, match="EarlyStop needs a number"):
        HandmadeTraining().epochs(EarlyStop(), accuracies(value))


def test_early_stop_takes_arrays_of_one_element() -> None:
    state = HandmadeTraining().epochs(EarlyStop(), accuracies(np.float32(0.5), np.array([0.75], np.float32)))
    assert state["best"] == 0.75


# ---- schedules


def test_schedule_sets_the_number_for_the_next_step() -> None:
    training = HandmadeTraining()
    hook = Schedule("optimiser.learning_rate", StepDecay(1.0, every=20, factor=0.5))
    hook.attached(training)
    training.epochs(hook, [{}] * 4)
    assert training.changes == [("optimiser.learning_rate", rate) for rate in (1.0, 1.0, 0.5, 0.5, 0.25)]


def test_schedule_counts_epochs() -> None:
    training = HandmadeTraining()
    hook = Schedule("optimiser.learning_rate", PerEpoch(Cosine(1.0, 4)), every="1 epoch")
    training.epochs(hook, [{}] * 4)
    assert [rate for _, rate in training.changes] == pytest.approx([0.8535534, 0.5, 0.1464466, 0.0])


def test_schedule_goes_on_where_training_is() -> None:
    training = HandmadeTraining()
    training.iteration = 100
    Schedule("x.rate", StepDecay(1.0, every=50, factor=0.5)).attached(training)
    assert training.changes == [("x.rate", 0.25)]


def test_schedule_refuses_what_is_none() -> None:
    with pytest.raises(AttributeValueError, match="Schedule"):
        Schedule("optimiser.learning_rate", 0.1)  # type: ignore[arg-type]


def plateau(training: HandmadeTraining, hook: ReduceOnPlateau, *values: float, saved_at: int = -1) -> list[float]:
    training.epochs(hook, costs(*values), saved_at=saved_at)
    return [rate for _, rate in training.changes]


def test_reduce_on_plateau_reduces_the_rate_when_the_cost_stays() -> None:
    training = HandmadeTraining()
    assert plateau(training, ReduceOnPlateau(), 1.0, 0.9, 0.9, 0.89995, 0.5) == [0.05]
    assert training.lines == ["validation.cost gets no better: optimiser.learning_rate is 0.05 from now on"]


def test_reduce_on_plateau_rests_after_it_reduced() -> None:
    values = [1.0] * 8
    assert len(plateau(HandmadeTraining(), ReduceOnPlateau(patience=1), *values)) == 7
    # Of eight times: the best, one too many, three of rest, one too many, two of rest.
    assert len(plateau(HandmadeTraining(), ReduceOnPlateau(patience=1, cooldown=3), *values)) == 2


@pytest.mark.parametrize("saved_at", range(8))
def test_reduce_on_plateau_decides_the_same_after_its_state_was_written_down(saved_at: int) -> None:
    values, hook = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5], ReduceOnPlateau(patience=2, cooldown=1)
    whole, resumed = HandmadeTraining(), HandmadeTraining()
    assert plateau(whole, hook, *values) == plateau(resumed, hook, *values, saved_at=saved_at) != []
    assert whole.iteration == resumed.iteration


def test_reduce_on_plateau_goes_no_lower_than_it_may() -> None:
    assert plateau(HandmadeTraining(), ReduceOnPlateau(patience=1, least=0.2), 1.0, 1.0) == [0.2]
    assert plateau(HandmadeTraining(), ReduceOnPlateau(patience=1, least=0.5), 1.0, 1.0) == []


@pytest.mark.parametrize(
    "options", [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"cooldown": -1}, {"least": -1}]
)
def test_reduce_on_plateau_refuses_what_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="ReduceOnPlateau"):
        ReduceOnPlateau(**options)


# ---- values


def test_value_change_sets_what_it_is_given() -> None:
    training = HandmadeTraining()
    training.epochs(ValueChange("*.3-dropout.rate", 0.1), [{}])
    assert training.changes == [("*.3-dropout.rate", 0.1)]


def test_value_change_asks_a_function() -> None:
    training = HandmadeTraining()
    hook = ValueChange("shared.double", lambda now: 2 * now["validation.cost"], names="validation.cost")
    assert hook.reads() == ("validation.cost",)
    training.epochs(hook, costs(1.0, 3.0))
    assert training.changes == [("shared.double", 2.0), ("shared.double", 6.0)]


def test_value_changes_are_equal_if_they_set_equal_values() -> None:
    name = "network.layers.1-dense.weights"
    assert ValueChange(name, np.ones(3)) == ValueChange(name, np.ones(3))
    assert ValueChange(name, np.ones(3)) != ValueChange(name, np.ones(3, np.float32))
    assert ValueChange(name, np.ones(3)) != ValueChange(name, np.zeros(3))
    assert ValueChange(name, 1.0) != ValueChange(name, 2.0)
    assert hash(ValueChange(name, np.ones(3))) == hash(ValueChange(name, np.ones(3)))


def test_value_change_refuses_a_schedule() -> None:
    with pytest.raises(AttributeValueError, match="ValueChange"):
        ValueChange("optimiser.learning_rate", Cosine(0.1, 10))


def test_value_change_takes_values_that_are_no_numbers() -> None:
    training, value = HandmadeTraining(), Clamp()
    training.epochs(ValueChange("shared.x", value), [{}])
    assert training.changes[0][1] is value
