"""Layers that change the size of images, sequences and volumes: interpolation and borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.dims import Size
from sigmagraph.errors import AttributeValueError
from sigmagraph.layers.base import Layer, Site
from sigmagraph.layers.demands import check_images, check_padding, format_of, making
from sigmagraph.tensor.resizing import resize
from sigmagraph.tensor.shaping import PadMode, pad
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.windows import paddings


@dataclass(frozen=True)
class Upsample(Layer):
    """The spatial axes with other sizes, the elements interpolated: see :func:`sigmagraph.resize`.

    Args:
        scale: what sizes are multiplied with; one number, or one for each spatial axis.
        sizes: given instead of a scale: the new ones.
        mode: ``nearest``, ``nearest_exact``, ``linear`` (bilinear, trilinear) or ``cubic``.
        align_corners: whether the outermost elements stay where they are, for linear and cubic interpolation.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: both or neither of scale and sizes are given.
    """

    scale: float | Sequence[float] | None = None
    sizes: int | Sequence[int] | None = None
    mode: str = "nearest"
    align_corners: bool = False
    channels_first: bool = False
    name: str = "#-upsample"

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.sizes is None):
            raise AttributeValueError(
                f"the layer '{self.name}' cannot be made: it takes a scale or sizes",
                expected="one of them",
                got="none" if self.scale is None else f"{self.scale} and {self.sizes}",
            )

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_images(x, None, self.channels_first)
        data_format = format_of(self.channels_first)
        return resize(x, self.sizes, self.scale, self.mode, self.align_corners, data_format=data_format)


@dataclass(frozen=True)
class Pad(Layer):
    """Elements put around the spatial axes: see :func:`sigmagraph.pad`.

    Args:
        width: a number for all ends, or for each spatial axis one or (before, behind).
        mode: what is put there: ``constant`` numbers, or what continues the axis: ``edge``, ``reflect``, ``symmetric``
            or ``wrap``.
        value: the number of mode ``constant``.
        channels_first: whether x and the result are [batch, c, *spatial].
        name: of the layer.

    Raises:
        AttributeValueError: a width is out of range.
    """

    width: int | Sequence[int | tuple[int, int]]
    mode: PadMode = "constant"
    value: float = 0
    channels_first: bool = False
    name: str = "#-pad"

    def __post_init__(self) -> None:
        with making(self.name):
            if isinstance(self.width, str):
                raise AttributeValueError("its width is a word", expected="numbers", got=repr(self.width))
            check_padding(self.width)

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        check_images(x, None, self.channels_first)
        spatial = _widths(self.width, x.ndim - 2)
        whole = [(0, 0), (0, 0), *spatial] if self.channels_first else [(0, 0), *spatial, (0, 0)]
        return pad(x, whole, self.mode, self.value)


def _widths(width: int | Sequence[int | tuple[int, int]], count: int) -> list[tuple[Size, Size]]:
    ones = (1,) * count
    return list(zip(*paddings(width, ones, ones, ones, ones), strict=True))
