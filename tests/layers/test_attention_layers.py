from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembled import Builder, NDArray

from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.tensor.functions import constant

RNG = np.random.default_rng(4)
X = RNG.standard_normal((3, 5, 8)).astype(np.float32)
Y = RNG.standard_normal((3, 7, 6)).astype(np.float32)


def projected(p: dict[str, NDArray], part: str, x: NDArray, heads: int) -> NDArray:
    y = x @ p[f"{part}.weights"] + p.get(f"{part}.biases", 0)
    return np.asarray(y.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3))


def attended(p: dict[str, NDArray], x: NDArray, y: NDArray, heads: int, shared: int, seen: NDArray) -> NDArray:
    """Attention head by head; ``seen`` is broadcast to [batch, heads, t, s]."""
    q = projected(p, "query", x, heads)
    k, v = (projected(p, part, y, shared).repeat(heads // shared, axis=1) for part in ("key", "value"))
    scores = np.where(seen, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (weights / weights.sum(-1, keepdims=True)) @ v
    rows = mixed.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)
    return np.asarray(rows @ p["output.weights"] + p.get("output.biases", 0))


def below(built: Builder, stem: str) -> dict[str, NDArray]:
    return {n.removeprefix(stem): v for n, v in built.parameters().items() if n.startswith(stem)}


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_steps_look_at_what_was_before(shared: int) -> None:
    built = Builder(L.Input(Dim("time"), 8) + L.MultiHeadAttention(4, kv_heads=shared, causal=True, bias=shared > 1))
    assert str(built.output.type) == "f32[batch,time,8]"
    p = below(built, "1-multiheadattention.")
    expected = attended(p, X, X, 4, shared, np.tri(5, dtype=bool))
    np.testing.assert_allclose(built(X), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_steps_look_at_a_context_through_a_mask(rank: int) -> None:
    shape = (3, 2, 5, 7)[4 - rank :] if rank != 3 else (3, 5, 7)

    def model() -> Any:
        x, y = L.Input(5, 8)(), L.Input(7, 6, alias="context")()
        return L.MultiHeadAttention(2)(x, context=y, mask=constant(array))

    array = RNG.random(shape) < 0.6
    array[..., 0] = True
    built = Builder(model)
    seen = array[:, None] if rank == 3 else array
    expected = attended(below(built, "2-multiheadattention."), X, Y, 2, 2, seen)
    np.testing.assert_allclose(built(X, Y), expected, rtol=1e-5, atol=1e-5)


def test_rotary_attention_knows_the_order_of_steps() -> None:
    built = Builder(L.Input(Dim("time"), 8) + L.MultiHeadAttention(2, rotary=True))
    plain = Builder(L.Input(Dim("time"), 8) + L.MultiHeadAttention(2))
    turned = X[:, ::-1]
    np.testing.assert_allclose(plain(turned), plain(X)[:, ::-1], rtol=1e-5, atol=1e-5)
    assert np.abs(built(turned) - built(X)[:, ::-1]).max() > 1e-2


def norm(x: NDArray, scale: NDArray, biases: NDArray) -> NDArray:
    return np.asarray((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + biases)


@pytest.mark.parametrize("first", [True, False])
def test_a_block_is_attention_and_two_dense_layers_beside_ways_around(first: bool) -> None:
    built = Builder(L.Input(5, 8) + L.TransformerBlock(2, hidden=9, activation="relu", norm_first=first))
    stem = "1-transformerblock."
    p = below(built, stem)
    everything = np.ones((5, 5), bool)

    def attention(x: NDArray) -> NDArray:
        return attended(below(built, f"{stem}attention."), x, x, 2, 2, everything)

    def dense(x: NDArray) -> NDArray:
        wide = np.maximum(x @ p["expand.weights"] + p["expand.biases"], 0)
        return np.asarray(wide @ p["contract.weights"] + p["contract.biases"])

    x = X
    for number, part in ((1, attention), (2, dense)):
        scale, biases = p[f"norm{number}.scale"], p[f"norm{number}.biases"]
        x = x + part(norm(x, scale, biases)) if first else norm(x + part(x), scale, biases)
    np.testing.assert_allclose(built(X), x, rtol=1e-4, atol=1e-5)
    assert built.assembly.placed[1].parameters == tuple(stem + name for name in p)


def test_dropout_of_a_block_has_numbers_of_its_own() -> None:
    built = Builder(L.Input(5, 8) + L.TransformerBlock(2, dropout=0.1) + L.Dropout(0.2), training=True)
    assert list(built.assembly.hyperparameters) == [
        "1-transformerblock.dropout1.rate", "1-transformerblock.dropout.rate",
        "1-transformerblock.dropout2.rate", "2-dropout.rate",
    ]  # fmt: skip
    graph, _ = built.output.resolve()
    streams = [node.attrs["stream"] for node in graph.nodes() if "stream" in node.attrs]
    assert len(streams) == len(set(streams)) == 4


def test_positions_are_told_by_waves() -> None:
    built = Builder(L.Input(Dim("time"), 6) + L.PositionalEncoding())
    x = X[:, :, :6]
    t, i = np.arange(5)[:, None], np.arange(3)
    waves = np.empty((5, 6))
    waves[:, 0::2], waves[:, 1::2] = np.sin(t / 10000 ** (2 * i / 6)), np.cos(t / 10000 ** (2 * i / 6))
    np.testing.assert_allclose(built(x), x + waves, rtol=1e-5, atol=1e-6)
    assert built.specs == []


def test_positions_are_learnt() -> None:
    built = Builder(L.Input(Dim("time"), 8) + L.PositionalEncoding(learned=9))
    np.testing.assert_allclose(built(X), X + built.parameters()["1-positionalencoding.weights"][:5], rtol=1e-6)
    with pytest.raises(ShapeError, match="'1-positionalencoding' cannot take what '0-input' gives"):
        Builder(L.Input(12, 8) + L.PositionalEncoding(learned=9))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (L.Input(8) + L.MultiHeadAttention(2), ShapeError, "'1-multiheadattention' cannot take what '0-input' gives"),
        (L.Input(5, 9) + L.MultiHeadAttention(2), ShapeError, "do not come out even"),
        (L.Input(5, 8, dtype="int32") + L.MultiHeadAttention(2), DTypeError, "reckons with floats"),
        (L.Input(5, 8) + L.TransformerBlock(2, cross=True), ShapeError, "the context does not fit"),
        (L.Input(5, 8) + (lambda x: L.TransformerBlock(2)(x, context=x)), ShapeError, "the context does not fit"),
        (
            L.Input(5, 8) + (lambda x: L.MultiHeadAttention(2)(x, mask=x)),
            ShapeError,
            r"'2-multiheadattention' cannot take what '0-input' gives",
        ),
        (L.Input(5, 8) + (lambda x: L.MultiHeadAttention(2)(x, maks=x)), GraphError, "takes other operands.*maks"),
        (L.Input(8) + L.PositionalEncoding(), ShapeError, "takes sequences"),
    ],
)
def test_wrong_operands_are_refused(layers: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Builder(layers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.MultiHeadAttention(0),
        lambda: L.MultiHeadAttention(4, kv_heads=3),
        lambda: L.TransformerBlock(0),
        lambda: L.TransformerBlock(2, hidden=0),
        lambda: L.TransformerBlock(2, activation="gleu"),
        lambda: L.TransformerBlock(2, norm="batch"),
        lambda: L.TransformerBlock(2, dropout=1),
        lambda: L.TransformerBlock(2, epsilon=-1.0),
        lambda: L.PositionalEncoding(learned=0),
        lambda: L.PositionalEncoding(base=0.0),
    ],
)
def test_bad_attributes_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError, match="#-"):
        make()
