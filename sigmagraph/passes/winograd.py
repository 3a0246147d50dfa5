"""Winograd: convolutions by kernels of three elements an axis with fewer multiplications, for programs in fast mode.

S. Winograd's minimal filtering, as in A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
(CVPR 2016): m results of a filter of r elements are the product of polynomials at m + r - 1 points, which needs as many
multiplications in place of m * r. Windows of the operand and the kernel are evaluated at these points, the products are
summed over the channels, and the results are interpolated.

The sums are others than those of the exact program, and so is their rounding: results differ from it by up to 1e-5 of
the greatest of them in f32. Where an operand is infinite or NaN, so may all results of a tile be, not just those that
see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from sigmagraph.dims import Size, evaluate, names, nominal
from sigmagraph.dtypes import F32, F64
from sigmagraph.errors import PassError
from sigmagraph.ir.graph.attrs import Array
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, iter_updates
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import Trait
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.geometry import Geometry
from sigmagraph.passes.base import PassContext, keep, rebuild

_KERNEL = 3
_AXES = 2  # spatial ones at most: the error grows by each
# Finite points for tiles of each size, with infinity as one more. All factors that operands and sums are multiplied by
# are exact. Of such points for four, these leave a quarter of the error of 0, 1, -1, 2, -2.
_POINTS: dict[int, tuple[Fraction, ...]] = {
    2: tuple(map(Fraction, ("0", "1", "-1"))),
    4: tuple(map(Fraction, ("0", "3/4", "-3/4", "3/2", "-3/2"))),
}
# What it costs to write and read an element between the steps, and one of a kernel, in multiplications and additions.
_MOVED, _WEIGHT, _EVALUATED = 112, 56, 168
_GAIN = 0.9  # what it has to take at most of the exact program's time, by the estimate
# So many images stand for a symbolic number where the kernel changes, which is training, and where it does not. The
# more there are, the better it pays.
_LEARNT, _PREDICTED = 16, 1


@dataclass(frozen=True, slots=True)
class Winograd:
    """Writes convolutions of stride 1 by points where that is estimated to take less time.

    ``tile`` is the size of all tiles, 2 or 4, whatever it takes; 0 chooses.
    """

    name: ClassVar[str] = "winograd"
    requires: ClassVar[Stage] = Stage.CAPTURED
    ensures: ClassVar[Stage | None] = None

    tile: int = 0

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph with transforms and products of points in place of such convolutions and their derivatives.

        Raises:
            PassError: there are no tiles of this size.
        """
        if self.tile not in (0, *_POINTS):
            raise PassError("there are no points for such tiles", expected="2 or 4, or 0 to choose", got=self.tile)
        fixed = _fixed(graph)
        found = [n for n in graph.nodes() if n.op.name in _WRITTEN and _can_be_written(graph, n)]
        tiles = {n.id: self.tile or _tile(graph, n, fixed) for n in found}
        if not any(tiles.values()):
            return graph

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
            tile = tiles.get(node.id)
            if not tile:
                return keep(out, node, inputs)
            context.hit(node.op.name)
            return (
                _WRITTEN[node.op.name](_Points(Builder(out, context.registry, node.location), tile), node, *inputs),
            )

        return rebuild(graph, visit)


def _fixed(graph: Graph) -> frozenset[int]:
    """The nodes that are made of nothing but constants and parameters which the program does not change."""
    changed = {output.updates for output in iter_updates(graph)}
    fixed: set[int] = set()
    for node in graph.nodes():
        varies = Trait.INPUT in node.op.traits or (Trait.PARAMETER in node.op.traits and node.name in changed)
        if not varies and all(v.node in fixed for v in node.inputs):
            fixed.add(node.id)
    return frozenset(fixed)


def _sizes(graph: Graph, node: Node) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """The shape of the kernel, and the numbers of windows."""
    result, other = node.types[0].shape, graph.type(node.inputs[1]).shape
    return (other, result[1:-1]) if node.op.name == "convolution" else (result, other[1:-1])


def _can_be_written(graph: Graph, node: Node) -> bool:
    """Whether a convolution is of the kind, and the sizes of it that have to be numbers are."""
    x, (weights, _) = graph.type(node.inputs[0]), _sizes(graph, node)
    geometry, axes = Geometry.of(node.attrs), x.rank - 2
    plain = Geometry((1,) * axes, geometry.low, geometry.high, (1,) * axes, (1,) * axes, 1)
    if axes > _AXES or x.dtype not in (F32, F64) or geometry != plain or weights[:-2] != (_KERNEL,) * axes:
        return False
    sizes = (*x.shape[1:], *weights, *geometry.low, *geometry.high)
    return all(isinstance(size, int) and size >= 0 for size in sizes)


def _tile(graph: Graph, node: Node, fixed: frozenset[int]) -> int:
    """The size of the tiles that cost least; 0 if the node had better stay."""
    x, (weights, counts) = graph.type(node.inputs[0]), _sizes(graph, node)
    axes = x.rank - 2
    lengths, channels, products = list(map(nominal, counts)), nominal(sum(weights[-2:])), nominal(prod(weights[-2:]))
    kept = node.inputs[1].node in fixed
    images = evaluate(x.shape[0], dict.fromkeys(names(x.shape[0]), _PREDICTED if kept else _LEARNT))
    kernel = _WEIGHT if kept else _WEIGHT + _EVALUATED

    def cost(tile: int) -> int:
        places = int((tile + _KERNEL - 1) ** axes)
        tiles = images * prod(-(-length // tile) for length in lengths)
        return places * (tiles * (2 * products + _MOVED * channels) + kernel * products)

    direct = _KERNEL**axes * products * (2 * images * prod(lengths) + _WEIGHT)
    direct = direct * 3 // 2 if node.op.name == "convolution_weights" else direct  # its sums go over positions
    best = min(_POINTS, key=cost)
    return best if cost(best) < _GAIN * direct else 0


@dataclass(frozen=True, slots=True)
class _Points:
    """What convolutions by points are made of, for tiles of a size."""

    builder: Builder
    tile: int

    def windows(self, x: Value, matrix: Array, low: Sequence[Size], lengths: Sequence[Size]) -> Value:
        """Windows of which each belongs to a tile, by places: [places, n, *counts, c]."""
        counts = tuple(-(-nominal(length) // self.tile) for length in lengths)
        return self.builder.emit("transform_windows", x, matrix=matrix, stride=self.tile, low=low, counts=counts)

    def convolution(self, node: Node, x: Value, w: Value) -> Value:
        """Evaluation, the products of all points at once, and interpolation."""
        b, m = self.builder, _matrices(self.tile)
        lengths, (inner, outer) = node.types[0].shape[1:-1], b.type(w).shape[-2:]
        axes = len(lengths)
        x = self.windows(x, m.windows, node.attrs["low"], lengths)
        w = b.emit("reshape", w, shape=(1, *(_KERNEL,) * axes, inner * outer))
        w = b.emit("transform_windows", w, matrix=m.kernel, stride=1, low=(0,) * axes, counts=(1,) * axes)
        w = b.emit("reshape", w, shape=(b.type(w).shape[0], inner, outer))
        place, *tiles, channel, filter = range(axes + 4)
        left, right, result = (place, *tiles, channel), (place, channel, filter), (place, *tiles, filter)
        y = b.emit("contract", x, w, left=left, right=right, result=result)
        return b.emit("assemble_tiles", y, matrix=m.results, lengths=lengths)

    def convolution_weights(self, node: Node, x: Value, g: Value) -> Value:
        """The adjoint of :meth:`convolution` by its kernel."""
        b, m = self.builder, _matrices(self.tile)
        lengths, (inner, outer) = b.type(g).shape[1:-1], node.types[0].shape[-2:]
        axes = len(lengths)
        x = self.windows(x, m.windows, node.attrs["low"], lengths)
        g = self.windows(g, _transposed(m.results), (0,) * axes, lengths)
        place, *tiles, channel, filter = range(axes + 4)
        left, right, result = (place, *tiles, channel), (place, *tiles, filter), (place, channel, filter)
        w = b.emit("contract", x, g, left=left, right=right, result=result)
        w = b.emit("reshape", w, shape=(b.type(w).shape[0], 1, *(1,) * axes, inner * outer))
        w = b.emit("assemble_tiles", w, matrix=_transposed(m.kernel), lengths=(_KERNEL,) * axes)
        return b.emit("reshape", w, shape=node.types[0].shape)


_WRITTEN: Mapping[str, Callable[[_Points, Node, Value, Value], Value]] = MappingProxyType(
    {"convolution": _Points.convolution, "convolution_weights": _Points.convolution_weights}
)


@dataclass(frozen=True, slots=True)
class _Matrices:
    """What evaluates windows, what evaluates the kernel, and what interpolates results."""

    windows: Array
    kernel: Array
    results: Array


@cache
def _matrices(tile: int) -> _Matrices:
    """Those of Toom and Cook, transposed.

    The last point is infinity, where a polynomial is its highest coefficient.
    """
    points = _POINTS[tile]
    powers = [[p**k for k in range(max(tile, _KERNEL))] for p in points]
    others = [[q for q in points if q != p] for p in points]
    windows = [[*_polynomial(roots), Fraction(0)] for roots in others]
    shares = [prod(p - q for q in roots) for p, roots in zip(points, others, strict=True)]
    kernel = [[power / share for power in line[:_KERNEL]] for line, share in zip(powers, shares, strict=True)]
    results = [[line[k] for line in powers] + [Fraction(k == tile - 1)] for k in range(tile)]
    last = [Fraction(k == _KERNEL - 1) for k in range(_KERNEL)]
    return _Matrices(_array([*windows, _polynomial(points)]), _array([*kernel, last]), _array(results))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of all (x - root), the constant first."""
    out = [Fraction(1)]
    for root in roots:
        out = [high - root * low for high, low in zip([Fraction(0), *out], [*out, Fraction(0)], strict=True)]
    return out


def _array(rows: Sequence[Sequence[Fraction]]) -> Array:
    return Array.of(np.array([[float(value) for value in row] for row in rows]))


def _transposed(matrix: Array) -> Array:
    return Array.of(matrix.numpy.T)
