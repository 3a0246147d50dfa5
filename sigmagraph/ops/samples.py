"""Arrays for the samples of the op records.

The sizes of one array are pairwise different: a square matrix cannot show that axes were mixed up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Dim
from sigmagraph.ir.graph.opdef import NDArray, Sample

Draw: TypeAlias = Callable[..., NDArray]
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 2.5, -0.5, 3e38, 1e-40)
N, M = Dim("n"), Dim("m")


def normal(rng: np.random.Generator, *shape: int) -> NDArray:
    """Standard normal numbers."""
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers in 0.5 .. 2."""
    return rng.uniform(0.5, 2.0, shape)


def nonzero(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers of either sign whose magnitude is in 0.5 .. 2."""
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0) * rng.uniform(0.5, 2.0, shape)


def inside(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers of either sign whose magnitude is below 0.8."""
    return rng.uniform(-0.8, 0.8, shape)


def above_one(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers in 1.5 .. 4."""
    return rng.uniform(1.5, 4.0, shape)


def fractional(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers at least 0.1 away from every multiple of a half."""
    return np.asarray(rng.integers(-6, 6, shape) / 2 + rng.uniform(0.1, 0.4, shape))


def distinct(rng: np.random.Generator, *shape: int) -> NDArray:
    """Numbers that are pairwise at least 0.3 apart."""
    count = int(np.prod(shape))
    return np.asarray((rng.permutation(count) - count / 2).reshape(shape) * 0.3)


def integers(rng: np.random.Generator, *shape: int) -> NDArray:
    """32-bit integers in -9 .. 9."""
    return rng.integers(-9, 10, shape, dtype=np.int32)


def booleans(rng: np.random.Generator, *shape: int) -> NDArray:
    """Truth values."""
    return rng.integers(0, 2, shape).astype(np.bool_)


def one_operand(draw: Draw) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples of an elementwise op of one operand: plain, rank 0, empty and symbolic."""
    return operands((draw,))


def operands(draws: Sequence[Draw], **sample: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples of an elementwise op whose operands are drawn so: plain, rank 0, empty and symbolic."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in ((2, 3, 5), (), (0, 3)):
            yield Sample(tuple(draw(rng, *shape) for draw in draws), **sample)
        yield Sample(tuple(draw(rng, 4, 3) for draw in draws), shapes=((N, 3),) * len(draws), **sample)

    return samples


def special(count: int) -> Sample:
    """Every combination of the special numbers as operands: NaN, infinities, signed zeros, very large and small."""
    grid = np.meshgrid(*(np.array(SPECIAL),) * count, indexing="ij")
    return Sample(tuple(axis.reshape(-1) for axis in grid), kinks=True)
