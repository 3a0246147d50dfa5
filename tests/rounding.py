"""How far results of a graph may lie apart because floats are rounded otherwise, measured for the graph at hand.

Monte Carlo arithmetic (D. Parker, 1997): the graph of primitives is interpreted with each result of arithmetic moved at
random by up to the error that the op matrix lets a primitive have, and with each element that is added up moved too.
How the results move is their sensitivity to rounding; a comparison that nearly ties flips in some of the runs.
Ops that only move, choose or compare are exact and stay so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from sigmagraph.dtypes import as_dtype
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.body import map_bodies
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import Inference, NDArray, NotDifferentiable, OpDef, OpKind
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import PassContext, rebuild
from sigmagraph.passes.decompose import Decompose

Arrays = Mapping[str, NDArray]
EXACT = ("neg", "abs", "minimum", "maximum", "select", "floor", "ceil", "round", "reduce_max", "reduce_min", "after")
ARITHMETIC = (OpKind.ELEMENTWISE, OpKind.REDUCTION, OpKind.CONTRACTION, OpKind.OPAQUE)
SUMS = ARITHMETIC[1:]


class Sensitivity:
    """How results of a graph move when roundings do.

    Args:
        graph: any graph.
        inputs, params: its arrays.

    Attributes:
        center: the results of the graph of primitives, as they are.
        spread: for each result how far its elements moved in the runs so far; infinite where a number became none.
        runs: how many there were.
    """

    def __init__(self, graph: Graph, inputs: Arrays, params: Arrays) -> None:
        self.arrays = inputs, params
        primitive = Decompose().run(graph, PassContext(OPS))
        self.center = interpret(primitive, *self.arrays)
        self.spread = {name: np.zeros(array.shape) for name, array in self.center.items()}
        self.rng = np.random.default_rng(7)
        self.runs = 0
        self.shaken = self._shaken(primitive)

    def run(self, times: int) -> None:
        """Measure again."""
        self.runs += times
        for _ in range(times):
            for name, array in interpret(self.shaken, *self.arrays).items():
                self.spread[name] = np.maximum(self.spread[name], distance(array, self.center[name]))

    def _shaken(self, graph: Graph) -> Graph:
        """The graph with a random factor after all arithmetic."""

        def visit(out: Graph, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value]:
            build = Builder(out, OPS, node.location)
            rounds = node.op.kind in ARITHMETIC and node.op.name not in EXACT
            if rounds and node.op.kind in SUMS:
                inputs = tuple(self._moved(build, v) for v in inputs)
            attrs = map_bodies(node.attrs, self._shaken)
            results = build.emit_all(node.op, *inputs, **attrs)
            return tuple(self._moved(build, v) for v in results) if rounds else results

        return rebuild(graph, visit)

    def _moved(self, build: Builder, value: Value) -> Value:
        return build.emit(_factor(self.rng), value) if build.type(value).dtype.is_float else value


def _limits(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _factor(rng: np.random.Generator) -> OpDef:
    """An op that moves floats by a few units in the last place."""

    def infer(context: Inference) -> tuple[TensorType, ...]:
        return context.types

    def reference(inputs: Sequence[NDArray], _attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        (x,) = inputs
        # 16-bit floats are computed in 32 bits and rounded once.
        units = 1 if x.dtype.itemsize == 2 else 8
        part = float(_limits(x.dtype).eps) * units * rng.uniform(-1, 1, x.shape)
        with np.errstate(all="ignore"):
            return (np.asarray(x.astype(np.float64) * (1 + part)).astype(x.dtype),)

    nothing = NotDifferentiable("it is not part of any program")
    return OpDef("moved", "Nearly the operand.", OpKind.ELEMENTWISE, 1, infer, reference, nothing)


def distance(a: NDArray, b: NDArray) -> NDArray:
    """How far numbers lie apart; 0 for equal ones and two NaN, infinite if just one is finite."""
    same = (a == b) | ((a != a) & (b != b))
    with np.errstate(all="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    apart = np.where(np.isfinite(apart), apart, np.inf)
    if not as_dtype(a.dtype).is_float:
        apart = np.maximum(apart, 1.0)  # of large integers float64 sees no difference
    return np.where(same, 0.0, apart)


def beyond(actual: NDArray, expected: NDArray, spread: NDArray) -> NDArray:
    """Where two results lie further apart than rounding explains: four times what was measured, and eight units.

    Measured is what random roundings did, in few runs; those at hand are others.
    """
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    slack = np.zeros(())
    if as_dtype(expected.dtype).is_float:
        limits = _limits(expected.dtype)
        size = np.abs(np.where(np.isfinite(expected), expected, 0).astype(np.float64))
        slack = size * (8 * float(limits.eps)) + float(limits.tiny)
    return distance(actual, expected) > 4 * spread + slack
