"""Random tensors: functions of a key, a stream and the place in the tensor, with no hidden state.

The key is i64[2], a seed and a step. The same key, stream and shape give the same numbers on every machine, however the
work is split; ``stream`` tells apart the random tensors that share a key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, F64, I64, DType, as_dtype
from sigmagraph.errors import AttributeValueError, DTypeError
from sigmagraph.ir.graph.types import as_shape
from sigmagraph.tensor.functions import log, maximum, minimum
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast_to, emit, floating, located
from sigmagraph.tensor.workspace import here

Shape = Sequence[Size] | Size


def bits(key: TensorLike, shape: Shape, stream: int = 0) -> Tensor:
    """32 random bits for each element, as i32."""
    return emit("random_bits", as_tensor(key, I64), stream=stream, shape=located(as_shape, shape))


def uniform(
    key: TensorLike,
    shape: Shape,
    low: TensorLike = 0.0,
    high: TensorLike = 1.0,
    dtype: object = "float32",
    stream: int = 0,
) -> Tensor:
    """Numbers in [low, high), all equally likely; with other bounds than 0 and 1 rounding may give ``high``."""
    random = _floats("random_uniform", key, shape, dtype, stream)
    return _scaled(random, low, as_tensor(high, random.dtype) - as_tensor(low, random.dtype))


def normal(
    key: TensorLike,
    shape: Shape,
    mean: TensorLike = 0.0,
    std: TensorLike = 1.0,
    dtype: object = "float32",
    stream: int = 0,
) -> Tensor:
    """Normal numbers, by the quantile function of one random word each, one bit of it for the sign (two words for f64).

    The tails are as fine as the middle; the greatest numbers are 6.3 standard deviations (9.1 for f64).
    """
    return _scaled(_floats("random_normal", key, shape, dtype, stream), mean, std)


def truncated_normal(
    key: TensorLike,
    shape: Shape,
    low: float = -2.0,
    high: float = 2.0,
    dtype: object = "float32",
    stream: int = 0,
) -> Tensor:
    """Standard normal numbers that lie within ``low .. high``.

    Raises:
        AttributeValueError: the bounds are no interval.
    """
    if not low < high:
        raise AttributeValueError(
            "truncated_normal: the bounds are no interval", expected="low < high", got=(low, high), location=here()
        )
    if low > 0:  # small probabilities are finer than those beside 1
        return -truncated_normal(key, shape, -high, -low, dtype, stream)
    wanted = located(as_dtype, dtype)
    below, above = (0.5 * math.erfc(-bound / math.sqrt(2)) for bound in (low, high))
    fraction = _floats("random_uniform", key, shape, F64, stream) + 2.0**-54
    number = emit("normal_quantile", fraction * (above - below) + below).astype(wanted)
    return minimum(maximum(number, float(low)), float(high))


def exponential(key: TensorLike, shape: Shape, dtype: object = "float32", stream: int = 0) -> Tensor:
    """Exponential numbers of mean 1: ``-log`` of a fraction."""
    return -log(_fraction(key, shape, located(as_dtype, dtype), stream))


def gumbel(key: TensorLike, shape: Shape, dtype: object = "float32", stream: int = 0) -> Tensor:
    """Standard Gumbel numbers, ``-log(-log(1 - p))`` for a fraction p that is finest where the result is great."""
    fraction = _fraction(key, shape, located(as_dtype, dtype), stream)
    return -log(-emit("log1p", -fraction))


def bernoulli(key: TensorLike, p: TensorLike, shape: Shape | None = None, stream: int = 0) -> Tensor:
    """True with probability ``p``, as bool, in the shape of ``p`` if none is given; exact to 2**-24 (2**-53 in f64)."""
    p = floating(p) if isinstance(p, Tensor) else as_tensor(p, F32 if isinstance(p, (int, float)) else None)
    wanted = p.shape if shape is None else located(as_shape, shape)
    return _floats("random_uniform", key, wanted, F64 if p.dtype is F64 else F32, stream) < broadcast_to(p, wanted)


def randint(
    key: TensorLike, low: TensorLike, high: TensorLike, shape: Shape, dtype: object = "int64", stream: int = 0
) -> Tensor:
    """Integers in [low, high), which are at most 2**53.

    They are the floor of a fraction of 53 bits times their number n, so that each has a probability 2**-53 around 1/n.

    Raises:
        AttributeValueError: there are none.
        DTypeError: the result is not of integers.
    """
    wanted = located(as_dtype, dtype)
    if not wanted.is_integer:
        raise DTypeError("randint: these are no integers", expected="an integer type", got=wanted, location=here())
    if isinstance(low, int) and isinstance(high, int) and not low < high:
        raise AttributeValueError(
            "randint: there are no such numbers", expected="low < high", got=(low, high), location=here()
        )
    low, high = as_tensor(low, I64), as_tensor(high, I64)
    fraction = _floats("random_uniform", key, shape, F64, stream)
    return (emit("floor", fraction * (high - low).astype(F64)).astype(I64) + low).astype(wanted)


def permutation(key: TensorLike, x: TensorLike | Size, stream: int = 0) -> Tensor:
    """The numbers 0 .. x-1 in a random order (i64), or the entries of the first axis of a tensor.

    They are sorted by random fractions of 53 bits.
    """
    if isinstance(x, (int, np.integer, Dim)):
        count = x if isinstance(x, Dim) else int(x)
        return emit("argsort", _floats("random_uniform", key, (count,), F64, stream), axis=0)
    x = as_tensor(x)
    return emit("gather", x, permutation(key, x.shape[0], stream), axis=0)


def categorical(key: TensorLike, logits: TensorLike, axis: int = -1, stream: int = 0) -> Tensor:
    """A class (i64) for each row of logits, whose softmax along ``axis`` is the probabilities: [..., n] -> [...].

    The greatest of logits plus Gumbel numbers (E. Gumbel, 1954) is such a class.
    """
    logits = floating(logits)
    random = gumbel(key, logits.shape, F64 if logits.dtype is F64 else F32, stream)
    return (logits + random.astype(logits.dtype)).argmax(axis)


def _floats(op: str, key: TensorLike, shape: Shape, dtype: object, stream: int) -> Tensor:
    wanted = {"shape": located(as_shape, shape), "dtype": located(as_dtype, dtype)}
    return emit(op, as_tensor(key, I64), stream=stream, **wanted)


def _fraction(key: TensorLike, shape: Shape, dtype: DType, stream: int) -> Tensor:
    """Numbers between 0 and 1, neither of which occurs; in f32 they have 24 bits however small they are."""
    if dtype is F64:
        return minimum(_floats("random_uniform", key, shape, F64, stream) + 2.0**-54, 1 - 2.0**-53)
    words = (bits(key, shape, stream) & 0x7FFFFFFF).astype(F32)
    return minimum((words + 0.5) * 2.0**-31, 1 - 2.0**-24).astype(dtype)


def _scaled(random: Tensor, low: TensorLike, width: TensorLike) -> Tensor:
    first, factor = as_tensor(low, random.dtype), as_tensor(width, random.dtype)
    return broadcast_to(random * factor + first, random.shape)
