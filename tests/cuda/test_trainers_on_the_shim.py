"""Trainers with ``operator="cuda"`` on the CUDA shim: they learn what they learn on the processor, and keep it there."""

from __future__ import annotations

import threading
from pathlib import Path

import cuda_shim
import numpy as np
import pytest
from cuda_programs import ShimExecution

import sigmagraph as sg
from sigmagraph import hooks
from sigmagraph import layers as L
from sigmagraph.data.batches import Batches
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import DeviceError, HookError, IndexRangeError

pytestmark = pytest.mark.skipif(not cuda_shim.available(), reason="needs g++")
RECORDS, BATCH, CLASSES = 22, 4, 3
ITERATIONS = -(-RECORDS // BATCH)


def records() -> Dataset:
    x = np.random.default_rng(0).standard_normal((RECORDS, 6)).astype(np.float32)
    return Dataset(x, (np.abs(x[:, 0]) * 9).astype(np.int64) % CLASSES)


def trainer(device: ShimExecution | None = None, data: Batches | None = None) -> sg.Trainer:
    layers = (
        L.Input(6)
        + L.Dropout(0.1)
        + L.Dense(8, activation="relu", name="first")
        + L.Dense(CLASSES, name="last")
        + L.SoftmaxCrossEntropy()
    )
    target, operator = (device.target, "cuda") if device else (None, None)
    return sg.Trainer(
        sg.Network("small", layers, seed=3),
        sg.optimisers.Adagrad(learning_rate=0.05),
        data or records().batches(BATCH),
        records(),
        target=target,
        operator=operator,
        options=sg.CompileOptions(precision="highest"),
    )


@pytest.fixture
def device() -> ShimExecution:
    return ShimExecution(cuda_shim.HostDriver(seed=5))


def costs(of: sg.Trainer, epochs: int = 1) -> list[float]:
    history = of.run(epochs, lines=False)
    return [number for e in history.epochs for number in (e.cost, e.validation.cost if e.validation else 0.0)]


def test_epochs_are_those_of_the_processor(device: ShimExecution) -> None:
    here, there = trainer(), trainer(device)
    np.testing.assert_allclose(costs(there, 2), costs(here, 2), rtol=2e-5)
    for name, value in here.network.parameters().items():
        np.testing.assert_allclose(there.network.parameters()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    for name, parameter in here.memory.items():
        np.testing.assert_allclose(there.memory[name].value, parameter.value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert str(there.operator) == there.describe()["operator"]["device"] == "cuda"


def test_state_stays_there_and_the_next_batch_comes_while_a_step_runs(device: ShimExecution) -> None:
    of, driver = trainer(device), device.driver
    of.run(1, lines=False)
    driver.order.clear()
    driver.counts.clear()
    of.run(iterations=ITERATIONS - 2, lines=False)
    assert driver.counts["captures"] == driver.counts["allocations"] == 0
    # Of an iteration the cost and a word on indices come back, and hyperparameters go there; the next batch does before
    # anybody waits for the step.
    assert driver.counts["downloaded"] == 8 * (ITERATIONS - 2)
    order = "".join(f"{what} " for what in driver.order if what in ("replays", "ahead", "wait", "uploads"))
    # The first batch does not come ahead; hyperparameters lie side by side, and go as one.
    assert order == "uploads " + "uploads ".join((ITERATIONS - 2) * ["replays ahead wait "])


def test_checkpoints_go_from_device_to_device_and_cost_no_upload(device: ShimExecution, tmp_path: Path) -> None:
    through, first, second = trainer(device), trainer(device), trainer(device)
    through.run(2, lines=False)
    first.run(iterations=ITERATIONS + 2, lines=False)
    uploads = device.driver.counts["uploads"]
    first.save(tmp_path / "half")
    first.run(until=2, lines=False)
    assert device.driver.counts["uploads"] - uploads == ITERATIONS - 2 + 1  # one a step, and one of the validation
    second.resume(tmp_path / "half")
    second.run(until=2, lines=False)
    for name, value in through.network.parameters().items():
        np.testing.assert_array_equal(second.network.parameters()[name], value, err_msg=name)
        np.testing.assert_array_equal(first.network.parameters()[name], value, err_msg=name)
    here = trainer()
    here.resume(tmp_path / "half")
    here.run(until=2, lines=False)
    np.testing.assert_allclose(costs(here), costs(second), rtol=2e-5)


def watching(seen: list[tuple[float, ...]], fails_at: int = 0) -> hooks.Hook:
    """Notes a parameter, a gradient and the cost of every iteration, and fails at one of them."""
    reads = ("network.layers.first.weights", "optimiser.gradients.last.biases", "optimiser.cost")

    @hooks.hook("1 iteration", reads=reads)
    def watch(now: hooks.Moment) -> None:
        seen.append(tuple(float(np.sum(np.abs(now[name]))) for name in reads))
        if len(seen) == fails_at:
            raise ValueError("that went wrong")

    return watch


def test_hooks_see_what_they_see_on_the_processor_and_may_fail(device: ShimExecution) -> None:
    here, there = trainer(), trainer(device)
    seen: tuple[list[tuple[float, ...]], list[tuple[float, ...]]] = [], []
    here.add(watching(seen[0]))
    there.add(watching(seen[1], fails_at=3))
    here.run(1, lines=False)
    with pytest.raises(HookError, match="that went wrong"):
        there.run(1, lines=False)
    uploads = device.driver.counts["uploads"]
    assert there.iteration == 3
    there.run(until=1, lines=False)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-4)
    # One a step, and two for the validation, whose program is new: parameters that were read do not go back.
    assert device.driver.counts["uploads"] - uploads == ITERATIONS - 3 + 2
    there.set("network.layers.first.weights", np.zeros((6, 8), np.float32)).result()
    there.run(iterations=1, lines=False)
    assert seen[1][-1][0] != seen[1][-2][0]


def test_programs_on_the_processor_take_part(device: ShimExecution) -> None:
    of = trainer(device)
    x = records().inputs
    before = of.network.predict(x)
    of.run(iterations=2, lines=False)
    downloaded = device.driver.counts["downloaded"]
    of.run(iterations=2, lines=False)
    assert device.driver.counts["downloaded"] - downloaded == 2 * 8  # although the processor knows the parameters
    after = of.network.predict(x)
    assert not np.allclose(before, after)
    here = trainer()
    here.run(iterations=4, lines=False)
    np.testing.assert_allclose(after, here.network.predict(x), rtol=1e-4)


def test_a_wrong_batch_is_told_at_its_iteration_and_changes_nothing(device: ShimExecution) -> None:
    x, y = records().inputs.copy(), records().targets.copy()
    y[RECORDS // 2] = CLASSES
    batches = Dataset(x, y).batches(BATCH, seed=3)
    here, of = trainer(None, batches), trainer(device, batches)
    for each in (here, of):
        with pytest.raises(IndexRangeError):
            each.run(1, lines=False)
    assert of.iteration == here.iteration > 0
    for name, value in here.network.parameters().items():
        np.testing.assert_allclose(of.network.parameters()[name], value, rtol=1e-4, atol=1e-6)


def test_it_trains_in_another_thread_while_others_look(device: ShimExecution) -> None:
    of, other = trainer(device), trainer(device)
    future = of.start(2)
    seen: list[float] = []
    looking = threading.Thread(target=lambda: seen.extend(costs(other, 2)))
    looking.start()
    future.result()
    looking.join()
    assert [e.cost for e in of.history.epochs] == seen[::2]


def test_a_kernel_that_fails_is_named_with_its_layer(device: ShimExecution) -> None:
    of = trainer(device)
    of.run(iterations=3, lines=False)
    device.driver.fails = next(name for name in device.driver.launched if "first" in name)
    with pytest.raises(DeviceError, match="SIGMAGRAPH_CAREFUL=1") as caught:
        of.run(iterations=1, lines=False)
    assert '"small/first"' in str(caught.value)
    device.device.careful = True
    with pytest.raises(DeviceError, match=device.driver.fails) as caught:
        of.run(iterations=1, lines=False)
    assert "small/first" in str(caught.value.location)
    device.driver.fails = ""
    of.run(iterations=1, lines=False)
    assert of.iteration == 4
