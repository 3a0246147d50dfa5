"""Random numbers that are a function of seed, stream, step and element, the same on every target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BF16, F16, F32, F64, I32, I64, DType
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    NodeBuilder,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ops.fragments import broadcast, cast, full_like, reshape
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import flatten, shape_attribute
from sigmagraph.ops.samples import M, N, normal

STREAM = AttrSpec("stream", "int", "which of 2**32 independent sequences, so that no two users of one key see the same")
KEY = TensorType(I64, (2,))


def check_key(context: Inference, key: TensorType) -> None:
    """Raise unless the operand is a key (seed, step) and the attribute ``stream`` a 32-bit number."""
    if key.dtype is not I64:
        raise context.error("the key is not of 64-bit integers", expected=KEY, got=key, kind=DTypeError)
    if key.shape != KEY.shape:
        raise context.error("the key is not a seed and a step", expected=KEY, got=key)
    stream = context.attrs["stream"]
    if not 0 <= stream < 2**32:
        raise context.error("there is no such stream", expected="0 .. 2**32-1", got=stream, kind=AttributeValueError)


def _infer(context: Inference) -> tuple[TensorType, ...]:
    check_key(context, context.types[0])
    return (TensorType(I32, shape_attribute(context)),)


def _numbers(shape: Sequence[Size]) -> tuple[int, ...]:
    """A shape whose dims were replaced by numbers."""
    return tuple(size for size in shape if isinstance(size, int))


def random_words(key: NDArray, stream: int, shape: tuple[int, ...]) -> NDArray:
    """What `random_bits` gives, in NumPy."""
    seed, step = key
    elements = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    return np.asarray(SCALARS["philox"].evaluate(seed, np.int64(stream), step, elements)).astype(np.int32)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (random_words(inputs[0], attrs["stream"], _numbers(types[0].shape)),)


def _lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    seed, step = context.operand(0, (0,)), context.operand(0, (1,))
    element = Index(flatten(index, context.result.shape))
    return cast_expr(apply("philox", seed, Const(context.attrs["stream"], I64), step, element), I32)


def _samples(_rng: np.random.Generator) -> Iterator[Sample]:
    key = np.array([7, 3], np.int64)
    yield Sample((key,), {"stream": 0, "shape": (3, 5)}, exact=True)
    yield Sample((np.array([-(2**40) + 11, 2**33 + 5], np.int64),), {"stream": 2**32 - 1, "shape": (6,)}, exact=True)
    yield Sample((key,), {"stream": 1, "shape": ()}, exact=True)
    yield Sample((key,), {"stream": 1, "shape": (0, 3)}, exact=True)


# ---- random_uniform

_WIDTHS = MappingProxyType({F16: 11, BF16: 8, F32: 24})


def infer_random_floats(context: Inference) -> tuple[TensorType, ...]:
    """The rule of random floats: a key, and the attributes ``stream``, ``shape`` and ``dtype``.

    Raises:
        SigmaError: they are something else.
    """
    check_key(context, context.types[0])
    dtype = context.attrs["dtype"]
    if not dtype.is_float:
        raise context.error("random numbers are floats", expected="a float type", got=dtype, kind=DTypeError)
    return (TensorType(dtype, shape_attribute(context)),)


def _uniform(key: NDArray, stream: int, shape: tuple[int, ...], dtype: DType) -> NDArray:
    if dtype is F64:
        high, low = np.moveaxis(random_words(key, stream, (*shape, 2)).astype(np.int64), -1, 0)
        return np.asarray((((high & (2**27 - 1)) << 26) + (low & (2**26 - 1))) * 2.0**-53)
    width = _WIDTHS[dtype]
    return np.asarray((random_words(key, stream, shape) & (2**width - 1)) * 2.0**-width).astype(dtype.numpy)


def _reference_uniform(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (_uniform(inputs[0], attrs["stream"], _numbers(types[0].shape), attrs["dtype"]),)


def _low_bits(b: NodeBuilder, words: Value, width: int, dtype: DType) -> Value:
    return b.emit("cast", b.emit("and", words, full_like(b, 2**width - 1, words)), dtype=dtype)


def halves(b: NodeBuilder, key: Value, stream: int, shape: tuple[Size, ...]) -> tuple[Value, Value]:
    """Two random words for each element."""
    pairs = b.emit("random_bits", key, stream=stream, shape=(*shape, 2))
    none, step = (0,) * len(shape), (1,) * (len(shape) + 1)
    first, second = (
        reshape(b, b.emit("slice", pairs, start=(*none, i), stop=(*shape, i + 1), step=step), shape) for i in (0, 1)
    )
    return first, second


def _decompose_uniform(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    stream, shape, dtype = attrs["stream"], attrs["shape"], attrs["dtype"]
    if dtype is not F64:
        words = b.emit("random_bits", inputs[0], stream=stream, shape=shape)
        fraction = _low_bits(b, words, _WIDTHS[dtype], dtype)
        return b.emit("mul", fraction, full_like(b, 2.0 ** -_WIDTHS[dtype], fraction))
    high, low = halves(b, inputs[0], stream, shape)
    upper, lower = _low_bits(b, high, 27, F64), _low_bits(b, low, 26, F64)
    whole = b.emit("add", b.emit("mul", upper, full_like(b, 2.0**26, upper)), lower)
    return b.emit("mul", whole, full_like(b, 2.0**-53, whole))


def _uniform_samples(_rng: np.random.Generator) -> Iterator[Sample]:
    key = np.array([5, 9], np.int64)
    for dtype in (F16, BF16, F32, F64):
        yield Sample((key,), {"stream": 3, "shape": (3, 5), "dtype": dtype}, exact=True)
    yield Sample((key,), {"stream": 3, "shape": ()}, exact=True)
    yield Sample((key,), {"stream": 3, "shape": (0, 2), "dtype": F64}, exact=True)


# ---- dropout


def _infer_dropout(context: Inference) -> tuple[TensorType, ...]:
    x, key, rate = context.types
    if not x.dtype.is_float:
        raise context.error("the element type does not fit", expected="a float type", got=x.dtype, kind=DTypeError)
    check_key(context, key)
    if rate.dtype is not x.dtype:
        raise context.error("the rate is of another type", expected=x.dtype, got=rate.dtype, kind=DTypeError)
    if rate.rank:
        raise context.error("the rate is not a scalar", expected=f"{x.dtype}[]", got=rate)
    return (x,)


def _reference_dropout(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, key, rate = inputs
    kept = _uniform(key, attrs["stream"], _numbers(types[0].shape), F32) >= rate.astype(np.float32)
    with np.errstate(all="ignore"):
        scaled = exact(x) * (1.0 / (1.0 - exact(rate)))
    return (np.where(kept, scaled, 0.0).astype(x.dtype),)


def _vjp_dropout(c: VjpContext) -> Sequence[Value | None]:
    """Dropout is linear and symmetric, so the cotangent goes through the same dropout; the mask counts as constant."""
    (_, key, rate), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    stream, axes = c.attrs["stream"], tuple(range(c.type(y).rank))
    total = c.emit("reduce_sum", c.emit("mul", g, y), axes=axes)
    share = c.emit("sub", full_like(c, 1.0, rate), rate)
    return (c.emit("dropout", g, key, rate, stream=stream), None, c.emit("div", total, share))


def _decompose_dropout(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x, key, rate = inputs
    shape = b.type(x).shape
    random = b.emit("random_uniform", key, stream=attrs["stream"], shape=shape, dtype=F32)
    kept = b.emit("ge", random, broadcast(b, cast(b, rate, F32), shape))
    one = full_like(b, 1.0, rate)
    scale = b.emit("div", one, b.emit("sub", one, rate))
    return b.emit("select", kept, b.emit("mul", x, broadcast(b, scale, shape)), full_like(b, 0.0, x))


def _dropout_samples(rng: np.random.Generator) -> Iterator[Sample]:
    key = np.array([5, 9], np.int64)
    yield Sample((normal(rng, 7, 5), key, np.array(0.4)), {"stream": 3})
    yield Sample((normal(rng, 7), key, np.array(0.0)), {"stream": 0})
    yield Sample((normal(rng, 7), key, np.array(1.0)), {"stream": 0}, kinks=True)
    yield Sample((normal(rng, 0, 3), key, np.array(0.5)), {"stream": 1})
    yield Sample((normal(rng, 5, 3), key, np.array(0.25)), {"stream": 1}, shapes=((N, M), (2,), ()))


_FLOAT, _RATE = TensorType(F32, (2, 3)), TensorType(F32, ())
OPS = (
    OpDef(
        name="random_bits",
        doc="32 random bits for each element of `shape` from a key (seed, step), i64[2] -> i32[shape]: word "
        "element % 4 of Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011) with the "
        "counter (element // 4, step) and a key of 64 bits that is mixed from all bits of the seed and of `stream`.",
        kind=OpKind.INDEXING,
        arity=1,
        attrs=(STREAM, AttrSpec("shape", "shape", "the shape of the result")),
        infer=_infer,
        reference=_reference,
        vjp=NotDifferentiable("random bits do not change continuously with their key"),
        lower=_lower,
        samples=_samples,
        errors=(
            ErrorSample((TensorType(I32, (2,)),), {"stream": 0, "shape": (3,)}, DTypeError, "64-bit integers"),
            ErrorSample((TensorType(I64, (3,)),), {"stream": 0, "shape": (3,)}, ShapeError, "a seed and a step"),
            ErrorSample((KEY,), {"stream": -1, "shape": (3,)}, AttributeValueError, "no such stream"),
            ErrorSample((KEY,), {"stream": 0, "shape": (-3,)}, ShapeError, "negative"),
        ),
        traits=frozenset({Trait.EXPENSIVE}),
    ),
    OpDef(
        name="random_uniform",
        doc="Random fractions in [0, 1) from a key (seed, step), i64[2] -> dtype[shape]: as many of the low bits of "
        "`random_bits` as the type can hold exactly (24 for f32; 53 bits of two words for f64), as a fraction.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(
            STREAM,
            AttrSpec("shape", "shape", "the shape of the result"),
            AttrSpec("dtype", "dtype", "the element type of the result", F32),
        ),
        infer=infer_random_floats,
        reference=_reference_uniform,
        vjp=NotDifferentiable("random numbers do not change continuously with their key"),
        decompose=_decompose_uniform,
        samples=_uniform_samples,
        errors=(
            ErrorSample((KEY,), {"stream": 0, "shape": (3,), "dtype": I32}, DTypeError, "random numbers are floats"),
            ErrorSample((TensorType(I32, (2,)),), {"stream": 0, "shape": (3,)}, DTypeError, "64-bit integers"),
        ),
    ),
    OpDef(
        name="dropout",
        doc="Inverted dropout (Srivastava et al., JMLR 15, 2014): x[...], key (seed, step) of i64[2], rate of x's "
        "type -> [...]: 0 with probability `rate`, else x / (1 - rate). An element is kept where `random_uniform` of "
        "f32 is at least the rate.",
        kind=OpKind.COMPOSITE,
        arity=3,
        attrs=(STREAM,),
        infer=_infer_dropout,
        reference=_reference_dropout,
        vjp=_vjp_dropout,
        decompose=_decompose_dropout,
        samples=_dropout_samples,
        errors=(
            ErrorSample((TensorType(I32, (2,)), KEY, _RATE), {"stream": 0}, DTypeError, "element type does not fit"),
            ErrorSample((_FLOAT, KEY, TensorType(F64, ())), {"stream": 0}, DTypeError, "rate is of another type"),
            ErrorSample((_FLOAT, KEY, TensorType(F32, (3,))), {"stream": 0}, ShapeError, "rate is not a scalar"),
            ErrorSample((_FLOAT, TensorType(I64, (3,)), _RATE), {"stream": 0}, ShapeError, "a seed and a step"),
            ErrorSample((_FLOAT, KEY, _RATE), {"stream": 2**32}, AttributeValueError, "no such stream"),
        ),
    ),
)
