"""A checkpoint in a run's folder is where that run goes on, or where another one begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import hooks
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import TrainingStateError
from sigmagraph.training.storage.run_folder import RunFolder
from sigmagraph.training.trainer import Trainer


def trainer(folder: str | Path) -> Trainer:
    dataset = Dataset(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1], np.int32), "four")
    network = sg.Network("small", L.Input(4) + L.Dense(2) + L.SoftmaxCrossEntropy(), seed=3)
    made = Trainer(network, sg.optimisers.SGD(learning_rate=0.1), dataset.batches(2))
    made.add(hooks.Checkpoint(folder))
    return made


def run(of: Trainer, epochs: int) -> None:
    of.run(epochs, bar=False, lines=False)


def epochs(folder: str | Path) -> list[int]:
    return [event["epoch"] for event in RunFolder.read(folder).metrics()]


def test_a_run_goes_on_from_a_file_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(trainer("run"), 3)
    again = trainer("run")
    again.resume(tmp_path / "run/checkpoints/step-00000004.safetensors")
    assert again.epoch == 2
    run(again, 2)
    assert epochs("run") == [1, 2, 3, 4]
    assert [path.name for path in (tmp_path / "run/checkpoints/superseded").iterdir()] == ["step-00000006.safetensors"]


def test_another_run_begins_with_a_file_and_leaves_its_folder_alone(tmp_path: Path) -> None:
    run(trainer(tmp_path / "one"), 3)
    before = sorted(path.name for path in (tmp_path / "one/checkpoints").iterdir())
    branch = trainer(tmp_path / "two")
    branch.resume(tmp_path / "one/checkpoints/step-00000002.safetensors")
    run(branch, 1)
    assert epochs(tmp_path / "one") == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "one/checkpoints").iterdir()) == before
    assert epochs(tmp_path / "two") == [2]
    with pytest.raises(TrainingStateError, match="holds a run already"):
        run(trainer(tmp_path / "two"), 1)
