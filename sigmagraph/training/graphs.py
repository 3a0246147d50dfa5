"""The graphs that a network gives: from records to predictions and costs, and what a training step is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from sigmagraph.dtypes import F32
from sigmagraph.errors import GraphError
from sigmagraph.layers.assembly import Assembly
from sigmagraph.optimisers.base import Optimiser
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.derivatives import gradients
from sigmagraph.tensor.functions import constant, placeholder, sqrt
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter, Tensor
from sigmagraph.tensor.workspace import scope

# Tensors that a program can hand out besides its outputs, by identifier; the nodes of some are made when asked for.
Values: TypeAlias = Mapping[str, Callable[[], Tensor]]
# How several tensors of one meaning become one, given the share of the records that each is made of.
Merge: TypeAlias = Callable[[str, Sequence[Tensor], Sequence[Tensor]], Tensor]

COST = "optimiser.cost"
NORM = "optimiser.gradient_norm"
SHARES = "shares"


@dataclass(frozen=True, slots=True, eq=False)
class ForwardGraph:
    """A network as a graph.

    Attributes:
        name: of the network.
        inputs: placeholders of the records, one for each Input.
        predictions: what the network gives for them, by the aliases of its Outputs, or its last result as
            ``prediction`` where it has none; probabilities behind a softmax cross entropy.
        cost: what training makes small, a scalar; None without a cost layer.
        assembly: parameters, states, targets, hyperparameters and costs of the layers.
    """

    name: str
    inputs: tuple[Tensor, ...]
    predictions: dict[str, Tensor]
    cost: Tensor | None
    assembly: Assembly

    @property
    def updates(self) -> dict[Tensor, Tensor]:
        """New values of the states of layers."""
        states = self.assembly.states
        return {states[identifier]: value for identifier, value in self.assembly.updates.items()}

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """Placeholders of records, targets and hyperparameters: what a program over the whole graph takes."""
        scalars = (tensor for _, tensor in self.assembly.hyperparameters.values())
        return (*self.inputs, *self.assembly.targets.values(), *scalars)

    @property
    def next_key(self) -> dict[Tensor, Tensor]:
        """The random key of the next step; empty where no layer draws."""
        key = self.assembly.key
        if key is None:
            return {}
        with scope(self.name):
            return {key: key + constant(np.array([0, 1], np.int64))}

    def trained(self, frozen: Collection[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The cost, and the parameters that are not frozen.

        Raises:
            GraphError: there is no cost layer, or nothing to train.
        """
        parameters: dict[str, Tensor] = {n: p for n, p in self.assembly.parameters.items() if n not in frozen}
        if self.cost is None or not parameters:
            lacks = "cost layer" if self.cost is None else "parameters"
            raise GraphError(
                f"the network '{self.name}' cannot be trained",
                expected=f"a network with {lacks}",
                got=f"all parameters are frozen: {', '.join(frozen)}" if frozen and not parameters else None,
            )
        return self.cost, parameters

    def costs(self) -> dict[str, Tensor]:
        """The cost as ``cost``, and that of each of several cost layers as ``cost.<layer>``."""
        if self.cost is None:
            return {}
        costs = self.assembly.costs
        return {"cost": self.cost} | ({f"cost.{c.layer}": c.loss for c in costs} if len(costs) > 1 else {})

    def activations(self) -> dict[str, Callable[[], Tensor]]:
        """What goes into layers and comes out of them, by identifier."""
        found: dict[str, Tensor] = {}
        for name, call in self.assembly.calls.items():
            for number, operand in enumerate(call.operands):
                found[f"network.layers.{name}._inputs.{number or 'default'}.activations"] = operand
            found[f"network.layers.{name}._outputs.default.activations"] = call.result
        return {identifier: partial(_itself, tensor) for identifier, tensor in found.items()}


@dataclass(frozen=True, slots=True, eq=False)
class TrainGraph:
    """One training step, or a part of one, as what ``compile`` takes.

    Attributes:
        records: names of the inputs that records are handed in by.
        targets: names of the inputs that targets are handed in by.
        inputs: placeholders of the records, the targets and the hyperparameters.
        outputs: ``cost``, ``cost.<layer>`` for each of several cost layers, and what the optimiser reports.
        updates: new values of parameters, states of layers, optimiser memory and the random key.
        hyperparameters: values for the last of the inputs; a call takes them as keyword arguments.
        memory: what the optimiser keeps from step to step, by name.
        values: what can be handed out besides, by identifier.
    """

    records: tuple[str, ...]
    targets: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: dict[str, Tensor]
    updates: dict[Tensor, Tensor]
    hyperparameters: Hyperparameters
    memory: dict[str, Parameter]
    values: Values


def train_graph(
    forward: ForwardGraph, optimiser: Optimiser, frozen: Collection[str], memory: Mapping[str, Parameter] | None = None
) -> TrainGraph:
    """One training step: cost, gradients, and the optimiser's new values of what is not frozen.

    Args:
        forward: the network in training.
        optimiser: makes the new values.
        frozen: identifiers of parameters that stay as they are.
        memory: what the optimiser kept in an earlier graph, by name, if this one is to go on from there.

    Raises:
        GraphError: the network has no cost layer, or no parameters that are not frozen.
        IdentifierError: a pattern of the optimiser names nothing.
    """
    cost, trained = forward.trained(frozen)
    slopes = dict(zip(trained, gradients(cost, list(trained.values())), strict=True))
    step = optimiser.updates(trained, slopes, frozen=frozen, memory=memory)
    assembly = forward.assembly
    scalars = assembly.hyperparameters | step.hyperparameters
    return TrainGraph(
        tuple(assembly.inputs),
        tuple(assembly.targets),
        (*forward.arguments, *(tensor for _, tensor in step.hyperparameters.values())),
        forward.costs() | step.outputs,
        dict(step.updates) | forward.updates | forward.next_key,
        Hyperparameters(spec for spec, _ in scalars.values()),
        step.memory,
        forward.activations() | _changes(trained, slopes, step.updates),
    )


def gradient_graph(
    forward: ForwardGraph, frozen: Collection[str], own: Callable[[str, Tensor], Variable]
) -> TrainGraph:
    """The part of a step that one of several workers does: gradients, and what its records make of layers' states.

    Args:
        forward: the network in training; parameters and states are read only.
        frozen: identifiers of parameters that stay as they are.
        own: the worker's own variable of a name, for a value like the given one; gradients go to
            ``gradient.<identifier>``, new states to ``state.<identifier>``.

    Raises:
        GraphError: the network has no cost layer, or no parameters that are not frozen.
    """
    cost, trained = forward.trained(frozen)
    slopes = dict(zip(trained, gradients(cost, list(trained.values())), strict=True))
    assembly = forward.assembly
    results = {f"gradient.{name}": slope for name, slope in slopes.items()}
    results |= {f"state.{name}": value for name, value in assembly.updates.items()}
    updates: dict[Tensor, Tensor] = {Parameter(own(name, x), trainable=False): x for name, x in results.items()}
    return TrainGraph(
        tuple(assembly.inputs),
        tuple(assembly.targets),
        forward.arguments,
        forward.costs(),
        updates | forward.next_key,
        Hyperparameters(spec for spec, _ in assembly.hyperparameters.values()),
        {},
        forward.activations() | _changes(trained, slopes, {}),
    )


def update_graph(
    forward: ForwardGraph,
    optimiser: Optimiser,
    frozen: Collection[str],
    memory: Mapping[str, Parameter] | None,
    results: Sequence[Mapping[str, Variable]],
    merge: Merge,
) -> TrainGraph:
    """The part of a step that follows those of all workers: their gradients become one, by which parameters change.

    Args:
        forward: the network in training.
        optimiser: makes the new values.
        frozen: identifiers of parameters that stay as they are.
        memory: what the optimiser kept in an earlier graph, by name, if this one is to go on from there.
        results: what each worker's :func:`gradient_graph` writes, by name.
        merge: how values become one.
    """
    _, trained = forward.trained(frozen)
    shares = placeholder(SHARES, (len(results),))
    weights = [shares[number] for number in range(len(results))]

    def merged(name: str) -> Tensor:
        return merge(name, [Parameter(own[name], trainable=False) for own in results], weights)

    slopes = {name: merged(f"gradient.{name}") for name in trained}
    step = optimiser.updates(trained, slopes, frozen=frozen, memory=memory)
    states = forward.assembly.states
    updates = dict(step.updates) | {states[name]: merged(f"state.{name}") for name in forward.assembly.updates}
    return TrainGraph(
        (),
        (),
        (shares, *(tensor for _, tensor in step.hyperparameters.values())),
        step.outputs,
        updates,
        Hyperparameters(spec for spec, _ in step.hyperparameters.values()),
        step.memory,
        _changes(trained, slopes, step.updates),
    )


def _changes(
    trained: Mapping[str, Tensor], slopes: Mapping[str, Tensor], updates: Mapping[Tensor, Tensor]
) -> dict[str, Callable[[], Tensor]]:
    """Gradients, their norm, and by how much parameters change."""
    found: dict[str, Callable[[], Tensor]] = {NORM: partial(_norm, tuple(slopes.values()))}
    for name, slope in slopes.items():
        found[f"optimiser.gradients.{name}"] = partial(_itself, slope)
        if trained[name] in updates:
            found[f"optimiser.updates.{name}"] = partial(_difference, updates[trained[name]], trained[name])
    return found


def _itself(x: Tensor) -> Tensor:
    return x


def _difference(new: Tensor, old: Tensor) -> Tensor:
    return new - old


def _norm(slopes: tuple[Tensor, ...]) -> Tensor:
    squares = [(x * x).sum() for x in (slope.astype(F32) if slope.dtype.itemsize < 4 else slope for slope in slopes)]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return sqrt(total)
