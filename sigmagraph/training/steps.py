"""The compiled programs of a training step: one for each set of values that is handed out, made when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.data.dataset import Batch
from sigmagraph.dims import Dim
from sigmagraph.driver import compile
from sigmagraph.options import CompileOptions, Target
from sigmagraph.program import CompiledFunction
from sigmagraph.runtime.runner import Run
from sigmagraph.training.feed import columns_of, feed
from sigmagraph.training.graphs import TrainGraph

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Fetch: TypeAlias = tuple[str, ...]  # identifiers of values, in the order of their names


class Step:
    """A program of a training step, and how it is called.

    Attributes:
        program: what runs.
        by_row: names of those of its outputs that have a row for each record.
    """

    def __init__(self, graph: TrainGraph, program: CompiledFunction) -> None:
        self.program = program
        ports = program.plan.outputs
        self.by_row = frozenset(port.name for port in ports if port.shape and isinstance(port.shape[0], Dim))
        self._records, self._targets = graph.records, graph.targets
        self._columns = columns_of(program, graph.targets)
        self._scalars = tuple(graph.hyperparameters)

    def arguments(self, batch: Batch, scalars: Mapping[str, float], **more: Any) -> dict[str, Any]:
        """What the program takes for a batch, by name; arguments and errors are those of a call."""
        return {**self.arrays(batch), **{name: scalars[name] for name in self._scalars}, **more}

    def arrays(self, batch: Batch) -> dict[str, NDArray]:
        """What the program takes of a batch, by name.

        Raises:
            InputError: the batch is not what the network takes.
        """
        return feed(batch, self._records, self._targets, self._columns)

    def begin(self, arrays: Mapping[str, Any], scalars: Mapping[str, float]) -> Run:
        """Begin to run it on the arrays of a batch, or what stands for them; see :meth:`CompiledFunction.begin`."""
        return self.program.begin(**arrays, **{name: scalars[name] for name in self._scalars})

    def __call__(self, batch: Batch, scalars: Mapping[str, float], **more: Any) -> dict[str, NDArray]:
        """Run it on a batch; what comes out is named as in the graph.

        Args:
            batch: records and targets.
            scalars: values of all hyperparameters.
            more: further inputs.

        Raises:
            InputError: the batch is not what the network takes.
        """
        return self.program(**self.arguments(batch, scalars, **more))


class Steps:
    """Programs that do the same and differ in what they hand out besides; each is compiled when it is first needed.

    Args:
        make: makes the graph anew, over the same variables.
        name: of the programs.
        target: what code is made for.
        options: what else changes the code.

    Attributes:
        graph: one of the graphs, to ask for names.
    """

    def __init__(
        self, make: Callable[[], TrainGraph], name: str, target: Target | str, options: CompileOptions | None = None
    ) -> None:
        self._make = make
        self._name, self._target, self._options = name, target, options
        self.graph = make()
        self._known: dict[Fetch, Step] = {}
        self.identifiers = frozenset(self.graph.values)

    def __call__(self, fetch: Fetch = ()) -> Step:
        """The program that hands out certain values; identifiers that this part of a step does not know are left out.

        Raises:
            SigmaError: the graph cannot be compiled.
        """
        wanted = tuple(identifier for identifier in fetch if identifier in self.identifiers)
        step = self._known.get(wanted)
        if step is None:
            # The nodes of values are appended to a graph, so that each program gets a graph of its own.
            graph = self.graph if not self._known else self._make()
            self.graph = graph
            outputs = graph.outputs | {identifier: graph.values[identifier]() for identifier in wanted}
            program = compile(
                graph.inputs, outputs, graph.updates, self._target, name=self._name, options=self._options
            )
            step = self._known[wanted] = Step(graph, program)
        return step
