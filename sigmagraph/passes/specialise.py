"""Replaces symbolic dims by numbers, in a graph of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.errors import DimError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import OpDef, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value


def specialise(graph: Graph, dims: Mapping[str, int], registry: Mapping[str, OpDef]) -> Graph:
    """The graph with numbers for dims; types are inferred again.

    Raises:
        DimError: the graph has no such dim.
    """
    if not dims:
        return graph
    known = {n for v in graph.inputs for size in graph.type(v).shape for n in names(size)}
    for name in dims:
        if name not in known:
            raise DimError(f"there is no dim '{name}' to specialise", expected=", ".join(sorted(known)), got=name)
    out = Graph(graph.name, graph.stage)
    values: dict[Value, Value] = {}
    for node in graph.nodes():
        if node.op.traits & {Trait.INPUT, Trait.PARAMETER}:
            type = TensorType(node.types[0].dtype, tuple(substitute(s, dims) for s in node.types[0].shape))
            add = out.add_input if Trait.INPUT in node.op.traits else out.add_param
            values[node.outputs[0]] = add(node.name, type, node.location)
            continue
        attrs = {key: _replaced(value, dims) for key, value in node.attrs.items()}
        new = Builder(out, registry, node.location).node(node.op, *(values[v] for v in node.inputs), **attrs)
        values.update(zip(node.outputs, new.outputs, strict=True))
    for output in graph.outputs:
        out.add_output(output.name, values[output.value], output.updates)
    return out


def _replaced(value: Any, dims: Mapping[str, Size]) -> Any:
    if isinstance(value, Dim):
        return substitute(value, dims)
    return tuple(_replaced(v, dims) for v in value) if isinstance(value, tuple) else value
