"""Symbolic reverse-mode derivatives: appends the nodes of vector-Jacobian products to a graph.

Only floats carry derivatives. An op whose result is of integers or bools, such as a comparison, ends the flow; where
nothing flows the derivative is zero. What is appended are ordinary nodes, so gradients of gradients are taken alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sigmagraph.errors import DifferentiationError, VerifyError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Node
from sigmagraph.ir.graph.opdef import NotDifferentiable, OpDef
from sigmagraph.ir.graph.value import Value


def gradients(
    graph: Graph, registry: Mapping[str, OpDef], y: Value, wrt: Sequence[Value], seed: Value | None = None
) -> tuple[Value, ...]:
    """The derivatives of ``y`` with respect to some values, each of that value's type.

    Args:
        graph: nodes are appended to it; those that are there stay as they are.
        registry: the ops that gradients are written in.
        y: a float scalar; with a seed any float value.
        wrt: values that ``y`` may depend on; zeros for those that it does not depend on.
        seed: what the derivative is multiplied with from the left, of the type of ``y``; 1 if left out.

    Raises:
        DifferentiationError: ``y`` is no float scalar, something in ``wrt`` is not of floats, or an op in between has
            no derivative.
    """
    type = graph.type(y)
    if seed is None:
        if not type.dtype.is_float or type.rank:
            raise DifferentiationError(
                "the gradient is taken of something that is not a float scalar",
                expected="a float scalar (reduce it with sum or mean), or a seed of its type",
                got=type,
                node=_text(graph.node(y)),
                location=graph.node(y).location,
            )
        seed = Builder(graph, registry, graph.node(y).location.as_gradient()).constant(1.0, type.dtype)
    return vjp(graph, registry, (y,), (seed,), wrt)


def vjp(
    graph: Graph,
    registry: Mapping[str, OpDef],
    outputs: Sequence[Value],
    cotangents: Sequence[Value],
    wrt: Sequence[Value],
) -> tuple[Value, ...]:
    """The products of cotangents of some values with their Jacobians with respect to other values.

    The result for ``x`` in ``wrt`` is the sum over ``outputs`` of cotangent times d output / d x, of the type of ``x``.

    Raises:
        DifferentiationError: as in :func:`gradients`.
    """
    _check(graph, outputs, cotangents, wrt)
    reverse = _Reverse(graph, registry)
    nodes = _ancestors(graph, [v.node for v in outputs])
    for output, cotangent in zip(outputs, cotangents, strict=True):
        reverse.accumulate(output, cotangent)
    reverse.run(nodes, wrt)
    for value in wrt:
        if value not in reverse.cotangents:
            _refuse_blocked(nodes, value)
    return tuple(reverse.cotangent(value) for value in wrt)


class _Reverse:
    """The cotangents of values, while they are carried back through nodes."""

    def __init__(self, graph: Graph, registry: Mapping[str, OpDef]) -> None:
        self.graph = graph
        self.registry = registry
        self.cotangents: dict[Value, Value] = {}

    def builder(self, node: Node) -> Builder:
        """Appends nodes as part of the gradient of a node."""
        return Builder(self.graph, self.registry, node.location.as_gradient())

    def accumulate(self, value: Value, cotangent: Value) -> None:
        """Add to what has come back to a value."""
        known = self.cotangents.get(value)
        if known is not None:
            cotangent = self.builder(self.graph.node(value)).emit("add", known, cotangent)
        self.cotangents[value] = cotangent

    def cotangent(self, value: Value) -> Value:
        """What has come back to a value; zeros if nothing has."""
        known = self.cotangents.get(value)
        return known if known is not None else self.builder(self.graph.node(value)).full(0.0, self.graph.type(value))

    def run(self, nodes: Sequence[Node], sources: Iterable[Value]) -> None:
        """Carry cotangents back through nodes, given operands first, to ``sources`` and what lies between."""
        active = set(sources)
        for node in nodes:
            if not active.isdisjoint(node.inputs):
                active.update(_float_results(node))
        for node in reversed(nodes):
            if not active.isdisjoint(node.inputs) and any(v in self.cotangents for v in node.outputs):
                self._through(node, active)

    def _through(self, node: Node, active: set[Value]) -> None:
        rule = node.op.vjp
        if isinstance(rule, NotDifferentiable):
            raise DifferentiationError(
                f"'{node.op.name}' has no derivative: {rule.reason}", node=_text(node), location=node.location or None
            )
        if rule is None:
            self._through_decomposition(node, active)
            return
        active_inputs = tuple(v in active for v in node.inputs)
        context = _Context(self.builder(node), node, tuple(self.cotangent(v) for v in node.outputs), active_inputs)
        for value, cotangent in zip(node.inputs, rule(context), strict=True):
            if cotangent is not None and value in active:
                self.accumulate(value, self._fitting(node, value, cotangent))

    def _through_decomposition(self, node: Node, active: set[Value]) -> None:
        """Write the composite out in the graph and carry its cotangent back through that (cse merges the copies)."""
        written = node.op.expand(Builder(self.graph, self.registry, node.location), node.inputs, node.attrs)
        reached = [(w, self.cotangents[v]) for w, v in zip(written, node.outputs, strict=True) if v in self.cotangents]
        sources = list(dict.fromkeys(v for v in node.inputs if v in active))
        outputs, cotangents = zip(*reached, strict=True)
        found = _between(self.builder(node), outputs, cotangents, sources, node.inputs)
        for value, cotangent in zip(sources, found, strict=True):
            if cotangent is not None:
                self.accumulate(value, cotangent)

    def _fitting(self, node: Node, value: Value, cotangent: Value) -> Value:
        """The cotangent with its operand's very shape, where two expressions stand for one symbolic size."""
        expected, got = self.graph.type(value), self.graph.type(cotangent)
        if expected == got:
            return cotangent
        if expected.dtype is not got.dtype or expected.rank != got.rank:
            raise VerifyError(
                f"the gradient of '{node.op.name}' has another type than its operand",
                expected=expected,
                got=got,
                node=_text(node),
            )
        return self.builder(node).emit("reshape", cotangent, shape=expected.shape)


def _between(
    builder: Builder,
    outputs: Sequence[Value],
    cotangents: Sequence[Value],
    wrt: Sequence[Value],
    stops: Sequence[Value] = (),
) -> tuple[Value | None, ...]:
    """What flows back from outputs to some values, not behind them nor behind ``stops``; None where nothing does."""
    inner = _Reverse(builder.graph, builder.registry)
    for output, cotangent in zip(outputs, cotangents, strict=True):
        inner.accumulate(output, cotangent)
    inner.run(_ancestors(builder.graph, [v.node for v in outputs], {v.node for v in (*wrt, *stops)}), wrt)
    return tuple(inner.cotangents.get(value) for value in wrt)


class _Inside(Builder):
    """A graph that is to become a body (:class:`~sigmagraph.ir.graph.opdef.Inside`)."""

    def backward(
        self, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
    ) -> tuple[Value | None, ...]:
        return _between(self, outputs, cotangents, wrt)


class _Context(_Inside):
    """What the gradient rule of a node sees (:class:`~sigmagraph.ir.graph.opdef.VjpContext`)."""

    def __init__(self, builder: Builder, node: Node, cotangents: tuple[Value, ...], active: tuple[bool, ...]) -> None:
        super().__init__(builder.graph, builder.registry, builder.location)
        self._node = node
        self.cotangents = cotangents
        self.active = active

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self._node.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self._node.outputs

    @property
    def attrs(self) -> Attrs:
        return self._node.attrs

    def backward(
        self, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]
    ) -> tuple[Value | None, ...]:
        return _between(self, outputs, cotangents, wrt, self._node.inputs)

    def inside(self, graph: Graph) -> _Inside:
        return _Inside(graph, self.registry, self.location)


def _check(graph: Graph, outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]) -> None:
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if graph.type(output) != graph.type(cotangent):
            raise DifferentiationError(
                "the seed is of another type than the value that is differentiated",
                expected=graph.type(output),
                got=graph.type(cotangent),
                location=graph.node(output).location or None,
            )
    for value in (*outputs, *wrt):
        if not graph.type(value).dtype.is_float:
            raise DifferentiationError(
                "only floats have derivatives",
                expected="a float type",
                got=graph.type(value),
                node=_text(graph.node(value)),
                location=graph.node(value).location or None,
            )


def _ancestors(graph: Graph, ends: Iterable[int], stops: Iterable[int] = ()) -> list[Node]:
    """The nodes that ``ends`` are computed from and these themselves, operands first, without ``stops``."""
    found: dict[int, Node] = {}
    done = set(stops)
    stack = list(ends)
    while stack:
        node = graph.node(stack.pop())
        if node.id not in done:
            done.add(node.id)
            found[node.id] = node
            stack.extend(v.node for v in node.inputs)
    ordered = [found[i] for i in sorted(found)]
    if all(v.node < node.id for node in ordered for v in node.inputs):
        return ordered
    return [node for node in graph.nodes() if node.id in found]


def _refuse_blocked(nodes: Sequence[Node], value: Value) -> None:
    """Raise if a value matters, but only by way of an op without a derivative: zeros would hide that.

    An op whose derivative is zero, such as a comparison, is no such op.
    """
    dependent = {value}
    for node in nodes:
        if dependent.isdisjoint(node.inputs):
            continue
        if isinstance(node.op.vjp, NotDifferentiable):
            raise DifferentiationError(
                f"the gradient would have to pass '{node.op.name}', which has none: {node.op.vjp.reason}",
                node=_text(node),
                location=node.location or None,
            )
        dependent.update(_float_results(node))


def _float_results(node: Node) -> Iterator[Value]:
    return (v for v, type in zip(node.outputs, node.types, strict=True) if type.dtype.is_float)


def _text(node: Node) -> str:
    operands = ", ".join(map(str, node.inputs))
    return f"%{node.id} = {node.op.name}({operands})"
