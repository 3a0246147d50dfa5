"""Ops that put elements in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Frame,
    Inference,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Var, apply
from sigmagraph.ir.kernel.kernel import Block, Buffer, If, Let
from sigmagraph.ops.fragments import broadcast, cast, full_like, reshape, size_value
from sigmagraph.ops.loops import between, each, load, register, scratch, serial, store, without
from sigmagraph.ops.reduction import ATTRS, exact, reduced_shape
from sigmagraph.ops.rules import clamped, infer_float
from sigmagraph.ops.samples import M, N, booleans, distinct, integers, normal

_AXIS = AttrSpec("axis", "axis", "the axis along which elements are put in order")
_DESCENDING = AttrSpec("descending", "bool", "whether the greatest comes first", False)
_MATRIX = TensorType(F32, (2, 3))


# ---- argsort


def _infer(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    context.axis(context.attrs["axis"], x.rank)
    return (TensorType(I64, x.shape),)


def _order(x: NDArray, axis: int, descending: bool) -> NDArray:
    """The stable order; descending, the reverse array is sorted and turned round, so that equals keep their order."""
    x = x if x.dtype == np.bool_ else exact(x)
    if not descending:
        return np.argsort(x, axis, kind="stable")
    back = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return np.asarray(x.shape[axis] - 1 - back)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (_order(inputs[0], attrs["axis"], attrs["descending"]).astype(np.int64),)


def _loops(frame: Frame) -> Block:
    """Merge runs of 1, 2, 4, ... elements, to and fro between two copies of keys and places, until one run is left."""
    (x,), (out,) = frame.reads, frame.writes
    axis = frame.attrs["axis"] % len(x.shape)
    size = x.shape[axis]
    alloc_keys, keys = scratch("%keys", x.dtype, (2, size))
    alloc_places, places = scratch("%places", I64, (2, size))
    merge = _Merge(keys, places, size, frame.attrs["descending"])

    def body(outer: tuple[Size, ...]) -> Block:
        def fill(number: Size) -> Block:
            key = load(x, between(outer, axis, number))
            return store(keys, (0, number), key), store(places, (0, number), Index(number))

        def write(number: Size) -> Block:
            return (store(out, between(outer, axis, number), load(places, (0, number))),)

        rounds = serial("%q", _rounds(size), merge.round)
        return (alloc_keys, alloc_places, serial("%k", size, fill), rounds, serial("%k", size, write))

    return each(without(x.shape, axis), body)


def _rounds(size: Size) -> int:
    """How often runs must become four times as long until one holds all elements."""
    return (max(size - 1, 0).bit_length() + 1) // 2 if isinstance(size, int) else 31


@dataclass(frozen=True, slots=True)
class _Merge:
    """Passes that merge neighbouring runs of the keys, and of the places that they came from.

    Attributes:
        keys, places: two copies of each.
        size: number of elements.
        descending: whether greater keys come first.
    """

    keys: Buffer
    places: Buffer
    size: Size
    descending: bool

    def round(self, number: Size) -> Block:
        """A pass from the first copies to the second ones, and one back."""
        width = Let("%width", apply("shl", Const(1, I64), Index(2 * number)))
        return (width, If((self.size - 1 - Dim("%width"),), (serial("%p", 2, self.merge),)))

    def merge(self, source: Size) -> Block:
        """Each two runs of ``%run`` elements become one; ``%left`` is the head of the first of the two."""
        alloc, left = register("%left", I64)
        run = apply("shl", Var("%width", I64), Index(source))
        lets = (Let("%run", run), Let("%mask", apply("neg", apply("add", Var("%run", I64), Var("%run", I64)))))
        return (*lets, alloc, serial("%k", self.size, lambda k: self.step(k, source, left)))

    def step(self, number: Size, source: Size, left: Buffer) -> Block:
        """The next element is the head of one of both runs; their heads have moved on by as many as are written."""
        run, size, k = Var("%run", I64), Index(self.size), Index(number)
        start, middle, a, b, second = (Var(f"%{name}", I64) for name in ("start", "middle", "a", "b", "second"))
        key_a, key_b = (Var(f"%key.{name}", self.keys.dtype) for name in "ab")
        take = Var("%take", BOOL)
        end = apply("min", apply("add", middle, run), size)
        runs_out = apply("ge", a, middle)
        head = apply("select", apply("eq", k, start), start, load(left, (0,)))
        moved = apply("select", take, a, apply("add", a, Const(1, I64)))
        return (
            Let("%start", apply("and", k, Var("%mask", I64))),
            Let("%middle", apply("min", apply("add", start, run), size)),
            Let("%a", head),
            Let("%b", apply("sub", apply("add", middle, k), a)),
            Let("%at.a", clamped(a, 0, self.size - 1)),
            Let("%at.b", clamped(b, 0, self.size - 1)),
            Let("%key.a", load(self.keys, (source, Dim("%at.a")))),
            Let("%key.b", load(self.keys, (source, Dim("%at.b")))),
            Let(
                "%take",
                apply("and", apply("lt", b, end), apply("or", runs_out, _precedes(key_b, key_a, self.descending))),
            ),
            Let("%second", apply("select", take, b, a)),
            Let("%from", clamped(second, 0, self.size - 1)),
            store(self.keys, (1 - source, number), apply("select", take, key_b, key_a)),
            store(self.places, (1 - source, number), load(self.places, (source, Dim("%from")))),
            store(left, (0,), moved),
        )


def _precedes(a: Expr, b: Expr, descending: bool) -> Expr:
    """Whether ``a`` comes before ``b`` because it is another number; NaN counts as the greatest."""
    first = apply("gt" if descending else "lt", a, b)
    if not a.dtype.is_float:
        return first
    last, other = (a, b) if descending else (b, a)
    return apply("or", first, apply("and", apply("ne", last, last), apply("eq", other, other)))


def _zero(c: VjpContext) -> Sequence[Value | None]:
    """Places are constant wherever no two elements are equal; the gradient of a sorted array passes through here."""
    return (None,) * len(c.inputs)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for descending in (False, True):
        flags = {"descending": descending}
        yield Sample((normal(rng, 2, 7, 3),), {"axis": 1, **flags})
        yield Sample((integers(rng, 3, 40),), {"axis": -1, **flags})
        yield Sample((booleans(rng, 5, 3),), {"axis": 0, **flags})
        yield Sample((np.array([1.0, np.nan, -np.inf, -0.0, 0.0, np.nan, 1.0, np.inf]),), {"axis": 0, **flags})
        yield Sample((normal(rng, 6, 5),), {"axis": 0, **flags}, shapes=((N, M),))
        yield Sample((normal(rng, 3, 17),), {"axis": 1, **flags}, shapes=((N, M),))
    yield Sample((normal(rng, 4, 1),), {"axis": 1})
    yield Sample((normal(rng, 4, 0),), {"axis": 1})
    yield Sample((normal(rng, 0, 4),), {"axis": 1})
    yield Sample((integers(rng, 9).astype(np.uint8),), {"axis": 0})


# ---- sort


def _infer_sort(context: Inference) -> tuple[TensorType, ...]:
    _infer(context)
    return context.types


def _reference_sort(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    order = _order(inputs[0], attrs["axis"], attrs["descending"])
    return (np.take_along_axis(inputs[0], order, attrs["axis"]),)


def _decompose_sort(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    return b.emit("take_along_axis", inputs[0], b.emit("argsort", inputs[0], **attrs), axis=attrs["axis"])


def _sort_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for descending in (False, True):
        flags = {"descending": descending}
        yield Sample((distinct(rng, 2, 7, 3),), {"axis": 1, **flags})
        yield Sample((distinct(rng, 6, 5),), {"axis": 0, **flags}, shapes=((N, M),))
        yield Sample((np.array([1.0, np.nan, -np.inf, np.nan, 1.0, np.inf]),), {"axis": 0, **flags}, kinks=True)
        yield Sample((integers(rng, 3, 7),), {"axis": 1, **flags}, exact=True)
    yield Sample((normal(rng, 4, 0),), {"axis": 1})
    yield Sample((booleans(rng, 5),), {"axis": 0}, exact=True)


# ---- quantile


def _infer_quantile(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_float(context)
    axis, q = context.axis(context.attrs["axis"], x.rank), context.attrs["q"]
    if not 0 <= q <= 1:
        raise context.error("there is no such quantile", expected="0 .. 1", got=q, kind=AttributeValueError)
    context.at_least(x.shape[axis], 1, "the axis is empty")
    return (TensorType(x.dtype, reduced_shape(x.shape, (axis,), context.attrs["keepdims"])),)


def _reference_quantile(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    axis, keepdims = attrs["axis"], attrs["keepdims"]
    x = np.sort(exact(inputs[0]), axis)
    place = attrs["q"] * (x.shape[axis] - 1)
    below = int(place)
    low, high = (np.take(x, at, axis) for at in (below, min(below + 1, x.shape[axis] - 1)))
    with np.errstate(all="ignore"):
        out = np.where((low == high) | (place == below), low, low + (high - low) * (place - below))
        out = np.where(np.isnan(np.take(x, -1, axis)), np.nan, out)
    return ((np.expand_dims(out, axis) if keepdims else out).astype(types[0].dtype.numpy),)


def _decompose_quantile(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    """Between the two elements in order that are nearest to place q * (n - 1)."""
    x, axis = inputs[0], attrs["axis"]
    shape, dtype = b.type(x).shape, b.type(x).dtype
    ordered = b.emit("sort", x, axis=axis)
    last = size_value(b, shape[axis] - 1, F64)
    place = b.emit("mul", last, b.constant(attrs["q"], F64))
    below = b.emit("floor", place)
    above = b.emit("minimum", b.emit("add", below, b.constant(1.0, F64)), last)
    low, high = (b.emit("gather", ordered, cast(b, at, I64), axis=axis) for at in (below, above))
    part = broadcast(b, cast(b, b.emit("sub", place, below), dtype), b.type(low).shape)
    between = b.emit("add", low, b.emit("mul", b.emit("sub", high, low), part))
    whole = b.emit("or", b.emit("eq", low, high), b.emit("eq", part, full_like(b, 0.0, part)))
    out = b.emit("select", whole, low, between)  # a difference of infinities is no number
    greatest = b.emit("reduce_max", x, axes=(axis,))
    out = b.emit("select", b.emit("eq", greatest, greatest), out, full_like(b, np.nan, out))
    return reshape(b, out, reduced_shape(shape, (axis % len(shape),), attrs["keepdims"]))


def _quantile_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for q in (0.0, 0.3, 0.5, 1.0):
        yield Sample((distinct(rng, 2, 7, 3),), {"axis": 1, "q": q})
    yield Sample((distinct(rng, 4, 5),), {"axis": -1, "q": 0.5, "keepdims": True})
    yield Sample((distinct(rng, 6, 5),), {"axis": 0, "q": 0.8}, shapes=((N, M),))
    yield Sample((distinct(rng, 0, 3),), {"axis": 1, "q": 0.5})
    yield Sample((np.array([[1.0, np.nan, 2.0], [np.inf, 3.0, 1.0]]),), {"axis": 1, "q": 0.5}, kinks=True)


# ---- searchsorted


def _infer_search(context: Inference) -> tuple[TensorType, ...]:
    table, values = context.types
    if table.dtype is not values.dtype:
        got = f"{table.dtype}, {values.dtype}"
        raise context.error("the element types do not fit", expected="one type", got=got, kind=DTypeError)
    if table.rank < 1 or table.rank != values.rank:
        got = f"{table}, {values}"
        raise context.error("the ranks do not fit", expected="[...,n] and [...,m]", got=got)
    shape = context.same_shape(table.shape[:-1], values.shape[:-1], "both, but for the last,")
    return (TensorType(I64, (*shape, values.shape[-1])),)


def _reference_search(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    table, values = (x if x.dtype == np.bool_ else exact(x) for x in inputs)
    out = np.empty(values.shape, types[0].dtype.numpy)
    for row in np.ndindex(values.shape[:-1]):
        out[row] = np.searchsorted(table[row], values[row], "right" if attrs["right"] else "left")
    return (out,)


def _search_loops(frame: Frame) -> Block:
    """Go on by powers of two, from the greatest to 1, wherever all elements up to there come before the value."""
    (table, values), (out,) = frame.reads, frame.writes
    size = table.shape[-1]
    steps = size.bit_length() if isinstance(size, int) else 62
    alloc, found = register("%found", I64)
    wanted, element, ahead = Var("%wanted", values.dtype), Var("%element", table.dtype), Var("%ahead", I64)

    def body(index: tuple[Size, ...]) -> Block:
        def go_on(number: Size) -> Block:
            before = _precedes(element, wanted, False)
            if frame.attrs["right"]:
                before = apply("not", _precedes(wanted, element, False))
            further = apply("and", apply("le", ahead, Index(size)), before)
            step = apply("shl", Const(1, I64), Index(steps - 1 - number))
            look = (
                Let("%ahead", apply("add", load(found, (0,)), Var("%step", I64))),
                Let("%last", clamped(apply("sub", ahead, Const(1, I64)), 0, size - 1)),
                Let("%element", load(table, (*index[:-1], Dim("%last")))),
                store(found, (0,), apply("select", further, ahead, load(found, (0,)))),
            )
            return (Let("%step", step), If((size - Dim("%step"),), look))

        start = (Let("%wanted", load(values, index)), alloc, store(found, (0,), Const(0, I64)))
        return (*start, serial("%b", steps, go_on), store(out, index, load(found, (0,))))

    return each(out.shape, body)


def _search_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for right in (False, True):
        flags = {"right": right}
        yield Sample((np.sort(normal(rng, 7)), normal(rng, 4)), flags)
        yield Sample((np.sort(np.abs(integers(rng, 2, 3, 9))), integers(rng, 2, 3, 5)), flags)
        yield Sample((np.sort(normal(rng, 3, 8)), normal(rng, 3, 5)), flags, shapes=((N, M), (N, 5)))
        table = np.array([-np.inf, 1.0, 1.0, 2.0, np.inf, np.nan, np.nan])
        yield Sample((table, np.array([1.0, np.nan, -np.inf, np.inf, 1.5])), flags, kinks=True)
    yield Sample((np.zeros((2, 0)), normal(rng, 2, 3)))
    yield Sample((np.sort(normal(rng, 5)), normal(rng, 0)), shapes=((N,), (M,)))


_NAN = "NaN counts as greater than all numbers"
OPS = (
    OpDef(
        name="argsort",
        doc=f"The places (i64) along `axis` of the elements in ascending or descending order. {_NAN}; equal elements "
        "keep their order in both directions.",
        kind=OpKind.OPAQUE,
        arity=1,
        attrs=(_AXIS, _DESCENDING),
        infer=_infer,
        reference=_reference,
        vjp=_zero,
        loops=_loops,
        samples=_samples,
        traits=frozenset({Trait.PLACES}),
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(I32, ()),), {"axis": 0}, ShapeError, "no such axis"),
        ),
    ),
    OpDef(
        name="sort",
        doc=f"The elements along `axis` in ascending or descending order. {_NAN}; the gradient of each element goes "
        "back to its place.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(_AXIS, _DESCENDING),
        infer=_infer_sort,
        reference=_reference_sort,
        decompose=_decompose_sort,
        samples=_sort_samples,
        errors=(ErrorSample((_MATRIX,), {"axis": -3}, ShapeError, "no such axis"),),
    ),
    OpDef(
        name="quantile",
        doc="The value at place q * (n - 1) of the n elements along `axis` in order, linear between two elements "
        "(definition 7 of R. Hyndman and Y. Fan, The American Statistician 50, 1996); NaN if an element is.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(
            AttrSpec("axis", "axis", "the axis whose elements are put in order"),
            AttrSpec("q", "float", "which quantile, 0 .. 1; 0.5 is the median"),
            ATTRS[1],
        ),
        infer=_infer_quantile,
        reference=_reference_quantile,
        decompose=_decompose_quantile,
        samples=_quantile_samples,
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2, "q": 0.5}, ShapeError, "no such axis"),
            ErrorSample((_MATRIX,), {"axis": 0, "q": 1.5}, AttributeValueError, "no such quantile"),
            ErrorSample((TensorType(F32, (2, 0)),), {"axis": 1, "q": 0.5}, ShapeError, "the axis is empty"),
            ErrorSample((TensorType(I32, (2, 3)),), {"axis": 1, "q": 0.5}, DTypeError, "element type does not fit"),
        ),
    ),
    OpDef(
        name="searchsorted",
        doc="How many elements of an ascending row are less than a value, with `right` how many are not greater: "
        f"[...,n], [...,m] -> i64[...,m]. {_NAN}.",
        kind=OpKind.OPAQUE,
        arity=2,
        attrs=(AttrSpec("right", "bool", "whether a value stands behind its equals, rather than before", False),),
        infer=_infer_search,
        reference=_reference_search,
        vjp=_zero,
        loops=_search_loops,
        samples=_search_samples,
        errors=(
            ErrorSample((TensorType(F32, (3,)), TensorType(F64, (3,))), {}, DTypeError, "element types do not fit"),
            ErrorSample((_MATRIX, TensorType(F32, (3,))), {}, ShapeError, "ranks do not fit"),
            ErrorSample((_MATRIX, TensorType(F32, (3, 3))), {}, ShapeError, "but for the last"),
        ),
    ),
)
