"""The normal distribution: its quantile function, and random numbers that have it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np

from sigmagraph.dtypes import BOOL, F32, F64, I32, I64
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    NDArray,
    NodeBuilder,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import cast, full_like
from sigmagraph.ops.random import KEY, STREAM, halves, infer_random_floats, random_words
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import N

_Ratio = tuple[tuple[float, ...], tuple[float, ...]]

# Quotients of polynomials, lowest degree first, for three ranges (as M. Wichura, "Algorithm AS 241", Applied Statistics
# 37, 1988, cuts them): q = p - 1/2 of up to 0.425 either way, in 0.425^2 - q^2; else, for the smaller of p and 1 - p,
# s = sqrt(-log(p)) of up to 5, in s - 1.6, and above, in s - 5. They were found by iteratively reweighted least squares
# of the relative error at 90 Chebyshev points in 60-digit arithmetic; it is below 8e-17 in the middle, 4e-17 elsewhere.
_MIDDLE: _Ratio = (
    (3.3871328727963665, 133.13684838618317, 1971.4338248413555, 13729.878676383194, 45912.97831255355,
     67247.53837828146, 33418.548390380354, 2507.9233513337663),
    (1.0, 42.311907815111894, 687.1363424235205, 5393.539268129608, 21209.99186432306, 39298.164416639665,
     28719.6781165903, 5224.308149498169),
)  # fmt: skip
_SIDE: _Ratio = (
    (1.4234371107496835, 4.631490454819381, 5.772984702043664, 3.65166096992693, 1.2723815412055257,
     0.2422418855559122, 0.022771334426224546, 0.0007760385322793236),
    (1.0, 2.0540013629121128, 1.6778634023706935, 0.6907419244640939, 0.14838195108503055, 0.015230565618911777,
     0.0005486498586978787, 1.0497278515753049e-09),
)  # fmt: skip
_TAIL: _Ratio = (
    (6.657904643501103, 5.461871702431315, 1.783388651243266, 0.29614224439062775, 0.026472858596024402,
     0.0012384421572055834, 2.697848839941632e-05, 1.9953825998064714e-07),
    (1.0, 0.5995448475690531, 0.13677736669373342, 0.014845831890970225, 0.0007843407503606904,
     1.8371544382911848e-05, 1.4109393838873764e-07, 2.001215406897207e-15),
)  # fmt: skip
_BORDER = 0.425


# ---- normal_quantile


def _quantiles(p: NDArray) -> NDArray:
    def quantile(number: float) -> float:
        return NormalDist().inv_cdf(number)

    inside = (p > 0) & (p < 1)
    ends = np.select([p == 0, p == 1], [-np.inf, np.inf], np.nan)
    return np.where(inside, np.vectorize(quantile, otypes="d")(np.where(inside, p, 0.5)), ends)


def _reference(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (_quantiles(exact(inputs[0])).astype(types[0].dtype.numpy),)


def _vjp(c: VjpContext) -> Sequence[Value]:
    """1 / density: sqrt(2 pi) exp(y^2 / 2)."""
    (y,), (g,) = c.outputs, c.cotangents
    power = c.emit("exp", c.emit("mul", c.emit("mul", y, y), full_like(c, 0.5, y)))
    return (c.emit("mul", g, c.emit("mul", power, full_like(c, math.sqrt(2 * math.pi), y))),)


def _decompose(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    dtype = b.type(inputs[0]).dtype
    p = cast(b, inputs[0], accumulator(dtype))
    half, border = full_like(b, 0.5, p), full_like(b, _BORDER, p)
    q = b.emit("sub", p, half)
    size = b.emit("abs", q)
    near = b.emit("mul", q, _ratio(b, b.emit("sub", full_like(b, _BORDER**2, p), b.emit("mul", q, q)), _MIDDLE))
    smaller = b.emit("select", b.emit("lt", q, full_like(b, 0.0, q)), p, b.emit("sub", full_like(b, 1.0, p), p))
    s = b.emit("sqrt", b.emit("neg", b.emit("log", smaller)))
    limit = full_like(b, 5.0, s)
    side = _ratio(b, b.emit("sub", s, full_like(b, 1.6, s)), _SIDE)
    tail = _ratio(b, b.emit("sub", s, limit), _TAIL)
    far = b.emit("select", b.emit("le", s, limit), side, tail)
    infinite = full_like(b, np.inf, far)
    far = b.emit("select", b.emit("eq", s, infinite), infinite, far)
    far = b.emit("select", b.emit("lt", q, full_like(b, 0.0, q)), b.emit("neg", far), far)
    return cast(b, b.emit("select", b.emit("le", size, border), near, far), dtype)


def _ratio(b: NodeBuilder, x: Value, ratio: _Ratio) -> Value:
    above, below = (_polynomial(b, x, coefficients) for coefficients in ratio)
    return b.emit("div", above, below)


def _polynomial(b: NodeBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    out = full_like(b, coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        out = b.emit("add", b.emit("mul", out, x), full_like(b, coefficient, x))
    return out


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((2, 3, 5), (), (0, 3)):
        yield Sample((rng.uniform(0.05, 0.95, shape),))
    yield Sample((rng.uniform(0.05, 0.95, (5, 3)),), shapes=((N, 3),))
    yield Sample((np.array([0.0, 1.0, 0.5, 0.075, 0.925, 2.0, -1.0, np.nan, 1e-5, 1e-11, 1e-30, 0.999]),), kinks=True)


# ---- random_normal


def _reference_normal(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    dtype = attrs["dtype"]
    shape = tuple(size for size in types[0].shape if isinstance(size, int))
    if dtype is F64:
        high, low = np.moveaxis(random_words(inputs[0], attrs["stream"], (*shape, 2)).astype(np.int64), -1, 0)
        p = (((high & 0x7FFFFFFF) << 32 | (low & 0xFFFFFFFF)).astype(np.float64) + 0.5) * 2.0**-64
    else:
        high = random_words(inputs[0], attrs["stream"], shape)
        p = ((high & 0x7FFFFFFF).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    size = _quantiles(p)
    return (np.where(high < 0, -size, size).astype(dtype.numpy),)


def _decompose_normal(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    """The sign is one bit, the others are a fraction between 0 and 1/2, so that both tails are equally fine."""
    stream, shape, dtype = attrs["stream"], attrs["shape"], attrs["dtype"]
    wide = accumulator(dtype)
    if dtype is F64:
        high, low = (cast(b, word, I64) for word in halves(b, inputs[0], stream, shape))
        upper = b.emit("mul", _masked(b, high, 0x7FFFFFFF), full_like(b, 2**32, high))
        bits, scale = b.emit("or", upper, _masked(b, low, 0xFFFFFFFF)), 2.0**-64
    else:
        high = b.emit("random_bits", inputs[0], stream=stream, shape=shape)
        bits, scale = _masked(b, high, 0x7FFFFFFF), 2.0**-32
    number = cast(b, bits, wide)
    p = b.emit("mul", b.emit("add", number, full_like(b, 0.5, number)), full_like(b, scale, number))
    size = b.emit("normal_quantile", p)
    negative = b.emit("lt", high, full_like(b, 0, high))
    return cast(b, b.emit("select", negative, b.emit("neg", size), size), dtype)


def _masked(b: NodeBuilder, bits: Value, mask: int) -> Value:
    return b.emit("and", bits, full_like(b, mask, bits))


def _normal_samples(_rng: np.random.Generator) -> Iterator[Sample]:
    key = np.array([5, 9], np.int64)
    for dtype in (F32, F64):
        yield Sample((key,), {"stream": 3, "shape": (3, 5), "dtype": dtype})
        yield Sample((key,), {"stream": 3, "shape": (0, 2), "dtype": dtype})
    yield Sample((key,), {"stream": 3, "shape": ()})


OPS = (
    OpDef(
        name="normal_quantile",
        doc="What a standard normal number is below with the probability that the operand is; -inf for 0, inf for 1, "
        "NaN outside. Relative errors are some 1e-16 in f64; f16 and bf16 are computed in f32.",
        kind=OpKind.COMPOSITE,
        arity=1,
        infer=infer_float,
        reference=_reference,
        vjp=_vjp,
        decompose=_decompose,
        samples=_samples,
        errors=(ErrorSample((TensorType(BOOL, (2,)),), {}, DTypeError, "element type does not fit"),),
    ),
    OpDef(
        name="random_normal",
        doc="Standard normal numbers from a key (seed, step), i64[2] -> dtype[shape]: `normal_quantile` of one word of "
        "`random_bits` each (two for f64), one bit of it for the sign. The greatest are 6.3 (9.1 for f64).",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(
            STREAM,
            AttrSpec("shape", "shape", "the shape of the result"),
            AttrSpec("dtype", "dtype", "the element type of the result", F32),
        ),
        infer=infer_random_floats,
        reference=_reference_normal,
        vjp=NotDifferentiable("random numbers do not change continuously with their key"),
        decompose=_decompose_normal,
        samples=_normal_samples,
        errors=(
            ErrorSample((KEY,), {"stream": 0, "shape": (3,), "dtype": I32}, DTypeError, "random numbers are floats"),
            ErrorSample((TensorType(I32, (2,)),), {"stream": 0, "shape": (3,)}, DTypeError, "64-bit integers"),
            ErrorSample((KEY,), {"stream": 0, "shape": (-3,)}, ShapeError, "negative"),
        ),
    ),
)
