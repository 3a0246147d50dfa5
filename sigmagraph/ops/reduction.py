"""Ops that combine the elements along some axes into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from sigmagraph.dims import Size, ceildiv, product
from sigmagraph.dtypes import BOOL, F32, F64, I64, DType, Kind
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.fragments import broadcast, expand, full_like, reshape, transpose
from sigmagraph.ops.rules import axis_numbers, infer_number
from sigmagraph.ops.samples import M, N, distinct, integers, nonzero, normal

ATTRS = (
    AttrSpec("axes", "axes", "the axes along which elements are combined; none leaves all as they are"),
    AttrSpec("keepdims", "bool", "whether these axes stay, with size 1", False),
)


def reduced_shape(shape: Sequence[Size], axes: Sequence[int], keepdims: bool) -> tuple[Size, ...]:
    """The shape without the axes, or with 1 in their place."""
    if keepdims:
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)


def infer_reduction(context: Inference) -> tuple[TensorType, ...]:
    """The rule of all reductions over ``axes``: numbers of the operand's type."""
    (x,) = infer_number(context)
    axes = context.axes(context.attrs["axes"], x.rank)
    return (TensorType(x.dtype, reduced_shape(x.shape, axes, context.attrs["keepdims"])),)


def accumulator(dtype: DType) -> DType:
    """The type in which kernels add up and multiply numbers of a type: half precision is too narrow for that."""
    return F32 if dtype.is_float and dtype.bits < 32 else dtype


def exact(array: NDArray) -> NDArray:
    """The array in the type in which references add up: float64 for all floats, else its own."""
    return array if array.dtype.kind in "iu" else array.astype(np.float64)


def extreme_value(dtype: DType, *, greatest: bool) -> float | int:
    """The greatest or the least value of a number type: what an extreme of nothing is."""
    if dtype.kind is Kind.FLOAT:
        return np.inf if greatest else -np.inf
    bounds = np.iinfo(dtype.numpy)
    return int(bounds.max if greatest else bounds.min)


_TOTALS: Mapping[str, Callable[..., NDArray]] = {"add": np.sum, "mul": np.prod}


def _reference(name: str) -> Callable[[Sequence[NDArray], Attrs, tuple[TensorType, ...]], tuple[NDArray, ...]]:
    def reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        x, dtype, axes, keepdims = exact(inputs[0]), types[0].dtype, attrs["axes"], attrs["keepdims"]
        with np.errstate(all="ignore"):
            if name in _TOTALS:
                out = _TOTALS[name](x, axes, dtype=x.dtype, keepdims=keepdims)
            else:
                combine = np.max if name == "max" else np.min
                nothing = extreme_value(dtype, greatest=name == "min")
                out = combine(x, axes, keepdims=keepdims, initial=nothing)
            return (np.asarray(out).astype(dtype.numpy),)

    return reference


def _lower(name: str) -> Callable[[LowerContext, tuple[Size, ...]], Expr]:
    def lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
        shape = context.types[0].shape
        axes = sorted(axis_numbers(context.attrs["axes"], len(shape)))
        kept = [i for i in range(len(shape)) if i not in axes]
        at = dict(zip(kept, [index[i] for i in kept] if context.attrs["keepdims"] else index, strict=True))
        wide = accumulator(context.result.dtype) if name in _TOTALS else context.result.dtype

        def body(inner: tuple[Size, ...]) -> Expr:
            place = at | dict(zip(axes, inner, strict=True))
            return cast_expr(context.operand(0, [place[i] for i in range(len(shape))]), wide)

        if not axes:
            return context.operand(0, index)
        return cast_expr(context.reduce(name, [shape[i] for i in axes], body), context.result.dtype)

    return lower


def _vjp_sum(c: VjpContext) -> Sequence[Value]:
    shape = c.type(c.inputs[0]).shape
    return (expand(c, c.cotangents[0], axis_numbers(c.attrs["axes"], len(shape)), shape),)


def _vjp_extreme(c: VjpContext) -> Sequence[Value]:
    """All elements that equal the extreme share the cotangent equally."""
    (x,), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    shape, dtype = c.type(x).shape, c.type(x).dtype
    axes = axis_numbers(c.attrs["axes"], len(shape))
    hit = c.emit("eq", x, expand(c, y, axes, shape))
    count = c.emit("reduce_sum", c.emit("cast", hit, dtype=dtype), axes=axes, keepdims=c.attrs["keepdims"])
    share = expand(c, c.emit("div", g, count), axes, shape)
    return (c.emit("select", hit, share, full_like(c, 0.0, share)),)


def _vjp_product(c: VjpContext) -> Sequence[Value]:
    """Each element receives the product of the others: nothing is divided, so that zeros do no harm."""
    (x,), (g,) = c.inputs, c.cotangents
    shape = c.type(x).shape
    axes = sorted(axis_numbers(c.attrs["axes"], len(shape)))
    if not axes:
        return (g,)
    order = [i for i in range(len(shape)) if i not in axes] + axes
    moved = transpose(c, x, order)
    rows = [size for i, size in enumerate(shape) if i not in axes]
    others = _product_of_others(c, reshape(c, moved, (*rows, product(shape[i] for i in axes))))
    others = reshape(c, others, c.type(moved).shape)
    return (
        c.emit("mul", expand(c, g, axes, shape), transpose(c, others, [order.index(i) for i in range(len(shape))])),
    )


_BLOCK = 32


def _product_of_others(b: NodeBuilder, x: Value, levels: int = 2) -> Value:
    """For each element of a row (the last axis) the product of all others in the row.

    Long rows are cut into blocks: the product of the others in the block times that of the other blocks. With two
    levels, a row of n elements costs about ``2 * 32 * n + (n / 1024) ** 2`` products.
    """
    *rows, count = b.type(x).shape
    if levels == 0 or (isinstance(count, int) and count <= 2 * _BLOCK):
        return _product_without_each(b, x)
    blocks = ceildiv(count, _BLOCK)
    none = (0,) * len(rows)
    padded = b.emit("pad", x, low=(*none, 0), high=(*none, blocks * _BLOCK - count), interior=(*none, 0), value=1.0)
    cut = reshape(b, padded, (*rows, blocks, _BLOCK))
    whole = b.emit("reduce_prod", cut, axes=(len(rows) + 1,))
    beside = expand(b, _product_of_others(b, whole, levels - 1), (len(rows) + 1,), b.type(cut).shape)
    out = reshape(b, b.emit("mul", _product_without_each(b, cut), beside), b.type(padded).shape)
    return b.emit("slice", out, start=(*none, 0), stop=(*rows, count), step=(*(1 for _ in rows), 1))


def _product_without_each(b: NodeBuilder, x: Value) -> Value:
    """The same, with as many products for each element as the row has elements."""
    *rows, count = b.type(x).shape
    wide, last = (*rows, count, count), len(rows) + 1
    itself = b.emit("eq", *(b.emit("iota", axis=axis, shape=wide, dtype=I64) for axis in (last - 1, last)))
    spread = broadcast(b, reshape(b, x, (*rows, 1, count)), wide)
    return b.emit("reduce_prod", b.emit("select", itself, full_like(b, 1.0, spread), spread), axes=(last,))


def _product_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _samples(nonzero)(rng)
    yield Sample((np.array([[0.0, 2.0, -3.0], [0.0, 0.5, 0.0]]),), {"axes": (1,)})
    yield Sample((nonzero(rng, 3, 70),), {"axes": (1,)})
    yield Sample((nonzero(rng, 5, 2, 3),), {"axes": (2, 0)}, shapes=((N, 2, M),))


def _samples(draw: Callable[..., NDArray]) -> Callable[[np.random.Generator], Iterable[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for axes, keepdims in (((1,), False), ((0, 2), False), ((-1,), True), ((), False), ((2, 0, 1), True)):
            yield Sample((draw(rng, 2, 3, 5),), {"axes": axes, "keepdims": keepdims})
        yield Sample((draw(rng),), {"axes": ()})
        yield Sample((draw(rng, 3, 0, 2),), {"axes": (1,)}, kinks=True)
        yield Sample((draw(rng, 0, 3),), {"axes": (1,)})
        yield Sample((draw(rng, 5, 3),), {"axes": (0,)}, shapes=((N, 3),))
        yield Sample((draw(rng, 4, 3, 2),), {"axes": (0, 1), "keepdims": True}, shapes=((N, M, 2),))
        yield Sample((integers(rng, 3, 7),), {"axes": (1,)}, exact=True)
        yield Sample((integers(rng, 3, 7).astype(np.int64) << 58,), {"axes": (0,)}, exact=True)
        yield Sample((np.array([[1.0, np.nan, 2.0], [np.inf, 1.0, 0.0]]),), {"axes": (1,)}, kinks=True)
        yield Sample((np.array([[1.0, 3.0, 3.0], [-2.0, -2.0, -2.0]]),), {"axes": (1,)}, kinks=True)

    return samples


def _reduction(
    name: str, scalar: str, doc: str, vjp: VjpRule, samples: Callable[[np.random.Generator], Iterable[Sample]]
) -> OpDef:
    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.REDUCTION,
        arity=1,
        attrs=ATTRS,
        infer=infer_reduction,
        reference=_reference(scalar),
        vjp=vjp,
        lower=_lower(scalar),
        samples=samples,
        errors=(
            ErrorSample((TensorType(F32, (2, 3)),), {"axes": (2,)}, ShapeError, "no such axis"),
            ErrorSample((TensorType(F64, (2, 3)),), {"axes": (0, -2)}, ShapeError, "named twice"),
            ErrorSample((TensorType(BOOL, (2, 3)),), {"axes": (0,)}, DTypeError, "not numbers"),
            ErrorSample((TensorType(F32, (2, 3)),), {}, AttributeValueError, "'axes' is missing"),
        ),
    )


_TIES = "; NaN if any is. Equal extremes share the gradient."
OPS = (
    _reduction("reduce_sum", "add", "The sum along `axes`; 0 of nothing. Integers wrap.", _vjp_sum, _samples(normal)),
    _reduction(
        "reduce_prod",
        "mul",
        "The product along `axes`; 1 of nothing. Integers wrap. The gradient divides nothing: zeros do no harm.",
        _vjp_product,
        _product_samples,
    ),
    _reduction(
        "reduce_max",
        "max",
        f"The greatest along `axes`, the type's least of nothing{_TIES}",
        _vjp_extreme,
        _samples(distinct),
    ),
    _reduction(
        "reduce_min",
        "min",
        f"The least along `axes`, the type's greatest of nothing{_TIES}",
        _vjp_extreme,
        _samples(distinct),
    ),
)
