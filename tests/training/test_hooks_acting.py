"""Hooks that act on training do so in a real one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.optimisers.modifiers import Clamp
from sigmagraph.optimisers.schedules import StepDecay
from sigmagraph.training import hooks

INPUTS = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
TARGETS = (INPUTS.sum(1) > 0).astype(np.int32)


def trainer(rate: float = 0.1) -> Any:
    """Ten iterations an epoch; all compile the same programs, which are taken from the cache."""
    network = sg.Network("small", L.Input(4) + L.Dense(3) + L.Dense(2) + L.SoftmaxCrossEntropy(), seed=3)
    dataset = Dataset(INPUTS, TARGETS, "train")
    return sg.Trainer(network, sg.optimisers.SGD(learning_rate=rate), dataset.batches(4, seed=5), validation=dataset)


def run(training: Any, epochs: int) -> None:
    training.run(epochs, bar=False, lines=False)


def test_early_stop_ends_training_that_learns_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    training = trainer(rate=0.0)
    training.add(hooks.EarlyStop("validation.cost", patience=2))
    training.add(hooks.Stop(at_epoch=3, priority=10**6))
    run(training, 10)
    assert training.epoch == 3
    said = capsys.readouterr().out.splitlines()  # the first reason counts
    assert len(said) == 1
    assert said[0].startswith("EarlyStop: validation.cost has not become better than ")
    run(training, 10)
    assert training.epoch == 5


def test_stop_ends_training_at_an_epoch_and_where_a_criterion_holds() -> None:
    training = trainer()
    training.add(hooks.Stop(at_epoch=2))
    training.add(hooks.Stop(every="33 iterations"))
    run(training, 10)
    assert (training.epoch, training.iteration) == (2, 20)
    run(training, 10)
    assert (training.epoch, training.iteration) == (3, 33)


def test_schedules_and_plateaus_lead_the_rate_of_the_next_step() -> None:
    training, seen = trainer(), []
    training.add(hooks.Schedule("optimiser.learning_rate", StepDecay(0.5, every=10, factor=0.5)))

    @hooks.hook("1 iteration", reads=["optimiser.learning_rate"])
    def note(now: Any) -> None:
        seen.append(now["optimiser.learning_rate"])

    training.add(note)
    run(training, 2)
    assert seen == [0.5] * 10 + [0.25] * 10
    training = trainer(rate=0.0)
    training.registry["optimiser.learning_rate"] = 0.0
    training.add(hooks.ValueChange("optimiser.learning_rate", 0.125, every=hooks.after(3, "epochs")))
    run(training, 3)
    assert training.registry["optimiser.learning_rate"] == 0.125


def test_values_and_modifiers_change_parameters() -> None:
    training = trainer()
    training.add(hooks.Modify("*.weights", Clamp(-0.01, 0.01)))
    training.add(hooks.ValueChange("network.layers.2-dense.biases", np.array([5.0, 6.0], np.float32)))
    run(training, 1)
    assert np.abs(training.network.parameters()["1-dense.weights"]).max() == np.float32(0.01)
    assert training.network.parameters()["2-dense.biases"].tolist() == [5.0, 6.0]


def test_tables_and_events_are_those_of_the_training(tmp_path: Path) -> None:
    training = trainer()
    training.add(hooks.CsvLog(tmp_path / "log.csv", "optimiser.cost", "validation.*", every="5 iterations"))
    training.add(hooks.TensorBoard(tmp_path / "events", "validation.accuracy", histograms="optimiser.gradients.*.*"))
    run(training, 2)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["5", "10", "15", "20"]
    assert float(rows[-1]["validation.accuracy"]) == training.evaluate(Dataset(INPUTS, TARGETS)).accuracy
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_predictions_beside_training_are_those_of_one_moment() -> None:
    """The network is never in the middle of a step: what comes out is what some event's parameters give."""
    training, taken, weights = trainer(), [], []
    training.add(hooks.PassNetwork(INPUTS[:5], taken.append, every="1 iteration"))

    @hooks.hook("1 iteration")
    def note(now: Any) -> None:
        weights.append({name: value.copy() for name, value in now.trainer.network.parameters().items()})

    training.add(note)
    run(training, 2)
    assert len(taken) == len(weights) == 20
    other = training.network.copy()
    for values, out in zip(weights, taken, strict=True):
        for name, value in other.parameters().items():
            value[...] = values[name]
        assert np.array_equal(other.predict(INPUTS[:5]), out)


def test_one_output_takes_one_target_a_record_as_a_column_too() -> None:
    network = sg.Network("yes", L.Input(4) + L.Dense(1) + L.BinaryCrossEntropy(), seed=3)
    verdicts = []
    for targets in (TARGETS, TARGETS[:, None]):
        dataset = Dataset(INPUTS, targets, "train")
        training = sg.Trainer(network.copy(), sg.optimisers.SGD(0.1), dataset.batches(20, seed=5), validation=dataset)
        run(training, 1)
        verdicts.append(training.evaluate(dataset).cost)
    assert verdicts[0] == verdicts[1]


def test_a_resumed_training_is_the_one_that_was_never_stopped(tmp_path: Path) -> None:
    def hooked(name: str) -> Any:
        training = trainer()
        training.add(hooks.Checkpoint(tmp_path / name, every="7 iterations", best="optimiser.cost"))
        training.add(hooks.CsvLog(tmp_path / f"{name}.csv", "optimiser.*", "validation.*", every="5 iterations"))
        training.add(hooks.ReduceOnPlateau("validation.cost", patience=1, min_delta=1.0, factor=0.5))
        training.add(hooks.EarlyStop("validation.cost", patience=3, min_delta=1.0))
        return training

    def table(name: str) -> list[dict[str, str]]:
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]

    whole, stopped, resumed = hooked("whole"), hooked("broken"), hooked("broken")
    run(whole, 10)
    stopped.run(iterations=18, bar=False, lines=False)
    del stopped
    resumed.resume(tmp_path / "broken")
    assert resumed.iteration == 14
    resumed.run(until=10, bar=False, lines=False)
    assert whole.iteration == resumed.iteration == 40
    for name, value in whole.network.parameters().items():
        assert np.array_equal(value, resumed.network.parameters()[name]), name
    assert table("whole") == table("broken")
    assert len(table("whole")) == 8
    kept = [sorted(p.name for p in (tmp_path / name / "checkpoints").iterdir()) for name in ("whole", "broken")]
    assert kept[0] == kept[1]


def test_the_best_is_given_back(tmp_path: Path) -> None:
    training = trainer(rate=0.2)
    training.add(hooks.Checkpoint(tmp_path, best="validation.cost"))
    training.add(hooks.EarlyStop("validation.cost", patience=2, restore_best=True))
    training.add(hooks.ValueChange("network.layers.*.weights", 0.0, every=hooks.every(3, "epochs", live=1)))
    run(training, 9)
    # The change comes after all have looked at the third epoch, and before it is written down.
    best = min(epoch.validation.cost for epoch in training.history.epochs)
    assert training.epoch == 5
    assert best == training.history.epochs[2].validation.cost
    assert training.evaluate(Dataset(INPUTS, TARGETS)).cost == best
    training.registry.assign("network.layers.*.weights", 0.0)
    training.add(hooks.Restore(tmp_path))
    run(training, 1)
    assert training.evaluate(Dataset(INPUTS, TARGETS)).cost == best
