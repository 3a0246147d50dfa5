"""Normalisation with running statistics, tables of rows, learnt slopes: in training, prediction and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError, IndexRangeError, SigmaError

NDArray = np.ndarray[Any, Any]


def numbers(*shape: int) -> NDArray:
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


def trained(network: sg.Network, x: NDArray, y: NDArray, epochs: int = 1, size: int = 100) -> sg.Trainer:
    batches = sg.data.Dataset(x, y).batches(size, seed=0)
    trainer = sg.Trainer(network, sg.optimisers.SGD(learning_rate=0.1), batches)
    trainer.run(epochs, bar=False, lines=False)
    return trainer


def batch_network(seed: int = 0) -> sg.Network:
    layers = L.Input(4, 3) + L.BatchNorm(0.2, name="norm") + L.Flatten() + L.Dense(2) + L.SquaredDifference()
    return sg.Network("norms", layers, seed=seed)


X, Y = 3 * numbers(10, 4, 3) + 2, numbers(10, 2)


def test_running_statistics_follow_the_batches() -> None:
    network = batch_network()
    mean, variance = np.zeros(3), np.ones(3)
    np.testing.assert_array_equal(network.states()["norm.mean"], mean)
    np.testing.assert_array_equal(network.states()["norm.variance"], variance)
    trained(network, X, Y, epochs=3)
    for _ in range(3):
        mean = 0.8 * mean + 0.2 * X.mean((0, 1))
        variance = 0.8 * variance + 0.2 * X.var((0, 1), ddof=1)
    np.testing.assert_allclose(network.states()["norm.mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(network.states()["norm.variance"], variance, rtol=1e-5)


def test_predictions_take_the_running_statistics() -> None:
    network = batch_network()
    trained(network, X, Y, epochs=2)
    before = {name: state.copy() for name, state in network.states().items()}
    p, s = network.parameters(), network.states()
    h = (X - s["norm.mean"]) / np.sqrt(s["norm.variance"] + 1e-5) * p["norm.scale"] + p["norm.biases"]
    expected = h.reshape(10, 12) @ p["3-dense.weights"] + p["3-dense.biases"]
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-4, atol=1e-5)
    one = np.concatenate([network.predict(X[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)  # a record's result is its own
    for name, state in network.states().items():
        np.testing.assert_array_equal(state, before[name])


def test_files_hold_the_running_statistics(tmp_path: Path) -> None:
    network, other = batch_network(), batch_network(seed=1)
    trained(network, X, Y)
    network.save(tmp_path / "norms.safetensors")
    other.load(tmp_path / "norms.safetensors")
    np.testing.assert_array_equal(other.states()["norm.variance"], network.states()["norm.variance"])
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    another = sg.Network("another", L.Input(4, 3) + L.LayerNorm(name="norm") + L.Flatten() + L.Dense(2))
    with pytest.raises(FileFormatError, match=r"norm\.mean"):
        another.load(tmp_path / "norms.safetensors")


def test_one_number_for_a_channel_leaves_no_nan() -> None:
    network = sg.Network("one", L.Input(3) + L.BatchNorm(name="norm") + L.Dense(2) + L.SquaredDifference())
    trained(network, numbers(5, 3), numbers(5, 2), size=1)
    assert all(np.isfinite(state).all() for state in network.states().values())
    np.testing.assert_allclose(network.states()["norm.variance"], 0.9**5, rtol=1e-5)  # one number does not vary


def test_statistics_are_no_parameters() -> None:
    network = batch_network()
    assert list(network.parameters()) == ["norm.scale", "norm.biases", "3-dense.weights", "3-dense.biases"]
    assert network.parameter_count == 3 + 3 + 24 + 2
    trained(network, X, Y)
    network.reset()
    np.testing.assert_array_equal(network.states()["norm.mean"], np.zeros(3))


def test_half_precision_keeps_wide_statistics() -> None:
    network = sg.Network("half", L.Input(3, dtype="float16") + L.BatchNorm() + L.SquaredDifference())
    x = (numbers(40, 3) + 300).astype(np.float16)
    trained(network, x, np.zeros((40, 3), np.float16))
    mean = network.states()["1-batchnorm.mean"]
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, 0.1 * x.astype(np.float64).mean(0), rtol=1e-5)
    assert network.predict(x).dtype == np.float16


def test_a_shared_norm_has_one_set_of_statistics() -> None:
    norm = L.Shared(L.BatchNorm(0.5, name="norm"))

    def twice(x: sg.Tensor) -> sg.Tensor:
        return norm(x) + norm(x + 1)

    network = sg.Network("twice", L.Input(3) + twice + L.SquaredDifference())
    x = numbers(8, 3)
    trained(network, x, numbers(8, 3))
    expected = 0.5 * (0.5 * x.mean(0)) + 0.5 * (x.mean(0) + 1)
    np.testing.assert_allclose(network.states()["norm.mean"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [(L.LayerNorm(), (2,)), (L.LayerNorm((1, 2), affine=False), (1, 2)), (L.RMSNorm(), (2,)), (L.RMSNorm(1), (1,))],
)
def test_norms_of_features_for_any_number_of_records(layer: Any, axes: tuple[int, ...]) -> None:
    network = sg.Network("features", L.Input(4, 3) + layer)
    x = 2 * numbers(7, 4, 3) + 1
    centred = x - x.mean(axes, keepdims=True) if isinstance(layer, L.LayerNorm) else x
    expected = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.predict(x[:2]), expected[:2], rtol=1e-4, atol=1e-5)


# ---- tables of rows


def tokens(**options: Any) -> sg.Network:
    layers = L.Input(Dim("t"), dtype="int32") + L.Embedding(5, 3, **options, name="table")
    return sg.Network("tokens", layers)


def test_embeddings_are_rows_of_a_table() -> None:
    network = tokens()
    table = network.parameters()["table.weights"]
    assert table.shape == (5, 3)
    for indices in (np.array([[0, 4, 4], [2, 1, 0]], np.int32), np.array([[3, 3, 1, 2]], np.int32)):
        np.testing.assert_array_equal(network.predict(indices), table[indices])


def test_the_padding_index_gives_zeros_and_learns_nothing() -> None:
    layers = (
        L.Input(4, dtype="int32") + L.Embedding(5, 3, padding_index=2, name="table") + L.Flatten() + L.Dense(1)
        + L.SquaredDifference()
    )  # fmt: skip
    network = sg.Network("padded", layers)
    table = network.parameters()["table.weights"]
    before = table.copy()
    indices = np.array([[0, 2, 2, 4], [2, 2, 1, 2]], np.int32)
    trained(network, indices, numbers(2, 1))
    changed = (table != before).any(1)
    np.testing.assert_array_equal(changed, [True, True, False, False, True])
    np.testing.assert_array_equal(tokens(padding_index=2).predict(indices)[indices == 2], np.zeros((5, 3)))


def test_an_index_that_a_table_lacks_is_refused() -> None:
    with pytest.raises(IndexRangeError):
        tokens().predict(np.array([[0, 5]], np.int32))
    with pytest.raises(IndexRangeError):
        tokens().predict(np.array([[-1, 0]], np.int32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 3), AttributeValueError, "'count' is out of range"),
        ((5, -1), AttributeValueError, "'size' is out of range"),
        ((5, 3, 5), AttributeValueError, "'padding_index' is out of range"),
        ((5, 3, None, "int32"), DTypeError, "rows are floats"),
        ((5, 3, None, "text"), DTypeError, "text"),
    ],
)
def test_tables_that_make_no_sense_are_refused(arguments: Any, error: type[SigmaError], message: str) -> None:
    with pytest.raises(error, match=message):
        L.Embedding(*arguments)


def test_embeddings_take_integers() -> None:
    with pytest.raises(DTypeError, match="takes indices"):
        sg.Network("floats", L.Input(4) + L.Embedding(5, 3))


# ---- learnt slopes


def test_a_slope_is_learnt() -> None:
    network = sg.Network("slopes", L.Input(3) + L.PReLU(by_channel=True, name="rectify") + L.SquaredDifference())
    slopes = network.parameters()["rectify.slopes"]
    np.testing.assert_array_equal(slopes, np.full(3, 0.25, np.float32))
    x = numbers(9, 3)
    target = np.where(x > 0, x, np.array([0.5, -0.5, 2.0], np.float32) * x)
    gradient = (2 * (0.25 * x - target) * x * (x < 0)).sum(0) / x.size
    trained(network, x, target)
    np.testing.assert_allclose(slopes, 0.25 - 0.1 * gradient, rtol=1e-5)
