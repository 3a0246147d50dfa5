"""Networks with parameters of 16 bits: they train, keep their types, and are saved and loaded bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sigmagraph import layers as L
from sigmagraph.driver import compile
from sigmagraph.dtypes import F32, DType
from sigmagraph.errors import FileFormatError
from sigmagraph.optimisers import SGD, Adam
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.training.network import Network

RECORDS = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
LABELS = ((RECORDS[:, 0] > 0) + 2 * (RECORDS[:, 1] > 0)).astype(np.int32)
every_half = pytest.mark.parametrize("half", [DType.F16, DType.BF16], ids=str)


def classifier(half: DType, seed: int = 0) -> Network:
    layers = L.Input(6, dtype=half) + L.Dense(16, "tanh") + L.Dropout(0.1) + L.Dense(4) + L.SoftmaxCrossEntropy()
    return Network("narrow", layers, seed)


@every_half
@pytest.mark.parametrize("optimiser", [SGD(0.5), Adam(0.05)], ids=["SGD", "Adam"])
def test_training_makes_the_cost_small(half: DType, optimiser: Optimiser) -> None:
    network = classifier(half)
    graph = network.train_graph(optimiser)
    step = compile(graph.inputs, graph.outputs, graph.updates)
    costs = [float(step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters)["cost"]) for _ in range(40)]
    assert costs[-1] < 0.25 * costs[0]
    assert {array.dtype for array in network.parameters().values()} == {half.numpy}
    assert network.predict(RECORDS).dtype == half.numpy


@every_half
def test_what_an_optimiser_remembers_is_wider(half: DType) -> None:
    """Squares of small gradients are 0 in f16, and what Adam divides by is then too."""
    graph = classifier(half).train_graph(Adam(0.05))
    assert {parameter.dtype for parameter in graph.memory.values()} == {F32}


@every_half
def test_parameters_are_saved_and_loaded(half: DType, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    network, other = classifier(half, 1), classifier(half, 2)
    network.save(path)
    other.load(path)
    for identifier, array in network.parameters().items():
        assert other.parameters()[identifier].tobytes() == array.tobytes()
    with pytest.raises(FileFormatError, match="another network"):
        classifier(F32).load(path)


def test_files_of_foreign_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_file({"1-dense.biases": np.zeros(16, np.uint64)}, path)
    with pytest.raises(FileFormatError, match="cannot be used"):
        classifier(F32).load(path)
