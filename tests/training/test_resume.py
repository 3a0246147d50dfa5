"""A training that is stopped anywhere, even by ``kill -9``, goes on to the same bits as one that never was."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.wedge import QUIET, bits, classifier, trainer, wedge

from sigmagraph.errors import FileFormatError, InputError, TrainingStateError
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.sgd import SGD
from sigmagraph.training.hooking.hook import Moment, hook
from sigmagraph.training.hooks.accumulate import Accumulate
from sigmagraph.training.hooks.checkpoint import Checkpoint
from sigmagraph.training.hooks.stopping import EarlyStop
from sigmagraph.training.operators.operator import Operator
from sigmagraph.training.storage.checkpoints import read_checkpoint, write_checkpoint
from sigmagraph.training.trainer import Trainer

OPERATORS = {
    "one": Operator(),
    "gradients": Operator(workers=2),
    "every 3": Operator(workers=2, merge=3),
    "epoch": Operator(workers=2, merge="epoch"),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_it_goes_on_from_any_iteration_to_the_same_bits(operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    through = trainer(operator=operator)
    through.run(2, **QUIET)
    for iterations in range(through.iteration + 1):
        first, second = trainer(operator=operator), trainer(operator=operator)
        first.run(iterations=iterations, **QUIET)
        first.save(path)
        assert second.resume(path)
        assert second.iteration == iterations
        second.run(until=2, **QUIET)
        assert bits(second) == bits(through), iterations
        assert second.history.costs == through.history.costs
        assert second.history.accuracies == through.history.accuracies


def watched(**options: Any) -> Trainer:
    of = trainer(**options)
    of.add(EarlyStop("validation.cost", patience=2))
    of.add(Accumulate("optimiser.cost", reset="1 epoch"))
    return of


def test_hooks_go_on_with_what_they_remember(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    through = watched()
    through.hyperparameters["optimiser.learning_rate"] = 1.0  # so that it soon gets no better
    through.run(50, **QUIET)
    assert through.epoch < 50
    for iterations in (3, 4, 9):
        first, second = watched(), watched()
        first.hyperparameters["optimiser.learning_rate"] = 1.0
        first.run(iterations=iterations, **QUIET)
        first.save(path)
        second.resume(path)
        assert second.hyperparameters["optimiser.learning_rate"] == 1.0
        second.run(until=50, **QUIET)
        assert (second.epoch, bits(second)) == (through.epoch, bits(through))
        shared = through.registry.resolve("shared.*")
        assert second.registry.resolve("shared.*") == shared


def test_a_hook_that_fires_at_the_end_of_an_epoch_sees_what_the_last_iteration_handed_out(tmp_path: Path) -> None:
    """The checkpoint is made by a hook at the last iteration, before the epoch is closed."""
    path = tmp_path / "last.safetensors"
    norms: list[float] = []

    def made() -> Trainer:
        of = trainer()
        of.add(
            hook("1 epoch", reads=["optimiser.gradient_norm"])(
                lambda now: norms.append(float(now["optimiser.gradient_norm"]))
            )
        )
        return of

    first = made()

    @hook("1 iteration", priority=10_000)
    def save(now: Moment) -> None:
        if now.iteration == 4:
            first.save(path)

    first.add(save)
    first.run(1, **QUIET)
    second = made()
    second.resume(path)
    assert (second.epoch, second.course.batch) == (0, 4)
    second.run(1, **QUIET)
    assert norms[0] == norms[1]
    assert bits(first) == bits(second)


def test_frozen_parameters_come_back_frozen(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    first, second = trainer(), trainer()
    first.freeze("1-dense.*")
    first.run(1, **QUIET)
    first.save(path)
    second.resume(path)
    assert second.network.frozen == first.network.frozen
    for of in (first, second):
        of.run(1, **QUIET)
    assert bits(first) == bits(second)


def test_a_folder_holds_one_run_and_tells_of_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def made() -> Trainer:
        of = trainer()
        of.add(Checkpoint(folder, every="3 iterations", keep_last=2))
        return of

    through, first = trainer(), made()
    through.run(4, **QUIET)
    first.run(3, **QUIET)  # the last checkpoint is of the last iteration, before the third epoch was closed
    with pytest.raises(TrainingStateError, match="holds a run already"):
        made().run(1, **QUIET)
    second = made()
    second.resume(folder)
    assert second.iteration == 12
    second.run(until=4, **QUIET)
    assert bits(second) == bits(through)
    assert second.folder is not None
    told = second.folder.metrics()
    assert [line["epoch"] for line in told] == [1, 2, 3, 4]
    np.testing.assert_allclose([line["values"]["cost"] for line in told], through.history.costs)
    log = (folder / "log.txt").read_text("utf-8")
    assert "epoch   4" in log
    third = made()
    assert not trainer().resume(tmp_path / "nowhere", missing_ok=True)
    with pytest.raises(InputError, match="no checkpoint"):
        third.resume(tmp_path / "nowhere")


def test_what_does_not_fit_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    first = trainer()
    first.run(1, **QUIET)
    first.save(path)
    train, _ = wedge().split(0.8, 0.2)
    others = {
        "other optimiser": Trainer(classifier(), SGD(0.1), train.batches(25)),
        "other workers": trainer(operator="cpu:2"),
        "other data": Trainer(classifier(), Adam(0.03), wedge(100).batches(25)),
    }
    for what, other in others.items():
        before = bits(other)
        with pytest.raises(FileFormatError, match=what):
            other.resume(path)
        assert bits(other) == before
        assert other.iteration == 0
    others["other data"].resume(path, same_data=False)
    assert others["other data"].iteration == 4
    parts = first.checkpoint().select("network")
    write_checkpoint(path, parts)
    with pytest.raises(FileFormatError, match=r"lacks a part|another training"):
        trainer().resume(path)


def test_a_damaged_checkpoint_is_named_with_the_last_whole_one(tmp_path: Path) -> None:
    of = trainer()
    of.add(Checkpoint(tmp_path, every="1 epoch"))
    of.run(2, **QUIET)
    files = sorted((tmp_path / "checkpoints").glob("step-*.safetensors"))
    files[-1].write_bytes(files[-1].read_bytes()[:-100])
    with pytest.raises(FileFormatError, match=files[-1].name) as caught:
        trainer().resume(tmp_path)
    assert files[-2].name in str(caught.value)
    other = trainer()
    other.resume(files[-2])
    assert other.epoch == 1


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from training.wedge import trainer
from sigmagraph.training.hooks.checkpoint import Checkpoint
of = trainer()
of.add(Checkpoint({folder!r}, every="1 iteration", keep_last=3))
of.resume({folder!r}, missing_ok=True)
print("begun", flush=True)
of.run(until=60, bar=False, lines=False)
print("done", flush=True)
"""


@pytest.mark.extended
def test_the_bits_after_kill_9_are_those_of_a_training_that_was_never_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program = KILLED.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    killed, delays = 0, random.Random(1)
    for attempt in range(30):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        if killed < 3:
            files = len(list(folder.glob("checkpoints/step-*")))
            deadline = time.monotonic() + 60
            while (
                len(list(folder.glob("checkpoints/step-*"))) == files and attempt == 0 and time.monotonic() < deadline
            ):
                time.sleep(0.001)
            time.sleep(delays.uniform(0.02, 0.15))
            child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        killed += "done" not in out
        if "done" in out:
            break
    assert killed == 3
    through = trainer()
    through.run(60, **QUIET)
    last = read_checkpoint(max((folder / "checkpoints").glob("step-*.safetensors")))
    assert last.document["course"]["iteration"] == 240
    final = {f"network/{name}": array for name, array in through.network.parameters().items()}
    for name, array in final.items():
        assert last.arrays[name].tobytes() == array.tobytes()
    for name, parameter in through.memory.items():
        assert last.arrays[f"optimiser/{name.removeprefix('optimiser.')}"].tobytes() == parameter.value.tobytes()
