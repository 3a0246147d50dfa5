from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.tensor import functions, neural
from sigmagraph.tensor.derivatives import gradients
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.reductions import var

NDArray = np.ndarray[Any, Any]
N = Dim("n")
RNG = np.random.default_rng(8)
X, SCALE, BIAS = RNG.standard_normal((4, 5, 6)) * 3 + 2, RNG.standard_normal(6), RNG.standard_normal(6)


def standardised(x: NDArray, axes: tuple[int, ...], epsilon: float = 1e-5) -> NDArray:
    out = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    return np.asarray(out)


# ---- normalisations


def test_layer_norm() -> None:
    np.testing.assert_allclose(value(neural.layer_norm(X, SCALE, BIAS)), standardised(X, (2,)) * SCALE + BIAS)
    np.testing.assert_allclose(value(neural.layer_norm(X, epsilon=0.5)), standardised(X, (2,), 0.5))
    np.testing.assert_allclose(value(neural.layer_norm(X, bias=BIAS)), standardised(X, (2,)) + BIAS)
    scale = RNG.standard_normal((5, 6))
    np.testing.assert_allclose(value(neural.layer_norm(X, scale, axis=(-1, 1))), standardised(X, (1, 2)) * scale)


def test_rms_norm() -> None:
    expected = X / np.sqrt((X * X).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(value(neural.rms_norm(X)), expected)
    np.testing.assert_allclose(value(neural.rms_norm(X, SCALE)), expected * SCALE)


def test_norms_of_channels() -> None:
    np.testing.assert_allclose(value(neural.batch_norm(X, SCALE, BIAS)), standardised(X, (0, 1)) * SCALE + BIAS)
    np.testing.assert_allclose(value(neural.instance_norm(X, scale=SCALE)), standardised(X, (1,)) * SCALE)
    halves = standardised(X.reshape(4, 5, 2, 3), (1, 3)).reshape(X.shape)
    np.testing.assert_allclose(value(neural.group_norm(X, 2, SCALE, BIAS)), halves * SCALE + BIAS)
    np.testing.assert_allclose(value(neural.group_norm(X, 6)), standardised(X, (1,)))


def test_inference_with_the_statistics_of_the_batch_is_training() -> None:
    mean, variance = functions.mean(X, (0, 1)), var(X, (0, 1))
    trained = value(neural.batch_norm(X, SCALE, BIAS))
    np.testing.assert_allclose(value(neural.batch_norm_inference(X, mean, variance, SCALE, BIAS)), trained)
    known = value(neural.batch_norm_inference(X, X.mean((0, 1)), X.var((0, 1)), epsilon=0.0))
    np.testing.assert_allclose(known, standardised(X, (0, 1), 0.0))


def test_a_great_mean_does_not_hide_the_variance() -> None:
    x = (np.array([[0.0, 1.0, 2.0, 3.0]]) + 1e5).astype(np.float32)
    np.testing.assert_allclose(value(neural.layer_norm(x)), standardised(np.arange(4.0)[None], (1,)), rtol=1e-4)


def test_parameters_take_the_type_of_the_operand() -> None:
    x = placeholder("x", (N, 6), "float32")
    assert str(neural.layer_norm(x, SCALE, BIAS).dtype) == "f32"
    assert neural.layer_norm(x, axis=0, bias=np.zeros(1)).shape == (N, 6)


def test_bad_normalisations() -> None:
    with pytest.raises(ShapeError, match="scale and the axes"):
        neural.layer_norm(X, np.ones(5))
    with pytest.raises(ShapeError, match="no such axis"):
        neural.layer_norm(X, SCALE, axis=3)
    with pytest.raises(ShapeError, match="do not come out even"):
        neural.group_norm(X, 4)
    with pytest.raises(ShapeError, match="too few axes"):
        neural.instance_norm(X[0])
    with pytest.raises(AttributeValueError, match="epsilon"):
        neural.rms_norm(X, epsilon=-1)
    with pytest.raises(ShapeError, match="the channels and a parameter"):
        neural.batch_norm_inference(X, SCALE[:5], SCALE)


# ---- attention

Q, K, V = (RNG.standard_normal(shape) for shape in ((2, 6, 4, 8), (2, 3, 5, 8), (2, 3, 5, 7)))


def attended(q: NDArray, k: NDArray, v: NDArray, seen: NDArray | None = None, scale: float | None = None) -> NDArray:
    """Attention of one head, written out; queries that see nothing give 0."""
    scores = q @ k.T * (q.shape[-1] ** -0.5 if scale is None else scale)
    weights = np.exp(scores) if seen is None else np.exp(scores) * seen
    total = weights.sum(-1, keepdims=True)
    return np.asarray(weights / np.where(total, total, 1) @ v)


def test_attention_of_several_heads() -> None:
    q = Q[:, :3]
    expected = [[attended(*heads) for heads in zip(*example, strict=True)] for example in zip(q, K, V, strict=True)]
    np.testing.assert_allclose(value(neural.attention(q, K, V)), expected)
    np.testing.assert_allclose(value(neural.attention(q, K[0], V[:, :1]))[1, 2], attended(q[1, 2], K[0, 2], V[1, 0]))
    np.testing.assert_allclose(value(neural.attention(q[0, 0], K[0, 0], V[0, 0])), expected[0][0])


def test_heads_of_queries_share_those_of_keys() -> None:
    out = value(neural.attention(Q, K, V, causal=True))
    repeated = value(neural.attention(Q, K.repeat(2, 1), V.repeat(2, 1), causal=True))
    assert out.shape == (2, 6, 4, 7)
    np.testing.assert_allclose(out, repeated)
    np.testing.assert_allclose(out[1, 3], attended(Q[1, 3], K[1, 1], V[1, 1], np.tri(4, 5)))


@pytest.mark.parametrize("shape", [(4, 5), (6, 4, 5), (2, 1, 4, 5), (1, 6, 1, 5), (2, 6, 4, 5)])
def test_masks_are_broadcast(shape: tuple[int, ...]) -> None:
    seen = RNG.integers(0, 2, shape).astype(bool)
    whole = np.broadcast_to(seen, (2, 6, 4, 5))
    expected = [[attended(Q[b, h], K[b, h // 2], V[b, h // 2], whole[b, h]) for h in range(6)] for b in range(2)]
    np.testing.assert_allclose(value(neural.attention(Q, K, V, seen)), expected)
    added = np.where(seen, 0.0, -np.inf)
    np.testing.assert_allclose(value(neural.attention(Q, K, V, added)), expected)


def test_attention_of_symbolic_sizes() -> None:
    q, k = placeholder("q", (N, 4), "float64"), placeholder("k", (N, 4), "float64")
    x = RNG.standard_normal((3, 4))
    out = value(neural.attention(q, k, k, causal=True), {q: x, k: x})
    np.testing.assert_allclose(out, attended(x, x, x, np.tri(3)))


def test_bad_attention() -> None:
    with pytest.raises(ShapeError, match="cannot be broadcast"):
        neural.attention(Q[:, :4], K, V)
    with pytest.raises(ShapeError, match="sizes of queries and keys"):
        neural.attention(Q, K[..., :7], V)
    with pytest.raises(ShapeError, match="too few axes"):
        neural.attention(Q, K, np.ones(5))
    with pytest.raises(DTypeError, match="mask holds integers"):
        neural.attention(Q, K, V, np.ones((4, 5), np.int64))
    with pytest.raises(ShapeError, match="size of the keys must be known"):
        neural.attention(*(placeholder(name, (3, N)) for name in "qkv"))


def test_masked_softmax() -> None:
    mask = np.array([[True, False, True], [False, False, False]])
    x = np.array([[1.0, 50.0, 2.0], [1.0, 2.0, 3.0]])
    out = value(neural.masked_softmax(x, mask))
    np.testing.assert_allclose(out, [[1 / (1 + np.e), 0, np.e / (1 + np.e)], [0, 0, 0]])


# ---- rotary embedding


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_of_turned_vectors_depend_on_their_distance(interleaved: bool) -> None:
    q, k = np.tile(RNG.standard_normal((2, 1, 6)), (1, 9, 1))

    def products(first: int) -> NDArray:
        turned = (value(neural.rotary_embedding(x, np.arange(9) + first, interleaved=interleaved)) for x in (q, k))
        a, b = turned
        return np.asarray(a @ b.T)

    at_start = products(0)
    np.testing.assert_allclose(at_start, products(1000), atol=1e-10)
    np.testing.assert_allclose(at_start[4, 2], at_start[7, 5])
    assert abs(at_start[4, 2] - at_start[4, 3]) > 1e-3


def test_rotary_pairs_and_angles() -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0]] * 3)
    fast, slow = np.exp(2j), np.exp(2j / 10)
    halves, neighbours = (x[2, 0] + 1j * x[2, 2]) * fast, (x[2, 2] + 1j * x[2, 3]) * slow
    out = value(neural.rotary_embedding(x, base=100))
    np.testing.assert_allclose(out[2, [0, 2]], [halves.real, halves.imag])
    np.testing.assert_allclose(out[0], x[0])
    out = value(neural.rotary_embedding(x, base=100, interleaved=True))
    np.testing.assert_allclose(out[2, 2:], [neighbours.real, neighbours.imag])


def test_turning_narrow_floats_counts_in_wider_ones() -> None:
    x = np.ones((4096, 2), np.float16)
    out = value(neural.rotary_embedding(x)).astype(np.float64)
    np.testing.assert_allclose(out[4095, 0], np.cos(4095) - np.sin(4095), atol=2e-3)
    assert value(neural.rotary_embedding(x)).dtype == np.float16


def test_bad_rotations() -> None:
    with pytest.raises(ShapeError, match="twice the number of angles"):
        neural.rotary_embedding(np.ones((4, 3)))
    with pytest.raises(ShapeError, match="must be known"):
        neural.rotary_embedding(placeholder("x", (4, N)))
    with pytest.raises(ShapeError, match="rows of angles"):
        neural.rotary_embedding(np.ones((4, 2)), np.arange(5))
    with pytest.raises(AttributeValueError, match="base"):
        neural.rotary_embedding(np.ones((4, 2)), base=0)


# ---- likeness


def test_cosine_similarity() -> None:
    a, b = X[0], X[1, :1]
    expected = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(value(neural.cosine_similarity(a, b)), expected)
    np.testing.assert_allclose(value(neural.cosine_similarity(a, a, axis=0)), np.ones(6))


def test_the_slope_of_the_likeness_of_nothing_is_finite() -> None:
    x = placeholder("x", (2,), "float64")
    slope = gradients(neural.cosine_similarity(x, np.array([3.0, 4.0])), [x])[0]
    np.testing.assert_allclose(value(slope, {x: np.zeros(2)}), np.array([0.6, 0.8]) * 1e8)
    with pytest.raises(AttributeValueError, match="epsilon"):
        neural.cosine_similarity(x, x, epsilon=0)
