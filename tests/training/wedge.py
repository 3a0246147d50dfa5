"""A problem that is learnt in a second, its network, and what tests compare of a training."""

from __future__ import annotations

from typing import Any

import numpy as np

from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.optimisers.adam import Adam
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer


def wedge(records: int = 120) -> Dataset:
    """Points inside and outside a wedge: no straight line parts them."""
    points = np.random.default_rng(0).uniform(-1, 1, (records, 2)).astype(np.float32)
    return Dataset(points, (points[:, 0] > abs(points[:, 1])).astype(np.int32), "wedge")


def classifier(seed: int = 0, dropout: float = 0.1) -> Network:
    """A network for it; all tests have the same one, so that it is compiled once."""
    layers = L.Input(2) + L.Dense(16, activation="tanh") + L.Dropout(dropout) + L.Dense(2) + L.SoftmaxCrossEntropy()
    return Network("wedge", layers, seed)


def trainer(optimiser: Optimiser | None = None, **options: Any) -> Trainer:
    """Four batches an epoch, the last of which is smaller, and held-out records."""
    train, held_out = wedge().split(0.8, 0.2)
    dropout = options.pop("dropout", 0.1)
    return Trainer(classifier(dropout=dropout), optimiser or Adam(0.03), train.batches(25), held_out, **options)


def bits(of: Trainer) -> dict[str, bytes]:
    """Everything that training changes."""
    variables = {**of.network.variables, **{name: p.variable for name, p in of.memory.items()}, **of.crew.more()}
    return {name: variable.value.tobytes() for name, variable in variables.items()}


QUIET: dict[str, Any] = {"bar": False, "lines": False}
