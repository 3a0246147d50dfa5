"""Networks as records that say nothing about any library: every peer makes its own program of them.

Images are [batch, y, x, channels], sequences [batch, time, features]; a layer's records say what shape it gives, what
parameters it has, and how many multiply-adds it takes. Convolutions have weights [y, x, in, out], dense layers [in,
out], LSTMs the gates input, forget, cell, output side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """How the first value of a parameter is drawn: from a normal distribution."""

    shape: Shape
    deviation: float
    mean: float = 0.0
    positive: bool = False


def weights(fan_in: int, *shape: int) -> Value:
    """Weights that keep the size of what goes through a rectified layer."""
    return Value(shape, sqrt(2 / fan_in))


class Layer(Protocol):
    """A layer of a network; shapes are those of one record."""

    def result(self, shape: Shape, /) -> Shape:
        """The shape that it gives."""
        ...

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        """Its parameters by name; running statistics end in ``.mean`` and ``.variance``."""
        ...

    def flops(self, shape: Shape, /) -> int:
        """Operations of its products for one record; a multiply-add is two."""
        ...


class _Plain:
    """A layer without parameters and products that keeps its input's shape."""

    __slots__ = ()

    def result(self, shape: Shape, /) -> Shape:
        return shape

    def parameters(self, _: Shape, /) -> dict[str, Value]:
        return {}

    def flops(self, _: Shape, /) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Relu(_Plain):
    """max(x, 0)."""


@dataclass(frozen=True, slots=True)
class Dropout(_Plain):
    """In training 0 with probability ``rate``, else x / (1 - rate)."""

    rate: float


@dataclass(frozen=True, slots=True)
class Dense(_Plain):
    """x @ weights + biases on the last axis."""

    name: str
    size: int

    def result(self, shape: Shape, /) -> Shape:
        return (*shape[:-1], self.size)

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        return {
            f"{self.name}.weights": weights(shape[-1], shape[-1], self.size),
            f"{self.name}.biases": Value((self.size,), 0.01),
        }

    def flops(self, shape: Shape, /) -> int:
        return 2 * prod(shape) * self.size


@dataclass(frozen=True, slots=True)
class Convolution(_Plain):
    """Square windows, ``padding`` zeros on every side."""

    name: str
    filters: int
    window: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def result(self, shape: Shape, /) -> Shape:
        y, x = ((n + 2 * self.padding - self.window) // self.stride + 1 for n in shape[:2])
        return y, x, self.filters

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        size = self.window**2 * shape[2]
        found = {f"{self.name}.weights": weights(size, self.window, self.window, shape[2], self.filters)}
        return found | {f"{self.name}.biases": Value((self.filters,), 0.01)} if self.bias else found

    def flops(self, shape: Shape, /) -> int:
        return 2 * prod(self.result(shape)) * self.window**2 * shape[2]


@dataclass(frozen=True, slots=True)
class MaxPool(_Plain):
    """The greatest element of square windows."""

    window: int = 2
    stride: int = 2
    padding: int = 0

    def result(self, shape: Shape, /) -> Shape:
        y, x = ((n + 2 * self.padding - self.window) // self.stride + 1 for n in shape[:2])
        return y, x, shape[2]


@dataclass(frozen=True, slots=True)
class MeanPool(_Plain):
    """The mean of each channel over the image."""

    def result(self, shape: Shape, /) -> Shape:
        return shape[2:]


@dataclass(frozen=True, slots=True)
class Flatten(_Plain):
    """Every record as a vector."""

    def result(self, shape: Shape, /) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True, slots=True)
class BatchNorm(_Plain):
    """Each channel over the batch, in training; by running statistics (momentum 0.1) when predicting; epsilon 1e-5."""

    name: str

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        size = shape[-1:]
        return {
            f"{self.name}.scale": Value(size, 0.1, 1.0),
            f"{self.name}.biases": Value(size, 0.1),
            f"{self.name}.mean": Value(size, 0.1),
            f"{self.name}.variance": Value(size, 0.1, 1.0, positive=True),
        }


@dataclass(frozen=True, slots=True)
class LayerNorm(_Plain):
    """Over the last axis; epsilon 1e-5."""

    name: str

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        return _norm(self.name, shape[-1])


@dataclass(frozen=True, slots=True)
class Embedding(_Plain):
    """A row of numbers for each integer: [time] -> [time, size]."""

    name: str
    count: int
    size: int

    def result(self, shape: Shape, /) -> Shape:
        return (*shape, self.size)

    def parameters(self, _: Shape, /) -> dict[str, Value]:
        return {f"{self.name}.weights": Value((self.count, self.size), 1.0)}


@dataclass(frozen=True, slots=True)
class Positions(_Plain):
    """x plus a row that is learnt for each step."""

    name: str
    steps: int

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        return {f"{self.name}.weights": Value((self.steps, shape[1]), 0.1)}


@dataclass(frozen=True, slots=True)
class LSTM(_Plain):
    """The states of all steps, from a state of zeros on."""

    name: str
    size: int

    def result(self, shape: Shape, /) -> Shape:
        return shape[0], self.size

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        deviation, gates = 1 / sqrt(self.size), 4 * self.size
        return {
            f"{self.name}.weights": Value((shape[1], gates), deviation),
            f"{self.name}.recurrent.weights": Value((self.size, gates), deviation),
            f"{self.name}.biases": Value((gates,), deviation),
        }

    def flops(self, shape: Shape, /) -> int:
        return 8 * shape[0] * self.size * (shape[1] + self.size)


@dataclass(frozen=True, slots=True)
class TransformerBlock(_Plain):
    """Causal attention and a dense layer four times as wide with GPT-2's gelu, each normalised first and added to x."""

    name: str
    heads: int

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        d = shape[1]
        matrices = {f"attention.{part}": (d, d) for part in ("query", "key", "value", "output")}
        matrices |= {"expand": (d, 4 * d), "contract": (4 * d, d)}
        found = _norm(f"{self.name}.norm1", d) | _norm(f"{self.name}.norm2", d)
        for part, (rows, columns) in matrices.items():
            found[f"{self.name}.{part}.weights"] = Value((rows, columns), 1 / sqrt(rows))
            found[f"{self.name}.{part}.biases"] = Value((columns,), 0.01)
        return found

    def flops(self, shape: Shape, /) -> int:
        time, d = shape
        return 2 * time * (12 * d * d + 2 * time * d)


@dataclass(frozen=True, slots=True)
class Sum(_Plain):
    """The sum of what two chains give for the same x; an empty one gives x."""

    main: tuple[Layer, ...]
    around: tuple[Layer, ...] = ()

    def result(self, shape: Shape, /) -> Shape:
        return _result(self.main, shape)

    def parameters(self, shape: Shape, /) -> dict[str, Value]:
        walked = (*_walk(self.main, shape), *_walk(self.around, shape))
        return {name: value for layer, before in walked for name, value in layer.parameters(before).items()}

    def flops(self, shape: Shape, /) -> int:
        return sum(layer.flops(s) for layer, s in (*_walk(self.main, shape), *_walk(self.around, shape)))


def _norm(name: str, size: int) -> dict[str, Value]:
    return {f"{name}.scale": Value((size,), 0.1, 1.0), f"{name}.biases": Value((size,), 0.1)}


def _walk(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    for layer in layers:
        yield layer, shape
        shape = layer.result(shape)


def _result(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    for layer in layers:
        shape = layer.result(shape)
    return shape


@dataclass(frozen=True, slots=True)
class Network:
    """Layers one behind the other.

    Attributes:
        shape: of one record.
        layers: the first one takes the records.
        vocabulary: records are integers below it; 0 for floats.
    """

    shape: Shape
    layers: tuple[Layer, ...]
    vocabulary: int = 0

    @property
    def result(self) -> Shape:
        """What it gives for one record."""
        return _result(self.layers, self.shape)

    def walk(self) -> Iterator[tuple[Layer, Shape]]:
        """All layers, each with the shape that it takes."""
        return _walk(self.layers, self.shape)

    def parameters(self) -> dict[str, Array]:
        """First values of all parameters and running statistics by name, always the same."""
        rng = np.random.default_rng(1)
        drawn: dict[str, Array] = {}
        for layer, shape in self.walk():
            drawn |= {name: _drawn(value, rng) for name, value in layer.parameters(shape).items()}
        return drawn

    def records(self, count: int, rng: np.random.Generator) -> Array:
        """Random records."""
        if self.vocabulary:
            return rng.integers(0, self.vocabulary, (count, *self.shape), np.int32)
        return rng.standard_normal((count, *self.shape), np.float32)

    def labels(self, count: int, rng: np.random.Generator) -> Array:
        """Random labels: one for every row of what the network gives."""
        *rows, classes = self.result
        return rng.integers(0, classes, (count, *rows), np.int32)

    def flops(self, batch: int) -> int:
        """Operations of the products of a forward pass."""
        return batch * sum(layer.flops(shape) for layer, shape in self.walk())

    def training_flops(self, batch: int) -> int:
        """Those of all passes: gradients take twice the forward pass, but records have none."""
        first = 0 if self.vocabulary else batch * self.layers[0].flops(self.shape)
        return 3 * self.flops(batch) - first


def trained(name: str) -> bool:
    """Whether a parameter is learnt, and no running statistic."""
    return not name.endswith((".mean", ".variance"))


def channels_first(shape: Shape) -> Array:
    """For each place in a flattened [channels, y, x] the one in a flattened [y, x, channels]."""
    return np.arange(prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()


def _drawn(value: Value, rng: np.random.Generator) -> Array:
    numbers = value.deviation * rng.standard_normal(value.shape)
    return (value.mean + (np.abs(numbers) if value.positive else numbers)).astype(np.float32)


# ---- the networks that are timed


def perceptron(*sizes: int) -> Network:
    """Dense layers, rectified but for the last."""
    layers: list[Layer] = []
    for number, size in enumerate(sizes[1:], 1):
        layers += [Dense(f"fc{number}", size), Relu()]
    return Network(sizes[:1], tuple(layers[:-1]))


def readme() -> Network:
    """The network of Sigma.Core's README."""
    layers = (Dropout(0.2), Dense("fc1", 1000), Relu(), Dropout(0.4), Dense("fc2", 800), Relu(), Dropout(0.4))
    return Network((784,), (*layers, Dense("fc3", 10)))


def lenet() -> Network:
    """Two convolutions with pooling and two dense layers (after Y. LeCun et al., 1998)."""
    convolutions = (Convolution("conv1", 20, 5), Relu(), MaxPool(), Convolution("conv2", 50, 5), Relu(), MaxPool())
    return Network((28, 28, 1), (*convolutions, Flatten(), Dense("fc1", 500), Relu(), Dense("fc2", 10)))


def batch_normalised() -> Network:
    """Four convolutions with batch normalisation for images of 32 x 32 in colour."""
    layers: list[Layer] = []
    for number, filters in enumerate((32, 32, 64, 64), 1):
        layers += [Convolution(f"conv{number}", filters, 3, padding=1), BatchNorm(f"norm{number}"), Relu()]
        layers += [MaxPool()] * (number % 2 == 0)
    return Network((32, 32, 3), (*layers, Flatten(), Dense("fc1", 256), Relu(), Dense("fc2", 10)))


def resnet18(size: int, classes: int) -> Network:
    """ResNet-18 (K. He et al., 2016) for images of ``size`` x ``size`` in colour."""
    layers: list[Layer] = [*_normalised("stem", 64, 7, 2, 3), Relu(), MaxPool(3, 2, 1)]
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block, stride in ((f"stage{stage}-1", 1 if stage == 1 else 2), (f"stage{stage}-2", 1)):
            main = (
                *_normalised(f"{block}-1", filters, 3, stride, 1),
                Relu(),
                *_normalised(f"{block}-2", filters, 3, 1, 1),
            )
            around = _normalised(f"{block}-around", filters, 1, stride, 0) if stride == 2 else ()
            layers += [Sum(main, around), Relu()]
    return Network((size, size, 3), (*layers, MeanPool(), Dense("fc", classes)))


def _normalised(name: str, filters: int, window: int, stride: int, padding: int) -> tuple[Layer, ...]:
    return Convolution(f"{name}-conv", filters, window, stride, padding, bias=False), BatchNorm(f"{name}-norm")


def character_lstm(time: int, vocabulary: int, size: int, hidden: int) -> Network:
    """Guesses each next character of a text."""
    layers = (Embedding("embedding", vocabulary, size), LSTM("lstm", hidden), Dense("next", vocabulary))
    return Network((time,), layers, vocabulary)


def lstm(time: int, features: int, size: int) -> Network:
    """An LSTM alone."""
    return Network((time, features), (LSTM("lstm", size),))


def gpt(time: int, vocabulary: int, size: int, heads: int, blocks: int) -> Network:
    """A small GPT-2 (A. Radford et al., 2019)."""
    body = tuple(TransformerBlock(f"block{number}", heads) for number in range(1, blocks + 1))
    ends = (Embedding("embedding", vocabulary, size), Positions("positions", time))
    return Network((time,), (*ends, *body, LayerNorm("norm"), Dense("next", vocabulary)), vocabulary)
