"""What is timed: shapes, first values and inputs, the same arrays for every peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

BATCHES = 4  # training goes round these, so that the moments of the optimiser stay ordinary numbers


@dataclass(frozen=True, slots=True)
class Training:
    """One step of training a perceptron: forward, softmax cross entropy, backward, optimiser; float32.

    Attributes:
        name: of the workload.
        sizes: of the layers, inputs first; hidden layers are rectified.
        dropout: the rate before each dense layer; empty for none.
        optimiser: ``adagrad`` or ``adam``.
        learning_rate: of the optimiser.
        batch: records a step.
    """

    name: str
    sizes: tuple[int, ...]
    dropout: tuple[float, ...]
    optimiser: str
    learning_rate: float
    batch: int

    @property
    def flops(self) -> int:
        """Useful operations of the matrix products: forward, weights' and inputs' gradients (not of the records)."""
        weights = [a * b for a, b in pairwise(self.sizes)]
        return 2 * self.batch * (3 * sum(weights) - weights[0])

    def parameters(self) -> list[tuple[Array, Array]]:
        """Weights [in, out] and biases [out] of each layer."""
        rng = np.random.default_rng(1)
        return [(_normal(rng, (2.0 / a) ** 0.5, a, b), _normal(rng, 0.01, b)) for a, b in pairwise(self.sizes)]

    def batches(self) -> list[tuple[Array, Array]]:
        """Records and labels."""
        rng = np.random.default_rng(2)
        return [
            (_normal(rng, 1.0, self.batch, self.sizes[0]), rng.integers(0, self.sizes[-1], self.batch, np.int32))
            for _ in range(BATCHES)
        ]


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product [m, k] x [k, n] in float32."""

    name: str
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    def operands(self) -> tuple[Array, Array]:
        """The two matrices."""
        rng = np.random.default_rng(3)
        return _normal(rng, 1.0, self.m, self.k), _normal(rng, 1.0, self.k, self.n)


Workload: TypeAlias = Training | Product


def _normal(rng: np.random.Generator, deviation: float, *shape: int) -> Array:
    return (deviation * rng.standard_normal(shape)).astype(np.float32)


def _products(*shapes: tuple[int, int, int]) -> list[Product]:
    return [Product(f"matmul {m} x {k} x {n}", m, k, n) for m, k, n in shapes]


_ALL: tuple[Workload, ...] = (
    Training("demo, digits", (64, 1000, 800, 10), (0.2, 0.4, 0.4), "adagrad", 0.02, 100),
    Training("demo, MNIST", (784, 1000, 800, 10), (0.2, 0.4, 0.4), "adagrad", 0.02, 100),
    Training("mlp 784-512-512-10", (784, 512, 512, 10), (), "adam", 0.0001, 128),
    *_products(*((n, n, n) for n in (64, 128, 256, 512, 1024))),
    *_products((100, 64, 1000), (100, 784, 1000), (100, 1000, 800), (100, 800, 1000), (100, 800, 10)),
    *_products((64, 100, 1000), (784, 100, 1000), (1000, 100, 800), (800, 100, 10)),
)
WORKLOADS: Mapping[str, Workload] = MappingProxyType({w.name: w for w in _ALL})
