"""A convolution over an operand that is spread, as one over the operand itself.

Between the elements of a spread operand stand zeros, as in the derivative of a convolution with strides. A window at
place ``s*q + r`` meets elements in every ``s``-th of its own places only, and which ones depends on the phase ``r``
alone. So the kernel is cut into one for each phase, all of a size, whose results are channels of one convolution:
nothing is multiplied by the zeros between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.dims import Size, ceildiv, product
from sigmagraph.ir.graph.opdef import NodeBuilder
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import reshape, transpose
from sigmagraph.ops.geometry import Geometry


@dataclass(frozen=True, slots=True)
class _Axis:
    """A spatial axis: a place of the window is ``spread * block - phase + first``.

    Attributes:
        spread: number of phases.
        first: the place in the window, for block and phase 0.
        blocks: number of places in the window of a phase.
        count: number of windows of a phase.
        low, high: zeros around the operand itself.
    """

    spread: int
    first: int
    blocks: int
    count: Size
    low: int
    high: Size


def has_phases(geometry: Geometry, kernel: Sequence[Size]) -> bool:
    """Whether :func:`by_phases` knows a way."""
    fits = all(isinstance(size, int) for size in (*kernel, *geometry.low))
    return fits and geometry.groups == 1 and max(geometry.spread) > 1 and {*geometry.strides, *geometry.dilation} == {1}


def by_phases(b: NodeBuilder, x: Value, w: Value, geometry: Geometry) -> Value:
    """The convolution of an operand [n, *spatial, c] with a kernel [*kernel, c, o]."""
    *kernel, inner, outer = b.type(w).shape
    batch, *lengths, _ = b.type(x).shape
    axes = [_axis(geometry, i, length, kernel[i]) for i, length in enumerate(lengths)]
    count = len(axes)
    # The kernel: [*blocks, c, *phases, o].
    low, high = zip(*map(_zeros, axes, kernel), strict=True)
    w = b.emit("pad", w, low=(*low, 0, 0), high=(*high, 0, 0), interior=(0,) * (count + 2))
    w = reshape(b, w, (*(n for a in axes for n in (a.blocks, a.spread)), inner, outer))
    w = b.emit("reverse", w, axes=tuple(range(1, 2 * count, 2)))
    w = transpose(b, w, (*range(0, 2 * count, 2), 2 * count, *range(1, 2 * count, 2), 2 * count + 1))
    phases = product(a.spread for a in axes)
    w = reshape(b, w, (*(a.blocks for a in axes), inner, phases * outer))
    ones = (1,) * count
    around = Geometry(ones, tuple(a.low for a in axes), tuple(a.high for a in axes), ones, ones, 1)
    y = b.emit("convolution", x, w, **around.attrs)
    # The result: [n, count, phase, ..., o].
    y = reshape(b, y, (batch, *(a.count for a in axes), *(a.spread for a in axes), outer))
    y = transpose(b, y, (0, *(i for n in range(1, count + 1) for i in (n, n + count)), 2 * count + 1))
    y = reshape(b, y, (batch, *(a.count * a.spread for a in axes), outer))
    stop = (batch, *(_windows(geometry, i, n, kernel[i]) for i, n in enumerate(lengths)), outer)
    if stop == b.type(y).shape:
        return y
    return b.emit("slice", y, start=(0,) * len(stop), stop=stop, step=(1,) * len(stop))


def _zeros(axis: _Axis, kernel: Size) -> tuple[int, int]:
    """The zeros before and behind a kernel that make blocks of it."""
    assert isinstance(kernel, int)
    before = axis.spread - 1 - axis.first
    return before, axis.spread * axis.blocks - kernel - before


def _axis(geometry: Geometry, i: int, length: Size, kernel: Size) -> _Axis:
    spread, low = geometry.spread[i], geometry.low[i]
    assert isinstance(low, int)
    assert isinstance(kernel, int)
    first, start = low % spread, low // spread
    blocks = -(-(kernel + spread - 1 - first) // spread)
    count = ceildiv(_windows(geometry, i, length, kernel), spread)
    return _Axis(spread, first, blocks, count, start, count - 1 + blocks - length - start)


def _windows(geometry: Geometry, i: int, length: Size, kernel: Size) -> Size:
    """How many windows there are."""
    return geometry.padded(i, length) - kernel + 1
