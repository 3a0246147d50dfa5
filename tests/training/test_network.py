from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tensor_value import run

from sigmagraph import layers as L
from sigmagraph.errors import (
    AttributeValueError,
    FileFormatError,
    GraphError,
    IdentifierError,
    InputError,
    ShapeError,
)
from sigmagraph.initialisers import Constant, Glorot, Normal
from sigmagraph.optimisers import SGD, Adagrad, Adam
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.training.network import Network

NDArray = np.ndarray[Any, Any]
RECORDS = np.random.default_rng(0).uniform(-1, 1, (7, 2, 3)).astype(np.float32)
LABELS = np.array([0, 3, 1, 2, 0, 1, 3], np.int32)


def classifier(seed: int = 0, dropout: float = 0.0, name: str = "mlp") -> Network:
    layers = L.Input(2, 3) + L.Dense(5, "tanh") + L.Dropout(dropout) + L.Dense(4) + L.SoftmaxCrossEntropy()
    return Network(name, layers, seed)


def interpreted(
    inputs: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[Tensor, Tensor] | None = None,
    name: str = "main",
) -> Callable[..., dict[str, NDArray]]:
    """What ``compile`` makes, run by the interpreter."""
    program = capture(inputs, outputs, updates, name)

    def call(*positional: Any, **arrays: Any) -> dict[str, NDArray]:
        return run(program, {t.name: a for t, a in zip(inputs, positional, strict=False)} | arrays)

    return call


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigmagraph.training.network.compile", interpreted)


def logits(network: Network) -> NDArray:
    p = network.parameters()
    hidden = np.tanh(RECORDS.reshape(-1, 6) @ p["1-dense.weights"] + p["1-dense.biases"])
    return np.asarray(hidden @ p["3-dense.weights"] + p["3-dense.biases"])


def softmax(x: NDArray) -> NDArray:
    return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))


# ---- parameters


def test_parameters_have_identifiers_and_live_values() -> None:
    network = classifier()
    shapes = {identifier: array.shape for identifier, array in network.parameters().items()}
    assert shapes == {
        "1-dense.weights": (6, 5), "1-dense.biases": (5,), "3-dense.weights": (5, 4), "3-dense.biases": (4,)
    }  # fmt: skip
    assert network.parameter_count == 59
    network.parameters()["1-dense.biases"][:] = 3
    np.testing.assert_array_equal(network.resolve("1-dense.b*")["1-dense.biases"], np.full(5, 3))


def test_patterns_name_several_parameters() -> None:
    network = classifier()
    assert list(network.resolve("*.weights")) == ["1-dense.weights", "3-dense.weights"]
    assert list(network.resolve("[13]-dense.biases")) == ["1-dense.biases", "3-dense.biases"]
    assert list(network.resolve("3-dense.weights")) == ["3-dense.weights"]
    with pytest.raises(IdentifierError, match="names nothing") as caught:
        network.resolve("2-dense.weights")
    assert "3-dense.weights" in str(caught.value)
    with pytest.raises(IdentifierError, match="no pattern"):
        network.resolve(3)  # type: ignore[arg-type]


def test_first_values_are_sensible_and_depend_on_seed_and_identifier_alone() -> None:
    first, again, other = classifier(1).parameters(), classifier(1).parameters(), classifier(2).parameters()
    for identifier, array in first.items():
        np.testing.assert_array_equal(array, again[identifier])
        assert array.any() == identifier.endswith("weights")
    assert not np.array_equal(first["1-dense.weights"], other["1-dense.weights"])
    assert np.abs(first["1-dense.weights"]).max() <= np.sqrt(6 / 11)
    # A layer in between moves nothing but the number.
    shifted = Network("mlp", L.Input(2, 3) + L.Dense(5, "relu") + L.Dense(9), 1).parameters()
    np.testing.assert_array_equal(first["1-dense.weights"], shifted["1-dense.weights"])


def test_the_most_specific_pattern_counts_whatever_the_order() -> None:
    for order in (0, 1):
        network = classifier()
        rules = [("3-dense.biases", Constant(1)), ("*.biases", Constant(2)), ("*", Constant(3))]
        for pattern, initialiser in rules[::-1] if order else rules:
            network.initialise(pattern, initialiser)
        values = {identifier: array.flat[0] for identifier, array in network.parameters().items()}
        assert values == {"1-dense.weights": 3, "1-dense.biases": 2, "3-dense.weights": 3, "3-dense.biases": 1}
    network.initialise("*.biases", Constant(4))
    assert network.parameters()["1-dense.biases"][0] == 4


def test_any_callable_initialises() -> None:
    network = classifier()
    network.initialise("*.weights", lambda shape, rng: np.arange(np.prod(shape)).reshape(shape))
    np.testing.assert_array_equal(network.parameters()["3-dense.weights"], np.arange(20).reshape(5, 4))
    network.initialise("*.weights", Normal(0.1))
    network.reset(seed=9)
    other = classifier(9)
    other.initialise("*.weights", Normal(0.1))
    assert network.seed == 9
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[identifier])


@pytest.mark.parametrize(
    ("pattern", "initialiser", "error"),
    [
        ("*.kernels", Constant(1), IdentifierError),
        ("*", 3.0, AttributeValueError),
        ("*", Glorot(), ShapeError),
        ("*", lambda shape, rng: np.zeros(2), ShapeError),
        ("*", lambda shape, rng: np.full(shape, np.nan), AttributeValueError),
        ("*", lambda shape, rng: np.full(shape, "a"), AttributeValueError),
    ],
)
def test_bad_initialisers_change_nothing(pattern: str, initialiser: Any, error: type[Exception]) -> None:
    network, untouched = classifier(), classifier()
    with pytest.raises(error):
        network.initialise(pattern, initialiser)
    network.reset()
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, untouched.parameters()[identifier])


# ---- graphs


@pytest.mark.usefixtures("no_compiler")
def test_predictions_are_probabilities_behind_a_softmax_cross_entropy() -> None:
    network = classifier(dropout=0.5)
    np.testing.assert_allclose(network.predict(RECORDS), softmax(logits(network)), rtol=1e-5)
    assert network.predict(RECORDS[:1].tolist()).shape == (1, 4)
    regression = Network("linear", L.Input(3) + L.Dense(2) + L.SquaredDifference())
    x, p = RECORDS[:, 0], regression.parameters()
    np.testing.assert_allclose(regression.predict(x), x @ p["1-dense.weights"], rtol=1e-5)


@pytest.mark.usefixtures("no_compiler")
def test_predictions_see_what_became_of_the_parameters() -> None:
    network = classifier()
    network.predict(RECORDS)
    network.initialise("*", Constant(0))
    np.testing.assert_array_equal(network.predict(RECORDS), np.full((7, 4), 0.25, np.float32))


def step_of(network: Network, optimiser: Any) -> tuple[Any, Callable[..., dict[str, NDArray]]]:
    graph = network.train_graph(optimiser)
    return graph, interpreted(graph.inputs, graph.outputs, graph.updates)


def test_a_training_step_follows_the_gradient() -> None:
    network = classifier()
    graph, step = step_of(network, SGD(0.5))
    assert [t.name for t in graph.inputs] == ["inputs", "targets", "2-dropout.rate", "optimiser.learning_rate"]
    probabilities = softmax(logits(network))
    rows = -np.log(probabilities[range(7), LABELS])
    before = network.parameters()["3-dense.biases"].copy()
    out = step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters)
    np.testing.assert_allclose(out["cost"], rows.mean(), rtol=1e-5)
    slope = (probabilities - np.eye(4)[LABELS]).mean(0)
    np.testing.assert_allclose(network.parameters()["3-dense.biases"], before - 0.5 * slope, rtol=1e-4, atol=1e-6)


def test_training_makes_the_cost_small() -> None:
    for optimiser in (SGD(0.5), Adagrad(0.3), Adam(0.05)):
        graph, step = step_of(classifier(), optimiser)
        costs = [float(step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters)["cost"]) for _ in range(40)]
        assert costs[-1] < 0.5 * costs[0]


def test_hyperparameters_are_set_between_steps() -> None:
    network = classifier(dropout=0.5)
    graph, step = step_of(network, SGD(0.5))
    graph.hyperparameters["optimiser.learning_rate"] = 0
    before = {identifier: array.copy() for identifier, array in network.parameters().items()}
    costs = [float(step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters)["cost"]) for _ in range(3)]
    assert len(set(costs)) == 3  # other elements are left out at every step
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, before[identifier])
    graph.hyperparameters["2-dropout.rate"] = 0
    assert step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters) == step(
        inputs=RECORDS, targets=LABELS, **graph.hyperparameters
    )
    with pytest.raises(AttributeValueError, match=r"2-dropout\.rate"):
        graph.hyperparameters["2-dropout.rate"] = 1.0


def test_a_reset_starts_the_random_numbers_again() -> None:
    network = classifier(dropout=0.5)
    graph, step = step_of(network, SGD(0.5))

    def costs() -> list[float]:
        return [float(step(inputs=RECORDS, targets=LABELS, **graph.hyperparameters)["cost"]) for _ in range(3)]

    first = costs()
    assert costs() != first
    network.reset()
    assert costs() == first
    network.reset(seed=1)
    assert costs() != first


def test_two_optimisers_train_one_network_in_graphs_of_their_own() -> None:
    network = classifier()
    first, second = network.train_graph(Adam()), network.train_graph(Adagrad())
    assert set(first.memory) != set(second.memory)
    assert first.inputs[0].workspace is not second.inputs[0].workspace


def test_several_costs_are_weighted_and_reported() -> None:
    layers = L.Input(3) + L.SquaredDifference(0.5) + L.Dense(3) + L.SquaredDifference(2.0)
    network = Network("costs", layers)
    graph, step = step_of(network, SGD(0))
    assert [t.name for t in graph.inputs] == ["inputs", "targets", "optimiser.learning_rate"]
    x, y = RECORDS[:, 0], RECORDS[:, 1]
    out = step(inputs=x, targets=y, **graph.hyperparameters)
    first = 0.5 * ((x - y) ** 2).mean()
    second = 2 * ((x @ network.parameters()["2-dense.weights"] - y) ** 2).mean()
    np.testing.assert_allclose(out["cost.1-squareddifference"], first, rtol=1e-5)
    np.testing.assert_allclose(out["cost.3-squareddifference"], second, rtol=1e-5)
    np.testing.assert_allclose(out["cost"], first + second, rtol=1e-5)


def test_nodes_know_their_layers() -> None:
    network = classifier(dropout=0.5)
    graph = network.train_graph(SGD())
    nodes = capture(graph.inputs, graph.outputs, graph.updates)[0].nodes()
    assert {n.op.name for n in nodes if n.location.scope == "mlp/1-dense" and not n.location.gradient} >= {"dense"}
    assert [n.location.scope for n in nodes if n.op.name in ("dropout", "dense") and not n.location.gradient] == [
        "mlp/1-dense", "mlp/2-dropout", "mlp/3-dense"
    ]  # fmt: skip
    assert {n.location.file for n in nodes} == {"test_network.py"}


def test_networks_are_checked() -> None:
    with pytest.raises(GraphError, match="begins with something else"):
        Network("mlp", L.Dense(3) + L.Dense(4))
    with pytest.raises(GraphError, match="cannot be trained"):
        Network("mlp", L.Input(3) + L.Dense(4)).train_graph(SGD())
    with pytest.raises(GraphError, match="cannot be trained"):
        Network("mlp", L.Input(3) + L.SquaredDifference()).train_graph(SGD())
    with pytest.raises(ShapeError, match="'1-output' cannot take what '0-input' gives"):
        Network("mlp", L.Input(3) + L.Output(4))
    for name in ("", "a b", None):
        with pytest.raises(AttributeValueError, match="no name"):
            Network(name, L.Input(3) + L.Dense(4))  # type: ignore[arg-type]
    for seed in (-1, 2**63, 1.5, True):
        with pytest.raises(AttributeValueError, match="no seed"):
            Network("mlp", L.Input(3) + L.Dense(4), seed)  # type: ignore[arg-type]


def test_a_function_must_build_the_same_layers_in_every_graph() -> None:
    sizes = iter([3, 4])

    def fickle(x: Tensor) -> Tensor:
        return L.Dense(next(sizes))(x)

    network = Network("fickle", L.Input(3) + fickle)
    with pytest.raises(GraphError, match="another one in each graph"):
        network.forward(training=False)


# ---- for people and files


def test_the_summary_is_a_table() -> None:
    assert classifier(dropout=0.5).summary().splitlines() == [
        "layer                  result          parameters",
        "0-input                f32[batch,2,3]           0",
        "1-dense                f32[batch,5]            35",
        "2-dropout              f32[batch,5]             0",
        "3-dense                f32[batch,4]            24",
        "4-softmaxcrossentropy  f32[batch,4]             0",
        "total                                          59",
    ]


def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network, other = classifier(1), classifier(2, name="other")
    path = tmp_path / "network.safetensors"
    network.save(path)
    other.load(str(path))
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[identifier])
    assert list(load_file(path)) == sorted(network.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["network.safetensors"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "network.safetensors"
    network = classifier(1)
    network.save(path)
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sigmagraph.runtime.whole_files.fsync", no_space)
    with pytest.raises(InputError, match="cannot be written") as caught:
        classifier(2).save(path)
    assert "No space left" in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot be written"):
        network.save(tmp_path / "absent" / "network.safetensors")


def _cut(content: bytes) -> bytes:
    return content[:-10]


def _swapped(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


@pytest.mark.parametrize(
    "damage", [_cut, _swapped, lambda _: b"", lambda _: b"PK\x03\x04 something else", lambda c: c[:20]]
)
def test_damaged_files_change_nothing(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    network, untouched = classifier(1), classifier(1)
    classifier(2).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=r"network\.safetensors"):
        network.load(path)
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, untouched.parameters()[identifier])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("3-dense.biases"), "3-dense.biases absent"),
        (lambda a: a.update(more=np.zeros(2, np.float32)), r"more float32\[2\]"),
        (lambda a: a.update({"1-dense.biases": np.zeros(6, np.float32)}), r"1-dense.biases float32\[6\]"),
        (lambda a: a.update({"1-dense.biases": np.zeros(5)}), r"1-dense.biases float64\[5\]"),
    ],
)
def test_files_of_other_networks_change_nothing(change: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    network, untouched = classifier(1), classifier(1)
    arrays = {identifier: array.copy() for identifier, array in classifier(2).parameters().items()}
    change(arrays)
    save_file(arrays, path)
    with pytest.raises(FileFormatError, match="another network") as caught:
        network.load(path)
    assert message.replace("\\", "") in str(caught.value)
    for identifier, array in network.parameters().items():
        np.testing.assert_array_equal(array, untouched.parameters()[identifier])


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        classifier().load(tmp_path / "absent.safetensors")


def test_compiled_predictions_serve_every_number_of_records() -> None:
    network = classifier()
    expected = softmax(logits(network))
    for count in (7, 1, 3):
        np.testing.assert_allclose(network.predict(RECORDS[:count]), expected[:count], rtol=1e-5)
    weights = network.parameters()["3-dense.weights"]
    weights[:] = 0
    np.testing.assert_array_equal(network.predict(RECORDS[:2]), np.full((2, 4), 0.25, np.float32))
    with pytest.raises(InputError):
        network.predict(RECORDS[:, 0])
