"""Hooks that write checkpoints keep what they should, whoever else writes beside them, and hooks that go back find it."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting_runs import HandmadeTraining

from sigmagraph.errors import AttributeValueError, FileFormatError, IdentifierError, InputError
from sigmagraph.training.hooks.checkpoint import Checkpoint, Restore
from sigmagraph.training.hooks.kept_files import keep, kept_by
from sigmagraph.training.hooks.stopping import EarlyStop
from sigmagraph.training.storage.checkpoints import Checkpoint as Record
from sigmagraph.training.storage.checkpoints import CheckpointFolder, read_checkpoint


class Folder:
    """A run folder, as far as these hooks know it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = CheckpointFolder(path / "checkpoints")


class Savable(HandmadeTraining):
    """A training whose checkpoints tell when they were made."""

    def open_folder(self, path: Any) -> Any:
        self.folder = Folder(Path(path))
        return self.folder

    def checkpoint(self) -> Any:
        arrays = {"network/fc.weights": np.full(2, self.iteration, np.float32), "random/rng": np.zeros(2, np.int64)}
        return Record(arrays, {"iteration": self.iteration})


def files(path: Path) -> list[int]:
    """The iterations of a run's checkpoints."""
    return [int(name.stem.partition("-")[2]) for name in sorted((path / "checkpoints").glob("step-*.safetensors"))]


def accuracies(*values: Any) -> list[dict[str, Any]]:
    return [{"validation.accuracy": value} for value in values]


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    training, hook = Savable(), Checkpoint(tmp_path)
    hook.attached(training)
    training.epochs(hook, [{}] * 5)
    assert files(tmp_path) == [30, 40, 50]
    record = read_checkpoint(CheckpointFolder(tmp_path / "checkpoints").latest())
    assert record.document["iteration"] == 50
    assert record.arrays["network/fc.weights"].tolist() == [50, 50]


def test_the_best_checkpoint_is_kept_besides(tmp_path: Path) -> None:
    training, hook = Savable(), Checkpoint(tmp_path, best="validation.accuracy", keep_last=2)
    training.epochs(hook, accuracies(0.5, 0.9, 0.8, 0.7, 0.6))
    assert files(tmp_path) == [20, 40, 50]
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.best("validation.accuracy").name == "step-00000020.safetensors"
    assert read_checkpoint(folder.best()).document["score"] == {
        "name": "validation.accuracy",
        "value": 0.9,
        "mode": "max",
    }
    training.epochs(hook, accuracies(0.95))
    assert files(tmp_path) == [50, 60]


def test_a_cost_that_is_not_a_number_is_not_the_best(tmp_path: Path) -> None:
    training, hook = Savable(), Checkpoint(tmp_path, best="validation.cost", keep_last=1)
    training.epochs(hook, [{"validation.cost": value} for value in (math.nan, 2.0, 1.0, math.nan, math.inf)])
    assert files(tmp_path) == [30, 50]


def test_all_checkpoints_are_kept_if_nothing_is_said_against_it(tmp_path: Path) -> None:
    Savable().epochs(Checkpoint(tmp_path, keep_last=None), [{}] * 5)
    assert files(tmp_path) == [10, 20, 30, 40, 50]


def test_two_hooks_do_not_remove_what_the_other_one_keeps(tmp_path: Path) -> None:
    training = Savable()
    often, seldom = Checkpoint(tmp_path, keep_last=1), Checkpoint(tmp_path, every="2 epochs", keep_last=2)
    best = Checkpoint(tmp_path, every="3 epochs", best="validation.accuracy", keep_last=1)
    for epoch, accuracy in enumerate((0.1, 0.2, 0.9, 0.3, 0.3, 0.4, 0.1), 1):
        training.epochs(often, [{}])
        for hook, due in ((seldom, epoch % 2 == 0), (best, epoch % 3 == 0)):
            if due:
                hook.invoke(training.moment(hook, hook.initial(), accuracies(accuracy)[0]))
    # The last one of `often`, the last two of `seldom`, the best and the last one of `best`.
    assert files(tmp_path) == [30, 40, 60, 70]


def test_checkpoints_of_others_stay(tmp_path: Path) -> None:
    training = Savable()
    training.iteration = 5
    by_hand = CheckpointFolder(tmp_path / "checkpoints").save(5, training.checkpoint())
    training.epochs(Checkpoint(tmp_path, keep_last=1), [{}] * 3)
    assert by_hand.exists()
    assert files(tmp_path) == [5, 35]


def test_what_is_removed_was_kept_by_the_hook_before_the_training_was_resumed(tmp_path: Path) -> None:
    training, hook = Savable(), Checkpoint(tmp_path, keep_last=2)
    training.epochs(hook, [{}] * 3)
    resumed = Savable()
    resumed.epoch, resumed.iteration = 3, 30
    resumed.epochs(hook, [{}])
    assert files(tmp_path) == [30, 40]


def test_going_back_removes_the_checkpoints_of_the_course_that_was_left(tmp_path: Path) -> None:
    training, hook = Savable(), Checkpoint(tmp_path, keep_last=4)
    training.epochs(hook, [{}] * 4)
    back = Savable()
    back.epoch, back.iteration = 1, 15
    back.epochs(hook, [{}])
    assert files(tmp_path) == [10, 20, 25]
    assert CheckpointFolder(tmp_path / "checkpoints").latest().name == "step-00000025.safetensors"


def test_parts_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    training = Savable()
    training.epochs(Checkpoint(tmp_path), [{}])
    training.epochs(Checkpoint(tmp_path, parts=["network"], keep_last=1), [{}] * 2)
    assert files(tmp_path) == [10]
    (path,) = (tmp_path / "checkpoints" / "parts-network").glob("*.safetensors")
    assert path.name == "step-00000030.safetensors"
    assert list(read_checkpoint(path).arrays) == ["network/fc.weights"]
    with pytest.raises(IdentifierError):
        training.epochs(Checkpoint(tmp_path, parts="optimiser"), [{}])


@pytest.mark.parametrize(
    "options",
    [
        {"keep_last": 0},
        {"best": "shared.score"},
        {"parts": []},
        {"parts": [1]},
        {"scope": "local"},
        {"background": True},
    ],
)
def test_checkpoints_refuse_what_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="Checkpoint"):
        Checkpoint("runs/x", **options)


def test_a_training_without_a_folder_needs_one(tmp_path: Path) -> None:
    training = Savable()
    with pytest.raises(InputError, match="no folder to write to"):
        Checkpoint().attached(training)
    with pytest.raises(InputError, match="no folder to read from"):
        Restore().attached(training)
    training.open_folder(tmp_path)
    training.epochs(Checkpoint(), [{}])
    assert files(tmp_path) == [10]


def test_a_full_disk_is_named_and_the_old_checkpoints_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, hook = Savable(), Checkpoint(tmp_path, keep_last=1)
    training.epochs(hook, [{}])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sigmagraph.runtime.whole_files.fsync", full)
        with pytest.raises(InputError, match=r"step-00000020\.safetensors cannot be written"):
            training.epochs(hook, [{}])
    assert files(tmp_path) == [10]
    assert not list((tmp_path / "checkpoints").glob("*.part"))
    training.epochs(hook, [{}])
    assert files(tmp_path) == [30]


@pytest.mark.parametrize("text", ["", "[]", '{"kept": 3}', '{"kept": {"a": ["../../x.safetensors", 3]}}'])
def test_a_list_that_cannot_be_read_removes_nothing(tmp_path: Path, text: str) -> None:
    for name in ("x.safetensors", "checkpoints/a/step-00000010.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = tmp_path / "checkpoints" / "a"
    (folder / "kept.json").write_text(text)
    keep(folder, "a", ["step-00000020.safetensors"])
    assert (tmp_path / "x.safetensors").exists()
    assert (folder / "step-00000010.safetensors").exists()
    assert kept_by(folder, "a") == ["step-00000020.safetensors"]


# ---- going back


def test_restore_goes_back_to_the_best_or_the_latest(tmp_path: Path) -> None:
    training = Savable()
    training.epochs(Checkpoint(tmp_path, best="validation.accuracy"), accuracies(0.5, 0.9, 0.8))
    for hook in (Restore(tmp_path), Restore(), Restore(tmp_path / "checkpoints", by="validation.accuracy")):
        training.epochs(hook, [{}])
    training.epochs(Restore(tmp_path, which="latest"), [{}])
    training.epochs(Restore(tmp_path / "checkpoints" / "step-00000010.safetensors"), [{}])
    assert [record.document["iteration"] for record in training.restored] == [20, 20, 20, 30, 10]
    assert training.lines[-1].startswith("Restore: parameters are those of ")


def test_restore_refuses_what_is_not_there(tmp_path: Path) -> None:
    training = Savable()
    with pytest.raises(InputError, match="no best checkpoint"):
        training.epochs(Restore(tmp_path), [{}])
    with pytest.raises(InputError, match="no checkpoint"):
        training.epochs(Restore(tmp_path, which="latest"), [{}])
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        training.epochs(Restore(tmp_path / "x.safetensors"), [{}])
    with pytest.raises(AttributeValueError, match="which"):
        Restore(tmp_path, which="first")  # type: ignore[arg-type]


def test_early_stop_gives_back_the_best(tmp_path: Path) -> None:
    training, hook = Savable(), EarlyStop(patience=2, restore_best=True)
    training.open_folder(tmp_path)
    state = training.epochs(hook, accuracies(0.5, 0.9, 0.8, 0.7), saved_at=3)
    assert [record.document["iteration"] for record in training.restored] == [20]
    assert len(training.stops) == 1
    assert json.loads(json.dumps(state))["file"] == "step-00000020.safetensors"
    assert len(list((tmp_path / "checkpoints").rglob("*.safetensors"))) == 1
    assert files(tmp_path) == []


def test_early_stop_needs_a_folder_to_give_back_the_best() -> None:
    with pytest.raises(InputError, match="nowhere to keep the best"):
        Savable().epochs(EarlyStop(restore_best=True), accuracies(0.5))


def test_two_that_stop_early_keep_each_their_best(tmp_path: Path) -> None:
    training = Savable()
    training.open_folder(tmp_path)
    picky = EarlyStop(patience=3, restore_best=True, min_delta=0.2)
    other = EarlyStop(patience=3, restore_best=True)
    states = [picky.initial(), other.initial()]
    for accuracy in (0.5, 0.6, 0.65):
        training.epoch, training.iteration = training.epoch + 1, training.iteration + 10
        for hook, state in zip((picky, other), states, strict=True):
            hook.invoke(training.moment(hook, state, accuracies(accuracy)[0]))
    training.epochs(picky, accuracies(0.6), states[0])
    training.epochs(other, accuracies(0.6, 0.6, 0.6), states[1])
    assert [record.document["iteration"] for record in training.restored] == [10, 30]
