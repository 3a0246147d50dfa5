"""The assembly in which the layers of a network become nodes of one graph, and the place that each has in it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sigmagraph.dtypes import I64, DType
from sigmagraph.errors import AttributeValueError, GraphError, SigmaError
from sigmagraph.initialisers import Initialiser
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.layers.records import Call, Cost, ParameterSpec, Part, Placed
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import here, scope

RNG = "rng"


@dataclass(eq=False, slots=True)
class Assembly:
    """Where the layers of one network become nodes of one graph.

    Attributes:
        variable: makes or finds the variable of a parameter.
        training: whether layers behave as in training.
        placed: the layers, in the order in which they were finished.
        inputs: placeholders of records, by alias.
        outputs: what the network gives, by alias.
        parameters: trainable parameters by identifier.
        states: other parameters by identifier: what layers keep from call to call.
        updates: the new values of states, by identifier.
        hyperparameters: run-time scalars by name.
        targets: placeholders of what cost layers compare with, by name.
        costs: what the cost layers add.
        key: the parameter (seed, step) of all random numbers, once a layer has asked for it.
        calls: the first call of every layer, by its name.
        given: tensors that take the place of placeholders of records, by alias.
    """

    variable: Callable[[ParameterSpec], Variable]
    training: bool
    placed: list[Placed] = field(default_factory=list)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    states: dict[str, Parameter] = field(default_factory=dict)
    updates: dict[str, Tensor] = field(default_factory=dict)
    hyperparameters: dict[str, tuple[Hyperparameter, Tensor]] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    key: Parameter | None = None
    calls: dict[str, Call] = field(default_factory=dict)
    given: Mapping[str, Tensor] = field(default_factory=dict)
    _names: dict[str, None] = field(default_factory=dict)
    _layers: int = 0
    _makers: dict[Tensor, str] = field(default_factory=dict)
    _blamed: SigmaError | None = None
    _streams: int = 0
    _kept: dict[object, list[tuple[str, int]]] = field(default_factory=dict)
    _recordings: list[list[tuple[str, int]]] = field(default_factory=list)
    _replay: Iterator[tuple[str, int]] | None = None

    @contextmanager
    def open(self) -> Iterator[Assembly]:
        """Let layers that are called inside be part of this assembly."""
        token = _ASSEMBLY.set(self)
        try:
            yield self
        finally:
            _ASSEMBLY.reset(token)

    def apply(self, layer: Part, operands: Sequence[Any], named: Mapping[str, Any] | None = None) -> Tensor:
        """Append a layer's nodes.

        Raises:
            SigmaError: the layer cannot take its operands; the error names both layers.
        """
        site = self._site(layer)
        return self._run(layer, site, site.name, operands, named or {})

    def inside(self, site: Site, part: str, layer: Part, operands: Sequence[Any], named: Mapping[str, Any]) -> Tensor:
        """Append the nodes of a layer that another one is made of; it is called ``<the other>.<part>``."""
        name = f"{site.name}.{part}"
        if not site.again:
            self._register(name)
        inner = Site(self, name, site.number, self._stream(), site.again)
        return self._run(layer, inner, part, operands, named)

    @contextmanager
    def shared(self, key: object) -> Iterator[None]:
        """Give the layers called inside the places that those had which were called so at the first time.

        Args:
            key: what says that two times are times of the same.

        Raises:
            GraphError: others are called.
        """
        if self._replay is not None:  # the outer one knows the places of the inner ones
            yield
        elif key not in self._kept:
            self._recordings.append([])
            yield
            self._kept[key] = self._recordings.pop()
        else:
            self._replay = iter(self._kept[key])
            yield
            left, self._replay = list(self._replay), None
            if left:
                raise _other_layers(left[0][0], "no further layer")

    def _site(self, layer: Part) -> Site:
        again = self._replay is not None
        if self._replay is None:
            name = str(layer.name).replace("#", str(self._layers))
            if not isinstance(layer.name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise AttributeValueError(
                    "the name of a layer makes no sense",
                    expected="letters, digits, '_', '-' and '#'",
                    got=repr(layer.name),
                )
            self._register(name)
            place = name, self._layers
            self._layers += 1
        else:
            found = next(self._replay, None)
            if found is None or found[0] != layer.name.replace("#", str(found[1])):
                raise _other_layers(found[0] if found else "no further layer", layer.name)
            place = found
        for recording in self._recordings:
            recording.append(place)
        return Site(self, *place, self._stream(), again)

    def _register(self, name: str) -> None:
        if name in self._names:
            hint = "a '#' in the name stands for the layer's number; L.Shared(layer) is one layer however often called"
            raise GraphError(f"two layers are called '{name}'", expected="each name once", location=here(), hint=hint)
        self._names[name] = None

    def _stream(self) -> int:
        self._streams += 1
        return self._streams - 1

    def _run(self, layer: Part, site: Site, label: str, operands: Sequence[Any], named: Mapping[str, Any]) -> Tensor:
        _check_operands(layer, site.name, operands, named)
        with scope(label):
            try:
                out = layer.forward(operands[0], site, *operands[1:], **named)
            except SigmaError as error:
                self._blame(error, site.name, [*operands, *named.values()])
                raise
        if not isinstance(out, Tensor):
            raise GraphError(
                f"the layer '{site.name}' gives no tensor", expected="Tensor", got=repr(out), location=here()
            )
        self._makers[out] = site.name
        if "." not in site.name and not site.again:
            self.calls[site.name] = Call(layer, (*operands, *named.values()), out)
            own = (*self.parameters, *self.states)
            parameters = tuple(p for p in own if p.startswith(f"{site.name}."))
            self.placed.append(Placed(site.name, out.type, parameters))
        return out

    def _blame(self, error: SigmaError, name: str, operands: Sequence[Any]) -> None:
        """Say in the error which layers do not fit; the innermost layer is the one to name."""
        if error is not self._blamed:
            given = " and ".join(f"{self._origin(x)}, {x.type}" for x in operands if isinstance(x, Tensor))
            error.message = f"the layer '{name}' cannot take {given}: {error.message}"
            error.at(location=here())
            self._blamed = error

    def _origin(self, x: Tensor) -> str:
        """Which layer gives a tensor, or which ones the layers give that it is made of."""
        if x in self._makers:
            return f"what '{self._makers[x]}' gives"
        workspace = x.workspace
        makers = {t.resolve()[1]: name for t, name in self._makers.items() if t.workspace is workspace}
        graph, value = x.resolve()
        found: dict[str, None] = {}
        seen: set[Value] = set()
        stack = [value]
        while stack:
            value = stack.pop()
            if value in makers:
                found[makers[value]] = None
            elif value not in seen:
                seen.add(value)
                stack.extend(reversed(graph.node(value).inputs))
        if not found:
            return "its input"
        names = " and ".join(f"'{name}'" for name in found)
        return f"its input, made of what {names} {'gives' if len(found) == 1 else 'give'}"


_ASSEMBLY: ContextVar[Assembly | None] = ContextVar("assembly", default=None)


def current(layer: Part) -> Assembly:
    """The assembly in which a layer is called.

    Raises:
        GraphError: there is none.
    """
    assembly = _ASSEMBLY.get()
    if assembly is None:
        raise GraphError(
            f"the layer '{layer.name}' is called while no network is assembled",
            location=here(),
            hint="call layers in a function and put that into a network: L.Input(64) + function + L.Output()",
        )
    return assembly


def _check_operands(layer: Part, name: str, operands: Sequence[Any], named: Mapping[str, Any]) -> None:
    for operand in (*operands, *named.values()):
        if not isinstance(operand, Tensor):
            raise GraphError(f"the layer '{name}' takes tensors", expected="Tensor", got=repr(operand), location=here())
    signature = inspect.signature(layer.forward)
    try:
        signature.bind(*operands[:1], None, *operands[1:], **named)
    except TypeError as error:
        names = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values()]
        del names[1]  # the site
        raise GraphError(
            f"the layer '{name}' takes other operands: {error}",
            expected=", ".join(names),
            got=", ".join([*("a tensor" for _ in operands), *named]) or "nothing",
            location=here(),
        ) from None


def _other_layers(expected: str, got: str) -> GraphError:
    return GraphError(
        "a shared function calls other layers than at the first time", expected=expected, got=got, location=here()
    )


@dataclass(frozen=True, slots=True)
class Site:
    """A layer's place in an assembly: where it gets what it needs besides its operands.

    Attributes:
        assembly: of the network.
        name: of the layer.
        number: its running number.
        stream: tells its random numbers apart from those of all others, and of other calls of a shared layer.
        again: whether it is a call of a shared layer after the first one.
    """

    assembly: Assembly
    name: str
    number: int
    stream: int
    again: bool = False

    @property
    def training(self) -> bool:
        """Whether the layer is to behave as in training."""
        return self.assembly.training

    def parameter(
        self, name: str, shape: tuple[int, ...], dtype: DType, initial: int | float | Initialiser | None = None
    ) -> Parameter:
        """A trainable parameter of the layer.

        Args:
            name: within the layer, such as ``weights``.
            shape: known sizes.
            dtype: element type.
            initial: the first value of all elements, or an initialiser, a record that equals itself in each graph;
                without it the network draws one.

        Raises:
            GraphError: a shared layer asks for another one than at its first call.
        """
        return self._parameter(ParameterSpec(f"{self.name}.{name}", dtype, shape, initial), self.assembly.parameters)

    def state(self, name: str, shape: tuple[int, ...], dtype: DType, initial: int | float = 0) -> Tensor:
        """What the layer keeps from call to call of the program, as it is now; it is saved with the parameters.

        Raises:
            GraphError: a shared layer asks for another one than at its first call.
        """
        spec = ParameterSpec(f"{self.name}.{name}", dtype, shape, initial, trainable=False)
        parameter = self._parameter(spec, self.assembly.states)
        return self.assembly.updates.get(spec.identifier, parameter)

    def update(self, name: str, value: Tensor) -> None:
        """Let a state have a new value from the end of this call of the program on."""
        self.assembly.updates[f"{self.name}.{name}"] = value

    def hyperparameter(self, name: str, default: float, high: float) -> Tensor:
        """A scalar from 0 up to but without ``high`` that every call of the program sets."""
        known = Hyperparameter(f"{self.name}.{name}", default, high)
        scalars = self.assembly.hyperparameters
        if known.name not in scalars:
            scalars[known.name] = (known, known.tensor())
        return scalars[known.name][1]

    def random_key(self) -> Tensor:
        """The key (seed, step) of random numbers; the site's stream is to be the stream."""
        if self.assembly.key is None:
            spec = ParameterSpec(RNG, I64, (2,), 0, trainable=False)
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

    def cost(
        self,
        loss: Tensor,
        judged: Tensor,
        prediction: Tensor,
        targets: str = "targets",
        labels: str | None = None,
        ignored: int | None = None,
        importance: float = 1.0,
    ) -> None:
        """Add a scalar to what training makes small; the arguments are those of :class:`Cost`."""
        cost = Cost(self.name, loss, judged, prediction, targets, labels, ignored, importance)
        self.assembly.costs.append(cost)

    def inner(self, part: str, layer: Part, *operands: Tensor, **named: Tensor) -> Tensor:
        """The result of a layer that this one is made of; its parameters are called ``<this>.<part>.<name>``."""
        return self.assembly.inside(self, part, layer, operands, named)

    def _parameter(self, spec: ParameterSpec, known: dict[str, Parameter]) -> Parameter:
        found = known.get(spec.identifier)
        if found is not None:
            if not self.again:
                raise GraphError(f"the layer has two parameters '{spec.identifier}'", expected="each name once")
            wanted = TensorType(spec.dtype, spec.shape)
            if found.type != wanted:
                what = f"at its first call the shared layer made another parameter '{spec.identifier}'"
                raise GraphError(what, expected=found.type, got=wanted)
            return found
        known[spec.identifier] = Parameter(self.assembly.variable(spec), spec.trainable)
        return known[spec.identifier]
