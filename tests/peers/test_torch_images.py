"""Layers for images, sequences of tokens and normalisation beside those of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from agreement import compare, numbers
from torch import nn

from sigmagraph import layers as L

NDArray = np.ndarray[Any, Any]


def first(x: NDArray) -> NDArray:
    """Channels first."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def last(module: Callable[..., Any]) -> Callable[..., Any]:
    """What a module of PyTorch gives, channels last on both sides."""
    return lambda x: module(x.movedim(-1, 1)).movedim(1, -1)


def both(layer: Any, reference: Callable[..., Any], x: NDArray, first_too: bool = True, **more: Any) -> None:
    """Compare the layer for channels last, and for channels first too."""
    compare(layer, last(reference), x, **more).check(type(layer).__name__)
    if first_too:
        layer = replace(layer, channels_first=True)
        compare(layer, reference, first(x), **more).check(type(layer).__name__)


# ---- convolutions


def kernel(named: Mapping[str, NDArray]) -> NDArray:
    """From [o, c / groups, *kernel] to [*kernel, c / groups, o]; the same exchange holds for transposed ones."""
    return np.moveaxis(named["weight"], (0, 1), (-1, -2))


CONVOLUTIONS = [
    ((2, 9, 4), nn.Conv1d, L.Conv1d(5, 3), {}),
    ((3, 9, 8, 2), nn.Conv2d, L.Conv2d(5, 3), {}),
    ((3, 9, 8, 2), nn.Conv2d, L.Conv2d(7, 1), {}),
    (
        (3, 9, 8, 4),
        nn.Conv2d,
        L.Conv2d(6, (3, 2), (2, 3), (1, 2), groups=2),
        {"stride": (2, 3), "padding": (1, 2), "groups": 2},
    ),
    ((3, 9, 8, 4), nn.Conv2d, L.Conv2d(4, 3, padding="same", depthwise=True), {"padding": "same", "groups": 4}),
    (
        (2, 9, 8, 3),
        nn.Conv2d,
        L.Conv2d(6, 3, padding=1, dilation=2, depthwise=True),
        {"padding": 1, "dilation": 2, "groups": 3},
    ),
    ((3, 11, 10, 3), nn.Conv2d, L.Conv2d(4, 3, padding="valid", dilation=(2, 3), bias=False), {"dilation": (2, 3)}),
    ((2, 6, 5, 7, 2), nn.Conv3d, L.Conv3d(3, (2, 3, 2), 2, 1), {"stride": 2, "padding": 1}),
    ((2, 9, 4), nn.ConvTranspose1d, L.ConvTranspose1d(5, 3), {}),
    (
        (2, 9, 4),
        nn.ConvTranspose1d,
        L.ConvTranspose1d(6, 4, 3, 2, groups=2),
        {"stride": 3, "padding": 2, "groups": 2},
    ),
    (
        (3, 5, 4, 2),
        nn.ConvTranspose2d,
        L.ConvTranspose2d(5, 3, 2, 1, output_padding=1),
        {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    ((3, 5, 4, 2), nn.ConvTranspose2d, L.ConvTranspose2d(4, (2, 3), dilation=(2, 1), bias=False), {"dilation": (2, 1)}),
    ((2, 3, 4, 5, 2), nn.ConvTranspose3d, L.ConvTranspose3d(3, 2, (2, 1, 2)), {"stride": (2, 1, 2)}),
]


@pytest.mark.parametrize(("shape", "kind", "layer", "options"), CONVOLUTIONS)
def test_convolutions(shape: Any, kind: Any, layer: Any, options: Any) -> None:
    torch.manual_seed(0)
    module = kind(shape[-1], layer.filters, layer.window, bias=layer.bias, **options)
    weights = {"weights": kernel, "biases": lambda named: named["bias"]}
    both(layer, module, numbers(*shape), weights=weights, module=module)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_activations_of_convolutions(activation: str) -> None:
    module = nn.Conv2d(2, 4, 3)
    layer = L.Conv2d(4, 3, activation=activation)
    weights = {"weights": kernel, "biases": lambda named: named["bias"]}
    reference = nn.Sequential(module, getattr(nn, {"relu": "ReLU", "tanh": "Tanh"}[activation])())
    both(layer, reference, numbers(3, 6, 5, 2), first_too=False, weights=weights, module=module)


# ---- pooling, sizes, borders

SIZES = [
    ((2, 9, 3), L.MaxPool(2), nn.MaxPool1d(2)),
    ((2, 9, 8, 3), L.MaxPool((3, 2), (2, 1), 1), nn.MaxPool2d((3, 2), (2, 1), 1)),
    ((2, 9, 8, 3), L.MaxPool(2, dilation=2), nn.MaxPool2d(2, dilation=2)),
    ((2, 5, 6, 7, 2), L.MaxPool(2), nn.MaxPool3d(2)),
    ((2, 9, 3), L.AveragePool(3, 2), nn.AvgPool1d(3, 2)),
    ((2, 9, 8, 3), L.AveragePool((3, 2), (2, 1), 1), nn.AvgPool2d((3, 2), (2, 1), 1)),
    (
        (2, 9, 8, 3),
        L.AveragePool(3, padding=1, count_padding=False),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
    ),
    ((2, 5, 6, 7, 2), L.AveragePool(2), nn.AvgPool3d(2)),
    ((2, 9, 8, 3), L.GlobalMaxPool(keepdims=True), nn.AdaptiveMaxPool2d(1)),
    ((2, 9, 8, 3), L.GlobalAveragePool(keepdims=True), nn.AdaptiveAvgPool2d(1)),
    ((2, 9, 8, 3), L.AdaptiveMaxPool((4, 3)), nn.AdaptiveMaxPool2d((4, 3))),
    ((2, 9, 8, 3), L.AdaptiveAveragePool((4, 3)), nn.AdaptiveAvgPool2d((4, 3))),
    ((2, 9, 3), L.AdaptiveAveragePool(2), nn.AdaptiveAvgPool1d(2)),
    ((2, 5, 4, 3), L.Upsample(2), nn.Upsample(scale_factor=2)),
    ((2, 5, 4, 3), L.Upsample(sizes=(7, 9)), nn.Upsample((7, 9))),
    ((2, 5, 4, 3), L.Upsample(sizes=(7, 3), mode="nearest_exact"), nn.Upsample((7, 3), mode="nearest-exact")),
    ((2, 5, 3), L.Upsample(1.5, mode="linear"), nn.Upsample(scale_factor=1.5, mode="linear")),
    ((2, 5, 4, 3), L.Upsample(2, mode="linear"), nn.Upsample(scale_factor=2, mode="bilinear")),
    (
        (2, 5, 4, 3),
        L.Upsample(sizes=(7, 9), mode="linear", align_corners=True),
        nn.Upsample((7, 9), mode="bilinear", align_corners=True),
    ),
    ((2, 3, 4, 3, 2), L.Upsample(2, mode="linear"), nn.Upsample(scale_factor=2, mode="trilinear")),
    ((2, 5, 4, 3), L.Upsample(2, mode="cubic"), nn.Upsample(scale_factor=2, mode="bicubic")),
    ((2, 5, 4, 3), L.Pad(((1, 2), (0, 3))), nn.ZeroPad2d((0, 3, 1, 2))),
    ((2, 5, 3), L.Pad(2, value=1.5), nn.ConstantPad1d(2, 1.5)),
    ((2, 5, 4, 3), L.Pad((2, 1), "reflect"), nn.ReflectionPad2d((1, 1, 2, 2))),
    ((2, 5, 4, 3), L.Pad((2, 1), "edge"), nn.ReplicationPad2d((1, 1, 2, 2))),
    ((2, 5, 4, 3), L.Pad((2, 1), "wrap"), nn.CircularPad2d((1, 1, 2, 2))),
]


@pytest.mark.parametrize(("shape", "layer", "module"), SIZES)
def test_sizes(shape: Any, layer: Any, module: Any) -> None:
    both(layer, module, numbers(*shape), first_too=len(shape) == 4)


# ---- normalisation


AFFINE = {"scale": lambda named: named["weight"], "biases": lambda named: named["bias"]}


def shaken(module: nn.Module) -> nn.Module:
    """A module whose parameters are not 0 and 1."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.5 * torch.randn(parameter.shape)
    return module


BATCHES = [
    ((7, 3), nn.BatchNorm1d(3), L.BatchNorm()),
    ((4, 5, 3), nn.BatchNorm1d(3, momentum=0.3, eps=1e-3), L.BatchNorm(0.3, epsilon=1e-3)),
    ((4, 5, 6, 3), nn.BatchNorm2d(3), L.BatchNorm()),
    ((4, 5, 6, 3), nn.BatchNorm2d(3, affine=False), L.BatchNorm(affine=False)),
    ((3, 2, 5, 4, 3), nn.BatchNorm3d(3), L.BatchNorm()),
]


@pytest.mark.parametrize(("shape", "module", "layer"), BATCHES)
def test_batch_norm(shape: Any, module: Any, layer: Any) -> None:
    """In training with the running statistics after three steps, then as the network predicts."""
    x = 2 * numbers(*shape) + 3
    states = {"mean": lambda named: named["running_mean"], "variance": lambda named: named["running_var"]}
    shaken(module)
    for channels_first in (False, True) if len(shape) == 4 else (False,):
        module.reset_running_stats()
        layer = replace(layer, channels_first=channels_first)
        reference, operand = (module, first(x)) if channels_first else (last(module), x)
        more = {"weights": AFFINE, "module": module, "states": states}
        compare(layer, reference, operand, steps=3, **more).check(type(layer).__name__)
        module.reset_running_stats()
        compare(layer, reference, operand, training=False, **more).check(type(layer).__name__)


NORMS = [
    ((3, 5, 4, 6), nn.GroupNorm(3, 6), L.GroupNorm(3)),
    ((3, 6), nn.GroupNorm(2, 6, eps=1e-3), L.GroupNorm(2, epsilon=1e-3)),
    ((3, 5, 6), nn.GroupNorm(2, 6, affine=False), L.GroupNorm(2, affine=False)),
    ((3, 5, 4), nn.InstanceNorm1d(4, affine=True), L.InstanceNorm()),
    ((3, 5, 4, 2), nn.InstanceNorm2d(2), L.InstanceNorm(affine=False)),
    ((3, 2, 5, 4, 2), nn.InstanceNorm3d(2, affine=True), L.InstanceNorm()),
]


@pytest.mark.parametrize(("shape", "module", "layer"), NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_norms_of_channels(shape: Any, module: Any, layer: Any, training: bool) -> None:
    more = {"weights": AFFINE, "module": shaken(module), "training": training}
    both(layer, module, 2 * numbers(*shape) + 3, first_too=training and len(shape) > 2, **more)


FEATURES = [
    ((3, 5, 4), nn.LayerNorm(4), L.LayerNorm()),
    ((3, 5, 4), nn.LayerNorm((5, 4), eps=1e-3), L.LayerNorm((-2, -1), 1e-3)),
    ((3, 5, 4), nn.LayerNorm(4, bias=False), L.LayerNorm(bias=False)),
    ((3, 4), nn.LayerNorm(4, elementwise_affine=False), L.LayerNorm(affine=False)),
    ((3, 5, 4), nn.RMSNorm(4, eps=1e-5), L.RMSNorm()),
    ((3, 5, 4), nn.RMSNorm((5, 4), eps=1e-3), L.RMSNorm((1, 2), 1e-3)),
    ((3, 4), nn.RMSNorm(4, eps=1e-5, elementwise_affine=False), L.RMSNorm(affine=False)),
]


@pytest.mark.parametrize(("shape", "module", "layer"), FEATURES)
def test_norms_of_features(shape: Any, module: Any, layer: Any) -> None:
    x = 2 * numbers(*shape) + 3
    compare(layer, shaken(module), x, weights=AFFINE, module=module).check(type(layer).__name__)


# ---- tables and slopes


@pytest.mark.parametrize("padding_index", [None, 2])
def test_embedding(padding_index: int | None) -> None:
    module = nn.Embedding(7, 4, padding_idx=padding_index)
    layer = L.Embedding(7, 4, padding_index)
    indices = np.random.default_rng(0).integers(0, 7, (3, 11))
    compare(layer, module, indices, weights={"weights": lambda n: n["weight"]}, module=module).check(
        type(layer).__name__
    )


@pytest.mark.parametrize("by_channel", [False, True])
def test_prelu(by_channel: bool) -> None:
    module = shaken(nn.PReLU(5 if by_channel else 1))
    slopes = {"slopes": lambda named: named["weight"]}
    both(L.PReLU(by_channel), module, numbers(3, 4, 6, 5), weights=slopes, module=module)
