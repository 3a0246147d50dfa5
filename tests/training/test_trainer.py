from __future__ import annotations

import math

import numpy as np
import pytest

from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError, GraphError, InputError
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.clipping import ClipByNorm
from sigmagraph.optimisers.schedules import Piecewise
from sigmagraph.optimisers.sgd import SGD
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.profile import counters, snapshot
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer


def wedge(records: int = 120) -> Dataset:
    """Points inside and outside a wedge: no straight line parts them."""
    points = np.random.default_rng(0).uniform(-1, 1, (records, 2)).astype(np.float32)
    return Dataset(points, (points[:, 0] > abs(points[:, 1])).astype(np.int32), "wedge")


def classifier(seed: int = 0, dropout: float = 0.1) -> Network:
    layers = L.Input(2) + L.Dense(16, activation="tanh") + L.Dropout(dropout) + L.Dense(2) + L.SoftmaxCrossEntropy()
    return Network("wedge", layers, seed)


def trained(epochs: int = 3, seed: int = 0, target: str = "cpu", **options: object) -> Trainer:
    train, held_out = wedge().split(0.8, 0.2)
    trainer = Trainer(classifier(seed), Adam(0.03), train.batches(25), held_out, target=target)
    trainer.run(epochs, bar=False, lines=False)
    return trainer


def weights(trainer: Trainer) -> list[bytes]:
    return [array.tobytes() for array in trainer.network.parameters().values()]


def test_training_makes_the_cost_small_and_the_accuracy_great() -> None:
    trainer = trained(40)
    assert trainer.history.costs[-1] < 0.5 * trainer.history.costs[0]
    accuracy = trainer.evaluate(wedge(1000)).accuracy
    assert accuracy is not None
    assert accuracy > 0.9


def test_the_step_is_made_for_as_many_records_as_batches_have() -> None:
    trainer = trained(1)
    assert trainer.crew.program.source.options.hints == (("batch", 25),)
    mine = CompileOptions(hints=(("batch", 7), ("time", 3)))
    chosen = Trainer(classifier(), SGD(0.1), wedge().batches(25), options=mine)
    assert dict(chosen.crew.program.source.options.hints) == {"batch": 7, "time": 3}


def test_one_program_serves_every_batch() -> None:
    before = snapshot()
    trainer = trained(3)
    assert [len(batch.inputs) for batch in trainer.data.epoch(0)] == [25, 25, 25, 21]
    counted = counters().since(before)
    assert counted.compilations + counted.cache_hits == 2  # the step and the verdict
    assert counted.runs == 3 * (4 + 1)


def test_a_seed_fixes_every_bit() -> None:
    assert weights(trained(2, seed=3)) == weights(trained(2, seed=3))
    assert weights(trained(2, seed=3)) != weights(trained(2, seed=4))


def test_the_number_of_threads_changes_no_bit() -> None:
    assert weights(trained(2, target="cpu:1")) == weights(trained(2, target="cpu:2"))


def test_running_on_is_the_same_as_running_through() -> None:
    once, twice = trained(3), trained(1)
    history = twice.run(2, bar=False, lines=False)
    assert weights(once) == weights(twice)
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]


def test_a_seed_draws_the_network_anew() -> None:
    network = classifier(seed=1)
    before = network.parameters()["1-dense.weights"].copy()
    Trainer(network, SGD(0.1), wedge().batches(10), seed=2)
    after = network.parameters()["1-dense.weights"]
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, classifier(seed=2).parameters()["1-dense.weights"])


def test_hyperparameters_are_read_at_every_step() -> None:
    trainer = trained(1)
    before, counted = weights(trainer), snapshot()
    trainer.hyperparameters["optimiser.learning_rate"] = 0.0
    trainer.run(1, bar=False, lines=False)
    assert weights(trainer) == before
    assert counters().since(counted).compilations == 0


def test_schedules_say_the_rate_of_every_step_and_nothing_is_compiled_again() -> None:
    """Two trainers get the same rates, one by a schedule and one by hand, and so the same bits."""
    seen = []

    def rate(step: float, epoch: float) -> float:
        seen.append((step, epoch))
        return 0.5 / (1 + step)

    batches = wedge(100).batches(25)
    scheduled = Trainer(classifier(), SGD(rate), batches)
    assert scheduled.step.graph  # it is compiled when it is first needed
    seen.clear()
    before = snapshot()
    scheduled.run(2, bar=False, lines=False)
    scheduled.run(1, bar=False, lines=False)
    assert seen == [(step, step / 4) for step in range(12)]
    assert counters().since(before).compilations == 0

    by_hand = Trainer(classifier(), SGD(), batches)
    for step in range(12):
        batch = list(batches.epoch(step // 4))[step % 4]
        by_hand.hyperparameters["optimiser.learning_rate"] = 0.5 / (1 + step)
        by_hand.step(inputs=batch.inputs, targets=batch.targets, **by_hand.hyperparameters)
    assert weights(scheduled) == weights(by_hand)

    before_last = weights(scheduled)
    scheduled.hyperparameters["optimiser.learning_rate"] = Piecewise((0, 1.0), (12, 0.0))
    scheduled.run(1, bar=False, lines=False)
    assert weights(scheduled) == before_last
    assert counters().since(before).compilations == 0


def test_a_schedule_that_goes_astray_stops_training() -> None:
    trainer = Trainer(classifier(), SGD(Piecewise((0, 0.1), (3, -0.1))), wedge(100).batches(25))
    with pytest.raises(AttributeValueError, match=r"optimiser\.learning_rate") as caught:
        trainer.run(1, bar=False, lines=False)
    assert "step 3" in str(caught.value)
    assert trainer.steps == 3


def test_the_norm_of_the_gradients_is_reported() -> None:
    trainer = Trainer(classifier(dropout=0), SGD(1.0, clip=ClipByNorm(0.01)), wedge(100).batches(100))
    batch = next(iter(trainer.data.epoch(0)))
    before = {i: p.copy() for i, p in trainer.network.parameters().items()}
    out = trainer.step(inputs=batch.inputs, targets=batch.targets, **trainer.hyperparameters)
    assert out["gradient_norm"] > 0.01
    moved = sum(((p - before[i]).astype(np.float64) ** 2).sum() for i, p in trainer.network.parameters().items())
    assert np.sqrt(moved) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, "0.1"])
def test_hyperparameters_that_mean_nothing_are_refused(value: object) -> None:
    trainer = trained(0)
    with pytest.raises(AttributeValueError, match=r"optimiser\.learning_rate"):
        trainer.hyperparameters["optimiser.learning_rate"] = value  # type: ignore[assignment]
    assert trainer.hyperparameters["optimiser.learning_rate"] == pytest.approx(0.03)


def test_the_verdict_is_that_of_the_predictions() -> None:
    trainer = trained(3)
    records = wedge(2500)  # more than are judged at a time
    verdict = trainer.evaluate(records)
    predicted = trainer.network.predict(records.inputs)
    right = predicted[np.arange(len(records)), records.targets]
    assert verdict.accuracy == np.mean(predicted.argmax(-1) == records.targets)
    assert verdict.cost == pytest.approx(-np.log(right.astype(np.float64)).mean(), rel=1e-5)


def test_regression_has_a_cost_but_no_accuracy() -> None:
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    records = Dataset(x, 3 * x - 1)
    network = Network("line", L.Input(1) + L.Dense(1) + L.SquaredDifference())
    trainer = Trainer(network, SGD(0.3), records.batches(16), records)
    epoch = trainer.run(25, bar=False, lines=False).epochs[-1]
    assert epoch.validation is not None
    assert epoch.validation.accuracy is None
    assert epoch.validation.cost < 1e-4
    assert network.parameters()["1-dense.weights"].item() == pytest.approx(3, abs=0.02)


def test_lines_go_to_stdout_and_the_bar_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = trained(0)
    trainer.run(2, bar=True)
    out, err = capsys.readouterr()
    assert [line[:9] for line in out.splitlines()] == ["epoch   1", "epoch   2"]
    assert out.count("accuracy") == 2
    assert "epoch 2" in err
    assert "8/8" in err
    trainer.run(1, lines=False)
    assert capsys.readouterr() == ("", "")


def test_wrong_use_is_refused() -> None:
    network, records = classifier(), wedge()
    with pytest.raises(AttributeValueError, match="takes batches"):
        Trainer(network, SGD(0.1), records)  # type: ignore[arg-type]
    with pytest.raises(AttributeValueError, match="number of epochs"):
        Trainer(network, SGD(0.1), records.batches(10)).run(-1)
    with pytest.raises(GraphError, match="cannot be trained"):
        Trainer(Network("bare", L.Input(2) + L.Dense(2)), SGD(0.1), records.batches(10))
    with pytest.raises(AttributeValueError, match="cannot be judged on"):
        trained(0).evaluate(Dataset(np.zeros((0, 2), np.float32), np.zeros(0, np.int32)))


def test_data_of_another_shape_is_named() -> None:
    records = Dataset(np.zeros((10, 3), np.float32), np.zeros(10, np.int32))
    trainer = Trainer(classifier(), SGD(0.1), records.batches(5))
    with pytest.raises(InputError, match="inputs") as caught:
        trainer.run(1, bar=False, lines=False)
    assert (str(caught.value.expected), str(caught.value.got)) == ("2", "3")
