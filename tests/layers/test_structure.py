"""Networks as any graph: branches, shared layers, several inputs and outputs, and errors that name the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembled import Builder, NDArray

from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, GraphError, ShapeError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.tensor.functions import tanh
from sigmagraph.tensor.tensor import Tensor

X = np.random.default_rng(5).uniform(-1, 1, (3, 2, 4)).astype(np.float32)
Y = np.random.default_rng(6).uniform(-1, 1, (3, 5)).astype(np.float32)


def dense(p: dict[str, NDArray], name: str, x: NDArray) -> NDArray:
    return np.asarray(x @ p[f"{name}.weights"] + p[f"{name}.biases"])


# ---- where branches meet, ways around, other shapes


def test_branches_meet() -> None:
    def model() -> Tensor:
        x = L.Input(2, 4)()
        return L.Concat()(L.Add()(x, x * 2, x), L.Multiply()(x, x, x), L.Add()(x))

    np.testing.assert_allclose(Builder(model)(X), np.concatenate([4 * X, X**3, X], -1), rtol=1e-6)


def test_the_axis_of_a_concat_may_be_another() -> None:
    built = Builder(L.Input(2, 4) + (lambda x: L.Concat(axis=1)(x, x)))
    np.testing.assert_array_equal(built(X), np.concatenate([X, X], 1))


def test_branches_stand_side_by_side() -> None:
    parallel = L.Parallel(L.Flatten() + L.Dense(3), lambda x: x.sum(2), L.Flatten())
    built = Builder(L.Input(2, 4) + parallel + L.Output(13))
    assert built.names == [
        "0-input",
        "2-flatten",
        "3-dense",
        "4-function",
        "5-flatten",
        "6-concat",
        "1-parallel",
        "7-output",
    ]
    flat = X.reshape(3, 8)
    expected = np.concatenate([dense(built.parameters(), "3-dense", flat), X.sum(2), flat], 1)
    np.testing.assert_allclose(built(X), expected, rtol=1e-5, atol=1e-6)
    added = Builder(L.Input(2, 4) + L.Parallel(tanh, lambda x: -x, merge=L.Add()))
    np.testing.assert_allclose(added(X), np.tanh(X) - X, rtol=1e-5, atol=1e-6)


def test_a_residual_is_a_way_around() -> None:
    built = Builder(L.Input(5) + L.Residual(L.Dense(7, "tanh") + L.Dense(5)))
    p = built.parameters()
    np.testing.assert_allclose(built(Y), Y + dense(p, "3-dense", np.tanh(dense(p, "2-dense", Y))), rtol=1e-5, atol=1e-6)


def test_an_inner_part_is_applied_to_every_step() -> None:
    built = Builder(L.Input(Dim("time"), 4) + L.TimeDistributed(L.Dense(6) + (lambda x: x.reshape(x.shape[0], 3, 2))))
    assert str(built.output.type) == "f32[batch,time,3,2]"
    expected = dense(built.parameters(), "2-dense", X).reshape(3, 2, 3, 2)
    np.testing.assert_allclose(built(X), expected, rtol=1e-5, atol=1e-6)


def test_records_get_other_shapes() -> None:
    np.testing.assert_array_equal(Builder(L.Input(2, 4) + L.Reshape(2, -1, 2))(X), X.reshape(3, 2, 2, 2))
    np.testing.assert_array_equal(Builder(L.Input(2, 4) + L.Reshape(8))(X), X.reshape(3, 8))
    np.testing.assert_array_equal(Builder(L.Input(2, 4) + L.Permute(2, 1))(X), X.transpose(0, 2, 1))
    assert str(Builder(L.Input(Dim("t"), 4) + L.Reshape(-1, 2)).output.type) == "f32[batch,2*t,2]"


@pytest.mark.parametrize(("bias", "shape"), [("vector", (4,)), ("scalar", ()), ("none", None)])
def test_every_input_has_a_weight_of_its_own(bias: str, shape: tuple[int, ...] | None) -> None:
    built = Builder(L.Input(2, 4) + L.Elementwise("tanh", bias=bias))
    p = built.parameters()
    p["1-elementwise.weights"][:] = [1, 2, 3, 4]
    if shape is not None:
        assert p["1-elementwise.biases"].shape == shape
        p["1-elementwise.biases"][...] = 0.5
    expected = np.tanh(X * [1, 2, 3, 4] + (0.5 if shape is not None else 0))
    np.testing.assert_allclose(built(X), expected, rtol=1e-5, atol=1e-6)


def test_dense_layers_may_keep_axes_and_do_without_biases() -> None:
    built = Builder(L.Input(2, 4) + L.Dense(3, "rel", bias=False, flatten=False))
    assert list(built.parameters()) == ["1-dense.weights"]
    np.testing.assert_allclose(built(X), np.maximum(X @ built.parameters()["1-dense.weights"], 0), rtol=1e-5, atol=1e-6)


# ---- shared layers


def test_a_shared_layer_has_one_set_of_parameters() -> None:
    def model() -> Tensor:
        encode = L.Shared(L.Dense(6, "tanh") + L.Dense(3))
        a, b = L.Input(5, alias="a")(), L.Input(5, alias="b")()
        return encode(a) - encode(b)

    built = Builder(model)
    assert list(built.parameters()) == ["3-dense.weights", "3-dense.biases", "4-dense.weights", "4-dense.biases"]
    assert built.names == ["0-input", "1-input", "3-dense", "4-dense", "2-shared"]
    p = built.parameters()
    a, b = (dense(p, "4-dense", np.tanh(dense(p, "3-dense", x))) for x in (Y, Y[::-1]))
    np.testing.assert_allclose(built(Y, Y[::-1]), a - b, rtol=1e-4, atol=1e-5)


def test_shared_layers_stand_in_shared_layers() -> None:
    def model() -> Tensor:
        x = L.Input(5)()
        inner = L.Shared(L.Dense(5))
        outer = L.Shared(lambda x: inner(x) + L.Dense(5)(x))
        return outer(inner(x)) + outer(x) + inner(x)

    built = Builder(model)
    p = built.parameters()
    assert len(p) == 4

    def inner(x: NDArray) -> NDArray:
        return dense(p, "2-dense", x)

    def outer(x: NDArray) -> NDArray:
        return inner(x) + dense(p, next(n for n in p if not n.startswith("2-")).split(".")[0], x)

    np.testing.assert_allclose(built(Y), outer(inner(Y)) + outer(Y) + inner(Y), rtol=1e-4, atol=1e-5)


def test_shared_dropout_draws_other_numbers_in_each_place() -> None:
    def model() -> Tensor:
        x, drop = L.Input(5)(), L.Shared(L.Dropout(0.5))
        return L.Concat()(drop(x), drop(x))

    built = Builder(model, training=True)
    assert list(built.assembly.hyperparameters) == ["2-dropout.rate"]
    graph, _ = built.output.resolve()
    assert len({node.attrs["stream"] for node in graph.nodes() if "stream" in node.attrs}) == 2


class Counter(Layer):
    """Adds how often it was called, over all programs."""

    name = "#-counter"

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        count = site.state("count", (), x.dtype)
        site.update("count", count + 1)
        return x + count


def test_state_passes_through_the_places_of_a_shared_layer() -> None:
    def model() -> Tensor:
        x, counter = L.Input(5)(), L.Shared(Counter())
        return counter(counter(x))

    built = Builder(model)
    np.testing.assert_allclose(built(Y), Y + 0 + 1, rtol=1e-6)
    np.testing.assert_allclose(built(Y), Y + 2 + 3, rtol=1e-6)
    assert built.parameters() == {"2-counter.count": 4}


def test_a_shared_layer_cannot_have_other_parameters() -> None:
    def model() -> Tensor:
        x, layer = L.Input(5)(), L.Shared(L.Dense(4))
        return layer(layer(x))

    with pytest.raises(GraphError, match=r"at its first call .* '2-dense\.weights'") as caught:
        Builder(model)
    assert "f32[5,4]" in str(caught.value)
    assert "f32[4,4]" in str(caught.value)
    assert "'2-dense' cannot take what '1-shared' gives" in str(caught.value)


def test_a_shared_function_must_call_the_same_layers() -> None:
    sizes = iter([[L.Dense(5)], [L.Dense(5), L.Dense(5)], [L.Dense(5)], []])

    def fickle(x: Tensor) -> Tensor:
        for layer in next(sizes):
            x = layer(x)
        return x

    for _ in range(2):
        shared = L.Shared(fickle)
        with pytest.raises(GraphError, match="other layers than at the first time"):
            Builder(L.Input(5) + (lambda x, shared=shared: shared(shared(x))))


# ---- several inputs and outputs


def test_networks_have_several_inputs_and_outputs() -> None:
    def model() -> Tensor:
        x, y = L.Input(2, 4, alias="image")(), L.Input(5, alias="side")()
        h = L.Concat()(L.Dense(3)(x), y)
        L.Output(8, alias="joint")(h)
        return L.Output(2, alias="head")(L.Dense(2)(h))

    built = Builder(model)
    assert [str(t.type) for t in built.inputs] == ["f32[batch,2,4]", "f32[batch,5]"]
    assert list(built.assembly.outputs) == ["joint", "head"]
    p = built.parameters()
    joint = np.concatenate([dense(p, "2-dense", X.reshape(3, 8)), Y], 1)
    np.testing.assert_allclose(built.value(built.assembly.outputs["joint"], X, Y), joint, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(built(X, Y), dense(p, "5-dense", joint), rtol=1e-5, atol=1e-6)


def test_a_second_input_may_come_in_anywhere() -> None:
    built = Builder(L.Input(5) + L.Dense(4) + (lambda x: L.Add()(x, L.Input(4, alias="more")())) + L.Dense(2))
    assert [t.name for t in built.inputs] == ["inputs", "more"]


# ---- errors


def two_branches() -> Tensor:
    x = L.Input(5)()
    return L.Add()(L.Dense(4, name="left")(x), L.Dense(3, name="right")(x))


def changed_between() -> Tensor:
    x = L.Input(5)()
    a, b = L.Dense(4, name="left")(x), L.Dense(4, name="right")(x)
    return L.Output(4)((a * b).reshape(a.shape[0], 2, 2))


def twice(alias: str) -> Callable[[], Tensor]:
    return lambda: L.Input(3, alias=alias)() + L.Input(3, alias=alias)()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            two_branches,
            ShapeError,
            r"'3-add' cannot take what 'left' gives, f32\[batch,4\] and what 'right' gives, f32\[batch,3\]: its operands",
        ),
        (
            changed_between,
            ShapeError,
            r"'3-output' cannot take its input, made of what 'left' and 'right' give, f32\[batch,2,2\]",
        ),
        (L.Input(5) + L.Residual(L.Dense(4)), ShapeError, r"'1-residual' cannot take what '0-input' gives.*another shape"),
        (L.Input(5) + L.Parallel(L.Dense(4), L.Dense(3), merge=L.Multiply()), ShapeError, "'4-multiply' cannot take what '2-dense'"),
        (L.Input(5) + L.Reshape(3, 2), ShapeError, "'1-reshape' cannot take what '0-input' gives"),
        (L.Input(5) + L.Permute(2, 1), ShapeError, "'1-permute' cannot take what '0-input' gives"),
        (L.Input(2, 4) + L.TimeDistributed(lambda x: x.sum(0)), ShapeError, "'1-timedistributed' .*changes the batch"),
        (L.Input() + L.TimeDistributed(L.Dense(3)), ShapeError, "no steps"),
        (L.Input(Dim("n")) + L.Elementwise(), ShapeError, "'1-elementwise' .*features must be known"),
        (twice("x"), GraphError, "two inputs are called 'x'"),
        (L.Input(3) + 2 * L.Output(), GraphError, "'2-output' cannot take what '1-output' gives.*two outputs are called"),
        (L.Input(3) + (lambda x: L.Dense(2)()), GraphError, "'2-dense' takes other operands"),
        (L.Input(3) + (lambda x: L.Dense(2)(x, x)), GraphError, "'2-dense' takes other operands"),
        (L.Input(3) + (lambda x: L.Add()(x, 1.0)), GraphError, "'2-add' takes tensors"),
        (L.Input(3) + L.Dense(2) + L.Input(3, alias="y"), GraphError, "an input can only stand first"),
        (L.Input(3) + L.Shared(L.Dense(2, name="a")) + L.Dense(2, name="a"), GraphError, "two layers are called 'a'"),
    ],
)  # fmt: skip
def test_errors_name_the_layers(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Builder(model)


def test_an_error_has_the_line_of_the_call() -> None:
    with pytest.raises(ShapeError) as caught:
        Builder(two_branches)
    assert caught.value.location.file == "test_structure.py"
    assert caught.value.location.line == two_branches.__code__.co_firstlineno + 2
    assert (str(caught.value.expected), str(caught.value.got)) == ("[batch,4]", "[batch,3]")


def test_a_layer_asks_for_each_parameter_once() -> None:
    class Twice(Layer):
        name = "#-twice"

        def forward(self, x: Tensor, site: Site, /) -> Tensor:
            return x * site.parameter("a", (), x.dtype, 1) * site.parameter("a", (), x.dtype, 1)

    with pytest.raises(GraphError, match=r"two parameters '1-twice\.a'"):
        Builder(L.Input(3) + Twice())


@pytest.mark.parametrize(
    "make",
    [
        L.Parallel,
        lambda: L.Parallel(3),  # type: ignore[arg-type]
        lambda: L.Residual(3),  # type: ignore[arg-type]
        lambda: L.TimeDistributed(None),  # type: ignore[arg-type]
        lambda: L.Shared("dense"),  # type: ignore[arg-type]
        lambda: L.Permute(0, 1),
        lambda: L.Permute(1, 1),
        lambda: L.Elementwise("tahn"),
        lambda: L.Elementwise(bias="matrix"),
        lambda: L.Dense(-3),
    ],
)
def test_bad_attributes_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(AttributeValueError):
        make()


def test_bad_sizes_are_refused_at_once() -> None:
    for make in (lambda: L.Reshape(-1, -1), lambda: L.Reshape(-2), lambda: L.Reshape(1.5)):  # type: ignore[arg-type]
        with pytest.raises(ShapeError):
            make()
