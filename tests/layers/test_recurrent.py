from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembled import Builder, NDArray

from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, InputError, ShapeError
from sigmagraph.ir.graph.opdef import OpKind
from sigmagraph.tensor.capture import capture
from sigmagraph.training.network import Network

RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 5, 4)).astype(np.float32)
LENGTHS = np.array([5, 2, 0], np.int32)


def sigmoid(x: NDArray) -> NDArray:
    return np.asarray(1 / (1 + np.exp(-x)))


def recurrent(p: dict[str, NDArray], x: NDArray, state: dict[str, NDArray]) -> dict[str, NDArray]:
    return {"state": np.tanh(x @ p["weights"] + p["biases"] + state["state"] @ p["recurrent.weights"])}


def lstm(p: dict[str, NDArray], x: NDArray, state: dict[str, NDArray]) -> dict[str, NDArray]:
    i, f, g, o = np.split(x @ p["weights"] + p["biases"] + state["state"] @ p["recurrent.weights"], 4, axis=-1)
    cell = sigmoid(f) * state["cell"] + sigmoid(i) * np.tanh(g)
    return {"state": sigmoid(o) * np.tanh(cell), "cell": cell}


def gru(p: dict[str, NDArray], x: NDArray, state: dict[str, NDArray]) -> dict[str, NDArray]:
    r, z, n = np.split(x @ p["weights"] + p["biases"], 3, axis=-1)
    a, b, c = np.split(state["state"] @ p["recurrent.weights"], 3, axis=-1)
    new = np.tanh(n + sigmoid(r + a) * (c + p["recurrent.biases"]))
    keep = sigmoid(z + b)
    return {"state": (1 - keep) * new + keep * state["state"]}


STEPS = {"Recurrent": recurrent, "LSTM": lstm, "GRU": gru}


def unrolled(
    kind: str, p: dict[str, NDArray], x: NDArray, lengths: NDArray | None = None, back: bool = False
) -> tuple[NDArray, NDArray]:
    """All states and the last one, sequence by sequence."""
    size = p["recurrent.weights"].shape[0]
    states, last = np.zeros((*x.shape[:2], size)), np.zeros((len(x), size))
    for b, sequence in enumerate(x):
        steps = range(x.shape[1] if lengths is None else lengths[b])
        state = {"state": np.zeros(size), "cell": np.zeros(size)}
        for t in reversed(steps) if back else steps:
            state = STEPS[kind](p, sequence[t], state)
            states[b, t] = state["state"]
        last[b] = state["state"]
    return states, last


def below(built: Builder, stem: str) -> dict[str, NDArray]:
    values = built.parameters()
    return {name.removeprefix(stem): value for name, value in values.items() if name.startswith(stem)}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("back", [False, True])
def test_states_follow_the_formulas(kind: str, back: bool) -> None:
    layer = getattr(L, kind)
    every = Builder(L.Input(Dim("time"), 4) + layer(6, reverse=back))
    last = Builder(L.Input(5, 4) + layer(6, sequences=False, reverse=back))
    assert str(every.output.type) == "f32[batch,time,6]"
    assert str(last.output.type) == "f32[batch,6]"
    stem = every.names[1] + "."
    expected = unrolled(kind, below(every, stem), X, back=back)
    np.testing.assert_allclose(every(X), expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last(X), expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", STEPS)
def test_steps_beyond_a_sequence_give_0_and_keep_the_state(kind: str) -> None:
    def model() -> Any:
        x, lengths = L.Input(5, 4)(), L.Input(alias="lengths", dtype="int32")()
        layer = L.Bidirectional(getattr(L, kind)(6, sequences=sequences))
        return layer(x, lengths=lengths)

    for sequences in (True, False):
        built = Builder(model)
        ways = [below(built, f"2-bidirectional.{way}.") for way in ("forward", "backward")]
        found = [
            unrolled(kind, p, X, LENGTHS, back)[not sequences] for p, back in zip(ways, (False, True), strict=True)
        ]
        np.testing.assert_allclose(built(X, LENGTHS), np.concatenate(found, -1), rtol=1e-5, atol=1e-6)


def test_layers_stand_one_on_top_of_the_other() -> None:
    built = Builder(L.Input(5, 4) + L.GRU(6, depth=2, bidirectional=True, sequences=False))
    x = X
    for level in range(2):
        ways = [below(built, f"1-gru.{level}.{way}.") for way in ("forward", "backward")]
        both = [unrolled("GRU", p, x, back=back) for p, back in zip(ways, (False, True), strict=True)]
        x = np.concatenate([states for states, _ in both], -1)
    np.testing.assert_allclose(built(X), np.concatenate([last for _, last in both], -1), rtol=1e-5, atol=1e-6)


def test_dropout_between_layers_is_a_hyperparameter() -> None:
    built = Builder(L.Input(5, 4) + L.LSTM(6, depth=3, dropout=0.25), training=True)
    assert list(built.assembly.hyperparameters) == ["1-lstm.dropout0.rate", "1-lstm.dropout1.rate"]
    assert Builder(L.Input(5, 4) + L.LSTM(6, depth=3, dropout=0.25)).assembly.hyperparameters == {}


def test_inputs_of_all_steps_are_multiplied_at_once() -> None:
    built = Builder(L.Input(5, 4) + L.LSTM(6))
    graph, _ = capture(built.inputs, {"out": built.output})
    loops = [node for node in graph.nodes() if node.op.name == "scan"]
    products = [node for node in graph.nodes() if node.op.kind is OpKind.CONTRACTION and node.inputs]
    assert len(loops) == 1
    assert [str(graph.type(node.inputs[0])) for node in products] == ["f32[5*batch,4]"]
    inner = [node for node in loops[0].attrs["body"].graph.nodes() if node.op.kind is OpKind.CONTRACTION]
    assert len(inner) == 1


@pytest.mark.parametrize("kind", STEPS)
def test_states_are_carried_from_call_to_call(kind: str) -> None:
    built = Builder(L.Input(5, 4) + getattr(L, kind)(6, carry=3))
    stem = built.names[1] + "."
    again = np.concatenate([X, X[:, ::-1]], axis=1)
    expected, _ = unrolled(kind, below(built, stem), again)
    np.testing.assert_allclose(built(X), expected[:, :5], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(built(X[:, ::-1]), expected[:, 5:], rtol=1e-5, atol=1e-6)
    assert stem + "state" in built.parameters()
    assert stem + "state" not in built.assembly.parameters


def test_a_network_carries_states_and_forgets_them() -> None:
    network = Network("carry", L.Input(5, 4) + L.LSTM(6, sequences=False, carry=3))
    first, second = network.predict(X), network.predict(X)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(network.states()["1-lstm.state"], second)
    network.forget("*.state")
    assert not network.states()["1-lstm.state"].any()
    network.forget("1-lstm.*")
    np.testing.assert_array_equal(network.predict(X), first)
    assert "1-lstm.state" not in network.parameters()
    with pytest.raises(InputError, match="another size"):
        network.predict(X[:2])


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (L.Input(4) + L.LSTM(3), ShapeError, r"'1-lstm' cannot take what '0-input' gives, f32\[batch,4\].*sequences"),
        (L.Input(5, 4, dtype="int32") + L.GRU(3), DTypeError, "'1-gru' cannot take what '0-input' gives"),
        (L.Input(5, Dim("f")) + L.Recurrent(3), ShapeError, "'1-recurrent' .*features of its weights must be known"),
        (
            L.Input(5, 4) + (lambda x: L.GRU(3)(x, lengths=x)),
            ShapeError,
            r"'2-gru' cannot take what '0-input' gives.*lengths of the sequences",
        ),
        (L.Input(5, 4) + (lambda x: L.GRU(3)(x, length=x)), GraphError, r"'2-gru' takes other operands.*length"),
    ],
)
def test_wrong_operands_are_refused(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Builder(layers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.LSTM(0),
        lambda: L.GRU(3, depth=0),
        lambda: L.GRU(3, dropout=1.0),
        lambda: L.LSTM(3, carry=0),
        lambda: L.LSTM(3, carry=2, reverse=True),
        lambda: L.LSTM(3, carry=2, bidirectional=True),
        lambda: L.Recurrent(3, activation="tahn"),
        lambda: L.Bidirectional(L.Dense(3)),  # type: ignore[arg-type]
        lambda: L.Bidirectional(L.LSTM(3, bidirectional=True)),
        lambda: L.Bidirectional(L.LSTM(3, carry=2)),
    ],
)
def test_bad_attributes_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError, match="#-"):
        make()
