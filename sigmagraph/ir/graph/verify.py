"""Checks that a graph keeps the rules of graphs: structure, types, signature, stage and groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import networkx as nx

from sigmagraph.errors import SigmaError, VerifyError
from sigmagraph.ir.graph.body import bodies
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.groups import ROOTS, Interface, Place, Rows, interfaces, places, rows_of
from sigmagraph.ir.graph.node import Node, Stage
from sigmagraph.ir.graph.opdef import OpKind, Trait
from sigmagraph.ir.graph.printer import print_node
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value

_NEIGHBOURS = 5


def verify_graph(graph: Graph, sound: set[tuple[object, ...]] | None = None) -> None:
    """Check all rules of graphs.

    Args:
        graph: any graph.
        sound: uses of ops that need not be checked again; takes up those that have been. For graphs that are verified
            one after the other, and are made of the same ops.

    Raises:
        VerifyError: a rule is broken; the error quotes the node, its place in the user's program and its neighbours.
    """
    checker = _Checker(graph, set() if sound is None else sound)
    checker.structure()
    for node in graph.nodes():
        checker.node(node)
    checker.signature()
    checker.outputs()
    if graph.stage is Stage.FUSED or graph.groups:
        checker.groups()


class _Checker:
    def __init__(self, graph: Graph, sound: set[tuple[object, ...]]) -> None:
        self.graph = graph
        self.ports = frozenset(v.node for v in (*graph.inputs, *graph.params))
        self.sound = sound

    # ---- structure

    def structure(self) -> None:
        """Payloads and edges agree, operands exist, and there is no cycle."""
        store = self.graph.digraph
        ordered = True
        for key, payload in store.nodes(data="node"):
            if not isinstance(payload, Node) or payload.id != key:
                self._fail(f"the store has no node under %{key}", expected=f"node %{key}", got=payload)
            for value in payload.inputs:
                self._exists(value, payload)
            expected, got = {v.node for v in payload.inputs}, set(store.predecessors(key))
            if expected != got:
                self._fail(
                    "the edges of a node differ from its operands", payload, expected=sorted(expected), got=sorted(got)
                )
            ordered = ordered and (not got or max(got) < key)
        if not ordered and not nx.is_directed_acyclic_graph(store):
            cycle = [f"%{a}" for a, _ in nx.find_cycle(store)]
            self._fail("the graph has a cycle", got=" -> ".join((*cycle, cycle[0])))

    def _exists(self, value: Value, reader: Node | None, what: str = "an operand") -> None:
        if value.node not in self.graph:
            self._fail(f"{what} does not exist", reader, got=value)
        results = len(self.graph.node(value).types)
        if not 0 <= value.index < results:
            self._fail(f"{what} has no such result", reader, expected=f"0 .. {results - 1}", got=value.index)

    # ---- nodes

    def node(self, node: Node) -> None:
        """Attributes are canonical, types are those that inference gives, and the stage allows the op."""
        operands = tuple(self.graph.type(v) for v in node.inputs)
        use = (id(node.op), node.attrs, operands, node.types)
        if use not in self.sound:
            self._use(node, operands)
            self.sound.add(use)
        for body in bodies(node):
            verify_graph(body, self.sound)
            if self.graph.stage is not Stage.CAPTURED and body.stage is Stage.CAPTURED:
                self._fail("the body of a node has not been decomposed", node, expected=self.graph.stage.value)
        if node.op.kind is OpKind.COMPOSITE and self.graph.stage is not Stage.CAPTURED:
            self._fail("a composite op stands behind decompose", node, expected="primitive ops", got=node.op.name)

    def _use(self, node: Node, operands: Sequence[TensorType]) -> None:
        try:
            attrs = node.op.canonical_attrs(node.attrs)
            types, _ = node.op.inference(operands, attrs)
        except SigmaError as error:
            self._fail(error.message, node, expected=error.expected, got=error.got, cause=error)
        if attrs != node.attrs:
            self._fail("the attributes of a node are not canonical", node, expected=attrs, got=node.attrs)
        if types != node.types:
            self._fail(
                "the types of a node are not what its op gives", node, expected=_types(types), got=_types(node.types)
            )

    # ---- signature

    def signature(self) -> None:
        """Inputs and parameters are the nodes that say so, each once, under names of their own."""
        self._listed(self.graph.inputs, Trait.INPUT, "inputs")
        self._listed(self.graph.params, Trait.PARAMETER, "parameters")
        self._unique([self.graph.node(n).name for n in sorted(self.ports)], "inputs or parameters")

    def _listed(self, values: Iterable[Value], trait: Trait, what: str) -> None:
        listed = [v.node for v in values]
        for value in values:
            self._exists(value, None, f"one of the {what}")
        marked = [n.id for n in self.graph.nodes() if trait in n.op.traits]
        if sorted(listed) != sorted(marked):
            self._fail(f"the {what} of the graph are not its nodes of that kind", expected=marked, got=listed)

    def outputs(self) -> None:
        """Outputs exist under names of their own; updates name a parameter of the same type, each at most once."""
        graph = self.graph
        params = {graph.node(v).name: graph.type(v) for v in graph.params}
        for output in graph.outputs:
            self._exists(output.value, None, f"the output '{output.name}'")
            if output.updates is None:
                continue
            node = graph.node(output.value)
            if output.updates not in params:
                names = ", ".join(params) or "none"
                self._fail(f"'{output.name}' updates no parameter", node, expected=names, got=output.updates)
            if params[output.updates] != graph.type(output.value):
                self._fail(
                    f"'{output.name}' has another type than the parameter that it updates",
                    node,
                    expected=params[output.updates],
                    got=graph.type(output.value),
                )
        self._unique([o.name for o in graph.outputs], "outputs")
        self._unique([o.updates for o in graph.outputs if o.updates is not None], "updates of one parameter")

    def _unique(self, names: list[str], what: str) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                self._fail(f"there are two {what} called '{name}'")
            seen.add(name)

    # ---- groups

    def groups(self) -> None:
        """Every node that computes is in a group; groups can run in their order and store values of one shape."""
        if self.graph.stage is not Stage.FUSED:
            self._fail("a graph that is not fused has groups", expected=Stage.FUSED.value, got=self.graph.stage.value)
        self._unique([g.name for g in self.graph.groups], "groups")
        for group in self.graph.groups:
            for key in group.nodes:
                if key not in self.graph or self.graph.node(key).op.kind is OpKind.SOURCE:
                    self._fail(f"the group '{group.name}' has a member that is not a node that computes", got=f"%{key}")
        count: dict[int, int] = {}
        for key in (n for g in self.graph.groups for n in g.nodes):
            count[key] = count.get(key, 0) + 1
        for node in self.graph.nodes():
            if node.op.kind is not OpKind.SOURCE:
                self._membership(node, count.get(node.id, 0))
        self._interfaces(count)

    def _membership(self, node: Node, times: int) -> None:
        if times == 0:
            self._fail("a node is in no group", node)
        single = node.op.kind in ROOTS or node.op.kind.alone or Trait.EXPENSIVE in node.op.traits
        if times > 1 and single:
            self._fail("a node that must be computed once is in several groups", node, expected=1, got=times)

    def _interfaces(self, count: dict[int, int]) -> None:
        ready = {n.id for n in self.graph.nodes() if n.op.kind is OpKind.SOURCE}
        for face in interfaces(self.graph):
            name, members = face.group.name, [self.graph.node(n) for n in face.group.nodes]
            self._members(name, members)
            self._rows(face, members)
            for value in face.inputs:
                if value.node not in ready:
                    self._fail(f"the group '{name}' reads a value before it is there", self.graph.node(value))
            for value in face.outputs:
                if count[value.node] > 1:
                    self._fail(
                        "a value that is stored is computed by several groups",
                        self.graph.node(value),
                        expected=1,
                        got=count[value.node],
                    )
                ready.add(value.node)

    def _members(self, name: str, members: list[Node]) -> None:
        seen: set[int] = set()
        inside = {n.id for n in members}
        for node in members:
            if node.id in seen or any(v.node in inside and v.node not in seen for v in node.inputs):
                self._fail(f"the members of the group '{name}' are not in topological order", node)
            seen.add(node.id)
        opaque = next((n for n in members if n.op.kind.alone), None)
        if opaque is not None and len(members) > 1:
            self._fail(f"the group '{name}' fuses an op that can only stand alone", opaque)

    def _rows(self, face: Interface, members: list[Node]) -> None:
        """What is reduced is needed where it is: once a row. Several reductions of a group share their rows."""
        name = face.group.name
        roots = [n for n in members if n.op.kind in ROOTS]
        if members[-1].op.kind.alone:
            return
        if not roots:
            for value in face.outputs[1:]:
                node, first = self.graph.node(value), self.graph.type(face.outputs[0])
                if node.types[0].shape != first.shape:
                    self._fail(f"the group '{name}' stores values of two shapes", node, expected=first)
            return
        rows = rows_of(self.graph, roots[0])
        for node in roots[1:]:
            if rows is None or rows_of(self.graph, node) != rows:
                self._fail(
                    f"the group '{name}' has two reductions or contractions",
                    node,
                    expected="at most one, or equal rows",
                )
        inside = frozenset(n.id for n in members)
        start = [(value, self._place(face, value, roots[0], rows)) for value in face.outputs]
        found = places(self.graph, start, inside, rows)
        rooted: set[int] = set()
        for node in members:
            if node.op.kind in ROOTS or any(v.node in rooted for v in node.inputs):
                rooted.add(node.id)
                wrong = found.get(node.outputs[0], frozenset()) - {self._place(face, node.outputs[0], roots[0], rows)}
                if wrong:
                    self._fail(f"the group '{name}' reads what it reduces at other indices", node)

    def _place(self, face: Interface, value: Value, root: Node, rows: Rows | None) -> Place:
        """Where a group with a root has all elements of a value."""
        type = self.graph.type(value)
        place = rows.place_of(type) if rows else Place.ROW if type.size == root.types[0].size else Place.OTHER
        if place is Place.OTHER:
            self._fail(
                f"the group '{face.group.name}' has a value that fits neither its rows nor their elements",
                self.graph.node(value),
            )
        return place

    # ---- errors

    def _fail(
        self,
        message: str,
        node: Node | None = None,
        *,
        expected: Any = None,
        got: Any = None,
        cause: SigmaError | None = None,
    ) -> NoReturn:
        raise VerifyError(
            f"graph '{self.graph.name}': {message}",
            expected=expected,
            got=got,
            node=None if node is None else self._quote(node),
            location=(node.location or None) if node is not None else None,
        ) from cause

    def _quote(self, node: Node) -> str:
        """The node between those that stand around it."""
        around = sorted(self.graph.digraph)
        at = around.index(node.id)
        lines = []
        for key in around[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]:
            mark = "->" if key == node.id else "  "
            lines.append(f"    {mark} {print_node(self.graph.node(key))}")
        return f"%{node.id}\n" + "\n".join(lines)


def _types(types: Iterable[object]) -> str:
    return ", ".join(map(str, types))
