"""How windows lie on spatial axes, and the pieces of graph that cut them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigmagraph.dims import Size, maximum, names
from sigmagraph.errors import AttributeValueError
from sigmagraph.facts import Facts
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import Inference, NodeBuilder
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import reshape, transpose
from sigmagraph.ops.window import span, window_count


@dataclass(frozen=True, slots=True)
class Geometry:
    """How windows lie on the spatial axes: a number for each of them, and the number of groups of channels.

    Attributes:
        strides: how far apart windows start.
        low, high: elements (zeros) put before and behind each axis; negative ones are cut off.
        dilation: how far apart the elements of a window are.
        spread: how far apart the elements of the operand are put, with zeros between them.
        groups: output channels see the input channels of their own group only.
    """

    strides: tuple[int, ...]
    low: tuple[Size, ...]
    high: tuple[Size, ...]
    dilation: tuple[int, ...]
    spread: tuple[int, ...]
    groups: int

    @staticmethod
    def of(attrs: Attrs) -> Geometry:
        """The geometry that the attributes of a node say."""
        return Geometry(*(attrs[spec.name] for spec in GEOMETRY))

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The geometry as attributes."""
        return {spec.name: getattr(self, spec.name) for spec in GEOMETRY}

    def padded(self, axis: int, length: Size) -> Size:
        """The size of a spatial axis once zeros stand between and around its elements."""
        return span(length, self.spread[axis]) + self.low[axis] + self.high[axis]

    def transposed(self, lengths: Sequence[Size], counts: Sequence[Size], kernel: Sequence[Size]) -> Geometry:
        """The geometry of the convolution that carries cotangents of ``counts`` windows back to axes of ``lengths``."""
        low, high = [], []
        for i, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            reach = span(kernel[i], self.dilation[i])
            before = reach - 1 - self.low[i]
            low.append(before)
            high.append(span(length, self.spread[i]) - 1 + reach - span(count, self.strides[i]) - before)
        return Geometry(self.spread, tuple(low), tuple(high), self.dilation, self.strides, self.groups)


GEOMETRY = (
    AttrSpec("strides", "ints", "how far apart windows start, for each spatial axis"),
    AttrSpec("low", "shape", "number of zeros put before each spatial axis; negative: elements that are cut off"),
    AttrSpec("high", "shape", "number of zeros put behind each spatial axis; negative: elements that are cut off"),
    AttrSpec("dilation", "ints", "how far apart the elements of a window are, for each spatial axis"),
    AttrSpec("spread", "ints", "how far apart the elements of the operand are put, with zeros between them"),
    AttrSpec("groups", "int", "number of groups into which the channels are parted", 1),
)


def window_counts(context: Inference, lengths: Sequence[Size], kernel: Sequence[Size]) -> tuple[Size, ...]:
    """The number of windows along each spatial axis; checks the geometry."""
    geometry = Geometry.of(context.attrs)
    for spec in GEOMETRY[:-1]:
        given = getattr(geometry, spec.name)
        if len(given) != len(lengths):
            expected = len(lengths)
            raise context.error(
                f"'{spec.name}' does not have one number for each spatial axis", expected=expected, got=given
            )
    if min(*geometry.spread, geometry.groups) < 1:
        raise context.error(
            "a number is not positive",
            expected="spread and groups of at least 1",
            got=f"{geometry.spread}, {geometry.groups}",
            kind=AttributeValueError,
        )
    counts = []
    for i, length in enumerate(lengths):
        context.at_least(length, 1, f"spatial axis {i} of the operand is empty")
        padded = geometry.padded(i, length)
        counts.append(window_count(context, padded, kernel[i], geometry.strides[i], geometry.dilation[i]))
    return tuple(counts)


def _padded(b: NodeBuilder, x: Value, geometry: Geometry) -> Value:
    """The operand [n, *spatial, c] with its zeros, and without what negative numbers cut off."""
    low, start, high, cut = (
        (0, *sizes, 0) for sizes in (*_zeros_and_cuts(geometry.low), *_zeros_and_cuts(geometry.high))
    )
    interior = (0, *(k - 1 for k in geometry.spread), 0)
    if any(size != 0 for size in (*low, *high, *interior)):
        x = b.emit("pad", x, low=low, high=high, interior=interior)
    if all(size == 0 for size in (*start, *cut)):
        return x
    shape = b.type(x).shape
    stop = tuple(size - behind for size, behind in zip(shape, cut, strict=True))
    return b.emit("slice", x, start=start, stop=stop, step=(1,) * len(shape))


def _zeros_and_cuts(sizes: Sequence[Size]) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """How many zeros stand at the ends of axes, and how many elements are cut off there.

    The latter is the former less the size, so that together they are the size in any normal form.
    """
    zeros = tuple(map(_positive_part, sizes))
    return zeros, tuple(part - size for part, size in zip(zeros, sizes, strict=True))


def _positive_part(size: Size) -> Size:
    """The size, or 0 where it is negative."""
    return size if Facts(dict.fromkeys(names(size), (0, None))).nonnegative(size) else maximum(size, 0)


def windows(b: NodeBuilder, x: Value, kernel: Sequence[Size], geometry: Geometry) -> Value:
    """All windows of the operand: [n, o1, k1, o2, k2, ..., groups, c]."""
    x = grouped(b, _padded(b, x, geometry), geometry.groups)
    for i in reversed(range(len(kernel))):
        x = b.emit("unfold", x, axis=1 + i, size=kernel[i], stride=geometry.strides[i], dilation=geometry.dilation[i])
    return x


def grouped(b: NodeBuilder, x: Value, groups: int) -> Value:
    """The last axis as two: group and channel."""
    *lead, channels = b.type(x).shape
    return reshape(b, x, (*lead, groups, channels // groups))


def merged(b: NodeBuilder, x: Value) -> Value:
    """The last two axes as one."""
    *lead, groups, channels = b.type(x).shape
    return reshape(b, x, (*lead, groups * channels))


def exchanged(b: NodeBuilder, w: Value, groups: int) -> Value:
    """The kernel [*kernel, c, o] of the way back: reversed, and with its channels exchanged within each group."""
    spatial = tuple(range(b.type(w).rank - 2))
    count = len(spatial)
    w = grouped(b, b.emit("reverse", w, axes=spatial), groups)
    return merged(b, transpose(b, w, (*spatial, count + 2, count + 1, count)))
