"""What a layer is, how layers are composed, and the assembly in which they become nodes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

from sigmagraph.dtypes import I64, DType
from sigmagraph.errors import AttributeValueError, GraphError, SigmaError
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import here, scope

Forward: TypeAlias = Callable[[Tensor], Tensor]
RNG = "rng"


class Layer(ABC):
    """A part of a network: a small frozen description that says its forward graph and holds no values.

    ``a + b`` puts ``b`` behind ``a``, ``n * a`` puts ``n`` of them one behind the other. Called on a tensor while a
    network is being assembled, a layer appends its nodes and returns its result, so that functions of tensors can join
    layers in any way. A ``#`` in the name stands for the layer's running number, which is 0 for the input.
    """

    name: str

    @abstractmethod
    def forward(self, x: Tensor, site: Site, /) -> Tensor:
        """The result of the layer for ``x``; parameters and the like come from ``site``."""

    def __call__(self, x: Tensor) -> Tensor:
        assembly = _ASSEMBLY.get()
        if assembly is None:
            raise GraphError(
                f"the layer '{self.name}' is called while no network is assembled",
                location=here(),
                hint="call layers in a function and put that into a network: L.Input(64) + function + L.Output()",
            )
        return assembly.apply(self, x)

    def __add__(self, other: Composable) -> Chain:
        return Chain((self,)) + other

    def __radd__(self, other: Forward) -> Chain:
        return chain(other) + self

    def __rmul__(self, times: int) -> Chain:
        return times * Chain((self,))


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one behind the other."""

    layers: tuple[Layer, ...]

    def __add__(self, other: Composable) -> Chain:
        return Chain(self.layers + chain(other).layers)

    def __radd__(self, other: Forward) -> Chain:
        return chain(other) + self

    def __rmul__(self, times: int) -> Chain:
        if isinstance(times, bool) or not hasattr(times, "__index__") or times < 1:
            raise AttributeValueError("layers cannot be repeated like this", expected="an int of 1 or more", got=times)
        return Chain(self.layers * times.__index__())

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Function(Layer):
    """A function of tensors as a layer; it may call layers, and join their results in any way."""

    function: Forward
    name: str = "#-function"

    def forward(self, x: Tensor, _site: Site, /) -> Tensor:
        out = self.function(x)
        if not isinstance(out, Tensor):
            raise GraphError("the function of a layer gives no tensor", expected="Tensor", got=repr(out))
        return out


Composable: TypeAlias = Layer | Chain | Forward


def chain(part: Composable) -> Chain:
    """Anything that can stand in a network as a chain; plain functions of tensors become layers.

    Raises:
        AttributeValueError: it is neither a layer nor a function.
    """
    if isinstance(part, Chain):
        return part
    if isinstance(part, Layer):
        return Chain((part,))
    if not callable(part):
        raise AttributeValueError(
            "this is no part of a network", expected="a layer, a chain of layers, or a function", got=repr(part)
        )
    return Chain((Function(part),))


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What a layer asks for: ``initial`` is the first value of all elements, None leaves that to the network."""

    identifier: str
    dtype: DType
    shape: tuple[int, ...]
    initial: int | float | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer in an assembly: its name, the type of its result, its parameters by identifier."""

    name: str
    type: TensorType
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """What a cost layer adds: a scalar to make small, the tensor that was judged, and the prediction that it means."""

    layer: str
    loss: Tensor
    judged: Tensor
    prediction: Tensor


@dataclass(eq=False, slots=True)
class Assembly:
    """Where the layers of one network become nodes of one graph.

    Attributes:
        variable: makes or finds the variable of a parameter.
        training: whether layers behave as in training.
        placed: the layers, in the order in which they were finished.
        parameters: trainable parameters by identifier.
        hyperparameters: run-time scalars by name.
        targets: placeholders of what cost layers compare with, by name.
        costs: what the cost layers add.
        key: the parameter (seed, step) of all random numbers, once a layer has asked for it.
    """

    variable: Callable[[ParameterSpec], Variable]
    training: bool
    placed: list[Placed] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    hyperparameters: dict[str, tuple[Hyperparameter, Tensor]] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    key: Parameter | None = None
    _names: list[str] = field(default_factory=list)
    _makers: dict[Tensor, str] = field(default_factory=dict)
    _blamed: SigmaError | None = None

    @contextmanager
    def open(self) -> Iterator[Assembly]:
        """Let layers that are called inside be part of this assembly."""
        token = _ASSEMBLY.set(self)
        try:
            yield self
        finally:
            _ASSEMBLY.reset(token)

    def apply(self, layer: Layer, x: Tensor) -> Tensor:
        """Append a layer's nodes.

        Raises:
            SigmaError: the layer cannot take ``x``; the error names both layers.
        """
        if not isinstance(x, Tensor):
            raise GraphError(f"the layer '{layer.name}' takes tensors", expected="Tensor", got=repr(x), location=here())
        site = Site(self, self._name(layer), len(self._names) - 1)
        with scope(site.name):
            try:
                out = layer.forward(x, site)
            except SigmaError as error:
                self._blame(error, site.name, x)
                raise
        self._makers[out] = site.name
        own = tuple(p for p in self.parameters if p.startswith(f"{site.name}."))
        self.placed.append(Placed(site.name, out.type, own))
        return out

    def _name(self, layer: Layer) -> str:
        name = str(layer.name).replace("#", str(len(self._names)))
        if not isinstance(layer.name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise AttributeValueError(
                "the name of a layer makes no sense", expected="letters, digits, '_', '-' and '#'", got=repr(layer.name)
            )
        if name in self._names:
            hint = "a '#' in the name stands for the layer's number"
            raise GraphError(f"two layers are called '{name}'", expected="each name once", location=here(), hint=hint)
        self._names.append(name)
        return name

    def _blame(self, error: SigmaError, name: str, x: Tensor) -> None:
        """Say in the error which layers do not fit; the innermost layer is the one to name."""
        if error is not self._blamed:
            giver = self._makers.get(x)
            gives = f"what '{giver}' gives" if giver else "its input"
            error.message = f"the layer '{name}' cannot take {gives}, {x.type}: {error.message}"
            error.at(location=here())
            self._blamed = error


_ASSEMBLY: ContextVar[Assembly | None] = ContextVar("assembly", default=None)


@dataclass(frozen=True, slots=True)
class Site:
    """A layer's place in an assembly: where it gets what it needs besides its input."""

    assembly: Assembly
    name: str
    number: int

    @property
    def training(self) -> bool:
        """Whether the layer is to behave as in training."""
        return self.assembly.training

    def parameter(
        self, name: str, shape: tuple[int, ...], dtype: DType, initial: int | float | None = None
    ) -> Parameter:
        """A trainable parameter of the layer; without an initial value the network draws one."""
        spec = ParameterSpec(f"{self.name}.{name}", dtype, shape, initial)
        parameter = Parameter(self.assembly.variable(spec))
        self.assembly.parameters[spec.identifier] = parameter
        return parameter

    def hyperparameter(self, name: str, default: float, high: float) -> Tensor:
        """A scalar from 0 up to but without ``high`` that every call of the program sets."""
        known = Hyperparameter(f"{self.name}.{name}", default, high)
        tensor = known.tensor()
        self.assembly.hyperparameters[known.name] = (known, tensor)
        return tensor

    def random_key(self) -> Tensor:
        """The key (seed, step) of random numbers; the layer's number is to be the stream."""
        if self.assembly.key is None:
            spec = ParameterSpec(RNG, I64, (2,), 0)
            self.assembly.key = Parameter(self.assembly.variable(spec), trainable=False)
        return self.assembly.key

    def target(self, name: str, type: TensorType) -> Tensor:
        """What the result is compared with, handed in at every call; cost layers that name the same one share it.

        Raises:
            GraphError: they disagree about its type.
        """
        targets = self.assembly.targets
        if name not in targets:
            targets[name] = placeholder(name, type.shape, type.dtype)
        elif targets[name].type != type:
            raise GraphError(f"two cost layers want other targets '{name}'", expected=targets[name].type, got=type)
        return targets[name]

    def cost(self, loss: Tensor, judged: Tensor, prediction: Tensor) -> None:
        """Add a scalar to what training makes small."""
        self.assembly.costs.append(Cost(self.name, loss, judged, prediction))
