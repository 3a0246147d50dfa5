"""What is noted of a layer in an assembly: its parameters, its place, its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sigmagraph.dtypes import DType
from sigmagraph.initialisers import Initialiser
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.tensor.tensor import Tensor


class Part(Protocol):
    """What an assembly knows of a layer."""

    @property
    def name(self) -> str:
        """With a ``#`` for its running number."""

    @property
    def forward(self) -> Callable[..., Tensor]:
        """Its result for operands and a site."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What a layer asks for.

    Attributes:
        identifier: its name, such as ``1-dense.weights``.
        dtype: element type.
        shape: known sizes.
        initial: the first value of all elements, or what draws them; None leaves that to the network.
        trainable: False for state, which programs update by a rule of the layer's own.
    """

    identifier: str
    dtype: DType
    shape: tuple[int, ...]
    initial: int | float | Initialiser | None
    trainable: bool = True


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer in an assembly: its name, the type of its result, its parameters by identifier."""

    name: str
    type: TensorType
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A layer in a graph: what it was called on, and what it gave."""

    layer: Part
    operands: tuple[Tensor, ...]
    result: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """What a cost layer adds.

    Attributes:
        layer: its name.
        loss: a scalar to make small.
        judged: the tensor that was judged.
        prediction: what that means, such as the probabilities of logits.
        targets: the name of what it is compared with.
        labels: the target that holds the numbers of the right classes; None where targets are no classes.
        ignored: the label that does not count.
        importance: how much it counts among several costs.
    """

    layer: str
    loss: Tensor
    judged: Tensor
    prediction: Tensor
    targets: str
    labels: str | None = None
    ignored: int | None = None
    importance: float = 1.0
