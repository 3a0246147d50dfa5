"""The registry of a trainer: what can be set takes effect, what cannot is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError

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
