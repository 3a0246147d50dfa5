"""Ops that say how a part of a graph is differentiated: computed again, by a rule of its own, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, F64, I32, I64, DType
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.body import Body
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Frame,
    Inference,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Block, For, LoopKind, Store
from sigmagraph.ops import elementwise
from sigmagraph.ops.cond import check_operands, check_type, run_body
from sigmagraph.ops.samples import N, integers, normal

# ---- stop_gradient


def _identity_type(context: Inference) -> tuple[TensorType, ...]:
    return (context.types[0],)


def _identity(inputs: Sequence[NDArray], _attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (inputs[0],)


def _stopped(_c: VjpContext) -> Sequence[Value | None]:
    return (None,)


def _itself(_b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return inputs[0]


def _stop_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3),), kinks=True)
    yield Sample((normal(rng, 0, 3),), kinks=True)
    yield Sample((normal(rng, 4, 3),), shapes=((N, 3),), kinks=True)
    yield Sample((integers(rng, 4),), exact=True)


# ---- after


def _infer_after(context: Inference) -> tuple[TensorType, ...]:
    if len(context.types) < 2:
        raise context.error("there is nothing to wait for", expected="2 operands or more", got=1, kind=GraphError)
    return (context.types[0],)


def _vjp_after(c: VjpContext) -> Sequence[Value | None]:
    return (c.cotangents[0], *(None,) * (len(c.inputs) - 1))


def _loops_after(frame: Frame) -> Block:
    """A copy, which costs nothing where the result takes over the operand's memory."""
    source, target = frame.reads[0], frame.writes[0]
    index: tuple[Size, ...] = tuple(Dim(f"%i{n}") for n in range(len(target.shape)))
    body: Block = (Store(target.name, index, Load(source.name, index, source.dtype)),)
    for number, extent in reversed(list(enumerate(target.shape))):
        body = (For(f"%i{number}", extent, LoopKind.SERIAL if number else LoopKind.PARALLEL, body),)
    return body


def _after_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3), normal(rng, 4)), exact=True)
    yield Sample((normal(rng), normal(rng, 4), normal(rng, 5)), exact=True)
    yield Sample((normal(rng, 0, 3), normal(rng, 4)), exact=True)
    yield Sample((normal(rng, 4, 3), normal(rng, 4)), shapes=((N, 3), (4,)), exact=True)


# ---- checkpoint


def _infer_call(context: Inference) -> tuple[TensorType, ...]:
    body = context.attrs["body"].graph
    check_operands(context, body, context.types)
    return tuple(body.type(o.value) for o in body.outputs)


def _infer_checkpoint(context: Inference) -> tuple[TensorType, ...]:
    arguments, count = context.attrs["arguments"], len(context.types)
    if not 0 <= arguments <= count:
        raise context.error(
            "there are fewer operands", expected=f"0 .. {count}", got=arguments, kind=AttributeValueError
        )
    return _infer_call(context)


def _reference_call(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return run_body(attrs["body"], inputs)


def _decompose_call(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> tuple[Value, ...]:
    return b.inline(attrs["body"], inputs)


def _vjp_checkpoint(c: VjpContext) -> Sequence[Value | None]:
    """The body once more, on copies of the arguments that are made when the cotangents are there."""
    flows = [n for n, g in enumerate(c.cotangents) if c.type(g).dtype.is_float]
    count = c.attrs["arguments"]
    renewed = [c.emit("after", value, *(c.cotangents[n] for n in flows)) for value in c.inputs[:count]]
    operands = (*renewed, *c.inputs[count:])
    results = c.inline(c.attrs["body"], operands)
    wanted = [n for n, flag in enumerate(c.active) if flag]
    found = c.backward([results[n] for n in flows], [c.cotangents[n] for n in flows], [operands[n] for n in wanted])
    out: list[Value | None] = [None] * len(c.inputs)
    for number, cotangent in zip(wanted, found, strict=True):
        out[number] = cotangent
    return out


# ---- custom_gradient


def _infer_custom(context: Inference) -> tuple[TensorType, ...]:
    results = _infer_call(context)
    gradient = context.attrs["gradient"].graph
    floats = [t for t in context.types if t.dtype.is_float]
    check_operands(context, gradient, (*context.types, *results, *(t for t in results if t.dtype.is_float)))
    if len(gradient.outputs) != len(floats):
        raise context.error(
            "the gradient has another number of results than the op has float operands",
            expected=len(floats),
            got=len(gradient.outputs),
            kind=GraphError,
        )
    for number, (output, wanted) in enumerate(zip(gradient.outputs, floats, strict=True)):
        check_type(context, gradient.type(output.value), wanted, f"result {number} of the gradient and its operand")
    return results


def _vjp_custom(c: VjpContext) -> Sequence[Value | None]:
    flows = [g for g in c.cotangents if c.type(g).dtype.is_float]
    found = iter(c.inline(c.attrs["gradient"], (*c.inputs, *c.outputs, *flows)))
    return tuple(next(found) if c.type(v).dtype.is_float else None for v in c.inputs)


def _call_body(dtype: DType = F64, rows: Size = 3) -> Graph:
    """``a * b`` for a[rows,2] and b[rows,2]."""
    graph = Graph("product")
    a, b = (graph.add_input(port, TensorType(dtype, (rows, 2))) for port in ("a", "b"))
    graph.add_output("y", _builder(graph).emit("mul", a, b))
    return graph


def _call_gradient(dtype: DType = F64, rows: Size = 3) -> Graph:
    """The cotangents of ``a * b``: ``b * g`` and ``a * g``."""
    graph = Graph("gradient")
    a, b, _, g = (graph.add_input(port, TensorType(dtype, (rows, 2))) for port in ("a", "b", "y", "g"))
    for name, factor in (("a", b), ("b", a)):
        graph.add_output(name, _builder(graph).emit("mul", factor, g))
    return graph


def _builder(graph: Graph) -> Builder:
    return Builder(graph, {record.name: record for record in elementwise.OPS})


def _sizes(rng: np.random.Generator) -> Iterator[tuple[Size, tuple[NDArray, ...], tuple[tuple[Size, ...], ...] | None]]:
    for rows, size in ((3, 3), (0, 0), (N, 4)):
        yield rows, (normal(rng, size, 2), normal(rng, size, 2)), ((N, 2), (N, 2)) if rows is N else None


def _checkpoint_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for rows, arrays, shapes in _sizes(rng):
        yield Sample(arrays, {"body": Body(_call_body(rows=rows)), "arguments": 1}, shapes=shapes)


def _custom_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for rows, arrays, shapes in _sizes(rng):
        graphs = {"body": Body(_call_body(rows=rows)), "gradient": Body(_call_gradient(rows=rows))}
        yield Sample(arrays, graphs, shapes=shapes)


_OPERAND = TensorType(F32, (3, 2))
_BODY = {"body": Body(_call_body(F32))}
_CUSTOM = {**_BODY, "gradient": Body(_call_gradient(F32))}
OPS = (
    OpDef(
        name="stop_gradient",
        doc="The operand itself, taken for a constant where derivatives are made.",
        kind=OpKind.COMPOSITE,
        arity=1,
        infer=_identity_type,
        reference=_identity,
        vjp=_stopped,
        decompose=_itself,
        samples=_stop_samples,
        errors=(ErrorSample((_OPERAND, _OPERAND), {}, GraphError, "wrong number of operands"),),
    ),
    OpDef(
        name="after",
        doc="The first operand, once the others are there: what is made of the result is computed then and not sooner.",
        kind=OpKind.OPAQUE,
        arity=None,
        infer=_infer_after,
        reference=_identity,
        vjp=_vjp_after,
        loops=_loops_after,
        samples=_after_samples,
        errors=(ErrorSample((_OPERAND,), {}, GraphError, "nothing to wait for"),),
    ),
    OpDef(
        name="checkpoint",
        doc="The outputs of the graph `body`, whose gradient computes the body again from copies of the first "
        "`arguments` operands instead of keeping what it computed (T. Chen et al., Training deep nets with sublinear "
        "memory cost, 2016).",
        kind=OpKind.COMPOSITE,
        arity=None,
        attrs=(
            AttrSpec("body", "graph", "what is computed"),
            AttrSpec("arguments", "int", "number of operands that are copied; the others are kept anyway"),
        ),
        infer=_infer_checkpoint,
        reference=_reference_call,
        vjp=_vjp_checkpoint,
        decompose=_decompose_call,
        samples=_checkpoint_samples,
        errors=(
            ErrorSample((_OPERAND,), {**_BODY, "arguments": 1}, GraphError, "takes other operands"),
            ErrorSample((_OPERAND, _OPERAND), {**_BODY, "arguments": 3}, AttributeValueError, "fewer operands"),
            ErrorSample(
                (_OPERAND, TensorType(I64, (3, 2))), {**_BODY, "arguments": 1}, DTypeError, "the operand for 'b'"
            ),
        ),
    ),
    OpDef(
        name="custom_gradient",
        doc="The outputs of the graph `body`; the graph `gradient` makes the cotangents of its float operands from the "
        "operands, the results and the cotangents of the float results.",
        kind=OpKind.COMPOSITE,
        arity=None,
        attrs=(AttrSpec("body", "graph", "what is computed"), AttrSpec("gradient", "graph", "its gradient")),
        infer=_infer_custom,
        reference=_reference_call,
        vjp=_vjp_custom,
        decompose=_decompose_call,
        samples=_custom_samples,
        errors=(
            ErrorSample((_OPERAND,), _CUSTOM, GraphError, "takes other operands"),
            ErrorSample((_OPERAND, TensorType(F32, (4, 2))), _CUSTOM, ShapeError, "the operand for 'b'"),
            ErrorSample(
                (_OPERAND, _OPERAND), {**_CUSTOM, "gradient": _BODY["body"]}, GraphError, "takes other operands"
            ),
            ErrorSample((_OPERAND, TensorType(I32, (3, 2))), _CUSTOM, DTypeError, "the operand for 'b'"),
        ),
    ),
)
