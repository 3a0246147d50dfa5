"""The registry of a trainer: which identifiers there are, and what stands behind each; ``docs/hooks.md`` lists them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from sigmagraph.data.batches import Batches
from sigmagraph.layers.records import Call
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.optimisers.step import PREFIX
from sigmagraph.tensor.hyperparameter import Hyperparameter
from sigmagraph.training.evaluation import Evaluation
from sigmagraph.training.network import Network
from sigmagraph.training.operators.crew import Crew
from sigmagraph.training.registry.registry import Registry

NDArray: TypeAlias = "np.ndarray[Any, Any]"
_PLAIN = (bool, int, float, str)


class Subject(Protocol):
    """What a registry tells of."""

    name: str
    network: Network
    optimiser: Optimiser
    crew: Crew
    data: Batches

    @property
    def epoch(self) -> int: ...

    @property
    def iteration(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    def handed_out(self, identifier: str) -> Any:
        """What the last iteration handed out."""
        ...

    def change(self, command: Callable[[], object]) -> None:
        """Have something done between two iterations."""
        ...

    def judge(self, name: str) -> Evaluation:
        """The verdict on a named dataset."""
        ...

    def resize(self, size: int) -> None:
        """Take batches of another size from the next epoch on."""
        ...


def contract(subject: Subject) -> Registry:
    """The registry of a trainer."""
    root = Registry(subject.name, tags=("trainer",))
    root.link("epoch", lambda: subject.epoch, type=int)
    root.link("iteration", lambda: subject.iteration, type=int)
    root.link("runtime_millis", lambda: 1000 * subject.seconds, type=float)
    root.child("shared", tags=("shared",))
    _network(root.child("network", tags=("network",)), subject)
    _optimiser(root.child("optimiser", tags=("optimiser",)), subject)
    _iterator(root.child("iterator", tags=("iterator",)), subject)
    _hyperparameters(root, subject)
    step_entries(root, subject)
    about = root.child("trainer")
    _fact(about, "self", subject)
    _fact(about, "name", subject.name)
    _fact(about, "initialised", True)
    _fact(about, "network", subject.network)
    _fact(about, "optimiser", subject.optimiser)
    return root


def step_entries(root: Registry, subject: Subject) -> None:
    """Enter what a step hands out and keeps, which depends on the parameters that are frozen."""
    optimiser = root.child("optimiser")
    for part in ("gradients", "updates", "memory"):
        if part in optimiser:
            del optimiser[part]
        optimiser.child(part, tags=(part,))
    for identifier in sorted(subject.crew.identifiers):
        _link(root, identifier, partial(subject.handed_out, identifier))
    for name in subject.crew.memory:
        _link(optimiser, f"memory.{name.removeprefix(f'{PREFIX}.')}", partial(_memory, subject, name))


def dataset_entries(root: Registry, name: str, judge: Callable[[str], Evaluation]) -> None:
    """Enter the verdict on a named dataset, which is found when it is read."""
    place = root.child(name, tags=("dataset",))
    place.link("cost", lambda: judge(name).cost, type=float)
    place.link("accuracy", lambda: judge(name).accuracy)


def _network(place: Registry, subject: Subject) -> None:
    network = subject.network
    _fact(place, "self", network)
    _fact(place, "name", network.name)
    _fact(place, "initialised", True)
    place.link("parameter_count", lambda: network.parameter_count, type=int)
    calls = network.calls
    architecture = place.child("architecture", tags=("architecture",))
    linear = all(len(call.operands) == 1 for call in calls.values())
    _fact(architecture, "type", "linear" if linear else "directed")
    _fact(architecture, "layercount", len(calls))
    layers = place.child("layers")
    for name, call in calls.items():
        _layer(layers.child(name, tags=("layer", type(call.layer).__name__.lower())), call)
        about = architecture.child(f"layers.{name}", tags=("layerarchitecture",))
        _fact(about, "inputs", tuple(str(operand.type) for operand in call.operands))
        _fact(about, "output", str(call.result.type))
    for identifier in network.identifiers:
        get, put = partial(_value, network, identifier), partial(_set_value, subject, identifier)
        _link(layers, identifier, get, put)


def _fact(place: Registry, name: str, value: Any) -> None:
    """Enter what training cannot change; setting it would change the entry and nothing else, so it is refused."""
    place.link(name, lambda: value, type=type(value))


def _layer(place: Registry, call: Call) -> None:
    """The plain fields of a layer's record, such as its size and its activation."""
    layer = call.layer
    if not is_dataclass(layer) or isinstance(layer, type):
        return
    for field in fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, _PLAIN) and field.name != "name":
            _fact(place, field.name, value)


def _value(network: Network, identifier: str) -> NDArray:
    return network.variables[identifier].read()


def _set_value(subject: Subject, identifier: str, value: Any) -> None:
    def command() -> None:
        subject.network.variables[identifier].assign(value)
        subject.crew.spread()

    subject.change(command)


def _optimiser(place: Registry, subject: Subject) -> None:
    _fact(place, "self", subject.optimiser)
    _fact(place, "name", type(subject.optimiser).__name__)
    for name in ("cost", "cost_total"):
        place.link(name, partial(subject.handed_out, "cost"))
    partials = place.child("cost_partials", tags=("costs",))
    partials.link("total", partial(subject.handed_out, "cost"))
    costs = subject.network.costs
    for cost, importance in costs.items():
        source = f"cost.{cost}" if len(costs) > 1 else "cost"
        partials.link(f"partial_{cost}", partial(subject.handed_out, source))
        _fact(partials, f"partial_{cost}_importance", importance)
    place.link("filtered_identifiers", lambda: subject.network.frozen)


def _memory(subject: Subject, name: str) -> NDArray:
    return subject.crew.memory[name].variable.read()


def _iterator(place: Registry, subject: Subject) -> None:
    place.link("self", lambda: subject.data)
    place.link("minibatch_size", lambda: subject.data.size, subject.resize, int, low=1)
    place.link("batches", lambda: len(subject.data), type=int)
    place.link("records", lambda: subject.data.records, type=int)


def _hyperparameters(root: Registry, subject: Subject) -> None:
    values = subject.crew.hyperparameters
    for spec in values.specifications():
        identifier = hyperparameter_identifier(spec)
        get, put = partial(values.__getitem__, spec.name), partial(values.__setitem__, spec.name)
        high = spec.high if spec.high < np.inf else None
        low = spec.low if spec.low > -np.inf else None
        _link(root, identifier, get, put, low=low, high=high)


def hyperparameter_identifier(spec: Hyperparameter) -> str:
    """Under which identifier a hyperparameter stands: those of layers among their layer's entries.

    Patterns in the names of an optimiser's factors and modifiers cannot stand in identifiers: ``*`` becomes ``any``.
    """
    name = re.sub(r"\*+|\?|\[[^]]*\]|<[^>]*>", "any", spec.name)
    return name if name.startswith(f"{PREFIX}.") else f"network.layers.{name}"


def _link(
    root: Registry,
    identifier: str,
    get: Callable[[], Any],
    put: Callable[[Any], object] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Make a live entry, and the registries on the way to it."""
    path, _, name = identifier.rpartition(".")
    place = root.child(path) if path else root
    place.link(name, get, put, low=low, high=high)
