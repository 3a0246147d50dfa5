"""A worker: its own values of a network, or a share in them, and the programs that it runs over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.dataset import Batch
from sigmagraph.layers.assembly import RNG
from sigmagraph.layers.records import ParameterSpec
from sigmagraph.options import CompileOptions, Target
from sigmagraph.runtime.state import Renamed, Variable
from sigmagraph.tensor.hyperparameter import Hyperparameters
from sigmagraph.tensor.tensor import Parameter
from sigmagraph.training.graphs import ForwardGraph, TrainGraph
from sigmagraph.training.network import Network
from sigmagraph.training.steps import Fetch, Step, Steps

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Memory: TypeAlias = dict[str, Parameter]
# Makes the graph of a step over a network's graph, given what the optimiser remembers.
MakeGraph: TypeAlias = Callable[[ForwardGraph, Memory], TrainGraph]


class Worker:
    """Runs steps of one network over its own variables.

    Args:
        network: what is trained.
        make: makes the graph of its steps.
        variables: its own variables by identifier; those of the network stand in for all others.
        name: of its programs.
        target: what code is made for.
        options: what else changes the code.

    Attributes:
        variables: as above.
        memory: what the optimiser keeps for it, by name.
    """

    def __init__(
        self,
        network: Network,
        make: MakeGraph,
        variables: Mapping[str, Variable],
        name: str,
        target: Target | str,
        options: CompileOptions | None,
    ) -> None:
        self.network = network
        self.variables = dict(variables)
        self.memory: Memory = {}
        self._make = make
        self._how = name, target, options
        self.restart()

    def restart(self, memory: Mapping[str, Parameter] | None = None) -> None:
        """Make other programs, for parameters that are frozen now; the optimiser goes on from a memory, or anew."""
        self.memory = dict(memory or {})
        self._steps = Steps(self._graph, *self._how)
        self.memory = self._steps.graph.memory

    def _graph(self) -> TrainGraph:
        return self._make(self.network.forward(training=True, variable=self._variable), self.memory)

    def _variable(self, spec: ParameterSpec) -> Variable:
        return self.variables.get(spec.identifier) or self.network.variable(spec)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those that its programs take, with their first values."""
        return self._steps.graph.hyperparameters

    @property
    def identifiers(self) -> frozenset[str]:
        """What its programs can hand out."""
        return self._steps.identifiers

    def step(self, fetch: Fetch = ()) -> Step:
        """The program that hands out certain values."""
        return self._steps(fetch)

    def run(
        self, batch: Batch, scalars: Mapping[str, float], fetch: Fetch = (), **more: NDArray | float
    ) -> dict[str, NDArray]:
        """Run the program on a batch."""
        return self._steps(fetch)(batch, scalars, **more)


def copies(network: Network, number: int, seeds: Callable[[int], int], *, whole: bool) -> dict[str, Variable]:
    """Variables of a worker's own, with the values that the network has now.

    Args:
        network: what they are copied from.
        number: of the worker.
        seeds: the seed of the random numbers of a worker.
        whole: whether parameters and states are copied too, and not only the random key.
    """
    made = {}
    for identifier, variable in network.variables.items():
        if identifier == RNG:
            key = np.array([seeds(number), 0], np.int64) if number else variable.value
            made[identifier] = Variable(identifier, variable.dtype, variable.shape, key)
        elif whole:
            made[identifier] = Variable(identifier, variable.dtype, variable.shape, variable.value)
    return made


def renamed(variables: Mapping[str, Variable], number: int) -> dict[str, Variable]:
    """A worker's variables for a program that takes those of all workers."""
    return {name: Renamed(variable, f"worker.{number}/{name}") for name, variable in variables.items()}
