"""Hooks that report, accumulate, measure and judge do it right by NumPy, and go on from a state that was written down."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from acting_runs import HandmadeTraining

from sigmagraph.errors import AttributeValueError, IdentifierError, InputError
from sigmagraph.training import hooks
from sigmagraph.training.hooking.hook import Hook, Moment
from sigmagraph.training.hooking.timing import TimeScale, TimeStep
from sigmagraph.training.hooks.confusion import confusion_table, precision, recall

COST = "optimiser.cost"
NDArray = np.ndarray[Any, Any]


class Watched(HandmadeTraining):
    """A training of four iterations an epoch, with verdicts made by hand."""

    seconds = 0.0

    def __init__(self, verdict: Any = None) -> None:
        super().__init__()
        self.verdict = verdict

    def judge(self, name: str) -> Any:
        assert name in ("validation", "test")
        return self.verdict

    def fire(self, hook: Hook, state: dict[str, Any], scale: TimeScale, values: Mapping[str, Any]) -> None:
        hook.invoke(replace(self.moment(hook, state, values), scale=scale, seconds=self.seconds))

    def iterations(self, hook: Hook, values: Iterable[Any], state: dict[str, Any], key: str = COST) -> list[Any]:
        """What it shares after each iteration. Four of them are an epoch, which ends after its last one."""
        found = []
        for value in values:
            self.iteration += 1
            self.fire(hook, state, TimeScale.ITERATION, {key: value})
            found.append(self.shared.get(getattr(hook, "result", "")))
            self.epoch = self.iteration // 4
        return found


def accumulated(hook: hooks.Accumulate, values: Iterable[Any]) -> list[Any]:
    return Watched().iterations(hook, values, hook.initial())


# ---- Accumulate


@pytest.mark.parametrize("mode", ["mean", "sum", "min", "max", "last"])
def test_values_are_accumulated_over_each_epoch(mode: Any) -> None:
    values = np.random.default_rng(5).normal(size=12)
    formula = {"last": lambda part: part[-1]}.get(mode) or getattr(np, mode)
    expected = [formula(values[n // 4 * 4 : n + 1]) for n in range(12)]
    found = accumulated(hooks.Accumulate(COST, mode=mode), values)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_sums_are_rounded_once() -> None:
    values = [1e16, 1.0, -1e16, 1e-30] * 50
    hook = hooks.Accumulate(COST, mode="sum", reset=None)
    assert accumulated(hook, values)[-1] == math.fsum(values) == 50.0
    small = [0.1] * 1000
    assert accumulated(hooks.Accumulate(COST, reset=None), small)[-1] == 0.1


@pytest.mark.parametrize(("reset", "period"), [("3 iterations", 3), ("2 epochs", 8), (None, 99)])
def test_resets_are_counted_from_the_beginning(reset: Any, period: int) -> None:
    values = list(range(1, 20))
    expected = [sum(values[n // period * period : n + 1]) for n in range(19)]
    assert accumulated(hooks.Accumulate(COST, mode="sum", reset=reset), values) == expected


def test_what_is_attached_in_mid_course_begins_there() -> None:
    training, hook = Watched(), hooks.Accumulate(COST, mode="sum", reset="3 iterations")
    training.iteration = 5
    assert training.iterations(hook, [1, 2, 3, 4, 5], hook.initial()) == [1, 3, 6, 4, 9]


def test_values_of_every_other_iteration_are_accumulated_by_period() -> None:
    training = Watched()
    hook = hooks.Accumulate(COST, mode="sum", reset="4 iterations", every="2 iterations")
    state, found = hook.initial(), []
    for iteration in range(2, 13, 2):
        training.iteration = iteration
        training.fire(hook, state, TimeScale.ITERATION, {COST: iteration})
        found.append(training.shared[hook.result])
    assert found == [2, 6, 6, 14, 10, 22]


def test_values_of_epochs_are_accumulated_over_several() -> None:
    training = Watched()
    hook = hooks.Accumulate("validation.cost", mode="max", reset="2 epochs", every="1 epoch")
    state, found = hook.initial(), []
    for epoch, value in enumerate([5.0, 1.0, 2.0, 3.0, 1.0], 1):
        training.epoch = epoch
        training.fire(hook, state, TimeScale.EPOCH, {"validation.cost": value})
        found.append(training.shared[hook.result])
    assert found == [5, 5, 2, 3, 1]


@pytest.mark.parametrize("mode", ["mean", "sum", "min", "max", "last"])
@pytest.mark.parametrize("strange", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible_until_the_reset(mode: Any, strange: float) -> None:
    values = [1.0, strange, 2.0, 0.5, 4.0]
    hook = hooks.Accumulate(COST, mode=mode)
    state, training = hook.initial(), Watched()
    found = training.iterations(hook, values[:3], state)
    state = json.loads(json.dumps(state, allow_nan=False))
    found += training.iterations(hook, values[3:], state)
    formula = {"last": lambda part: part[-1]}.get(mode) or getattr(np, mode)
    np.testing.assert_array_equal(found, [*(formula(values[: n + 1]) for n in range(4)), 4.0])


@pytest.mark.parametrize("mode", ["mean", "sum", "min", "max", "last"])
def test_accumulation_goes_on_from_a_state_that_was_written_down(mode: Any) -> None:
    values = [1e16, 0.1, -1e16, 0.3, 0.2, 7.0, 1e-9]
    hook = hooks.Accumulate(COST, mode=mode, reset="5 iterations")
    expected = accumulated(hook, values)
    for saved_at in range(len(values)):
        training, state = Watched(), hook.initial()
        found = training.iterations(hook, values[:saved_at], state)
        state = json.loads(json.dumps(state, allow_nan=False))
        assert found + training.iterations(hook, values[saved_at:], state) == expected


def test_accumulated_values_have_names_of_their_own() -> None:
    makes = [
        hooks.Accumulate(COST),
        hooks.Accumulate("validation.cost"),
        hooks.Accumulate(COST, mode="sum"),
        hooks.Accumulate(COST, reset="10 iterations"),
        hooks.Accumulate(COST, reset=None),
        hooks.Accumulate(COST, "mine"),
    ]
    assert [name for hook in makes for name in hook.provides()] == [
        "shared.optimiser_cost_accumulated",
        "shared.validation_cost_accumulated",
        "shared.optimiser_cost_accumulated_sum",
        "shared.optimiser_cost_accumulated_per_10_iterations",
        "shared.optimiser_cost_accumulated_in_all",
        "shared.mine",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "median"},
        {"reset": "stop"},
        {"reset": TimeStep(1, TimeScale.EPOCH, live=1)},
        {"as_": "a.b"},
        {"scope": "local"},
    ],
)
def test_accumulations_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="Accumulate"):
        hooks.Accumulate(COST, **options)
    with pytest.raises(IdentifierError):
        hooks.Accumulate("optimiser.*")


# ---- Report


def said(hook: Hook, values: Mapping[str, Any], scale: TimeScale = TimeScale.EPOCH) -> str:
    training = Watched()
    training.epoch, training.iteration = 2, 45
    training.fire(hook, hook.initial(), scale, values)
    return training.lines[0]


def test_reports_say_where_training_is_and_what_values_are() -> None:
    values = {COST: np.float32(0.123456), "optimiser.name": "Adam", "iteration": 45, "validation.accuracy": None}
    text = said(hooks.Report(*values), values)
    assert text == (
        "epoch 2, iteration 45: optimiser.cost 0.1235, optimiser.name Adam, iteration 45, validation.accuracy None"
    )
    # An iteration is part of an epoch that is not finished yet.
    assert said(hooks.Report(COST, every="1 iteration", format=".2f"), values, TimeScale.ITERATION) == (
        "epoch 3, iteration 45: optimiser.cost 0.12"
    )


def test_reports_say_arrays_shortly_and_follow_patterns() -> None:
    wide = np.array([[1.0, 2.0], [math.nan, 6.0]], np.float32)
    values = {
        "network.layers.a.weights": wide,
        "network.layers.b.weights": np.ones((1, 2), ml_dtypes.bfloat16),
        "network.layers.b.none": np.zeros((0, 2)),
        "network.layers.c.weights": np.full(2, math.inf),
    }
    assert said(hooks.Report("network.layers.**"), values) == (
        "epoch 2, iteration 45: network.layers.a.weights float32[2, 2] mean 3, 1 to 6, 1 not finite, "
        "network.layers.b.weights bfloat16[1, 2] mean 1, 1 to 1, network.layers.b.none float64[0, 2], "
        "network.layers.c.weights float64[2], 2 not finite"
    )
    assert "b.weights" not in said(hooks.Report("network.layers.a.*"), values)


def test_reports_can_be_worded_otherwise() -> None:
    class Short(hooks.Report):
        def text(self, now: Moment) -> str:
            return f"{now[COST]:.1f}"

    assert said(Short(COST), {COST: 0.25}) == "0.2"
    assert Short(COST) == Short(COST)
    assert Short(COST) != hooks.Report(COST)


def test_accumulating_reports_bring_what_accumulates() -> None:
    report = hooks.Report(COST, every="10 iterations", accumulate="mean")
    assert report.requires() == (hooks.Accumulate(COST, reset="10 iterations"),)
    assert report.reads() == ("shared.optimiser_cost_accumulated_per_10_iterations",)
    assert said(report, {report.reads()[0]: 0.5}) == "epoch 2, iteration 45: optimiser.cost (mean) 0.5"
    assert said(report, {}).endswith("optimiser.cost (mean) nothing yet")
    assert hooks.Report(COST).requires() == ()


def test_reports_of_all_and_of_means_see_what_was_since_the_last_one() -> None:
    training, values = Watched(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    report = hooks.Report(COST, every="2 iterations", accumulate="sum")
    (accumulate,) = report.requires()
    found = training.iterations(accumulate, values, accumulate.initial())
    assert found[1::2] == [3, 7, 11, 15]


@pytest.mark.parametrize(
    ("identifiers", "options"),
    [
        ((), {}),
        ((3,), {}),
        ((COST,), {"format": "nonsense"}),
        ((COST,), {"accumulate": "max"}),
        ((COST,), {"accumulate": "mean", "scope": "local"}),
        ((COST,), {"accumulate": "mean", "background": True}),
        ((COST,), {"accumulate": "mean", "every": "stop"}),
        ((COST,), {"every": "now and then"}),
    ],
)
def test_reports_that_make_no_sense_are_refused(identifiers: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError):
        hooks.Report(*identifiers, **options)


def test_times_are_not_said_beside_training() -> None:
    with pytest.raises(AttributeValueError, match="background"):
        hooks.ReportTime(background=True)


def test_reports_are_values_and_may_be_told_to_be_local() -> None:
    assert hooks.Report(COST, every="1 iteration") == hooks.Report(COST, every=TimeStep(1, TimeScale.ITERATION))
    assert hooks.Report(COST) != hooks.Report(COST, format=".3f")
    assert hooks.Report(COST, on=hooks.Threshold(COST, "<", 1)) != hooks.Report(COST)
    assert hooks.Report(COST, scope="local").scope == "local"


def test_the_position_is_said_before_all_else() -> None:
    assert said(hooks.Position(), {}) == "epoch 2, iteration 45"
    assert hooks.Position().priority < hooks.Accumulate(COST).priority < hooks.Report(COST).priority


# ---- metrics


def shared(hook: Hook, values: Mapping[str, Any]) -> dict[str, Any]:
    training = Watched()
    training.fire(hook, hook.initial(), TimeScale.ITERATION, values)
    return training.shared


def test_metrics_of_arrays_are_those_of_numpy() -> None:
    x = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32) * (np.arange(5) > 1)
    wide = x.astype(np.float64)
    assert hooks.norm(x) == pytest.approx(np.sqrt((wide**2).sum()), rel=1e-14)
    assert hooks.mean(x) == pytest.approx(wide.mean(), rel=1e-14)
    assert hooks.std(x) == pytest.approx(np.sqrt(((wide - wide.mean()) ** 2).mean()), rel=1e-14)
    assert hooks.sparsity(x) == 0.4
    assert hooks.norm(np.array([3, 4], ml_dtypes.bfloat16)) == 5.0


def test_a_metric_is_the_mean_over_all_that_is_named() -> None:
    values = {
        "optimiser.gradients.a.weights": np.array([3.0, 4.0]),
        "optimiser.gradients.b.weights": [np.ones(4), {"x": np.array([[0.0]])}],
        "optimiser.gradients.b.empty": np.zeros(0),
        "optimiser.gradients.b.biases": 1.0,
    }
    hook = hooks.Metric("optimiser.gradients.**", hooks.norm, "gradient_norms")
    assert shared(hook, values) == {"shared.gradient_norms": (5 + 2 + 0 + 1) / 4}
    only = hooks.Metric(("optimiser.gradients.a.*", "optimiser.gradients.b.biases"), np.max, "largest")
    assert shared(only, values) == {"shared.largest": 2.5}
    assert shared(hook, {}) == {}
    with pytest.raises(InputError, match="numbers"):
        shared(hook, {"optimiser.gradients.a": "text"})


def test_the_update_ratio_is_that_of_norms() -> None:
    values = {
        "optimiser.updates.1-dense.weights": np.array([3.0, 4.0]),
        "optimiser.updates.1-dense.biases": np.array([1.0]),
        "network.layers.1-dense.weights": np.array([30.0, 40.0]),
        "network.layers.1-dense.biases": np.array([0.0]),
    }
    assert shared(hooks.UpdateRatio(), values) == {"shared.update_ratio": pytest.approx(0.1)}
    values["network.layers.1-dense.biases"] = np.array([2.0])
    assert shared(hooks.UpdateRatio("*.biases", "b"), values) == {"shared.b": 0.5}
    assert shared(hooks.UpdateRatio(), values) == {"shared.update_ratio": pytest.approx(0.3)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: hooks.Metric((), hooks.norm, "n"),
        lambda: hooks.Metric("a", 3, "n"),  # type: ignore[arg-type]
        lambda: hooks.Metric("a", hooks.norm, "a.b"),
        lambda: hooks.UpdateRatio(name=""),
        lambda: hooks.Metric("a", hooks.norm, "n", scope="local"),
    ],
)
def test_metrics_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(AttributeValueError):
        make()


# ---- time


def times(hook: Hook, seconds: Iterable[float], first: int = 1, saved_at: int = -1) -> list[list[float]]:
    """The last, average, least and greatest time after each iteration, in milliseconds."""
    training, state, found = Watched(), hook.initial(), []
    for number, now in enumerate(seconds):
        if number == saved_at:
            state = json.loads(json.dumps(state))
        training.iteration, training.seconds = number + first, now
        training.fire(hook, state, TimeScale.ITERATION, {})
        found.append([training.shared[name] for name in hook.provides() if name in training.shared])
    return found


def test_times_leave_out_what_is_extreme() -> None:
    durations = np.array([1.0, 2.0, 9.0, 2.0, 3.0, 1.0, 2.0, 4.0])
    found = times(hooks.RunningTime(span=8), np.cumsum(durations))
    for number, values in enumerate(found, 1):
        kept = sorted(durations[:number])
        dropped = int(np.sqrt(number / 2))
        kept = kept[dropped // 2 : number - (dropped + 1) // 2]
        assert values == pytest.approx([1000 * v for v in (durations[number - 1], np.mean(kept), min(kept), max(kept))])


def test_times_are_of_the_latest_ones() -> None:
    found = times(hooks.RunningTime("iteration", span=1), [5, 6, 8, 8.5])
    assert found == [[5000] * 4, [1000] * 4, [2000] * 4, [500] * 4]


def test_a_time_whose_beginning_is_unknown_does_not_count() -> None:
    assert times(hooks.RunningTime(), [100.0, 101.0], first=7) == [[], [1000] * 4]


def test_times_go_on_from_a_state_that_was_written_down() -> None:
    seconds = np.cumsum([1.0, 2.0, 9.0, 2.0, 3.0, 1.0]).tolist()
    for saved_at in range(6):
        hook = hooks.RunningTime(span=3)
        assert times(hook, seconds, saved_at=saved_at) == times(hook, seconds)


def test_times_of_epochs_are_said() -> None:
    report = hooks.ReportTime("epoch")
    (source,) = report.requires()
    assert source == hooks.RunningTime(TimeScale.EPOCH)
    assert str(source.time_step) == "every epoch"
    assert source.provides()[0] == "shared.time_Epoch_last"
    values = dict(zip(source.provides(), (250.0, 200.0, 1.0, 1.0), strict=True))
    assert said(report, values) == "epoch 2, iteration 45: 200 ms an epoch (5 a second), the last 250 ms"
    assert said(report, {}) == "epoch 2, iteration 45: no epoch was measured yet"


@pytest.mark.parametrize("kind", [hooks.RunningTime, hooks.ReportTime])
@pytest.mark.parametrize("options", [{"scale": "stop"}, {"span": 0}, {"span": 2.5}, {"scope": "local"}])
def test_times_that_make_no_sense_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError):
        kind(**options)


# ---- accuracy


def verdict(likely: NDArray, labels: NDArray) -> Any:
    right = np.take_along_axis(likely, labels[:, None], 1)
    return SimpleNamespace(
        labels=labels,
        predicted=likely.argmax(1),
        ranks=(likely > right).sum(1),
        probability=likely[:, 1] if likely.shape[1] == 2 else np.zeros(0),
    )


def judged(hook: Hook, what: Any) -> Watched:
    training = Watched(what)
    training.epoch, training.iteration = 2, 45
    training.fire(hook, hook.initial(), TimeScale.EPOCH, {})
    return training


@pytest.fixture(scope="module")
def digits() -> Any:
    generator = np.random.default_rng(2)
    return verdict(generator.random((40, 5)), generator.integers(0, 5, 40))


def test_accuracy_is_by_the_most_likely_classes(digits: Any) -> None:
    training = judged(hooks.Accuracy(top=(1, 3)), digits)
    expected = {k: np.mean(digits.ranks < k) for k in (1, 3)}
    assert expected[1] == np.mean(digits.predicted == digits.labels)
    assert training.shared == {
        f"{place}accuracy_top{k}": share
        for k, share in expected.items()
        for place in ("validation.", "shared.classification_")
    }
    one, three = (f"{100 * share:.2f} %" for share in expected.values())
    assert training.lines == [f"epoch 2, iteration 45: validation accuracy {one}, top-3 accuracy {three}"]
    assert set(training.shared) == set(hooks.Accuracy(top=(1, 3)).provides())


def test_accuracy_on_other_datasets_leaves_the_key_of_validation_alone(digits: Any) -> None:
    training = judged(hooks.Accuracy("test", 2, quiet=True), digits)
    assert set(training.shared) == {"test.accuracy_top2"}
    assert training.lines == []


@pytest.mark.parametrize("top", [0, -1, (), (1, 2.5), (True,), True])
def test_accuracy_is_by_a_number_of_classes(top: Any) -> None:
    with pytest.raises(AttributeValueError, match="top"):
        hooks.Accuracy(top=top)


@pytest.mark.parametrize("options", [{"background": True}, {"scope": "local"}, {"dataset": "a.b"}])
def test_judging_hooks_refuse_what_they_cannot_do(options: dict[str, Any]) -> None:
    for kind in (hooks.Accuracy, hooks.BinaryAccuracy, hooks.ConfusionMatrix):
        with pytest.raises(AttributeValueError, match=kind.__name__):
            kind(**options)


def test_where_targets_are_no_classes_there_is_no_accuracy() -> None:
    nothing = SimpleNamespace(labels=np.zeros(0, np.int32))
    for hook in (hooks.Accuracy(), hooks.BinaryAccuracy(), hooks.ConfusionMatrix()):
        with pytest.raises(InputError, match="classes"):
            judged(hook, nothing)


def test_binary_accuracy_counts_what_lies_between_as_wrong() -> None:
    probability = np.array([0.1, 0.4, 0.5, 0.6, 0.9, 0.9, math.nan], np.float32)
    labels = np.array([0, 0, 0, 1, 1, 0, 0])
    what = SimpleNamespace(labels=labels, probability=probability)
    key = "shared.classification_accuracy"
    plain = judged(hooks.BinaryAccuracy(), what)
    assert plain.shared == {"validation.binary_accuracy": 5 / 7, key: 5 / 7}
    assert plain.lines == ["epoch 2, iteration 45: validation binary accuracy 71.43 %"]
    assert judged(hooks.BinaryAccuracy(threshold=(0.3, 0.8)), what).shared[key] == 2 / 7
    assert judged(hooks.BinaryAccuracy(threshold=0.95), what).shared[key] == 4 / 7


@pytest.mark.parametrize("threshold", [(0.8, 0.3), (0.1,), "half", math.nan, None])
def test_binary_accuracy_refuses_thresholds_that_make_no_sense(threshold: Any) -> None:
    with pytest.raises(AttributeValueError, match="threshold"):
        hooks.BinaryAccuracy(threshold=threshold)


def test_binary_accuracy_is_for_two_classes(digits: Any) -> None:
    with pytest.raises(InputError, match="yes or no"):
        judged(hooks.BinaryAccuracy(), digits)


# ---- confusion


def test_confusions_are_counted_by_right_and_predicted_class(digits: Any) -> None:
    training = judged(hooks.ConfusionMatrix(), digits)
    matrix = training.shared["validation.confusion_matrix"]
    pairs = list(zip(digits.labels.tolist(), digits.predicted.tolist(), strict=True))
    assert matrix.tolist() == [[pairs.count((row, column)) for column in range(5)] for row in range(5)]
    assert len(training.lines) == 1
    assert judged(hooks.ConfusionMatrix(quiet=True), digits).lines == []


def test_the_table_says_counts_precision_and_recall() -> None:
    matrix = np.array([[3, 1, 0], [1, 4, 0], [0, 0, 0]])
    rows = [line.split() for line in confusion_table(matrix, ("cat", "[dog]", "eel")).splitlines()]
    assert rows[0] == ["cat", "[dog]", "eel", "recall"]
    assert rows[2:] == [
        ["cat", "3", "1", "0", "75.0", "%"],
        ["[dog]", "1", "4", "0", "80.0", "%"],
        ["eel", "0", "0", "0", "-"],
        ["precision", "75.0", "%", "80.0", "%", "-"],
    ]
    np.testing.assert_array_equal(precision(matrix), [3 / 4, 4 / 5, math.nan])
    np.testing.assert_array_equal(recall(matrix), [3 / 4, 4 / 5, math.nan])
    np.testing.assert_array_equal(recall(np.array([[1, 3], [0, 2]])), [1 / 4, 1])
    np.testing.assert_array_equal(precision(np.array([[1, 3], [0, 2]])), [1, 2 / 5])


def test_labels_name_the_classes_and_fix_their_number(digits: Any) -> None:
    training = judged(hooks.ConfusionMatrix(labels=["a", "b", "c", "d", "e", "f"]), digits)  # type: ignore[arg-type]
    assert training.shared["validation.confusion_matrix"].shape == (6, 6)
    assert "  f" in training.lines[0]
    with pytest.raises(InputError, match="more classes than labels"):
        judged(hooks.ConfusionMatrix(labels=("a", "b")), digits)


def test_the_picture_is_written_whole_and_anew(digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "confusion.png"
    # Labels are no formulas, whatever is in them.
    hook = hooks.ConfusionMatrix(labels=("$\\bad{$", "b", "c", "d", "e_$"), path=path, quiet=True)
    hook.attached(Watched())
    for _ in range(2):
        judged(hook, digits)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(path.parent.iterdir()) == [path]


def test_the_picture_needs_a_place(digits: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        judged(hooks.ConfusionMatrix(path=tmp_path / "file" / "a.png", quiet=True), digits)


def test_the_library_that_draws_is_asked_for_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"sigmagraph\[plot\]"):
        hooks.ConfusionMatrix(path="a.png").attached(Watched())


@pytest.mark.parametrize("options", [{"labels": "abc"}, {"labels": (1, 2)}, {"labels": ()}, {"path": "a.jpg"}])
def test_confusions_refuse_what_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="ConfusionMatrix"):
        hooks.ConfusionMatrix(**options)


# ---- all


def test_all_hooks_are_values_that_can_be_compared() -> None:
    @dataclass(frozen=True)
    class Mine(hooks.Accuracy):
        pass

    makes = [
        lambda: hooks.Report(COST),
        hooks.Position,
        lambda: hooks.Accumulate(COST),
        lambda: hooks.Metric("a.*", hooks.norm, "n"),
        hooks.UpdateRatio,
        lambda: hooks.RunningTime("epoch"),
        hooks.ReportTime,
        lambda: hooks.Accuracy(top=[1, 3]),  # type: ignore[arg-type]
        lambda: hooks.BinaryAccuracy(threshold=0.7),
        lambda: hooks.ConfusionMatrix(labels=["a", "b"]),  # type: ignore[arg-type]
        Mine,
    ]
    made = [make() for make in makes]
    assert made == [make() for make in makes]
    assert len({hash(hook) for hook in made}) >= len(made) - 1
    assert hooks.Accuracy() != Mine()
