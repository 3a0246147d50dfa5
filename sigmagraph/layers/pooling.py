"""Layers that make images, sequences and volumes smaller: the greatest element or the mean of windows."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_each, check_floats, check_images, check_padding, format_of, making
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.windows import (
    Numbers,
    Padding,
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    max_pool,
)


@dataclass(frozen=True)
class MaxPool(Layer):
    """The greatest element of every window: [batch, *spatial, c] -> [batch, *windows, c].

    Equal maxima of a window share its gradient.

    Args:
        window: its size; one number, or one for each spatial axis.
        strides: how far apart windows start; by default they touch.
        padding: as for :class:`Conv1d`, but with what is less than all elements.
        dilation: how far apart the elements of a window are.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range, or a word is none of those above.
    """

    window: Numbers
    strides: Numbers | None = None
    padding: Padding = 0
    dilation: Numbers = 1
    channels_first: bool = False
    name: str = "#-maxpool"

    def __post_init__(self) -> None:
        _check_windows(self.name, self.window, self.strides, self.padding, self.dilation)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_images(x, None, self.channels_first)
        data_format = format_of(self.channels_first)
        return max_pool(x, self.window, self.strides, self.padding, self.dilation, data_format=data_format)


@dataclass(frozen=True)
class AveragePool(Layer):
    """The mean of every window: [batch, *spatial, c] -> [batch, *windows, c].

    Args:
        window: its size; one number, or one for each spatial axis.
        strides: how far apart windows start; by default they touch.
        padding: zeros around x, as for :class:`Conv1d`.
        count_padding: whether these zeros count as elements of a window.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range, or a word is none of those above.
    """

    window: Numbers
    strides: Numbers | None = None
    padding: Padding = 0
    count_padding: bool = True
    channels_first: bool = False
    name: str = "#-averagepool"

    def __post_init__(self) -> None:
        _check_windows(self.name, self.window, self.strides, self.padding)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_floats(x)
        check_images(x, None, self.channels_first)
        return average_pool(
            x,
            self.window,
            self.strides,
            self.padding,
            count_include_pad=self.count_padding,
            data_format=format_of(self.channels_first),
        )


@dataclass(frozen=True)
class GlobalMaxPool(Layer):
    """The greatest element of each channel: [batch, *spatial, c] -> [batch, c].

    With ``keepdims`` the spatial axes stay, with size 1.
    """

    keepdims: bool = False
    channels_first: bool = False
    name: str = "#-globalmaxpool"

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_images(x, None, self.channels_first)
        return x.max(_spatial(x, self.channels_first), self.keepdims)


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """The mean of each channel: [batch, *spatial, c] -> [batch, c].

    With ``keepdims`` the spatial axes stay, with size 1.
    """

    keepdims: bool = False
    channels_first: bool = False
    name: str = "#-globalaveragepool"

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_floats(x)
        check_images(x, None, self.channels_first)
        return x.mean(_spatial(x, self.channels_first), self.keepdims)


@dataclass(frozen=True)
class AdaptiveMaxPool(Layer):
    """The greatest elements of as many windows as are wanted: [batch, *spatial, c] -> [batch, *sizes, c].

    Args:
        sizes: the number of windows; one, or one for each spatial axis.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range, or a word is none of those above.
    """

    sizes: Numbers
    channels_first: bool = False
    name: str = "#-adaptivemaxpool"

    def __post_init__(self) -> None:
        with making(self.name):
            check_each(self.sizes, "sizes")

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_images(x, None, self.channels_first)
        return adaptive_max_pool(x, self.sizes, data_format=format_of(self.channels_first))


@dataclass(frozen=True)
class AdaptiveAveragePool(Layer):
    """The means of as many windows as are wanted: [batch, *spatial, c] -> [batch, *sizes, c].

    Args:
        sizes: the number of windows; one, or one for each spatial axis.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: a number is out of range, or a word is none of those above.
    """

    sizes: Numbers
    channels_first: bool = False
    name: str = "#-adaptiveaveragepool"

    def __post_init__(self) -> None:
        with making(self.name):
            check_each(self.sizes, "sizes")

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_floats(x)
        check_images(x, None, self.channels_first)
        return adaptive_average_pool(x, self.sizes, data_format=format_of(self.channels_first))


def _check_windows(
    layer: str, window: Numbers, strides: Numbers | None, padding: Padding, dilation: Numbers = 1
) -> None:
    """Raise an error unless these numbers make sense for some number of spatial axes."""
    with making(layer):
        check_each(window, "window")
        check_each(1 if strides is None else strides, "strides")
        check_each(dilation, "dilation")
        check_padding(padding)


def _spatial(x: Tensor, channels_first: bool) -> tuple[int, ...]:
    """The numbers of the spatial axes."""
    return tuple(range(2, x.ndim) if channels_first else range(1, x.ndim - 1))
