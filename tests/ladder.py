"""The ladder: every way to run a graph, compared with its interpretation within what rounding explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from evaluators import EVALUATORS
from random_graphs import moderate
from rounding import Arrays, Sensitivity, beyond

from sigmagraph.dims import evaluate
from sigmagraph.driver import compile_graph
from sigmagraph.errors import DimError, IndexRangeError
from sigmagraph.ir.graph.body import map_bodies
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import NDArray, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.base import PassContext, keep, rebuild
from sigmagraph.passes.guard import Guard
from sigmagraph.runtime.state import Variable

SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40)
RUNS, MORE_RUNS = 3, 60


@dataclass
class Point:
    """A graph at given sizes and arrays.

    Attributes:
        graph: what is run, without dead nodes, which no program computes.
        sizes: numbers for its dims.
        inputs, params: an array for each input and parameter.
        expected: its results by interpretation, or the error by which the call must be refused.
    """

    graph: Graph
    sizes: Mapping[str, int]
    inputs: Arrays
    params: Arrays
    expected: Arrays | DimError | IndexRangeError
    _sensitivity: Sensitivity | None = None

    @property
    def sensitivity(self) -> Sensitivity:
        """How the results move with rounding."""
        if self._sensitivity is None:
            self._sensitivity = Sensitivity(self.graph, self.inputs, self.params)
            self._sensitivity.run(RUNS)
        return self._sensitivity

    def check(self, results: Arrays, what: str) -> None:
        """Assert that results are the expected ones, as far as rounding lets them."""
        assert not isinstance(self.expected, Exception)
        assert results.keys() == self.expected.keys()
        if self._wrong(results) and self.sensitivity.runs < MORE_RUNS:
            self.sensitivity.run(MORE_RUNS)  # what nearly ties flips in few runs
        for name in self._wrong(results):
            spread = self.sensitivity.spread[name]
            wrong = beyond(results[name], self.expected[name], spread)
            place = tuple(int(i[0]) for i in np.nonzero(wrong)) if wrong.ndim else ()
            got, wanted, apart = (a[place] for a in (results[name], self.expected[name], spread))
            raise AssertionError(
                f"{what}: {name}{list(place)} is {got!r} instead of {wanted!r}, and rounding moves it by {apart:.3g}; "
                f"{int(wrong.sum())} of {wrong.size} elements are wrong\n{self.graph}\n{self.inputs}\n{self.params}"
            )

    def check_call(self, call: Callable[[], Arrays], what: str) -> bool:
        """Assert that a call gives the expected results, or ends in the expected error; returns whether it went through.

        Nothing need be refused for the sake of a value that turns out to be needed by nobody.
        """
        if not isinstance(self.expected, Exception):
            self.check(call(), what)
            return True
        try:
            results = call()
        except type(self.expected):
            return False
        assert isinstance(self.expected, IndexRangeError), (
            f"{what}: not refused, although {self.expected}\n{self.graph}"
        )
        graph = _without_checks(self.graph)
        expected = interpret(graph, self.inputs, self.params)
        alone = replace(self, graph=graph, expected=expected, _sensitivity=None)
        alone.check(results, f"{what}, not refused although {self.expected}")
        return True

    def _wrong(self, results: Arrays) -> list[str]:
        assert not isinstance(self.expected, Exception)
        spread = self.sensitivity.spread
        return [n for n, array in self.expected.items() if beyond(results[n], array, spread[n]).any()]


def live(graph: Graph) -> Graph:
    """The graph without dead nodes, which may require something of sizes that no program asks for."""
    return rebuild(graph, keep)


def point(graph: Graph, sizes: Mapping[str, int], seed: int, *, special: float = 0.0, checks: bool = False) -> Point:
    """A graph at random arrays.

    Args:
        graph: any graph.
        sizes: numbers for its dims.
        seed: of the arrays.
        special: the part of the floats that are NaN, infinite, zero or tiny.
        checks: whether indices out of range are refused.
    """
    graph = live(graph)
    rng = np.random.default_rng(seed)

    def array(type: TensorType) -> NDArray:
        out = moderate(rng, type, sizes)
        if not type.dtype.is_float:
            return out
        return np.where(rng.random(out.shape) < special, rng.choice(SPECIAL, out.shape).astype(out.dtype), out)

    def arrays(values: tuple[Value, ...]) -> dict[str, NDArray]:
        return {graph.node(v).name: array(graph.type(v)) for v in values}

    inputs, params = arrays(graph.inputs), arrays(graph.params)
    run = Guard().run(graph, PassContext(OPS)) if checks else graph
    try:
        return Point(graph, sizes, inputs, params, interpret(run, inputs, params))
    except (DimError, IndexRangeError) as error:
        return Point(graph, sizes, inputs, params, error)


def check_evaluator(name: str, at: Point) -> None:
    """Assert that one of the ways to run graphs without state gives what is expected."""
    if not isinstance(at.expected, DimError):  # evaluators ask only what arrays say
        graph, arrays = as_inputs(at.graph), {**at.inputs, **at.params}
        at.check_call(lambda: EVALUATORS[name](graph, arrays), name)


def _without_checks(graph: Graph) -> Graph:
    """The graph without the guards in it."""

    def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        inside = replace(node, attrs=map_bodies(node.attrs, _without_checks))
        return inputs[:1] if Trait.CHECKS in node.op.traits else keep(out, inside, inputs)

    return rebuild(graph, visit)


def as_inputs(graph: Graph) -> Graph:
    """The graph with inputs in place of parameters, so that it has no state."""
    out = Graph(graph.name, graph.stage)
    values: dict[Value, Value] = {}
    for node in graph.nodes():
        if node.outputs[0] in (*graph.inputs, *graph.params):
            values[node.outputs[0]] = out.add_input(node.name, node.types[0], node.location)
        else:
            new = keep(out, node, tuple(values[v] for v in node.inputs))
            values.update(zip(node.outputs, new, strict=True))
    for output in graph.outputs:
        out.add_output(output.name, values[output.value])
    return out


class Program:
    """A compiled graph with its parameters, which are set before a call and looked at after it."""

    def __init__(self, graph: Graph, options: CompileOptions) -> None:
        graph = live(graph)
        types = {graph.node(v).name: graph.type(v) for v in graph.params}
        self.variables = {n: Variable(n, t.dtype, tuple(evaluate(s, {}) for s in t.shape)) for n, t in types.items()}
        self.function = compile_graph(graph, self.variables, options)
        self.updated = {o.name: o.updates for o in graph.outputs if o.updates is not None}

    def results(self, at: Point) -> dict[str, NDArray]:
        """What a call gives, new values of parameters among it.

        The arena is full of NaN before, so that what is read before it is written shows.
        """
        for name, variable in self.variables.items():
            variable.assign(at.params[name])
        executor = self.function.executor
        executor._allocate(executor.arena_bytes(at.sizes))
        executor._arena[:] = 0xFF
        executor._last = None  # the next call is not prepared: that would use the arena that is gone
        results = self.function(**at.inputs)
        return {
            o.name: self.variables[o.updates].value.copy() if o.updates else results[o.name] for o in at.graph.outputs
        }

    def check(self, at: Point, what: str) -> None:
        """Assert that a call gives what is expected, and writes to no other parameter; or that it is refused."""
        done = at.check_call(lambda: self.results(at), what)
        kept = self.variables.keys() - (set(self.updated.values()) if done else set())
        assert all(self.variables[k].value.tobytes() == at.params[k].tobytes() for k in sorted(kept))
