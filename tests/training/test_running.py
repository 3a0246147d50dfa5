"""A training that runs: its states, what is asked of it from other threads, and how it comes to its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.wedge import QUIET, bits, trainer, wedge

from sigmagraph.errors import AttributeValueError, HookError, IdentifierError, TrainingStateError
from sigmagraph.initialisers import Constant
from sigmagraph.runtime.profile import counters, snapshot
from sigmagraph.training.control import State
from sigmagraph.training.environment import Environment
from sigmagraph.training.hooking.hook import Moment, hook
from sigmagraph.training.hooking.timing import TimeScale
from sigmagraph.training.hooks.checkpoint import Checkpoint
from sigmagraph.training.storage.run_folder import RunFolder
from sigmagraph.training.trainer import Trainer

SCALES = [scale for scale in TimeScale if scale not in (TimeScale.ITERATION, TimeScale.INDETERMINATE)]


def listen(of: Trainer) -> list[str]:
    """The events other than iterations, as they happen."""
    events: list[str] = []
    for scale in SCALES:
        of.add(hook(scale.value)(lambda now: events.append(now.scale.value)))
    return events


def test_events_come_in_their_order() -> None:
    of = trainer()
    events = listen(of)
    assert of.state is State.IDLE
    of.run(2, **QUIET)
    assert events == ["start", "epoch", "epoch", "stop"]
    assert of.state is State.STOPPED
    of.reset()
    assert events[4:] == ["reset"]


def test_pause_go_on_step_by_step_and_stop() -> None:
    of = trainer()
    events = listen(of)
    done = of.start(1000)
    of.pause()
    assert of.wait(State.PAUSED, timeout=60)
    at = of.iteration
    seconds = of.seconds
    of.advance()
    of.wait(State.RUNNING, timeout=0.01)
    assert of.wait(State.PAUSED, timeout=60)
    while of.iteration == at:  # it may not have begun when it was looked for
        of.wait(State.PAUSED, timeout=1)
    assert of.iteration == at + 1
    of.advance(3)
    while of.iteration < at + 4:
        of.wait(State.PAUSED, timeout=1)
    assert of.wait(State.PAUSED, timeout=60)
    assert of.iteration == at + 4
    assert of.seconds >= seconds
    of.go_on()
    of.stop("enough")
    history = done.result(60)
    assert of.state is State.STOPPED
    assert of.control.reason == "enough"
    assert history is of.history
    assert events[0] == "start"
    assert events[-1] == "stop"
    assert events.count("pause") == 3
    assert "resume" in events


def test_the_folder_of_a_run_tells_of_pauses_and_of_the_operator(tmp_path: Path) -> None:
    of = trainer(operator="cpu:2")
    of.add(Checkpoint(tmp_path, every="100000 epochs"))
    done = of.start(100_000)
    of.pause()
    assert of.wait(State.PAUSED, timeout=60)
    of.submit(lambda: None).result(60)  # the pause has begun
    assert RunFolder.read(tmp_path).state == "paused"
    of.stop()
    done.result(60)
    run = RunFolder.read(tmp_path)
    assert run.state == "stopped"
    assert run.config["operator"]["merge"] == "gradients"


def test_iterations_are_counted_through_epochs_and_nothing_is_lost_between_runs() -> None:
    once, parts = trainer(), trainer()
    once.run(3, **QUIET)
    for number in (1, 2, 3, 5, 1):
        parts.run(iterations=number, **QUIET)
    assert parts.iteration == once.iteration == 12
    assert bits(parts) == bits(once)
    parts.run(until=3, **QUIET)
    assert parts.iteration == 12
    assert parts.history.costs == once.history.costs


def test_an_epoch_that_was_begun_counts_as_one() -> None:
    of = trainer()
    of.run(iterations=2, **QUIET)
    of.run(1, **QUIET)
    assert (of.epoch, of.iteration) == (1, 4)


def test_what_is_set_while_training_runs_counts_from_the_next_iteration_on() -> None:
    of = trainer()
    rates = []
    of.add(
        hook("1 iteration", reads=["optimiser.learning_rate"])(lambda now: rates.append(now["optimiser.learning_rate"]))
    )
    of.run(1, **QUIET)
    before = snapshot()
    done = of.start(100_000)
    assert of.set("optimiser.learning_rate", 0.5).result(60) == ["optimiser.learning_rate"]
    assert of.set("network.layers.*.biases", 0.25).result(60) == [
        "network.layers.1-dense.biases",
        "network.layers.3-dense.biases",
    ]
    with pytest.raises(IdentifierError):
        of.set("optimiser.lerning_rate", 0.5).result(60)
    with pytest.raises(AttributeValueError):
        of.set("optimiser.learning_rate", -1.0).result(60)
    answered: Future[int] = of.submit(lambda: of.iteration)
    assert answered.result(60) >= 4
    of.stop()
    done.result(60)
    assert rates[-1] == 0.5
    assert counters().since(before).compilations == 0


def test_the_size_of_batches_changes_with_the_next_epoch() -> None:
    of = trainer()
    of.run(iterations=1, **QUIET)
    of.registry["iterator.minibatch_size"] = 48
    assert of.registry["iterator.minibatch_size"] == 25
    of.run(2, **QUIET)
    assert of.registry["iterator.minibatch_size"] == 48
    assert of.iteration == 4 + 2
    with pytest.raises(AttributeValueError, match="at least one record"):
        of.registry["iterator.minibatch_size"] = 0


def test_hooks_come_and_go_while_training_runs() -> None:
    of = trainer()
    seen: list[int] = []
    late = hook("1 iteration", reads=["optimiser.gradient_norm"])(lambda now: seen.append(now.iteration))
    done = of.start(100_000)
    of.add(late)
    of.submit(lambda: None).result(60)
    while not seen:
        of.submit(lambda: None).result(60)
    of.remove(late)
    of.submit(lambda: None).result(60)
    count = len(seen)
    for _ in range(3):
        of.submit(lambda: None).result(60)
    assert len(seen) == count
    assert of.hooks == []
    of.stop()
    done.result(60)


def test_one_training_at_a_time() -> None:
    of = trainer()
    done = of.start(100_000)
    with pytest.raises(TrainingStateError, match="training already"):
        of.run(1, **QUIET)
    with pytest.raises(TrainingStateError, match="training already"):
        of.start(1)
    with pytest.raises(TrainingStateError, match="training runs"):
        of.resume("nowhere")
    of.stop()
    done.result(60)
    for ask in (of.pause, of.go_on, of.advance):
        with pytest.raises(TrainingStateError, match="there is nothing to"):
            ask()


def test_a_hook_cannot_wait_for_itself() -> None:
    of = trainer()
    of.add(hook("1 iteration")(lambda now: of.wait()))
    with pytest.raises(HookError, match="training cannot wait for itself"):
        of.run(1, **QUIET)


@pytest.mark.parametrize(
    "numbers", [{}, {"epochs": 1, "until": 2}, {"epochs": -1}, {"iterations": 1.5}, {"until": True}]
)
def test_a_run_has_one_end(numbers: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="number of epochs"):
        trainer().run(**numbers, **QUIET)


def test_reset_forgets_everything() -> None:
    fresh, of = trainer(), trainer()
    of.run(2, **QUIET)
    of.reset()
    assert (of.epoch, of.iteration, of.history.epochs) == (0, 0, [])
    of.run(2, **QUIET)
    fresh.run(2, **QUIET)
    assert bits(of) == bits(fresh)
    running = of.start(100_000)
    of.reset()
    running.result(60)
    assert of.iteration == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as Python has it; processes that a shell started in the background ignore it."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_iteration_writes_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], interruptible: None
) -> None:
    of, through = trainer(), trainer()
    folder = tmp_path / "run"
    of.add(Checkpoint(str(folder), every="100 epochs"))

    @hook("1 iteration")
    def press(now: Moment) -> None:
        if now.iteration == 6:
            signal.raise_signal(signal.SIGINT)

    of.add(press)
    with pytest.raises(KeyboardInterrupt):
        of.run(3, **QUIET)
    assert of.iteration == 6
    assert of.state is State.PAUSED
    out = capsys.readouterr().out
    assert "paused in epoch 2, iteration 6" in out
    assert "trainer.resume(" in out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    other = trainer()
    other.resume(folder)
    for each in (of, other):
        each.run(until=3, **QUIET)
    through.run(3, **QUIET)
    assert bits(of) == bits(other) == bits(through)


def test_trainers_of_an_environment() -> None:
    with Environment("running", seed=5) as environment:
        first = environment.trainer("first", trainer().network, trainer().optimiser, wedge().batches(25))
        second = environment.trainer("second", trainer().network, trainer().optimiser, wedge().batches(25))
        assert first.data.seed != second.data.seed
        assert not np.array_equal(
            first.network.parameters()["1-dense.weights"], second.network.parameters()["1-dense.weights"]
        )
        told: list[tuple[str, str, float | None]] = []
        environment.tasks.observe(lambda event: told.append((event.event.value, event.task.name, event.task.progress)))
        histories = environment.run_all(2)
        assert ("ended", "first", 1.0) in told
        assert environment.tasks.running() == []
        assert {name: len(history.epochs) for name, history in histories.items()} == {"first": 2, "second": 2}
        found = environment.registry.resolve("*<trainer>.epoch")
        assert found == {"first.epoch": 2, "second.epoch": 2}
        assert len(environment.registry.names("*<trainer>.network.layers.*<dense>.weights")) == 4
        with pytest.raises(IdentifierError, match="already"):
            environment.trainer("first", trainer().network, trainer().optimiser, wedge().batches(25))
        endless = first.start(100_000)
        with pytest.raises(TrainingStateError, match="trains"):
            environment.remove("first")
    assert endless.result(60) is first.history  # closing the environment has ended it
    with Environment("running", seed=5) as again:
        other = again.trainer("first", trainer().network, trainer().optimiser, wedge().batches(25))
        other.run(2, **QUIET)
    fresh = trainer().network.parameters()
    assert not np.array_equal(other.network.parameters()["1-dense.weights"], fresh["1-dense.weights"])


def test_the_seed_of_an_environment_fixes_every_bit_and_a_network_that_was_loaded_is_left_alone() -> None:
    def trained(seed: int) -> dict[str, bytes]:
        with Environment("seeds", seed=seed) as environment:
            of = environment.trainer("one", trainer().network, trainer().optimiser, wedge().batches(25))
            of.run(1, **QUIET)
            return bits(of)

    assert trained(3) == trained(3)
    assert trained(3) != trained(4)
    network = trainer().network
    network.parameters()["1-dense.weights"][:] = 0.125
    with Environment("seeds", seed=3) as environment:
        environment.trainer("one", network, trainer().optimiser, wedge().batches(25))
    assert (network.parameters()["1-dense.weights"] == 0.125).all()
    ruled = trainer().network
    ruled.initialise("*.biases", Constant(0.5))
    with Environment("seeds", seed=3) as environment:
        environment.trainer("one", ruled, trainer().optimiser, wedge().batches(25))
    assert (ruled.parameters()["1-dense.biases"] == 0.5).all()


def test_names_of_datasets() -> None:
    of = trainer()
    of.add_dataset("test", wedge(50))
    assert of.registry["test.accuracy"] == of.evaluate(wedge(50)).accuracy
    for taken in ("validation", "network", "test"):
        with pytest.raises(IdentifierError, match="is taken"):
            of.add_dataset(taken, wedge(50))
    with pytest.raises(IdentifierError, match="no dataset of that name"):
        of.judge("nothing")
    with pytest.raises(AttributeValueError, match="judged on datasets"):
        of.add_dataset("batches", wedge().batches(10))  # type: ignore[arg-type]
