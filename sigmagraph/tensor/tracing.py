"""From a Python function of tensors to the graph of a body, and the tensors from outside that it reads."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sigmagraph.errors import GraphError
from sigmagraph.ir.graph.graph import Graph, unused_port
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.tensor.structure import Structure, leaves
from sigmagraph.tensor.tensor import Tensor
from sigmagraph.tensor.workspace import Workspace, here

_PORTS = frozenset({Trait.INPUT, Trait.PARAMETER})
_FREE = (OpKind.SOURCE, OpKind.MOVEMENT)


def arguments(types: Sequence[TensorType]) -> list[Tensor]:
    """Tensors that stand for the operands of a body while its function is called."""
    out = []
    for type in types:
        workspace = Workspace()
        # The name only has to be another one than all others; it does not get into any program.
        out.append(Tensor(workspace, workspace.graph.add_input(f"argument {secrets.token_hex(8)}", type, here())))
    return out


@dataclass(frozen=True, slots=True)
class Trace:
    """What a function made of its arguments.

    Attributes:
        arguments: the tensors that it was called with.
        structure: what it returned.
        results: the tensors in that.
        captured: tensors from outside that it reads besides: all that does not depend on an argument.
    """

    arguments: tuple[Tensor, ...]
    structure: Structure
    results: tuple[Tensor, ...]
    captured: tuple[Tensor, ...]

    def graph(
        self, name: str, inputs: Sequence[tuple[str, Tensor]], states: Sequence[tuple[str, Tensor]] = ()
    ) -> tuple[Graph, tuple[Value, ...]]:
        """A graph without outputs that computes the results, and these as its values.

        Args:
            name: of the graph.
            inputs: arguments and captured tensors that become inputs, and what these are called.
            states: arguments that become parameters, likewise.
        """
        ports = [tensor for _, tensor in (*inputs, *states)]
        source = _together([*self.arguments, *self.results, *self.captured, *ports]).graph
        out = Graph(name)
        values: dict[Value, Value] = {}
        for named, add in ((inputs, out.add_input), (states, out.add_param)):
            for stem, tensor in named:
                values[tensor.resolve()[1]] = add(unused_port(out, stem), tensor.type, tensor.location)
        ends = [tensor.resolve()[1] for tensor in self.results]
        for node in _needed(source, ends, values):
            operands = (values[v] for v in node.inputs)
            new = out.add(node.op, operands, node.attrs, node.types, node.name, node.location)
            for old, value in zip(node.outputs, new.outputs, strict=True):
                values.setdefault(old, value)
        return out, tuple(values[v] for v in ends)


def check_function(function: object) -> None:
    """Raise GraphError unless it can be called."""
    if not callable(function):
        raise GraphError("this is no function of tensors", expected="a function", got=repr(function), location=here())


def trace(function: Callable[..., Structure], given: Sequence[Structure], tensors: Sequence[Tensor]) -> Trace:
    """Call a function with structures of ``tensors`` and find what it reads from outside.

    Raises:
        GraphError: it is no function.
    """
    check_function(function)
    structure = function(*given)
    results = leaves(structure)
    workspace = _together([*tensors, *results])
    graph = workspace.graph
    dependent: dict[int, bool] = {t.resolve()[1].node: True for t in tensors}
    captured: dict[Value, None] = {}
    done: set[int] = set()
    stack = [t.resolve()[1] for t in results]
    while stack:
        value = stack.pop()
        if not _depends(graph, value.node, dependent) and not _is_free(graph, graph.node(value)):
            captured[value] = None
        elif value.node not in done:
            done.add(value.node)
            stack.extend(reversed(graph.node(value).inputs))
    outside = tuple(Tensor(workspace, value) for value in captured)
    return Trace(tuple(tensors), structure, tuple(results), outside)


def _together(tensors: Sequence[Tensor]) -> Workspace:
    workspace = tensors[0].workspace if tensors else Workspace()
    for tensor in tensors[1:]:
        workspace = workspace.join(tensor.workspace)
    return workspace


def _depends(graph: Graph, node: int, known: dict[int, bool]) -> bool:
    """Whether a node depends on one of those that are known to be dependent; what is found is noted."""
    stack = [node]
    while stack:
        at = stack[-1]
        if at in known:
            stack.pop()
            continue
        below = [v.node for v in graph.node(at).inputs]
        unknown = [n for n in below if n not in known]
        if unknown:
            stack.extend(unknown)
        else:
            known[at] = any(known[n] for n in below)
            stack.pop()
    return known[node]


def _is_free(graph: Graph, node: Node) -> bool:
    """Whether a node is a constant or the like, which is written again inside rather than handed in."""
    if node.op.traits & _PORTS or node.op.kind not in _FREE:
        return False
    return all(_is_free(graph, graph.node(v)) for v in node.inputs)


def _needed(graph: Graph, ends: Sequence[Value], known: dict[Value, Value]) -> list[Node]:
    """The nodes that values are computed from, operands first, down to values that are known."""
    found: dict[int, Node] = {}
    stack = [v for v in ends if v not in known]
    while stack:
        node = graph.node(stack.pop())
        if node.id not in found:
            found[node.id] = node
            stack.extend(v for v in node.inputs if v not in known)
    return [node for node in graph.nodes() if node.id in found]
