"""Layers for images: shapes, symbolic sizes, meanings beside NumPy, and wrong uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError, SigmaError
from sigmagraph.initialisers import He, fans

NDArray = np.ndarray[Any, Any]
B, H, W = Dim("batch"), Dim("h"), Dim("w")


def numbers(*shape: int) -> NDArray:
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


def network(*layers: Any, shape: Any, dtype: str = "float32") -> sg.Network:
    whole = L.Input(*shape, dtype=dtype)
    for layer in layers:
        whole = whole + layer  # type: ignore[assignment]
    return sg.Network("images", whole)


def result(net: sg.Network, x: NDArray, training: bool = False) -> NDArray:
    """What a network gives, by the interpreter."""
    graph = net.forward(training=training)
    (out,) = graph.predictions.values()
    return value(out, {graph.inputs[0]: x})


def shape(layer: Any, *sizes: Any, dtype: str = "float32") -> tuple[Any, ...]:
    (out,) = network(layer, shape=sizes, dtype=dtype).forward(training=True).predictions.values()
    return out.shape[1:]


# ---- convolutions


def windows(x: NDArray, weights: NDArray, stride: int = 1) -> NDArray:
    """The convolution of [n, h, w, c] without padding, one place of the result at a time."""
    rows, columns = weights.shape[:2]
    places = [[x[:, i : i + rows, j : j + columns] for j in range(0, x.shape[2] - columns + 1, stride)]
              for i in range(0, x.shape[1] - rows + 1, stride)]  # fmt: skip
    return np.stack([np.stack([np.einsum("nijc,ijco->no", p, weights) for p in row], 1) for row in places], 1)


def test_a_convolution_is_a_sum_of_products_of_windows() -> None:
    net = network(L.Conv2d(4, (3, 2), 2, activation="relu"), shape=(7, 6, 3))
    weights, biases = net.parameters()["1-conv2d.weights"], net.parameters()["1-conv2d.biases"]
    assert (weights.shape, biases.shape) == ((3, 2, 3, 4), (4,))
    biases[:] = numbers(4)
    x = numbers(2, 7, 6, 3)
    np.testing.assert_allclose(result(net, x), np.maximum(windows(x, weights, 2) + biases, 0), rtol=1e-5, atol=1e-5)


def test_channels_first_is_the_same_function() -> None:
    x = numbers(2, 7, 6, 4)
    for layer in (L.Conv2d(6, 3, padding="same", groups=2), L.ConvTranspose2d(6, 3, 2, groups=2), L.BatchNorm(),
                  L.GroupNorm(2), L.InstanceNorm(), L.MaxPool(2), L.GlobalAveragePool(keepdims=True), L.Upsample(2),
                  L.Pad(((0, 1), 2), "edge"), L.PReLU(by_channel=True), L.AdaptiveMaxPool((3, 2))):  # fmt: skip
        last = network(layer, shape=(7, 6, 4))
        first = network(type(layer)(**{**vars(layer), "channels_first": True}), shape=(4, 7, 6))
        got = np.moveaxis(result(first, np.moveaxis(x, -1, 1), training=True), 1, -1)
        np.testing.assert_allclose(got, result(last, x, training=True), rtol=1e-6, atol=1e-6)


def test_depthwise_filters_see_one_channel() -> None:
    net = network(L.Conv2d(6, 3, depthwise=True, bias=False), shape=(5, 5, 3))
    weights = net.parameters()["1-conv2d.weights"]
    assert weights.shape == (3, 3, 1, 6)
    x = numbers(2, 5, 5, 3)
    expected = [windows(x[..., c : c + 1], weights[..., 2 * c : 2 * c + 2]) for c in range(3)]
    np.testing.assert_allclose(result(net, x), np.concatenate(expected, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "sizes", "expected"),
    [
        (L.Conv1d(5, 3), (9, 2), (7, 5)),
        (L.Conv1d(5, 3, 2, "same"), (9, 2), (5, 5)),
        (L.Conv1d(5, 3, padding=((2, 0),)), (9, 2), (9, 5)),
        (L.Conv2d(5, 3, padding="valid", dilation=2), (9, 8, 2), (5, 4, 5)),
        (L.Conv2d(5, 3, padding=((0, 1), 2)), (9, 8, 2), (8, 10, 5)),
        (L.Conv3d(5, (1, 2, 3)), (4, 5, 6, 2), (4, 4, 4, 5)),
        (L.ConvTranspose1d(5, 3, 2, output_padding=1), (9, 2), (20, 5)),
        (L.ConvTranspose2d(5, 3, 2, 1), (9, 8, 2), (17, 15, 5)),
        (L.ConvTranspose3d(5, 2), (2, 3, 4, 2), (3, 4, 5, 5)),
        (L.MaxPool(2), (9, 8, 3), (4, 4, 3)),
        (L.MaxPool((3, 2), 1, "same"), (9, 8, 3), (9, 8, 3)),
        (L.AveragePool(2, channels_first=True), (3, 9, 8), (3, 4, 4)),
        (L.GlobalMaxPool(), (9, 8, 3), (3,)),
        (L.GlobalAveragePool(keepdims=True), (9, 3), (1, 3)),
        (L.AdaptiveMaxPool((4, 3)), (9, 8, 3), (4, 3, 3)),
        (L.AdaptiveAveragePool(2), (9, 8, 3), (2, 2, 3)),
        (L.Upsample(2), (9, 8, 3), (18, 16, 3)),
        (L.Upsample(sizes=(4, 5), mode="cubic"), (9, 8, 3), (4, 5, 3)),
        (L.Pad(1), (9, 8, 3), (11, 10, 3)),
        (L.Pad((1, (0, 2)), channels_first=True), (3, 9, 8), (3, 11, 10)),
        (L.Conv2d(5, 3, padding=1), (H, W, 2), (H, W, 5)),
        (L.Conv2d(5, 3, 2, padding=1), (H, W, 2), ((H + 1) // 2, (W + 1) // 2, 5)),
        (L.ConvTranspose2d(5, 2, 2), (H, W, 2), (2 * H, 2 * W, 5)),
        (L.MaxPool(2), (H, W, 3), (H // 2, W // 2, 3)),
        (L.GlobalAveragePool(), (H, W, 3), (3,)),
        (L.Upsample(2), (H, W, 3), (2 * H, 2 * W, 3)),
        (L.Pad((1, (0, 2))), (H, W, 3), (H + 2, W + 2, 3)),
        (L.BatchNorm(), (H, W, 3), (H, W, 3)),
        (L.GroupNorm(3), (H, W, 6), (H, W, 6)),
    ],
)
def test_shapes(layer: L.Layer, sizes: Any, expected: Any) -> None:
    assert shape(layer, *sizes) == expected


def test_images_of_any_size_are_one_program() -> None:
    """A network of convolutions whose batch and image sizes are all known at the call only."""
    layers = L.Conv2d(4, 3, padding=1, activation="relu"), L.MaxPool(2), L.Conv2d(2, 3), L.GlobalAveragePool()
    net = network(*layers, shape=(H, W, 3))
    for sizes in ((2, 9, 8, 3), (5, 6, 11, 3), (1, 6, 6, 3)):
        x = numbers(*sizes)
        np.testing.assert_allclose(net.predict(x), result(net, x), rtol=1e-5, atol=1e-6)


# ---- first values


def deviation(layer: Any, name: str) -> float:
    return float(network(layer, shape=(3, 3, 64)).parameters()[name].std())


def test_weights_are_drawn_by_what_follows_them() -> None:
    """He's rule before rectifiers, Glorot's else; of transposed convolutions the inputs are the last axis."""
    assert abs(deviation(L.Conv2d(32, 3, activation="relu"), "1-conv2d.weights") / np.sqrt(2 / 576) - 1) < 0.05
    assert abs(deviation(L.Conv2d(32, 3, activation="swish"), "1-conv2d.weights") / np.sqrt(2 / 576) - 1) < 0.05
    assert abs(deviation(L.Conv2d(32, 3), "1-conv2d.weights") / np.sqrt(2 / (576 + 288)) - 1) < 0.05
    transposed = L.ConvTranspose2d(32, 3, activation="relu")
    assert abs(deviation(transposed, "1-convtranspose2d.weights") / np.sqrt(2 / 576) - 1) < 0.05
    assert fans((3, 3, 64, 32)) == (576, 288)


def test_patterns_name_the_parameters() -> None:
    net = network(L.Conv2d(4, 3), L.BatchNorm(), L.Conv2d(2, 3, groups=2), shape=(9, 8, 2))
    assert list(net.resolve("*.weights")) == ["1-conv2d.weights", "3-conv2d.weights"]
    assert list(net.resolve("*.biases")) == ["1-conv2d.biases", "2-batchnorm.biases", "3-conv2d.biases"]
    net.initialise("*.weights", He("uniform"))
    assert net.parameters()["3-conv2d.weights"].shape == (3, 3, 2, 2)


# ---- wrong uses


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.Conv2d(0, 3), "'filters' is out of range"),
        (lambda: L.Conv2d(4, -3), "'kernel' is out of range"),
        (lambda: L.Conv2d(4, (3, 3, 3)), "'kernel' does not have one number"),
        (lambda: L.Conv2d(4, 3, 0), "'strides' is out of range"),
        (lambda: L.Conv2d(4, 3, dilation=1.5), "'dilation' is out of range"),
        (lambda: L.Conv2d(4, 3, padding=-1), "'padding' is out of range"),
        (lambda: L.Conv2d(4, 3, padding="full"), "no such padding"),
        (lambda: L.Conv2d(4, 3, padding=(1, 2, 3)), "'padding' does not have one number"),
        (lambda: L.Conv2d(4, 3, groups=3), "do not divide into groups"),
        (lambda: L.Conv2d(4, 3, groups=2, depthwise=True), "depthwise and has groups"),
        (lambda: L.Conv2d(4, 3, activation="sine"), "no such activation"),
        (lambda: L.ConvTranspose1d(4, 3, padding=((1, 2),)), "'padding' is out of range"),
        (lambda: L.ConvTranspose1d(4, 3, output_padding=-1), "'output_padding' is out of range"),
        (lambda: L.MaxPool(0), "'window' is out of range"),
        (lambda: L.MaxPool((2, 0)), "'window' is out of range"),
        (lambda: L.AveragePool(2, (1, -1)), "'strides' is out of range"),
        (lambda: L.AveragePool(2, padding="no"), "no such padding"),
        (lambda: L.AdaptiveAveragePool(0), "'sizes' is out of range"),
        (L.Upsample, "a scale or sizes"),
        (lambda: L.Upsample(2, 3), "a scale or sizes"),
        (lambda: L.Pad(-1), "'padding' is out of range"),
        (lambda: L.Pad("same"), "its width is a word"),
        (lambda: L.BatchNorm(2.0), "'momentum' is out of range"),
        (lambda: L.BatchNorm(epsilon=-1.0), "'epsilon' is out of range"),
        (lambda: L.GroupNorm(0), "'groups' is out of range"),
        (lambda: L.LayerNorm(epsilon=float("nan")), "'epsilon' is out of range"),
        (lambda: L.RMSNorm(epsilon=-1), "'epsilon' is out of range"),
    ],
)
def test_layers_that_make_no_sense_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SigmaError, match=message) as caught:
        make()
    assert "the layer '#-" in str(caught.value)
    assert caught.value.expected is not None
    assert caught.value.got is not None


@pytest.mark.parametrize(
    ("layer", "sizes", "error", "message"),
    [
        (L.Conv2d(4, 3), (9, 2), ShapeError, "number of axes"),
        (L.Conv1d(4, 3), (9, 8, 2), ShapeError, "number of axes"),
        (L.Conv2d(4, 3), (9, 8, H), ShapeError, "number of channels must be known"),
        (L.Conv2d(4, 3), (9, 2, 5), ShapeError, "window"),
        (L.Conv2d(4, 3, groups=2), (9, 8, 3), ShapeError, "channels do not divide"),
        (L.Conv2d(4, 3, depthwise=True), (9, 8, 3), ShapeError, "filters do not divide"),
        (L.ConvTranspose2d(4, 3, groups=2), (9, 8, 3), ShapeError, "channels do not divide"),
        (L.ConvTranspose2d(4, 3, output_padding=1), (9, 8, 3), AttributeValueError, "too great"),
        (L.MaxPool(2), (9,), ShapeError, "number of axes"),
        (L.MaxPool((2, 2)), (9, 3), ShapeError, "one number for each spatial axis"),
        (L.AveragePool(4), (3, 9, 2), ShapeError, "window"),
        (L.GlobalMaxPool(), (9,), ShapeError, "number of axes"),
        (L.AdaptiveAveragePool(2), (H, 3), ShapeError, "cannot be parted"),
        (L.Upsample(1.5), (H, 3), ShapeError, "cannot be resized"),
        (L.Upsample(2, mode="magic"), (9, 3), AttributeValueError, "no such mode"),
        (L.Pad((1, 2)), (9, 3), ShapeError, "one number for each spatial axis"),
        (L.Pad(1, "magic"), (9, 3), AttributeValueError, "no such mode"),  # type: ignore[arg-type]
        (L.BatchNorm(), (), ShapeError, "more axes"),
        (L.InstanceNorm(), (3,), ShapeError, "more axes"),
        (L.GroupNorm(4), (9, 6), ShapeError, "do not come out even"),
        (L.LayerNorm(3), (9, 6), ShapeError, "no such axis"),
        (L.LayerNorm((1, 2)), (H, 6), ShapeError, "must be known"),
        (L.RMSNorm(), (H,), ShapeError, "must be known"),
        (L.PReLU(by_channel=True), (), ShapeError, "axis of channels"),
    ],
)
def test_what_does_not_fit_is_refused(layer: Any, sizes: Any, error: type[SigmaError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        network(layer, shape=sizes)
    assert f"the layer '1-{type(layer).__name__.lower()}' cannot take what '0-input' gives" in str(caught.value)
    assert caught.value.expected is not None
    assert caught.value.got is not None


@pytest.mark.parametrize(
    "layer",
    [L.Conv2d(4, 3), L.ConvTranspose2d(4, 3), L.AveragePool(2), L.GlobalAveragePool(), L.AdaptiveAveragePool(2),
     L.BatchNorm(), L.GroupNorm(1), L.InstanceNorm(), L.LayerNorm(), L.RMSNorm(), L.PReLU()],
)  # fmt: skip
def test_floats_are_demanded(layer: Any) -> None:
    with pytest.raises(DTypeError, match="reckons with floats"):
        network(layer, shape=(9, 8, 3), dtype="int32")
