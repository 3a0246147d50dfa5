"""Symbolic forward-mode derivatives: Jacobian-vector products, made of vector-Jacobian products.

A vector-Jacobian product is linear in its vector, so its derivative by that vector, multiplied with a tangent, is the
Jacobian-vector product (J. Townsend, "A new trick for calculating Jacobian vector products", 2017). Ops need no second
rule for it; what only led to the first product is dead and removed when the graph is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.autodiff.vjp import vjp
from sigmagraph.errors import DifferentiationError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import OpDef
from sigmagraph.ir.graph.value import Value


def jvp(
    graph: Graph, registry: Mapping[str, OpDef], outputs: Sequence[Value], tangents: Mapping[Value, Value]
) -> tuple[Value, ...]:
    """The derivatives of ``outputs`` when each value in ``tangents`` moves along its tangent.

    Nodes are appended to the graph; the result for an output has its type, zeros where it depends on no such value.

    Raises:
        DifferentiationError: a tangent is of another type than its value, something is not of floats, or an op in
            between has no derivative.
    """
    for value, tangent in tangents.items():
        if graph.type(value) != graph.type(tangent):
            raise DifferentiationError(
                "a tangent is of another type than its value",
                expected=graph.type(value),
                got=graph.type(tangent),
                location=graph.node(value).location or None,
            )
    # The elements of the vectors do not matter, because everything that is made of them is linear in them.
    seeds = [Builder(graph, registry, graph.node(v).location.as_gradient()).full(0.0, graph.type(v)) for v in outputs]
    products = vjp(graph, registry, outputs, seeds, tuple(tangents))
    return vjp(graph, registry, products, tuple(tangents.values()), seeds)
