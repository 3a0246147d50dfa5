from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembled import Builder
from tensor_value import run, value

from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F64, I32
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.layers.base import chain
from sigmagraph.layers.records import ParameterSpec
from sigmagraph.tensor.capture import capture
from sigmagraph.tensor.functions import concatenate, placeholder
from sigmagraph.tensor.tensor import Tensor

BATCH = Dim("batch")
NUMBERS = np.random.default_rng(0).uniform(-1, 1, (5, 2, 3)).astype(np.float32)


def names(layers: Any) -> list[str]:
    return Builder(layers).names


# ---- composition


def test_layers_are_composed_by_plus_and_times() -> None:
    block = L.Dense(4, "relu") + L.Dropout(0.5)
    whole = L.Input(2, 3) + 2 * block + 2 * L.Dense(3) + L.Output()
    assert names(whole) == [
        "0-input", "1-dense", "2-dropout", "3-dense", "4-dropout", "5-dense", "6-dense", "7-output"
    ]  # fmt: skip
    assert whole == L.Input(2, 3) + (block + block) + (L.Dense(3) + L.Dense(3)) + L.Output()


def test_the_number_stands_anywhere_in_a_name() -> None:
    assert names(L.Input(3) + 2 * L.Dense(4, name="fc#") + L.Dense(2, name="head")) == ["0-input", "fc1", "fc2", "head"]


def test_two_layers_have_two_names() -> None:
    with pytest.raises(GraphError, match="two layers are called 'fc'"):
        names(L.Input(3) + 2 * L.Dense(4, name="fc"))


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", "a/b", None])
def test_bad_names_are_refused(name: Any) -> None:
    with pytest.raises(AttributeValueError, match="name of a layer"):
        names(L.Input(3) + L.Dense(4, name=name))


@pytest.mark.parametrize("times", [0, -1, 1.5, True])
def test_layers_are_repeated_at_least_once(times: Any) -> None:
    with pytest.raises(AttributeValueError, match="repeated"):
        times * L.Dense(3)


def test_only_layers_and_functions_are_parts() -> None:
    with pytest.raises(AttributeValueError, match="no part of a network"):
        L.Dense(3) + 5  # type: ignore[operator]


def test_functions_join_layers_in_any_way() -> None:
    def residual(x: Tensor) -> Tensor:
        return x + L.Dense(4)(L.Dense(8, "relu")(x))

    def branches(x: Tensor) -> Tensor:
        return concatenate([L.Dense(2)(x), L.Dense(3)(x)], axis=1)

    built = Builder(L.Input(4) + residual + branches + L.Output(5))
    assert [placed.name for placed in built.assembly.placed] == [
        "0-input", "2-dense", "3-dense", "1-function", "5-dense", "6-dense", "4-function", "7-output",
    ]  # fmt: skip
    assert built.output.shape == (BATCH, 5)
    x = NUMBERS[:, 0, :1] * np.ones(4, np.float32)
    p = {name: parameter.value for name, parameter in built.assembly.parameters.items()}
    h = np.maximum(x @ p["2-dense.weights"] + p["2-dense.biases"], 0)
    h = x + h @ p["3-dense.weights"] + p["3-dense.biases"]
    expected = [h @ p[f"{i}-dense.weights"] + p[f"{i}-dense.biases"] for i in (5, 6)]
    np.testing.assert_allclose(built(x), np.concatenate(expected, 1), rtol=1e-5)


def test_a_function_may_stand_before_a_layer() -> None:
    parts = chain(L.Input(3)) + ((lambda x: x * 2) + L.Dense(2))
    assert [type(layer).__name__ for layer in parts.layers] == ["Input", "Function", "Dense"]
    with pytest.raises(GraphError, match="gives no tensor"):
        Builder(L.Input(3) + (lambda x: 1.0))  # type: ignore[arg-type, return-value]


def test_layers_are_called_while_a_network_is_assembled() -> None:
    x = placeholder("x", (BATCH, 3))
    with pytest.raises(GraphError, match="no network is assembled"):
        L.Dense(3)(x)
    with pytest.raises(GraphError, match="takes tensors"):
        Builder(L.Input(3) + (lambda x: L.Dense(3)(np.ones((2, 3)))))  # type: ignore[arg-type]


# ---- the layers


def test_dense_flattens_and_stays_one_node() -> None:
    built = Builder(L.Input(2, 3) + L.Dense(4, "tanh"))
    assert built.specs == [
        ParameterSpec("1-dense.weights", built.input.dtype, (6, 4), None),
        ParameterSpec("1-dense.biases", built.input.dtype, (4,), 0),
    ]
    weights = built.assembly.parameters["1-dense.weights"].value
    np.testing.assert_allclose(built(NUMBERS), np.tanh(NUMBERS.reshape(5, 6) @ weights), rtol=1e-5)
    graph, _ = built.output.resolve()
    assert [(node.op.name, node.location.scope) for node in graph.nodes() if node.inputs] == [
        ("reshape", "1-dense"),
        ("dense", "1-dense"),
    ]


def test_dense_takes_the_dtype_of_its_input() -> None:
    assert Builder(L.Input(3, dtype="float64") + L.Dense(2)).output.dtype is F64


@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (L.Flatten(), lambda x: x.reshape(5, 6)),
        (L.Activation("relu"), lambda x: np.maximum(x, 0)),
        (L.Activation("sigmoid"), lambda x: 1 / (1 + np.exp(-x))),
        (L.Activation("tanh"), np.tanh),
        (L.Activation("none"), lambda x: x),
        (L.Activation("softmax"), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (L.Dropout(0.5), lambda x: x),
        (L.Output(2, 3), lambda x: x),
        (L.Output(), lambda x: x),
        (L.SoftmaxCrossEntropy(), lambda x: x),
        (L.SquaredDifference(), lambda x: x),
        (L.Activation("rel"), lambda x: np.maximum(x, 0)),
        (L.Activation("softplus"), lambda x: np.log1p(np.exp(x))),
    ],
)
def test_layers_without_parameters(layer: L.Layer, reference: Callable[[Any], Any]) -> None:
    built = Builder(L.Input(2, 3) + layer)
    np.testing.assert_allclose(built(NUMBERS), reference(NUMBERS), rtol=1e-6)
    assert built.specs == []


def test_dropout_drops_in_training_only() -> None:
    built = Builder(L.Input(50) + L.Dropout(0.25) + L.Dropout(0.5), training=True)
    assert list(built.assembly.hyperparameters) == ["1-dropout.rate", "2-dropout.rate"]
    known, rate = built.assembly.hyperparameters["1-dropout.rate"]
    assert (known.default, rate.shape) == (0.25, ())
    assert built.specs == [ParameterSpec("rng", built.assembly.key.dtype, (2,), 0, False)]  # type: ignore[union-attr]
    rates = [tensor for _, tensor in built.assembly.hyperparameters.values()]
    program = capture([built.input, *rates], {"out": built.output})
    ones = np.ones((200, 50), np.float32)

    def dropped(first: float, second: float) -> np.ndarray[Any, Any]:
        out = run(program, {"inputs": ones, "1-dropout.rate": first, "2-dropout.rate": second})["out"]
        return np.asarray(out == 0)

    assert not dropped(0, 0).any()
    assert abs(dropped(0.25, 0).mean() - 0.25) < 0.02
    # Each layer has numbers of its own: both together leave out what either does.
    np.testing.assert_array_equal(dropped(0.25, 0.25), dropped(0.25, 0) | dropped(0, 0.25))
    assert abs(dropped(0.25, 0.25).mean() - 0.4375) < 0.02


def test_dropout_may_leave_what_is_kept_as_it_is() -> None:
    ones = np.ones((200, 50), np.float32)
    arrays = {"inputs": ones / 3, "1-dropout.rate": 0.25}
    kept = []
    for scale in (True, False):
        built = Builder(L.Input(50) + L.Dropout(0.25, scale=scale), training=True)
        _, rate = built.assembly.hyperparameters["1-dropout.rate"]
        kept.append(run(capture([built.input, rate], {"out": built.output}), arrays)["out"])
    scaled, plain = kept
    np.testing.assert_array_equal(plain, np.where(scaled == 0, 0, ones / 3))
    assert 0.2 < (plain == 0).mean() < 0.3


def test_cost_layers_judge_what_passes_through() -> None:
    built = Builder(L.Input(3) + L.SquaredDifference(0.5, "copy") + L.Dense(4) + L.SoftmaxCrossEntropy())
    targets, costs = built.assembly.targets, built.assembly.costs
    assert {name: str(t.type) for name, t in targets.items()} == {"copy": "f32[batch,3]", "targets": "i32[batch]"}
    assert [cost.layer for cost in costs] == ["1-squareddifference", "3-softmaxcrossentropy"]
    assert costs[0].judged is built.input
    assert costs[1].judged is built.output
    x, y, labels = NUMBERS[:, 0], NUMBERS[:, 1], np.array([0, 1, 2, 3, 0], np.int32)
    logits = built(x)
    inputs = {built.input: x, targets["copy"]: y, targets["targets"]: labels}
    np.testing.assert_allclose(value(costs[0].loss, inputs), 0.5 * ((x - y) ** 2).mean(), rtol=1e-5)
    rows = np.log(np.exp(logits).sum(1)) - logits[range(5), labels]
    np.testing.assert_allclose(value(costs[1].loss, inputs), rows.mean(), rtol=1e-5)
    np.testing.assert_allclose(value(costs[1].prediction, inputs).sum(1), np.ones(5), rtol=1e-5)


def test_cost_layers_share_targets_of_one_type() -> None:
    shared = Builder(L.Input(3) + 2 * L.SquaredDifference())
    assert list(shared.assembly.targets) == ["targets"]
    with pytest.raises(GraphError, match="other targets"):
        Builder(L.Input(3) + L.SquaredDifference() + L.Dense(2) + L.SquaredDifference())


# ---- errors


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (
            L.Input(3) + L.Dense(8) + L.Output(10),
            ShapeError,
            r"'2-output' cannot take what '1-dense' gives, f32\[batch,8\]",
        ),
        (L.Input(Dim("time")) + L.Dense(8), ShapeError, r"'1-dense' cannot take what '0-input' gives.*must be known"),
        (L.Input(3, dtype=I32) + L.Dense(8), DTypeError, r"'1-dense' cannot take what '0-input' gives, i32\[batch,3\]"),
        (L.Input() + L.SoftmaxCrossEntropy(), ShapeError, r"'1-softmaxcrossentropy' cannot take what '0-input' gives"),
        (L.Input(3, dtype=I32) + L.Dropout(0.5), DTypeError, "'1-dropout' cannot take what '0-input' gives"),
        (L.Input(3, dtype=I32) + L.Activation("tanh"), DTypeError, "'1-activation' cannot take what '0-input' gives"),
        (L.Input(3) + L.Dense(2) + L.Input(2), GraphError, "'2-input' cannot take what '1-dense' gives.*first"),
        (
            L.Input(3) + L.Function(lambda x: L.Dense(2)(x.astype("int32"))),
            DTypeError,
            "the layer '2-dense' cannot take its input, made of what '0-input' gives, ",
        ),
    ],
)
def test_errors_name_both_layers(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Builder(layers)
    assert str(caught.value).count("cannot take") == 1
    assert caught.value.location.file in ("assembled.py", "test_layers.py")  # where layers are called


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Dense(0),
        lambda: L.Dense(2.5),  # type: ignore[arg-type]
        lambda: L.Dense(True),
        lambda: L.Dense(3, "reul"),
        lambda: L.Activation("reul"),
        lambda: L.Dropout(1),
        lambda: L.Dropout(-0.1),
        lambda: L.Dropout(float("nan")),
        lambda: L.SoftmaxCrossEntropy(-1),
        lambda: L.SquaredDifference(float("nan")),
    ],
)
def test_bad_attributes_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError, match="#-"):
        make()


def test_bad_sizes_are_refused_at_once() -> None:
    for make in (lambda: L.Input(-1), lambda: L.Output(2.5), lambda: L.Input("3")):  # type: ignore[arg-type]
        with pytest.raises(ShapeError):
            make()
