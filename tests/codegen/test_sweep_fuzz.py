"""Random chains of reductions and what is made of them for each row, fused into sweeps: the numbers of the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from evaluators import EVALUATORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F64
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.registry import OPS

N, K = Dim("n"), Dim("k")
SHAPES: tuple[tuple[Size, ...], ...] = ((N, K), (N, 3), (N, 20), (N, 2, K), (N, K, 5))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


class Rows:
    """A graph on arrays of one shape, grown by whole values and by values that were reduced."""

    def __init__(self, shape: tuple[Size, ...]) -> None:
        self.shape = shape
        self.graph = Graph("rows")
        self.builder = Builder(self.graph, OPS)
        self.whole = [self.graph.add_input(name, TensorType(F64, shape)) for name in ("x", "z")]
        self.reduced: list[tuple[Value, tuple[int, ...]]] = []

    def grow(self, choose: st.DataObject) -> None:
        """Append a node or a few."""
        kinds = ["unary", "binary", "reduce", "reduce"] + ["small", "spread", "spread"] * bool(self.reduced)
        kind, emit = choose.draw(st.sampled_from(kinds)), self.builder.emit
        if kind == "unary":
            self.whole.append(emit(choose.draw(st.sampled_from(["tanh", "neg", "abs"])), self._whole(choose)))
        elif kind == "binary":
            op = choose.draw(st.sampled_from(["add", "mul", "sub", "maximum"]))
            self.whole.append(emit(op, self._whole(choose), self._whole(choose)))
        elif kind == "reduce":
            last = len(self.shape) - 1
            axes = choose.draw(st.sampled_from([(last,), (last,), (0,), (1,), tuple(range(last + 1))]))
            op = choose.draw(st.sampled_from(["reduce_sum", "reduce_max", "reduce_min"]))
            self.reduced.append((emit(op, self._whole(choose), axes=axes, keepdims=choose.draw(st.booleans())), axes))
        elif kind == "small":
            value, axes = choose.draw(st.sampled_from(self.reduced))
            self.reduced.append((emit("tanh", value), axes))
        else:
            value, axes = choose.draw(st.sampled_from(self.reduced))
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(self.shape))
            spread = emit("broadcast", emit("reshape", value, shape=kept), shape=self.shape)
            self.whole.append(emit(choose.draw(st.sampled_from(["add", "mul", "sub"])), self._whole(choose), spread))

    def _whole(self, choose: st.DataObject) -> Value:
        return choose.draw(st.sampled_from(self.whole))


@pytest.mark.parametrize("evaluator", ["fused kernels", "legal kernels", "native"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(choose=st.data())
def test_sweeps_compute_what_the_graph_says(evaluator: str, choose: st.DataObject) -> None:
    rows = Rows(choose.draw(st.sampled_from(SHAPES)))
    for _ in range(choose.draw(st.integers(3, 12))):
        rows.grow(choose)
    values = [*rows.whole[2:], *(value for value, _ in rows.reduced)]
    for number, value in enumerate(choose.draw(st.lists(st.sampled_from(values), min_size=1, max_size=4, unique=True))):
        rows.graph.add_output(f"y{number}", value)
    n, k = choose.draw(st.sampled_from([(3, 4), (1, 20), (9, 1), (2, 0)]))
    rng = np.random.default_rng(n + k)
    shape = [n if size is N else k if size is K else size for size in rows.shape]
    inputs = {name: rng.standard_normal(shape) for name in ("x", "z")}
    expected = interpret(rows.graph, inputs)
    for name, array in EVALUATORS[evaluator](rows.graph, inputs).items():
        scale = np.abs(expected[name][np.isfinite(expected[name])]).max(initial=1.0)
        np.testing.assert_allclose(array, expected[name], rtol=1e-10, atol=1e-10 * scale, err_msg=str(rows.graph))
