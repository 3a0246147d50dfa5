"""Attention, and the rotation of its queries and keys by their position, as composites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
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
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, booleans, normal
from sigmagraph.ops.softmax import masked_softmax


def _infer(context: Inference) -> tuple[TensorType, ...]:
    if len(context.types) not in (3, 4):
        count = len(context.types)
        raise context.error("wrong number of operands", expected="3, or 4 with a mask", got=count, kind=GraphError)
    q, k, v, *masks = context.types
    if not q.dtype.is_float or any(t.dtype is not q.dtype for t in (k, v)):
        got = ", ".join(str(t.dtype) for t in (q, k, v))
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    if min(q.rank, k.rank, v.rank) < 2:
        raise context.error("an operand is no matrix", expected="q[...,t,d], k[...,s,d], v[...,s,e]", got="a vector")
    context.same(q.shape[-1], k.shape[-1], "the sizes of queries and keys")
    context.same(k.shape[-2], v.shape[-2], "the numbers of keys and values")
    batch = context.same_shape(q.shape[:-2], k.shape[:-2], "the batch axes of queries and keys")
    batch = context.same_shape(batch, v.shape[:-2], "the batch axes of queries and values")
    for mask in masks:
        if mask.dtype not in (BOOL, q.dtype):
            expected = f"bool or {q.dtype}"
            raise context.error("the mask does not fit", expected=expected, got=mask.dtype, kind=DTypeError)
        context.same_shape((*batch, q.shape[-2], k.shape[-2]), mask.shape, "the pairs and the mask")
    if not np.isfinite(context.attrs["scale"]):
        scale = context.attrs["scale"]
        raise context.error("'scale' is out of range", expected="a finite number", got=scale, kind=AttributeValueError)
    return (TensorType(q.dtype, (*batch, q.shape[-2], v.shape[-1])),)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    q, k, v = map(exact, inputs[:3])
    with np.errstate(all="ignore"):
        scores = np.matmul(q * attrs["scale"], np.swapaxes(k, -1, -2))
        for mask in inputs[3:]:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + exact(mask)
        if attrs["causal"]:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
        return (np.matmul(masked_softmax(scores), v).astype(types[0].dtype.numpy),)


def _swapped(b: NodeBuilder, value: Value) -> Value:
    """The last two axes exchanged."""
    rank = b.type(value).rank
    return b.emit("transpose", value, axes=(*range(rank - 2), rank - 1, rank - 2))


def _scaled(b: NodeBuilder, q: Value, attrs: Attrs) -> Value:
    return b.emit("mul", q, full_like(b, attrs["scale"], q))


def _earlier(b: NodeBuilder, shape: Sequence[Size], query: int, key: int) -> Value:
    """Whether the key of a pair does not come after the query, for the axes that count them."""
    places = (b.emit("iota", axis=axis, shape=tuple(shape), dtype=I64) for axis in (query, key))
    return b.emit("ge", *places)


def _probabilities(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs, *, across: bool = False) -> Value:
    """What weight each value has for each query, [..., t, s]; ``across`` [..., s, t]."""
    q, k = _scaled(b, inputs[0], attrs), inputs[1]
    scores = b.emit("matmul", k, _swapped(b, q)) if across else b.emit("matmul", q, _swapped(b, k))
    never = full_like(b, -np.inf, scores)
    for mask in inputs[3:]:
        mask = _swapped(b, mask) if across else mask
        additive = b.type(mask).dtype is not BOOL
        scores = b.emit("add", scores, mask) if additive else b.emit("select", mask, scores, never)
    shape = b.type(scores).shape
    query, key = (len(shape) - 1, len(shape) - 2) if across else (len(shape) - 2, len(shape) - 1)
    if attrs["causal"]:
        scores = b.emit("select", _earlier(b, shape, query, key), scores, never)
    return b.emit("masked_softmax", scores, axis=key)


def _decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    return b.emit("matmul", _probabilities(b, inputs, attrs), inputs[2])


def _vjp(c: VjpContext) -> Sequence[Value | None]:
    """Computes the probabilities again, [..., s, t] this time: nothing of that size is kept for the backward pass.

    Sum(g * y) over the last axis is the mean of p's cotangent with the weights p.
    Source: T. Dao et al., "FlashAttention" (2022), appendix B.
    """
    (q, k, v, *masks), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    p = _probabilities(c, c.inputs, c.attrs, across=True)
    wide = c.type(p).shape
    mean = c.emit("reduce_sum", c.emit("mul", g, y), axes=(-1,))
    mean = c.emit("broadcast", c.emit("reshape", mean, shape=(*wide[:-2], 1, wide[-1])), shape=wide)
    score = c.emit("mul", p, c.emit("sub", c.emit("matmul", v, _swapped(c, g)), mean))
    out: list[Value | None] = [
        _scaled(c, c.emit("matmul", _swapped(c, score), k), c.attrs),
        c.emit("matmul", score, _scaled(c, q, c.attrs)),
        c.emit("matmul", p, g),
    ]
    return [*out, *(None if c.type(mask).dtype is BOOL else _swapped(c, score) for mask in masks)]


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def operands(batch: tuple[int, ...], t: int, s: int, d: int, e: int) -> tuple[NDArray, ...]:
        return normal(rng, *batch, t, d), normal(rng, *batch, s, d), normal(rng, *batch, s, e)

    yield Sample(operands((), 3, 5, 2, 4), {"scale": 0.7})
    yield Sample(operands((2,), 4, 3, 5, 7), {"causal": True})
    yield Sample((*operands((2,), 3, 4, 5, 7), booleans(rng, 2, 3, 4)), {"scale": -0.5})
    yield Sample((*operands((), 5, 3, 2, 4), normal(rng, 5, 3)), {"causal": True})
    yield Sample((*operands((), 2, 3, 5, 4), np.array([[False] * 3, [True, False, True]])))
    yield Sample((*operands((), 2, 3, 5, 4), np.array([[-np.inf] * 3, [0.5, -np.inf, 0.0]])), kinks=True)
    yield Sample(operands((0,), 3, 5, 2, 4))
    yield Sample(operands((), 3, 0, 2, 4))
    yield Sample(operands((), 3, 5, 2, 4), {"causal": True}, shapes=((N, 2), (M, 2), (M, 4)))
    yield Sample(operands((5,), 3, 4, 2, 7), {"causal": True}, shapes=((N, 3, 2), (N, 4, 2), (N, 4, 7)))
    q, k, v = operands((), 2, 3, 4, 5)
    yield Sample((q * 300, k, v), kinks=True)


def _pair(*sizes: int) -> TensorType:
    return TensorType(F32, sizes)


ATTENTION = OpDef(
    name="attention",
    doc="softmax(scale * q @ k^T) @ v: q[...,t,d], k[...,s,d], v[...,s,e] -> [...,t,e]. A fourth operand, [...,t,s], "
    "is a mask: of bools, true where a query sees a key, or of floats, added to the scores. `causal`: query i sees the "
    "keys 0 .. i. A query that sees no key gives 0. Source: A. Vaswani et al., Attention is all you need (2017).",
    kind=OpKind.COMPOSITE,
    arity=None,
    attrs=(
        AttrSpec("causal", "bool", "whether a query sees no key that comes after it", False),
        AttrSpec("scale", "float", "what the products of queries and keys are multiplied with", 1.0),
    ),
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    decompose=_decompose,
    samples=_samples,
    errors=(
        ErrorSample((_pair(3, 2), _pair(5, 2)), {}, GraphError, "wrong number of operands"),
        ErrorSample((_pair(3, 2), _pair(5, 4), _pair(5, 4)), {}, ShapeError, "sizes of queries and keys differ"),
        ErrorSample((_pair(3, 2), _pair(5, 2), _pair(6, 4)), {}, ShapeError, "numbers of keys and values differ"),
        ErrorSample((_pair(7, 3, 2), _pair(8, 5, 2), _pair(7, 5, 4)), {}, ShapeError, "queries and keys differ"),
        ErrorSample((_pair(7, 3, 2), _pair(7, 5, 2), _pair(5, 4)), {}, ShapeError, "ranks of the batch axes"),
        ErrorSample((_pair(3, 2), _pair(5, 2), _pair(5)), {}, ShapeError, "no matrix"),
        ErrorSample((_pair(3, 2), _pair(5, 2), TensorType(F64, (5, 4))), {}, DTypeError, "element types do not fit"),
        ErrorSample((_pair(3, 2), _pair(5, 2), _pair(5, 4), TensorType(I32, (3, 5))), {}, DTypeError, "mask does not"),
        ErrorSample((_pair(3, 2), _pair(5, 2), _pair(5, 4), _pair(5, 3)), {}, ShapeError, "the pairs and the mask"),
        ErrorSample(
            (_pair(3, 2), _pair(5, 2), _pair(5, 4)), {"scale": np.inf}, AttributeValueError, "'scale' is out of range"
        ),
    ),
)


OPS = (ATTENTION,)
