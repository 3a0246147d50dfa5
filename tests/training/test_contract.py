"""The registry of a trainer: what can be set takes effect, what cannot is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import hooks
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError, FileFormatError, HookError, IdentifierError

SETTABLE = {
    "iterator.minibatch_size",
    "network.layers.1-dense.biases",
    "network.layers.1-dense.weights",
    "network.layers.2-dropout.rate",
    "optimiser.learning_rate",
}


@cache
def trainer() -> Any:
    layers = L.Input(2) + L.Dense(2) + L.Dropout(0.5) + L.SoftmaxCrossEntropy()
    dataset = Dataset(np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32), "two")
    network = sg.Network("small", layers, seed=3)
    return sg.Trainer(network, sg.optimisers.SGD(learning_rate=0.1), dataset.batches(2), validation=dataset)


def test_what_training_cannot_change_is_refused() -> None:
    registry = trainer().registry
    names = registry.names("**")
    settable = {name for name in names if registry.describe(name).settable}
    assert settable == SETTABLE
    assert {"epoch", "network.layers.1-dense.size", "trainer.name", "validation.accuracy"} <= set(names)
    with pytest.raises(AttributeValueError, match="size cannot be set"):
        registry["network.layers.1-dense.size"] = 3
    assert registry["network.layers.1-dense.size"] == 2


def test_what_is_set_is_what_training_uses() -> None:
    subject = trainer()
    assert subject.registry.assign("**.rate", 0.25) == ["network.layers.2-dropout.rate"]
    assert subject.hyperparameters["2-dropout.rate"] == 0.25
    subject.registry["network.layers.1-dense.biases"] = np.array([1.0, 2.0], np.float32)
    assert subject.network.parameters()["1-dense.biases"].tolist() == [1.0, 2.0]
    subject.registry["iterator.minibatch_size"] = 1
    assert (subject.data.size, subject.registry["iterator.batches"]) == (1, 2)


@pytest.mark.parametrize("name", ["a.b", "*", ""])
def test_names_are_single_words(name: str) -> None:
    subject = trainer()
    dataset = Dataset(np.eye(2, dtype=np.float32), np.arange(2, dtype=np.int32), "two")
    with pytest.raises(IdentifierError):
        subject.add_dataset(name, dataset)
    with pytest.raises(IdentifierError):
        sg.Trainer(subject.network, subject.optimiser, subject.data, name=name)


def test_hooks_share_what_they_provide_and_nothing_of_training_s_own() -> None:
    subject = trainer()
    weights = subject.network.parameters()["1-dense.weights"].copy()

    def sharing(name: str, *provided: str) -> hooks.LambdaHook:
        return hooks.hook("start", provides=provided)(lambda now: now.share(name, 0.0))

    own = "network.layers.1-dense.weights"
    for hook, message in ((sharing("shared.a"), "does not provide"), (sharing(own, own), "training's own")):
        subject.add(hook)
        with pytest.raises(HookError, match=message):
            subject.run(0, bar=False)
        subject.remove(hook)
    assert (subject.network.parameters()["1-dense.weights"] == weights).all()
    subject.add(sharing("shared.a", "shared.a"))
    subject.run(0, bar=False)
    assert subject.registry["shared.a"] == 0.0


def test_a_network_takes_its_parameters_from_a_checkpoint(tmp_path: Path) -> None:
    subject = trainer()
    path = tmp_path / "all.safetensors"
    for parts in ((), ("network",)):
        subject.save(path, *parts)
        other = sg.Network("other", L.Input(2) + L.Dense(2) + L.Dropout(0.5) + L.SoftmaxCrossEntropy(), seed=9)
        other.load(path)
        for name, value in subject.network.parameters().items():
            assert (other.parameters()[name] == value).all()
    with pytest.raises(FileFormatError, match="in part"):
        subject.resume(path)
