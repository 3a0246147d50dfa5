"""The choice between two body graphs, by a truth value that is known when the program runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import BOOL, F32, F64, I32, DType
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph, extract, unused_port
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.node import Output
from sigmagraph.ir.graph.opdef import ErrorSample, Inference, LayoutContext, NDArray, OpDef, OpKind, Sample, VjpContext
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.plan import Branch, Step
from sigmagraph.ops import elementwise
from sigmagraph.ops.samples import N, normal

BRANCHES = ("then", "orelse")


def check_operands(context: Inference, body: Graph, types: Sequence[TensorType]) -> None:
    """Raise unless a body without state takes operands of these types."""
    if body.params:
        raise context.error("the body has state", expected="inputs only", got=len(body.params), kind=GraphError)
    if len(body.inputs) != len(types):
        got = f"{len(body.inputs)} inputs"
        raise context.error("the body takes other operands", expected=len(types), got=got, kind=GraphError)
    for port, given in zip(body.inputs, types, strict=True):
        check_type(context, given, body.type(port), f"the operand for '{body.node(port).name}' and the body")


def check_type(context: Inference, given: TensorType, wanted: TensorType, what: str) -> None:
    """Raise unless types are the same; sizes that may be equal become requirements."""
    if given.dtype is not wanted.dtype:
        raise context.error(f"the element types of {what} differ", expected=wanted, got=given, kind=DTypeError)
    context.same_shape(wanted.shape, given.shape, what)


def _infer(context: Inference) -> tuple[TensorType, ...]:
    if not context.types:
        raise context.error("there is no condition", expected="bool[] and operands", got=0, kind=GraphError)
    condition, *types = context.types
    if condition.dtype is not BOOL:
        raise context.error("the condition is no truth value", expected="bool[]", got=condition, kind=DTypeError)
    if condition.rank:
        raise context.error("the condition is not a scalar", expected="bool[]", got=condition)
    graphs = [context.attrs[name].graph for name in BRANCHES]
    for graph in graphs:
        check_operands(context, graph, types)
    results = [[graph.type(o.value) for o in graph.outputs] for graph in graphs]
    if len(results[0]) != len(results[1]):
        got = f"{len(results[0])} and {len(results[1])}"
        raise context.error(
            "the branches have different numbers of results", expected="as many", got=got, kind=GraphError
        )
    for number, (first, second) in enumerate(zip(*results, strict=True)):
        check_type(context, second, first, f"result {number} of the branches")
    return tuple(results[0])


def run_body(body: Body, inputs: Sequence[NDArray]) -> tuple[NDArray, ...]:
    """The outputs of a body without state, by its interpreter."""
    graph = body.graph
    names = [graph.node(v).name for v in graph.inputs]
    results = interpret(graph, dict(zip(names, inputs, strict=True)), dims=body.dims)
    return tuple(results[o.name] for o in graph.outputs)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return run_body(attrs[BRANCHES[0] if inputs[0] else BRANCHES[1]], inputs[1:])


def _steps(layout: LayoutContext) -> Sequence[Step]:
    condition, *operands = layout.operands
    bodies = []
    for name in BRANCHES:
        names = [o.name for o in layout.attrs[name].graph.outputs]
        bodies.append(layout.body(name, operands, (), dict(zip(names, layout.results, strict=True))))
    return (Branch(condition, *bodies),)


def _vjp(c: VjpContext) -> Sequence[Value | None]:
    """The same choice between the gradients of the branches, each of which computes its branch again."""
    flows = [n for n, g in enumerate(c.cotangents) if c.type(g).dtype.is_float]
    wanted = [n for n, flag in enumerate(c.active[1:]) if flag]
    graphs = {name: Body(_gradient(c, c.attrs[name].graph, flows, wanted)) for name in BRANCHES}
    results = c.emit_all("cond", *c.inputs, *(c.cotangents[n] for n in flows), **graphs)
    out: list[Value | None] = [None] * len(c.inputs)
    for number, result in zip(wanted, results, strict=True):
        out[number + 1] = result
    return out


def _gradient(c: VjpContext, graph: Graph, flows: Sequence[int], wanted: Sequence[int]) -> Graph:
    """Operands of a branch and cotangents of its results to cotangents of operands."""
    joint = graph.copy()
    inside = c.inside(joint)
    results = [graph.outputs[n] for n in flows]
    handed = [joint.add_input(unused_port(joint, f"d.{o.name}"), joint.type(o.value)) for o in results]
    ports = [graph.inputs[n] for n in wanted]
    found = inside.backward([o.value for o in results], handed, ports)
    outputs = []
    for port, gradient in zip(ports, found, strict=True):
        value = inside.full(0.0, joint.type(port)) if gradient is None else gradient
        outputs.append(Output(f"d.{joint.node(port).name}", value))
    return extract(joint, joint.inputs, outputs, f"{graph.name}.back")[0]


def _branch(name: str, op: str, dtype: DType = F64, rows: object = 3) -> Graph:
    """``op(a, b)`` and ``a * a`` for a[rows,2] and b[rows,2]."""
    graph = Graph(name)
    a, b = (graph.add_input(port, TensorType(dtype, (rows, 2))) for port in ("a", "b"))  # type: ignore[arg-type]
    builder = Builder(graph, {record.name: record for record in elementwise.OPS})
    graph.add_output("y", builder.emit(op, a, b))
    graph.add_output("z", builder.emit("mul", a, a if op == "mul" else b))
    return graph


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for rows, size in ((3, 3), (0, 0), (N, 4)):
        graphs = {name: Body(_branch(name, op, rows=rows)) for name, op in zip(BRANCHES, ("mul", "sub"), strict=True)}
        shapes = ((), (N, 2), (N, 2)) if rows is N else None
        for condition in (True, False):
            yield Sample((np.array(condition), normal(rng, size, 2), normal(rng, size, 2)), graphs, shapes=shapes)


_CHOICE = {"then": Body(_branch("then", "mul", F32)), "orelse": Body(_branch("orelse", "sub", F32))}
_FLAG, _OPERAND = TensorType(BOOL, ()), TensorType(F32, (3, 2))
OPS = (
    OpDef(
        name="cond",
        doc="The outputs of the graph `then` where the condition, bool[], holds, else those of `orelse`; both take the "
        "other operands. Only the one that is chosen runs.",
        kind=OpKind.CONTROL,
        arity=None,
        attrs=(AttrSpec("then", "graph", "runs if it holds"), AttrSpec("orelse", "graph", "runs if it does not")),
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        steps=_steps,
        samples=_samples,
        errors=(
            ErrorSample((), _CHOICE, GraphError, "no condition"),
            ErrorSample((TensorType(I32, ()), _OPERAND, _OPERAND), _CHOICE, DTypeError, "no truth value"),
            ErrorSample((TensorType(BOOL, (3,)), _OPERAND, _OPERAND), _CHOICE, ShapeError, "not a scalar"),
            ErrorSample((_FLAG, _OPERAND), _CHOICE, GraphError, "takes other operands"),
            ErrorSample((_FLAG, _OPERAND, TensorType(F64, (3, 2))), _CHOICE, DTypeError, "the operand for 'b'"),
            ErrorSample((_FLAG, _OPERAND, TensorType(F32, (2, 2))), _CHOICE, ShapeError, "the operand for 'b'"),
            ErrorSample(
                (_FLAG, _OPERAND, _OPERAND), {"then": _CHOICE["then"]}, AttributeValueError, "'orelse' is missing"
            ),
        ),
    ),
)
