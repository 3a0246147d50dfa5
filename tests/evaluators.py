"""The ways to run a graph that must agree, as a table, and what it means that their results agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import ml_dtypes
import numpy as np

from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.loops import naive_kernel
from sigmagraph.codegen.partition import Control, partition
from sigmagraph.codegen.schedule.cpu import schedule
from sigmagraph.codegen.schedule.machine import BASELINE, Machine
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dims import evaluate
from sigmagraph.driver import compile_graph
from sigmagraph.dtypes import as_dtype
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret, run_node
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.verify import verify_kernel
from sigmagraph.ir.plan import Port
from sigmagraph.ops.registry import OPS
from sigmagraph.options import CompileOptions
from sigmagraph.passes.base import Pipeline
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager
from sigmagraph.passes.pipelines import STANDARD, UNFUSED
from sigmagraph.passes.specialise import unify

Arrays = Mapping[str, NDArray]
Evaluator = Callable[[Graph, Arrays], Arrays]


def decomposed(graph: Graph, inputs: Arrays) -> Arrays:
    """Interpret the graph of primitives that it decomposes to."""
    return interpret(PassManager((Decompose(),), OPS, verify=True).run(graph), inputs)


Stage = Callable[[Work], Kernel]


def kernels(pipeline: Pipeline, stage: Stage = naive_kernel, again: Again | None = None) -> Evaluator:
    """Run the kernels of the graph after a pipeline by the kernel interpreter, as plain loops or at another stage."""
    return lambda graph, inputs: _run(lower(graph, pipeline), stage, inputs, again)


def lower(graph: Graph, pipeline: Pipeline) -> Graph:
    """A graph after a pipeline, every pass of which is verified."""
    return PassManager(pipeline, OPS, verify=True).run(unify(graph, OPS))


def _run(lowered: Graph, stage: Stage, inputs: Arrays, again: Again | None = None) -> Arrays:
    """Interpret the kernels of a graph that is lowered."""
    parts = partition(lowered, again=again)
    ports = [Port(lowered.node(v).name, lowered.type(v).dtype, lowered.type(v).shape) for v in lowered.inputs]
    dims = bind_dims(ports, [inputs[p.name] for p in ports])
    values = {v: _dense(inputs[p.name]) for v, p in zip(lowered.inputs, ports, strict=True)}
    values |= {v: _dense(lowered.node(v).attrs["value"].numpy) for v in parts.constants}
    for task in parts.tasks:
        if isinstance(task, Control):
            node = task.node
            values.update(zip(node.outputs, run_node(node, [values[v] for v in node.inputs], dims), strict=True))
            continue
        for value in task.writes:
            type = lowered.type(value)
            values[value] = np.empty([evaluate(size, dims) for size in type.shape], type.dtype.numpy)
        kernel = stage(task.work)
        verify_kernel(kernel)
        sizes = {name: dims[name] for name in kernel.dims}
        shapes = [tuple(evaluate(size, sizes) for size in buffer.shape) for buffer in kernel.params]
        arrays = [values[v] for v in task.values]
        arrays += [np.empty(s, b.dtype.numpy) for s, b in zip(shapes, kernel.params, strict=True)][len(arrays) :]
        # Scheduled kernels see flat buffers; reshaping dense arrays makes views.
        interpret_kernel(kernel, [a.reshape(s) for a, s in zip(arrays, shapes, strict=True)], sizes)
    return {output.name: values[output.value] for output in lowered.outputs}


def scheduled(machine: Machine) -> Stage:
    """Kernels as they are scheduled for a machine."""
    return lambda work: schedule(work, machine)


def legal(machine: Machine) -> Stage:
    """Kernels as they are emitted for a machine."""
    return lambda work: legalize(schedule(work, machine), machine.instructions)


def native(options: CompileOptions) -> Evaluator:
    """Compile the graph and run it."""

    def run(graph: Graph, inputs: Arrays) -> Arrays:
        return compile_graph(graph, {}, options)(**inputs)

    return run


def _dense(array: NDArray) -> NDArray:
    return np.require(array, None, ["C"])  # np.ascontiguousarray would make vectors of scalars


# The ways that the kernel interpreter goes.
KERNELS: Mapping[str, tuple[Pipeline, Stage]] = {
    "kernels": (UNFUSED, naive_kernel),
    "fused kernels": (STANDARD, naive_kernel),
    # BASELINE has the smallest vectors and tiles, so that small samples fill them.
    "scheduled kernels": (STANDARD, scheduled(BASELINE)),
    "legal kernels": (STANDARD, legal(BASELINE)),
}
EVALUATORS: Mapping[str, Evaluator] = {
    "decomposed": decomposed,
    **{name: kernels(pipeline, stage) for name, (pipeline, stage) in KERNELS.items()},
    "native": native(CompileOptions(cache=False, checks=False)),
    "unfused native": native(CompileOptions(cache=False, checks=False, fuse=False)),
}


def evaluations(graph: Graph, inputs: Arrays, names: Sequence[str]) -> Iterator[tuple[str, Arrays]]:
    """The results of several ways, by their names.

    A graph is lowered once for all ways that begin alike. Where a pipeline leaves the very graph that another one left,
    its kernels are the same, and are not interpreted again.
    """
    lowered: dict[Pipeline, tuple[Graph, str]] = {}
    known: dict[tuple[str, Stage], Arrays] = {}
    for name in names:
        if name not in KERNELS:
            yield name, EVALUATORS[name](graph, inputs)
            continue
        pipeline, stage = KERNELS[name]
        if pipeline not in lowered:
            end = lower(graph, pipeline)
            lowered[pipeline] = end, print_graph(end)
        end, text = lowered[pipeline]
        if (text, stage) not in known:
            known[text, stage] = _run(end, stage, inputs)
        yield name, known[text, stage]


def assert_agree(actual: NDArray, expected: NDArray, *, exact: bool = False, sums: bool = False) -> None:
    """Assert that two results are the same array.

    Integers and bools are equal, and floats too if ``exact``. Else floats differ by at most 8 units in the last place,
    or, if they are ``sums``, by 64 units of the largest number in the result, which bounds what was added.
    """
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    dtype = as_dtype(expected.dtype)
    if not dtype.is_float:
        np.testing.assert_array_equal(actual, expected)
        return
    limits = ml_dtypes.finfo(expected.dtype)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if exact:
        np.testing.assert_array_equal(actual, expected)
        return
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0) if sums else 0.0
    slack = float(limits.eps) * (64 if sums else 8)
    np.testing.assert_allclose(actual, expected, rtol=slack, atol=slack * size + float(limits.tiny))
