"""Runs a graph with NumPy, node by node: the meaning that every other way to run it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Dim, evaluate
from sigmagraph.errors import InputError, SigmaError, VerifyError
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.graph.attrs import Attrs, AttrValue, Region
from sigmagraph.ir.graph.body import bodies
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.plan import Port, Requirement

Watch: TypeAlias = Callable[[Node, Sequence[NDArray], Sequence[NDArray]], None]


def interpret(
    graph: Graph,
    inputs: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    dims: Mapping[str, int] | None = None,
    watch: Watch | None = None,
) -> dict[str, NDArray]:
    """The outputs of a graph, by name; outputs that are new values of parameters are among them.

    Args:
        graph: what to run; composites run by their own reference.
        inputs: an array for every input. Python numbers, and arrays whose dtype is of the same kind, are cast.
        params: an array for every parameter, likewise.
        dims: numbers for dims that no array tells; those of a body are known outside.
        watch: called with every node that was run, its operands and its results.

    Raises:
        InputError: an array is missing or unknown, or has another dtype or shape than its port.
        DimError: two arrays disagree about a dim, or a node requires something else of it.
    """
    values = dict(zip(graph.inputs, _arrays(graph, graph.inputs, inputs, "input"), strict=True))
    values |= zip(graph.params, _arrays(graph, graph.params, params or {}, "parameter"), strict=True)
    dims = bind_dims([_port(graph, value) for value in values], list(values.values()), dims)
    for requirement in requirements(graph):
        requirement.check(dims)
    for node in graph.nodes():
        if node.outputs[0] not in values:
            operands = [values[v] for v in node.inputs]
            results = run_node(node, operands, dims)
            values.update(zip(node.outputs, results, strict=True))
            if watch is not None:
                watch(node, operands, results)
    return {output.name: np.array(values[output.value]) for output in graph.outputs}


def requirements(graph: Graph) -> tuple[Requirement, ...]:
    """What the nodes, in bodies too, require of the dims and could not be decided when they were built, each once."""
    found: dict[tuple[Any, ...], Requirement] = {}
    for node in graph.nodes():
        _, wanted = node.op.inference([graph.type(v) for v in node.inputs], node.attrs)
        inner = [one for body in bodies(node) for one in requirements(body)]
        for one in inner:
            found.setdefault((one.relation, one.left, one.right), one)
        for one in wanted:
            where = f"{one.what} (at {node.location})" if node.location else one.what
            found.setdefault((one.relation, one.left, one.right), replace(one, what=where))
    return tuple(found.values())


def _port(graph: Graph, value: Value) -> Port:
    node = graph.node(value)
    return Port(node.name, node.types[0].dtype, node.types[0].shape)


def _arrays(graph: Graph, values: Sequence[Value], given: Mapping[str, Any], what: str) -> list[NDArray]:
    names = [graph.node(v).name for v in values]
    for name in given:
        if name not in names:
            raise InputError(f"there is no {what} '{name}'", expected=", ".join(names) or "none", got=name)
    for name in names:
        if name not in given:
            raise InputError(
                f"the {what} '{name}' is missing", expected=", ".join(names), got=", ".join(given) or "none"
            )
    return [_cast(given[graph.node(v).name], _port(graph, v), what) for v in values]


def _cast(value: Any, port: Port, what: str) -> NDArray:
    array, dtype = np.asarray(value), port.dtype.numpy
    if array.dtype == dtype:
        return array
    weak = array.dtype.kind == "i" and dtype.kind == "u"
    if not (weak or np.can_cast(array.dtype, dtype, "same_kind")):
        raise InputError(f"the {what} '{port.name}' has another kind of dtype", expected=port.dtype, got=array.dtype)
    with np.errstate(over="ignore"):
        out = array.astype(dtype)
    if port.dtype.is_integer and not np.array_equal(out, array):
        raise InputError(
            f"the {what} '{port.name}' has values that its dtype cannot hold",
            expected=port.dtype,
            got=f"{array.min()} .. {array.max()}",
        )
    return out


def run_node(node: Node, operands: Sequence[NDArray], dims: Mapping[str, int]) -> Sequence[NDArray]:
    """The results of one node by its reference.

    Raises:
        VerifyError: they are not of the types that inference says.
        IndexRangeError: an index among the operands is out of range.
    """
    types = tuple(TensorType(t.dtype, tuple(evaluate(size, dims) for size in t.shape)) for t in node.types)
    attrs = Attrs({name: _numbers(value, dims) for name, value in node.attrs.items()})
    try:
        results = node.op.reference(operands, attrs, types)
    except SigmaError as error:
        raise error.at(location=node.location or None) from error.__cause__
    for result, expected in zip(results, types, strict=True):
        if result.shape != expected.shape or result.dtype != expected.dtype.numpy:
            raise VerifyError(
                f"the reference of '{node.op.name}' does not agree with its inference",
                expected=expected,
                got=f"{result.dtype}{list(result.shape)}",
                location=node.location,
            )
    return results


def _numbers(value: AttrValue, dims: Mapping[str, int]) -> AttrValue:
    """An attribute with numbers for its dims."""
    if isinstance(value, Region):
        return value.bound(dims)
    if isinstance(value, Dim):
        return evaluate(value, dims)
    if isinstance(value, tuple):
        return tuple(_numbers(v, dims) for v in value)
    return value
