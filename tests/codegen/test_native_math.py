"""Native code computes the expansions of scalar ops to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from expansions import Array, evaluate

from sigmagraph.driver import compile_graph
from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions


def numbers(dtype: DType, seed: int) -> Array:
    """Numbers of random bits and of the usual sizes, an odd count, so that vectors leave a rest."""
    rng = np.random.default_rng(seed)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    wild = rng.integers(0, np.iinfo(unsigned).max, 600, unsigned, endpoint=True).view(dtype.numpy)
    tame = np.concatenate([rng.uniform(-1, 1, 300), rng.uniform(-20, 20, 301)]).astype(dtype.numpy)
    edges = np.array([0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan], dtype.numpy)
    return np.concatenate([wild, tame, np.repeat(edges, 8), np.tile(edges, 8)])


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_native_code_is_the_expansion(dtype: DType) -> None:
    names = [op.name for op in SCALARS.values() if not op.primitive and op.name in OPS]
    arrays = [numbers(dtype, seed) for seed in (1, 2)]
    graph = Graph("functions")
    values = [graph.add_input(f"x{i}", TensorType(dtype, a.shape)) for i, a in enumerate(arrays)]
    builder = Builder(graph, OPS)
    for name in names:
        graph.add_output(name, builder.emit(name, *values[: SCALARS[name].arity]))
    got = compile_graph(graph, {}, CompileOptions(cache=False))(**{f"x{i}": a for i, a in enumerate(arrays)})
    for name in names:
        want = evaluate(name, *arrays[: SCALARS[name].arity])
        np.testing.assert_array_equal(got[name], want, name)
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[name][number]), np.signbit(want[number]), name)
