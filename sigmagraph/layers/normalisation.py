"""Layers that give their input mean 0 and variance 1: over the batch, over features, over groups of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from sigmagraph.dims import Size, maximum, product
from sigmagraph.dtypes import DType
from sigmagraph.errors import ShapeError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, check_floats, check_number, known, making
from sigmagraph.ops.fragments import size_value
from sigmagraph.ops.reduction import accumulator
from sigmagraph.tensor import neural, shapes
from sigmagraph.tensor.reductions import var
from sigmagraph.tensor.shaping import moveaxis
from sigmagraph.tensor.tensor import Tensor, located


@dataclass(frozen=True)
class _ByChannel(Layer):
    """What normalisations with one scale and one bias for each channel have in common."""

    _: KW_ONLY
    epsilon: float = 1e-5
    affine: bool = True
    channels_first: bool = False

    def __post_init__(self) -> None:
        with making(self.name):
            check_number(self.epsilon, "epsilon")

    def _applied(
        self, x: Tensor, site: Site, least: int, function: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    ) -> Tensor:
        """What a function gives for a tensor whose channels stand last, their scales and their biases."""
        check_floats(x)
        if x.ndim < least:
            raise ShapeError("it needs more axes", expected=f"{least} or more, channels among them", got=x.type)
        x = moveaxis(x, 1, -1) if self.channels_first else x
        scale = bias = None
        if self.affine:
            channels = known(x.shape[-1], "the number of channels")
            scale = site.parameter("scale", (channels,), x.dtype, initial=1)
            bias = site.parameter("biases", (channels,), x.dtype, initial=0)
        y = function(x, scale, bias)
        return moveaxis(y, -1, 1) if self.channels_first else y


@dataclass(frozen=True)
class BatchNorm(_ByChannel):
    """``(x - mean) / sqrt(variance + epsilon) * scale + biases`` for x[batch, ..., channels].

    In training mean and variance are those of each channel over the batch and all other axes. The layer keeps running
    ones, which the network takes when it predicts: ``running = (1 - momentum) * running + momentum * batch``, where
    the variance of n elements is that with ``n - 1`` as divisor, as in PyTorch.
    Source: S. Ioffe, C. Szegedy, "Batch normalization" (2015).

    Parameters, of x's dtype: ``scale`` [channels], 1; ``biases`` [channels], 0. States, of x's dtype but at least f32:
    ``mean`` [channels], 0; ``variance`` [channels], 1.

    Args:
        momentum: how much a batch counts, from 0 to 1.
        epsilon: at least 0.
        affine: whether there are scale and biases.
        channels_first: whether x is [batch, channels, ...].
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range.
    """

    momentum: float = 0.1
    _: KW_ONLY
    name: str = "#-batchnorm"

    def __post_init__(self) -> None:
        super().__post_init__()
        with making(self.name):
            check_number(self.momentum, "momentum", 1)

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        def normalised(x: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
            channels, dtype = known(x.shape[-1], "the number of channels"), accumulator(x.dtype)
            mean = site.state("mean", (channels,), dtype, initial=0)
            variance = site.state("variance", (channels,), dtype, initial=1)
            wide = x.astype(dtype)
            if not site.training:
                return neural.batch_norm_inference(wide, mean, variance, scale, bias, self.epsilon).astype(x.dtype)
            axes, count = range(x.ndim - 1), product(x.shape[:-1])
            unbiased = var(wide, axes) * (_number(x, count, dtype) / _number(x, maximum(count - 1, 1), dtype))
            site.update("mean", mean * (1 - self.momentum) + wide.mean(axes) * self.momentum)
            site.update("variance", variance * (1 - self.momentum) + unbiased * self.momentum)
            return neural.batch_norm(x, scale, bias, self.epsilon)

        return self._applied(x, site, 2, normalised)


@dataclass(frozen=True)
class InstanceNorm(_ByChannel):
    """``(x - mean) / sqrt(variance + epsilon) * scale + biases`` for x[batch, ..., channels].

    Mean and variance are those of each channel of each record. Source: D. Ulyanov et al., "Instance normalization"
    (2016). Parameters, of x's dtype: ``scale`` [channels], 1; ``biases`` [channels], 0.

    Args:
        epsilon: at least 0.
        affine: whether there are scale and biases.
        channels_first: whether x is [batch, channels, ...].
        name: of the layer.

    Raises:
        AttributeValueError: epsilon is negative.
    """

    _: KW_ONLY
    name: str = "#-instancenorm"

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        return self._applied(x, site, 3, lambda x, scale, bias: neural.instance_norm(x, scale, bias, self.epsilon))


@dataclass(frozen=True)
class GroupNorm(_ByChannel):
    """``(x - mean) / sqrt(variance + epsilon) * scale + biases`` for x[batch, ..., channels].

    Mean and variance are those of each record and each group of channels that stand side by side. Source: Y. Wu, K. He,
    "Group normalization" (2018). Parameters, of x's dtype: ``scale`` [channels], 1; ``biases`` [channels], 0.

    Args:
        groups: their number, which divides the channels.
        epsilon: at least 0.
        affine: whether there are scale and biases.
        channels_first: whether x is [batch, channels, ...].
        name: of the layer.

    Raises:
        AttributeValueError: there are no groups, or epsilon is negative.
    """

    groups: int
    _: KW_ONLY
    name: str = "#-groupnorm"

    def __post_init__(self) -> None:
        super().__post_init__()
        with making(self.name):
            check_count(self.groups, "groups")

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        def normalised(x: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
            return neural.group_norm(x, self.groups, scale, bias, self.epsilon)

        return self._applied(x, site, 2, normalised)


# ---- over chosen axes


@dataclass(frozen=True)
class LayerNorm(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * scale + biases``, with mean and variance over some axes of each record.

    Source: J. L. Ba et al., "Layer normalization" (2016). Parameters, of x's dtype and of the sizes of these axes:
    ``scale``, 1; ``biases``, 0.

    Args:
        axes: one or several axes; the last one if left out.
        epsilon: at least 0.
        affine: whether there is a scale.
        bias: whether there are biases; there are none without a scale.
        name: of the layer.

    Raises:
        AttributeValueError: epsilon is negative.
    """

    axes: int | Sequence[int] = -1
    epsilon: float = 1e-5
    affine: bool = True
    bias: bool = True
    name: str = "#-layernorm"

    def __post_init__(self) -> None:
        with making(self.name):
            check_number(self.epsilon, "epsilon")

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        scale = bias = None
        if self.affine:
            shape = _sizes(x, self.axes)
            scale = site.parameter("scale", shape, x.dtype, initial=1)
            bias = site.parameter("biases", shape, x.dtype, initial=0) if self.bias else None
        return neural.layer_norm(x, scale, bias, self.axes, self.epsilon)


@dataclass(frozen=True)
class RMSNorm(Layer):
    """``x / sqrt(mean(x ** 2) + epsilon) * scale``, with the mean over some axes of each record.

    Source: B. Zhang, R. Sennrich, "Root mean square layer normalization" (2019). Parameter, of x's dtype and of the
    sizes of these axes: ``scale``, 1.

    Args:
        axes: one or several axes; the last one if left out.
        epsilon: at least 0.
        affine: whether there is a scale.
        name: of the layer.

    Raises:
        AttributeValueError: epsilon is negative.
    """

    axes: int | Sequence[int] = -1
    epsilon: float = 1e-5
    affine: bool = True
    name: str = "#-rmsnorm"

    def __post_init__(self) -> None:
        with making(self.name):
            check_number(self.epsilon, "epsilon")

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        scale = site.parameter("scale", _sizes(x, self.axes), x.dtype, initial=1) if self.affine else None
        return neural.rms_norm(x, scale, self.axes, self.epsilon)


def _sizes(x: Tensor, axes: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes of axes in their order in x."""
    places = sorted(located(shapes.normal_axes, shapes.reduced_axes(axes, x.ndim), x.ndim))
    return tuple(known(x.shape[axis], f"the size of axis {axis}") for axis in places)


def _number(x: Tensor, size: Size, dtype: DType) -> Tensor:
    """A size as a number to reckon with, in the graph of a tensor."""
    return Tensor(x.workspace, size_value(x.workspace.builder(), size, dtype))
