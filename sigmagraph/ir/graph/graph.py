"""The graph IR: nodes in one NetworkX DiGraph, with inputs, parameters and outputs.

The DiGraph is the only store: the payload of a node is its :class:`Node`, an edge u->v stands where v reads u, and
operands (their order, their multiplicity) are read from the payload. Graphs are pure: an output may say that it is the
new value of a parameter, nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import networkx as nx

from sigmagraph.errors import GraphError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.equal import equal
from sigmagraph.ir.graph.node import INPUT, PARAMETER, Group, Node, Output, Stage
from sigmagraph.ir.graph.opdef import OpDef, Trait
from sigmagraph.ir.graph.printer import print_graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import UNKNOWN, Location


class Graph:
    """A static program over tensors.

    Mutators: :meth:`add_input`, :meth:`add_param`, :meth:`add`, :meth:`add_output`, :meth:`set_inputs`,
    :meth:`set_attrs`, :meth:`replace_uses`, :meth:`erase`, :meth:`set_groups`. Passes call them on their own copy only.
    """

    def __init__(self, name: str = "main", stage: Stage = Stage.CAPTURED) -> None:
        self.name = name
        self.stage = stage
        self.inputs: tuple[Value, ...] = ()
        self.params: tuple[Value, ...] = ()
        self.outputs: tuple[Output, ...] = ()
        self.groups: tuple[Group, ...] = ()
        self._store(nx.DiGraph())
        self._next = 0
        self._order: tuple[Node, ...] | None = None
        self._ports: dict[str, int] = {}  # the ids of inputs and parameters by name, as a training step has hundreds

    def _store(self, digraph: nx.DiGraph[int]) -> None:
        """Keep nodes in a digraph; its own dictionaries are at hand, as its views cost more than what they are for."""
        self._nx = digraph
        self._payload: dict[int, dict[str, Node]] = digraph._node  # type: ignore[attr-defined]
        self._above: dict[int, dict[int, dict[str, object]]] = digraph._succ  # type: ignore[attr-defined]
        self._below: dict[int, dict[int, dict[str, object]]] = digraph._pred  # type: ignore[attr-defined]

    def _insert(self, node: Node) -> None:
        """Add a node and the edges to it."""
        below: dict[int, dict[str, object]] = {v.node: {} for v in node.inputs}
        self._payload[node.id] = {"node": node}
        self._above[node.id] = {}
        self._below[node.id] = below
        for source, edge in below.items():
            self._above[source][node.id] = edge
        self._order = None

    # ---- reading

    def __len__(self) -> int:
        return len(self._nx)

    def __contains__(self, node: int) -> bool:
        return node in self._nx

    @property
    def digraph(self) -> nx.DiGraph[int]:
        """The store itself, for NetworkX algorithms; it must not be changed."""
        return self._nx

    def node(self, value: Value | int) -> Node:
        """The node with an id, or the node that a value comes from.

        Raises:
            GraphError: the graph has no such node.
        """
        key = value if isinstance(value, int) else value.node
        payload = self._payload.get(key)
        if payload is not None:
            return payload["node"]
        raise GraphError(f"the graph '{self.name}' has no node %{key}")

    def type(self, value: Value) -> TensorType:
        """The type of a value."""
        return self.node(value).types[value.index]

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, operands first; among those that could come next, the one with the least id."""
        if self._order is None:
            ids = list(self._nx)
            if all(max(below) < n for n, below in self._below.items() if below):
                ids.sort()  # ids already are a topological order
            else:
                ids = list(nx.lexicographical_topological_sort(self._nx))
            self._order = tuple([self._payload[i]["node"] for i in ids])
        return self._order

    def users(self, node: int) -> tuple[Node, ...]:
        """The nodes that read a node, by id."""
        return tuple([self._payload[i]["node"] for i in sorted(self._above[node])])

    def uses(self, value: Value) -> int:
        """How often a value is read by nodes and outputs."""
        count = sum(node.inputs.count(value) for node in self.users(value.node))
        return count + sum(o.value == value for o in self.outputs)

    def port(self, name: str) -> Node:
        """The input or parameter of that name.

        Raises:
            GraphError: there is none.
        """
        if name not in self._ports:
            raise GraphError(f"the graph '{self.name}' has no input or parameter '{name}'")
        return self.node(self._ports[name])

    def __str__(self) -> str:
        return print_graph(self)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same program: names, types, nodes and outputs, but not ids, hints and places."""
        return self is other or (isinstance(other, Graph) and equal(self, other))

    __hash__ = None  # type: ignore[assignment]  # a graph changes, and equal graphs are different objects

    # ---- changing

    def add(
        self,
        op: OpDef,
        inputs: Iterable[Value],
        attrs: Attrs,
        types: Iterable[TensorType],
        name: str = "",
        location: Location = UNKNOWN,
    ) -> Node:
        """Append a node as given; the builder infers types, this does not.

        Raises:
            GraphError: an operand is not in the graph.
        """
        node = Node(self._next, op, tuple(inputs), attrs, tuple(types), name, location)
        for value in node.inputs:
            self._check(value)
        self._insert(node)
        self._next += 1
        return node

    def add_input(self, name: str, type: TensorType, location: Location = UNKNOWN) -> Value:
        """Append an input to the signature.

        Raises:
            GraphError: the name is taken.
        """
        value = self._add_port(INPUT, name, type, location)
        self.inputs += (value,)
        return value

    def add_param(self, name: str, type: TensorType, location: Location = UNKNOWN) -> Value:
        """Append a parameter to the signature.

        Raises:
            GraphError: the name is taken.
        """
        value = self._add_port(PARAMETER, name, type, location)
        self.params += (value,)
        return value

    def _add_port(self, op: OpDef, name: str, type: TensorType, location: Location) -> Value:
        if name in self._ports:
            raise GraphError(f"the name '{name}' is taken by another input or parameter", location=location)
        attrs = Attrs({"dtype": type.dtype, "shape": type.shape})
        self._ports[name] = self.add(op, (), attrs, (type,), name, location).id
        return Value(self._ports[name])

    def add_output(self, name: str, value: Value, updates: str | None = None) -> None:
        """Append a result.

        Raises:
            GraphError: the name is taken, or the value is not in the graph.
        """
        self._check(value)
        if any(o.name == name for o in self.outputs):
            raise GraphError(f"two outputs are called '{name}'")
        self.outputs += (Output(name, value, updates),)

    def set_inputs(self, node: int, inputs: Iterable[Value]) -> Node:
        """Give a node other operands of the same types."""
        new = replace(self.node(node), inputs=tuple(inputs))
        for value in new.inputs:
            self._check(value)
        self._nx.remove_edges_from([(p, node) for p in self._nx.pred[node]])
        self._nx.add_edges_from((v.node, node) for v in new.inputs)
        self._payload[node]["node"] = new
        self._order = None
        return new

    def set_attrs(self, node: int, attrs: Attrs) -> Node:
        """Give a node other attributes that leave the types of its results as they are."""
        new = replace(self.node(node), attrs=attrs)
        self._payload[node]["node"] = new
        self._order = None
        return new

    def replace_uses(self, old: Value, new: Value) -> None:
        """Let every reader of ``old``, outputs too, read ``new``."""
        for user in self.users(old.node):
            if old in user.inputs:
                self.set_inputs(user.id, (new if v == old else v for v in user.inputs))
        self.outputs = tuple(replace(o, value=new) if o.value == old else o for o in self.outputs)

    def erase(self, node: int) -> None:
        """Remove a node that nobody reads.

        Raises:
            GraphError: somebody reads it.
        """
        if self._nx.succ[node] or any(o.value.node == node for o in self.outputs):
            raise GraphError(f"node %{node} is erased while something reads it")
        self._nx.remove_node(node)
        self._order = None
        if node in self._ports.values():
            self._ports = {name: id for name, id in self._ports.items() if id != node}
            self.inputs = tuple(v for v in self.inputs if v.node != node)
            self.params = tuple(v for v in self.params if v.node != node)

    def set_groups(self, groups: Iterable[Group]) -> None:
        """Say which nodes become one kernel."""
        self.groups = tuple(groups)

    def copy(self) -> Graph:
        """An independent graph with the same nodes (which are immutable and shared)."""
        out = Graph(self.name, self.stage)
        out.inputs, out.params, out.outputs, out.groups = self.inputs, self.params, self.outputs, self.groups
        out._store(self._nx.copy())
        out._next = self._next
        out._order = self._order
        out._ports = dict(self._ports)
        return out

    def absorb(self, other: Graph) -> int:
        """Take over all nodes of another graph; their ids grow by the number that is returned.

        Raises:
            GraphError: both have an input or parameter of the same name.
        """
        shift = self._next
        for name, id in other._ports.items():
            if name in self._ports:
                raise GraphError(
                    f"two different inputs or parameters are called '{name}'",
                    expected="each name once in a graph",
                    got=f"{self.port(name).location} and {other.node(id).location}",
                    location=other.node(id).location,
                )

        def moved(value: Value) -> Value:
            return Value(value.node + shift, value.index)

        for node in other.nodes():
            copy = replace(node, id=node.id + shift, inputs=tuple(map(moved, node.inputs)))
            self._insert(copy)
        self.inputs += tuple(map(moved, other.inputs))
        self.params += tuple(map(moved, other.params))
        self._ports |= {name: id + shift for name, id in other._ports.items()}
        self._next += other._next
        return shift

    def _check(self, value: Value) -> None:
        payload = self._payload.get(value.node)
        if payload is None or not 0 <= value.index < len(payload["node"].types):
            raise GraphError(f"the graph '{self.name}' has no value {value}")


def extract(
    graph: Graph, inputs: Iterable[Value], outputs: Iterable[Output], name: str
) -> tuple[Graph, Mapping[Value, Value]]:
    """A new graph of just what some outputs need, and the map from old to new values.

    The given inputs come first, in their order, whether they are read or not; parameters follow in the order of their
    ids.

    Raises:
        GraphError: an output needs an input that is not among those given.
    """
    inputs, outputs = tuple(inputs), tuple(outputs)
    needed: set[int] = {v.node for v in inputs}
    needed.update(graph.port(o.updates).id for o in outputs if o.updates is not None)
    stack = [o.value.node for o in outputs]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend(v.node for v in graph.node(node).inputs)
    out = Graph(name, graph.stage)
    mapping: dict[Value, Value] = {}
    for value in inputs:
        node_ = graph.node(value)
        if Trait.INPUT not in node_.op.traits:
            raise GraphError(
                f"{value} is not an input", expected="a placeholder", got=node_.op.name, location=node_.location
            )
        mapping[value] = out.add_input(node_.name, node_.types[0], node_.location)
    ports = {value.node for value in inputs}
    for node_ in graph.nodes():
        if node_.id not in needed or node_.id in ports:
            continue
        if Trait.INPUT in node_.op.traits:
            raise GraphError(
                f"the placeholder '{node_.name}' is needed but is not among the inputs",
                expected=", ".join(graph.node(v).name for v in inputs) + f", {node_.name}",
                location=node_.location,
            )
        if Trait.PARAMETER in node_.op.traits:
            mapping[node_.outputs[0]] = out.add_param(node_.name, node_.types[0], node_.location)
            continue
        new = out.add(
            node_.op, (mapping[v] for v in node_.inputs), node_.attrs, node_.types, node_.name, node_.location
        )
        mapping.update(zip(node_.outputs, new.outputs, strict=True))
    for output in outputs:
        out.add_output(output.name, mapping[output.value], output.updates)
    return out, mapping


def iter_updates(graph: Graph) -> Iterator[Output]:
    """The outputs that are new values of parameters."""
    return (o for o in graph.outputs if o.updates is not None)


def unused_port(graph: Graph, stem: str) -> str:
    """A name that no input or parameter has: ``stem``, or that and a number."""
    return _unused(stem, {graph.node(v).name for v in (*graph.inputs, *graph.params)})


def unused_output(graph: Graph, stem: str) -> str:
    """A name that no output has: ``stem``, or that and a number."""
    return _unused(stem, {o.name for o in graph.outputs})


def _unused(stem: str, taken: set[str]) -> str:
    return next(name for name in (stem, *(f"{stem}.{n}" for n in range(1, len(taken) + 2))) if name not in taken)
