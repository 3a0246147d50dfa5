"""Layers that slide windows with weights over images, sequences and volumes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.initialisers import He, Initialiser, NDArray
from sigmagraph.layers.activation import activate, canonical, check_activation
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_count, check_floats, check_images, format_of, known, making
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.windows import (
    Numbers,
    Padding,
    as_given,
    channels_last,
    convolution,
    numbers,
    paddings,
    transposed_convolution,
)

# Activations that let through what is positive, about half of all.
_RECTIFIERS = ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "gelu_tanh", "silu", "mish", "hard_swish")


@dataclass(frozen=True)
class _Sliding(Layer):
    """What layers with a kernel have in common."""

    filters: int
    kernel: Numbers
    strides: Numbers = 1
    padding: Padding = 0
    dilation: Numbers = 1
    groups: int = 1
    bias: bool = True
    activation: str = "none"
    channels_first: bool = False
    name: str = "#-conv"
    axes: ClassVar[int]

    def __post_init__(self) -> None:
        check_activation(self.activation, self.name)
        with making(self.name):
            check_count(self.filters, "filters")
            check_count(self.groups, "groups")
            for what in ("kernel", "strides", "dilation"):
                numbers(getattr(self, what), self.axes, what)
            self._check_padding()
            if self.filters % self.groups:
                raise AttributeValueError(
                    "its filters do not divide into groups", expected=f"a multiple of {self.groups}", got=self.filters
                )

    @abstractmethod
    def _check_padding(self) -> None:
        """Raise an error unless the padding makes sense."""

    @abstractmethod
    def _slide(self, x: Tensor, site: Site, channels: int) -> Tensor:
        """The sums of products for a tensor whose channels stand last."""

    @property
    def window(self) -> tuple[int, ...]:
        """The size of the window along each spatial axis."""
        return numbers(self.kernel, self.axes, "kernel")

    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        check_floats(x)
        check_images(x, self.axes, self.channels_first)
        data_format = format_of(self.channels_first)
        x = channels_last(x, data_format)
        y = self._slide(x, site, known(x.shape[-1], "the number of channels"))
        if self.bias:
            y = y + site.parameter("biases", (self.filters,), x.dtype, initial=0)
        return as_given(activate(y, self.activation), data_format)


@dataclass(frozen=True)
class _Convolution(_Sliding):
    depthwise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depthwise and self.groups != 1:
            raise AttributeValueError(
                f"the layer '{self.name}' cannot be made: it is depthwise and has groups too",
                expected="groups=1",
                got=self.groups,
            )

    def _check_padding(self) -> None:
        ones = (1,) * self.axes
        paddings(self.padding, ones, ones, ones, ones)

    def _slide(self, x: Tensor, site: Site, channels: int) -> Tensor:
        groups = channels if self.depthwise else self.groups
        for what, count in (("channels", channels), ("filters", self.filters)):
            if count % groups:
                expected = f"a multiple of {groups}"
                raise ShapeError(f"the {what} do not divide into groups", expected=expected, got=count)
        initial = He() if canonical(self.activation) in _RECTIFIERS else None
        weights = site.parameter("weights", (*self.window, channels // groups, self.filters), x.dtype, initial)
        return convolution(x, weights, self.strides, self.padding, self.dilation, groups)


@dataclass(frozen=True)
class Conv1d(_Convolution):
    """Sums of products of windows with weights, along one spatial axis: [batch, n, c] -> [batch, m, filters].

    ``activation(convolution(x, weights) + biases)``; see :func:`sigmagraph.convolution`. Parameters, of x's dtype:
    ``weights`` [kernel, c / groups, filters], drawn by He's rule before rectifiers such as relu and by Glorot's else,
    and ``biases`` [filters], 0.

    Args:
        filters: number of channels of the result.
        kernel: size of the window.
        strides: how far apart windows start.
        padding: zeros around x: a number, or for each axis one or (before, behind); ``"valid"`` for none; ``"same"``
            for as many as give ``ceil(n / stride)`` windows.
        dilation: how far apart the elements of a window are.
        groups: filters see the channels of their own group only.
        bias: whether there are biases.
        activation: a function by name.
        channels_first: whether x and the result are [batch, c, n].
        name: of the layer.
        depthwise: whether each channel is a group; the filters are a multiple of the channels.

    Raises:
        AttributeValueError: a number is out of range, or a word is none of those above.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-conv1d"
    axes: ClassVar[int] = 1


@dataclass(frozen=True)
class Conv2d(_Convolution):
    """:class:`Conv1d` along two spatial axes: [batch, h, w, c] -> [batch, h', w', filters].

    Kernel, strides, padding and dilation are one number, or one for each axis; ``weights`` is
    [*kernel, c / groups, filters].

    Raises:
        AttributeValueError: a number is out of range, or a word unknown.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-conv2d"
    axes: ClassVar[int] = 2


@dataclass(frozen=True)
class Conv3d(_Convolution):
    """:class:`Conv1d` along three spatial axes: [batch, d, h, w, c] -> [batch, d', h', w', filters].

    Kernel, strides, padding and dilation are one number, or one for each axis; ``weights`` is
    [*kernel, c / groups, filters].

    Raises:
        AttributeValueError: a number is out of range, or a word unknown.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-conv3d"
    axes: ClassVar[int] = 3


# ---- the way back


@dataclass(frozen=True, slots=True)
class _Backwards:
    """A rule for weights [..., outputs, inputs]."""

    rule: Initialiser

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        *window, outputs, inputs = shape
        return np.swapaxes(self.rule((*window, inputs, outputs), rng), -2, -1)


@dataclass(frozen=True)
class _Transposed(_Sliding):
    padding: Numbers = 0
    output_padding: Numbers = 0

    def _check_padding(self) -> None:
        for what in ("padding", "output_padding"):
            numbers(getattr(self, what), self.axes, what, 0)

    def _slide(self, x: Tensor, site: Site, channels: int) -> Tensor:
        if channels % self.groups:
            expected = f"a multiple of {self.groups}"
            raise ShapeError("the channels do not divide into groups", expected=expected, got=channels)
        initial = _Backwards(He()) if canonical(self.activation) in _RECTIFIERS else None
        weights = site.parameter("weights", (*self.window, self.filters // self.groups, channels), x.dtype, initial)
        return transposed_convolution(
            x, weights, self.strides, self.padding, self.output_padding, self.dilation, self.groups
        )


@dataclass(frozen=True)
class ConvTranspose1d(_Transposed):
    """Windows of weights, weighted by the elements of x and added up: [batch, n, c] -> [batch, m, filters].

    ``activation(transposed_convolution(x, weights) + biases)``, where
    ``m = (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + output_padding``; see
    :func:`sigmagraph.transposed_convolution`. Parameters, of x's dtype: ``weights`` [kernel, filters / groups, c],
    drawn by He's rule before rectifiers such as relu and by Glorot's else, and ``biases`` [filters], 0.

    Args:
        filters: number of channels of the result.
        kernel: size of the window.
        strides: how far apart windows start in the result.
        padding: how many elements at both ends of each axis are left out of the result.
        dilation: how far apart the elements of a window are.
        groups: filters see the channels of their own group only.
        bias: whether there are biases.
        activation: a function by name.
        channels_first: whether x and the result are [batch, c, n].
        name: of the layer.
        output_padding: how many elements more the result has behind; less than the stride or the dilation.

    Raises:
        AttributeValueError: a number is out of range, or there is no such activation.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-convtranspose1d"
    axes: ClassVar[int] = 1


@dataclass(frozen=True)
class ConvTranspose2d(_Transposed):
    """:class:`ConvTranspose1d` along two spatial axes: [batch, h, w, c] -> [batch, h', w', filters].

    Raises:
        AttributeValueError: a number is out of range, or there is no such activation.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-convtranspose2d"
    axes: ClassVar[int] = 2


@dataclass(frozen=True)
class ConvTranspose3d(_Transposed):
    """:class:`ConvTranspose1d` along three spatial axes: [batch, d, h, w, c] -> [batch, d', h', w', filters].

    Raises:
        AttributeValueError: a number is out of range, or there is no such activation.
        ShapeError: there are other numbers of them than of spatial axes.
    """

    name: str = "#-convtranspose3d"
    axes: ClassVar[int] = 3
