"""The ways to run a graph that must agree, as a table, and what it means that their results agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.partition import partition
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import as_dtype
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.plan import Port
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.base import Pipeline
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD, UNFUSED

Arrays = Mapping[str, NDArray]
Evaluator = Callable[[Graph, Arrays], Arrays]


def decomposed(graph: Graph, inputs: Arrays) -> Arrays:
    """Interpret the graph of primitives that it decomposes to."""
    return interpret(PassManager((Decompose(),), OPS, verify=True).run(graph), inputs)


def kernels(pipeline: Pipeline) -> Evaluator:
    """Run the kernels of the graph after a pipeline, as plain loops, by the kernel interpreter."""

    def run(graph: Graph, inputs: Arrays) -> Arrays:
        lowered = PassManager(pipeline, OPS, verify=True).run(graph)
        parts = partition(lowered)
        ports = [Port(lowered.node(v).name, lowered.type(v).dtype, lowered.type(v).shape) for v in lowered.inputs]
        dims = bind_dims(ports, [inputs[p.name] for p in ports])
        values = {v: _dense(inputs[p.name]) for v, p in zip(lowered.inputs, ports, strict=True)}
        values |= {v: _dense(lowered.node(v).attrs["value"].numpy) for v in parts.constants}
        for task in parts.tasks:
            for value in task.writes:
                type = lowered.type(value)
                values[value] = np.empty([evaluate(size, dims) for size in type.shape], type.dtype.numpy)
            kernel = naive_kernel(task.compute)
            interpret_kernel(kernel, [values[v] for v in task.values], {name: dims[name] for name in kernel.dims})
        return {output.name: values[output.value] for output in lowered.outputs}

    return run


def _dense(array: NDArray) -> NDArray:
    return np.require(array, None, ["C"])  # np.ascontiguousarray would make vectors of scalars


EVALUATORS: Mapping[str, Evaluator] = {
    "decomposed": decomposed,
    "kernels": kernels(UNFUSED),
    "fused kernels": kernels(STANDARD),
}


def assert_agree(actual: NDArray, expected: NDArray, *, exact: bool = False, sums: bool = False) -> None:
    """Assert that two results are the same array.

    Integers and bools are equal, and floats too if ``exact``. Else floats differ by at most 8 units in the last place,
    or, if they are ``sums``, by 64 units of the largest number in the result, which bounds what was added.
    """
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    dtype = as_dtype(expected.dtype)
    if exact or not dtype.is_float:
        np.testing.assert_array_equal(actual, expected)
        return
    limits = np.finfo(expected.dtype)
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    size = finite.max(initial=1.0) if sums else 0.0
    slack = float(limits.eps) * (64 if sums else 8)
    np.testing.assert_allclose(
        actual.astype(np.float64), expected.astype(np.float64), rtol=slack, atol=slack * size + float(limits.tiny)
    )
