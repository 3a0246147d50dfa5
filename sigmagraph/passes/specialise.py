"""Replaces symbolic dims: by numbers that the user gives, or by dims that they must be equal to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigmagraph.dims import Dim, Size, coefficient, divide_exact, names, substitute
from sigmagraph.errors import DimError
from sigmagraph.ir.graph.body import map_bodies
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import requirements
from sigmagraph.ir.graph.opdef import OpDef, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.plan import Requirement


def specialise(graph: Graph, dims: Mapping[str, Size], registry: Mapping[str, OpDef]) -> Graph:
    """The graph with sizes for dims; types are inferred again.

    Raises:
        DimError: the graph has no such dim, or a number is no size.
    """
    if not dims:
        return graph
    known = {n for v in graph.inputs for size in graph.type(v).shape for n in names(size)}
    for name in dims:
        if name not in known:
            raise DimError(f"there is no dim '{name}' to specialise", expected=", ".join(sorted(known)), got=name)
        size = dims[name]
        if isinstance(size, bool) or not isinstance(size, (int, Dim)) or (isinstance(size, int) and size < 0):
            raise DimError(f"the dim '{name}' cannot be specialised to this", expected="0, 1, 2, ...", got=repr(size))
    return _with_dims(graph, dims, registry)


def _with_dims(graph: Graph, dims: Mapping[str, Size], registry: Mapping[str, OpDef]) -> Graph:
    out = Graph(graph.name, graph.stage)
    values: dict[Value, Value] = {}
    for node in graph.nodes():
        if node.op.traits & {Trait.INPUT, Trait.PARAMETER}:
            type = TensorType(node.types[0].dtype, tuple(substitute(s, dims) for s in node.types[0].shape))
            add = out.add_input if Trait.INPUT in node.op.traits else out.add_param
            values[node.outputs[0]] = add(node.name, type, node.location)
            continue
        inside = map_bodies(node.attrs, lambda body: _with_dims(body, dims, registry))
        attrs = {key: _replaced(value, dims) for key, value in inside.items()}
        new = Builder(out, registry, node.location).node(node.op, *(values[v] for v in node.inputs), **attrs)
        values.update(zip(node.outputs, new.outputs, strict=True))
    for output in graph.outputs:
        out.add_output(output.name, values[output.value], output.updates)
    return out


def unify(graph: Graph, registry: Mapping[str, OpDef]) -> Graph:
    """The graph with one dim for those that some node requires to be equal, as far as that can be solved.

    Kernels can then be shown to stay in bounds; a call with other sizes is refused when its inputs are bound.
    """
    while (solved := next(filter(None, map(_solve, requirements(graph))), None)) is not None:
        graph = specialise(graph, dict([solved]), registry)
    return graph


def _solve(requirement: Requirement) -> tuple[str, Size] | None:
    """A dim and what it must be, if the requirement says so."""
    if requirement.relation != "==":
        return None
    difference = requirement.left - requirement.right
    for name in reversed(names(difference)):
        split = coefficient(difference, name)
        if split is not None and isinstance(split[0], int):
            solved = divide_exact(-1 * split[1], split[0])
            if solved is not None:
                return name, solved
    return None


def _replaced(value: Any, dims: Mapping[str, Size]) -> Any:
    if isinstance(value, Dim):
        return substitute(value, dims)
    return tuple(_replaced(v, dims) for v in value) if isinstance(value, tuple) else value
