"""Reporting hooks in a real training say and share what happened in it, whatever stops and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.training import hooks
from sigmagraph.training.hooking.hook import Moment

pytestmark = pytest.mark.skipif(not hasattr(sg.Trainer, "add"), reason="trainers take no hooks yet")

COST = "optimiser.cost"


def trainer(seed: int = 3) -> Any:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(30, 4)).astype(np.float32)
    records = Dataset(inputs, (inputs.sum(1) > 0).astype(np.int32), "sums")
    network = sg.Network("small", L.Input(4) + L.Dense(2) + L.SoftmaxCrossEntropy(), seed=seed)
    return sg.Trainer(network, sg.optimisers.SGD(0.1), records.batches(10, seed=1), validation=records)


def seen(target: Any, every: str, *names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def keep(now: Moment) -> None:
        found.append({name: np.copy(now[name]) for name in names})

    target.add(hooks.LambdaHook(keep, names=names, every=every))
    return found


def test_the_accumulated_mean_is_that_of_the_epoch() -> None:
    target = trainer()
    report = hooks.Report(COST, every="1 epoch", accumulate="mean")
    target.add(report)
    costs = seen(target, "1 iteration", COST)
    means = seen(target, "1 epoch", *report.reads())
    target.run(2, bar=False, lines=False)
    assert len(costs) == 6
    for epoch, mean in enumerate(means):
        expected = np.mean([c[COST] for c in costs[3 * epoch : 3 * epoch + 3]], dtype=np.float64)
        assert mean[report.reads()[0]] == pytest.approx(expected, rel=1e-12)


def test_accuracies_are_those_of_the_verdict() -> None:
    target = trainer()
    target.add(hooks.Accuracy(top=(1, 2), quiet=True))
    target.add(hooks.ConfusionMatrix(quiet=True))
    names = ("validation.accuracy", "shared.classification_accuracy_top1", "validation.accuracy_top2")
    found = seen(target, "1 epoch", *names, "validation.confusion_matrix")
    target.run(2, bar=False, lines=False)
    for now in found:
        matrix = now["validation.confusion_matrix"]
        assert now[names[0]] == now[names[1]] == matrix.trace() / 30
        assert now[names[2]] == 1.0


def test_metrics_and_times_of_iterations_are_shared() -> None:
    target = trainer()
    target.add(hooks.Metric("optimiser.gradients.**", hooks.norm, "gradient_norms"))
    target.add(hooks.UpdateRatio("*.weights"))
    target.add(hooks.RunningTime("iteration"))
    names = ("shared.gradient_norms", "shared.update_ratio", "shared.time_Iteration_average")
    found = seen(target, "1 iteration", *names)
    target.run(1, bar=False, lines=False)
    assert len(found) == 3
    assert all(now[name] > 0 for now in found for name in names)


def test_reports_are_said_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    target = trainer()
    lines: list[str] = []
    monkeypatch.setattr(target, "say", lines.append)
    target.add(hooks.Report(COST, every="1 iteration"))
    target.add(hooks.Report("iteration", every="1 iteration", on=hooks.Threshold("iteration", ">=", 2, once=True)))
    target.add(hooks.Position(every="1 iteration"))
    target.run(1, bar=False, lines=False)
    heads = [line.split(":")[0] for line in lines]
    expected = [f"epoch 1, iteration {n}" for n in (1, 1, 2, 2, 2, 3, 3)]
    assert heads == expected
    assert lines[0] == expected[0]
    assert lines[4].endswith("iteration 2")


def test_a_dataset_that_nobody_named_is_refused_before_training() -> None:
    target = trainer()
    target.add(hooks.Accuracy("elsewhere"))
    with pytest.raises(sg.errors.IdentifierError, match="elsewhere"):
        target.run(1, bar=False, lines=False)


def test_reports_of_a_training_that_went_on_are_those_of_one_that_was_not_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def watched() -> tuple[Any, list[str]]:
        target, lines = trainer(), []
        monkeypatch.setattr(target, "say", lines.append)
        lowest = hooks.Extremum(COST, "min") | hooks.Threshold(COST, "<", 0.5, once=True)
        target.add(hooks.Report(COST, every="2 iterations", accumulate="mean", format=".17g"))
        target.add(hooks.Report(COST, every="1 iteration", on=lowest.repeated(2), format=".17g"))
        return target, lines

    whole, expected = watched()
    whole.run(3, bar=False, lines=False)
    first, lines = watched()
    first.run(iterations=5, bar=False, lines=False)
    second, more = watched()
    first.save(tmp_path / "first.safetensors")
    second.resume(tmp_path / "first.safetensors")
    second.run(iterations=4, bar=False, lines=False)
    assert len(expected) > 5
    assert lines + more == expected
