"""Networks of several inputs, outputs and costs, trained with arrays by name; states that layers keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmagraph import layers as L
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import FileFormatError, GraphError, IdentifierError, InputError, ShapeError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.optimisers import SGD, Adam
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.training.network import Network
from sigmagraph.training.trainer import Trainer

RNG = np.random.default_rng(11)
X = RNG.uniform(-1, 1, (60, 2)).astype(np.float32)
Y = RNG.uniform(-1, 1, (60, 3)).astype(np.float32)
SIDE = (X.sum(1) > Y.sum(1)).astype(np.int32)
PRODUCT = (X[:, :1] * Y[:, :1]).astype(np.float32)
RECORDS = {"x": X, "y": Y}
TARGETS = {"side": SIDE, "product": PRODUCT}


def model() -> Tensor:
    h = L.Concat()(L.Input(2, alias="x")(), L.Input(3, alias="y")())
    for _ in range(2):
        h = L.Residual(L.Dense(16, "tanh") + L.Dense(5))(h)
    side = L.SoftmaxCrossEntropy(targets="side", importance=0.5)(L.Dense(2)(h))
    L.Output(2, alias="side")(side)
    return L.Output(1, alias="product")(L.SquaredDifference(targets="product", importance=2)(L.Dense(1)(h)))


def quiet(trainer: Trainer, epochs: int) -> Trainer:
    trainer.run(epochs, bar=False, lines=False)
    return trainer


def test_a_network_learns_two_things_from_two_inputs() -> None:
    network = Network("two", model)
    train = Dataset(RECORDS, TARGETS)
    trainer = quiet(Trainer(network, Adam(0.02), train.batches(20), validation=train), 30)
    assert trainer.history.costs[-1] < 0.3 * trainer.history.costs[0]
    verdict = trainer.history.epochs[-1].validation
    assert verdict is not None
    assert verdict.accuracy is not None
    assert verdict.accuracy > 0.85  # of the one target that is a class
    out = network.predict(X, Y)
    assert list(out) == ["side", "product"]
    np.testing.assert_allclose(out["side"].sum(1), np.ones(60), rtol=1e-5)
    assert ((out["side"].argmax(1) == SIDE).mean()) == pytest.approx(verdict.accuracy)
    again = network.predict(y=Y[:7], x=X[:7])
    np.testing.assert_array_equal(again["product"], network.predict(X[:7], Y[:7])["product"])


def test_every_cost_is_reported() -> None:
    graph = Network("two", model).train_graph(SGD())
    assert (graph.records, graph.targets) == (("x", "y"), ("side", "product"))
    costs = [name for name in graph.outputs if name.startswith("cost.")]
    assert [name.split("-")[1] for name in costs] == ["softmaxcrossentropy", "squareddifference"]


def test_names_must_fit() -> None:
    network = Network("two", model)

    def train(inputs: Any, targets: Any) -> None:
        quiet(Trainer(network, SGD(), Dataset(inputs, targets).batches(20)), 1)

    with pytest.raises(InputError, match="several inputs and the dataset one array") as caught:
        train(X, TARGETS)
    assert "x, y" in str(caught.value)
    with pytest.raises(InputError, match="inputs of the dataset are not those of the network") as caught:
        train({"x": X, "z": Y}, TARGETS)
    assert (caught.value.expected, caught.value.got) == ("x, y", "x, z")
    with pytest.raises(InputError, match="targets of the dataset are not those of the network"):
        train(RECORDS, {"side": SIDE})
    with pytest.raises(InputError):
        network.predict(X)
    with pytest.raises(InputError):
        network.predict(X, z=Y)


def test_datasets_hold_arrays_by_name() -> None:
    data = Dataset(RECORDS, TARGETS, "pairs")
    assert len(data) == 60
    assert repr(data) == (
        "Dataset('pairs', inputs x float32[60,2], y float32[60,3], targets side int32[60], product float32[60,1])"
    )
    first, second = data.split(0.5, 0.5)
    assert len(first) == len(second) == 30
    batch = next(first.batches(7).epoch(0))
    rows = [np.flatnonzero((row == X).all(1))[0] for row in batch.inputs["x"]]
    np.testing.assert_array_equal(batch.targets["side"], SIDE[rows])
    with pytest.raises(ShapeError, match="another number of targets"):
        Dataset({"x": X, "y": Y[:5]}, SIDE)
    with pytest.raises(ShapeError, match="no axis of records"):
        Dataset({}, {})


def test_networks_begin_with_inputs() -> None:
    with pytest.raises(GraphError, match="begins with something else"):
        Network("n", lambda x: x)
    with pytest.raises(GraphError, match="gives no tensor"):
        Network("n", lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(GraphError, match="'1-dense' takes tensors") as caught:
        Network("n", L.Function(nothing) + L.Dense(3))  # type: ignore[arg-type]
    assert "None" in str(caught.value)


def nothing() -> None:
    L.Input(3)()


def test_a_function_may_give_nothing_beside_its_outputs() -> None:
    def tapped() -> None:
        L.Output(alias="twice")(L.Input(3)() * 2)

    np.testing.assert_array_equal(Network("n", tapped).predict(Y), 2 * Y)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="gives nothing"):
        Network("n", nothing).predict(Y)  # type: ignore[arg-type]


# ---- states


class Mean(Layer):
    """Takes off the mean of all records that it was trained with."""

    name = "#-mean"

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        total = site.state("total", (3,), x.dtype)
        seen = site.state("seen", (), x.dtype, initial=1)
        if site.training:
            site.update("total", total + x.sum(0))
            site.update("seen", seen + 20)
        return x - total / seen


def centred() -> Network:
    return Network("centred", L.Input(3) + Mean() + L.Dense(2) + L.SoftmaxCrossEntropy())


def test_training_updates_states_and_prediction_reads_them(tmp_path: Path) -> None:
    network = centred()
    quiet(Trainer(network, SGD(0), Dataset(Y, SIDE).batches(20)), 2)
    states = network.states()
    np.testing.assert_allclose(states["1-mean.total"], 2 * Y.sum(0), rtol=1e-4)
    assert states["1-mean.seen"] == 121
    before = network.predict(Y)
    np.testing.assert_array_equal(network.predict(Y), before)
    assert list(network.parameters()) == ["2-dense.weights", "2-dense.biases"]
    assert list(network.resolve("1-mean.*")) == ["1-mean.total", "1-mean.seen"]
    assert network.parameter_count == 8
    with pytest.raises(IdentifierError):
        network.initialise("1-mean.*", lambda shape, rng: np.ones(shape))
    with pytest.raises(IdentifierError):
        network.freeze("1-mean.*")
    path = tmp_path / "network.safetensors"
    network.save(path)
    other = centred()
    other.load(path)
    np.testing.assert_array_equal(other.predict(Y), before)
    network.forget("1-mean.*")
    assert network.states()["1-mean.seen"] == 1
    assert not network.states()["1-mean.total"].any()
    other.reset()
    assert other.states()["1-mean.seen"] == 1
    with pytest.raises(FileFormatError, match="another network"):
        Network("plain", L.Input(3) + L.Dense(2)).load(path)


def test_labels_that_are_ignored_do_not_count() -> None:
    layers = L.Input(3) + L.Dense(2) + L.SoftmaxCrossEntropy(ignore_index=-1)
    network = Network("ignoring", layers)
    labels = np.where(np.arange(60) < 40, SIDE, -1).astype(np.int32)
    trainer = Trainer(network, SGD(), Dataset(Y, labels).batches(20))
    right = network.predict(Y)[:40].argmax(1) == SIDE[:40]
    assert trainer.evaluate(Dataset(Y, labels)).accuracy == pytest.approx(right.mean())
