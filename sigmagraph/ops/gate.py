"""Activations that let through a part of x: how much is said by x itself, by weights, or by the half of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, divide_exact
from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.errors import DTypeError, GraphError, ShapeError
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
from sigmagraph.ops.activation import Function, above, activation, at_least, at_most, plus, sigmoid, softplus, times
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import M, N, fractional, normal, operands, special

_MATRIX = TensorType(F32, (2, 3))


# ---- x times a function of x


def _gated(
    formula: Callable[[NDArray], NDArray],
    gate: Callable[[NodeBuilder, Value], Value],
    slope: Callable[[NodeBuilder, Value, Value], Value],
    limit: float,
) -> Function:
    """``x * gate(x)``, where the gate is 0 below ``-limit`` and 1 above ``limit``, as far as any float type can tell.

    Keeping to these limits gives 0 at minus infinity, where the plain formula says 0 * inf.

    Args:
        formula: the gate in NumPy.
        gate: the gate in ops.
        slope: the derivative of the gate from its operand and its result.
        limit: where the gate is closed and open.
    """

    def vjp(c: VjpContext) -> Sequence[Value]:
        (x,), (g,) = c.inputs, c.cotangents
        x = at_most(c, at_least(c, x, -limit), limit)
        opened = gate(c, x)
        return (c.emit("mul", g, c.emit("add", opened, c.emit("mul", x, slope(c, x, opened)))),)

    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
        return b.emit("mul", at_least(b, inputs[0], -limit), gate(b, inputs[0]))

    return Function(lambda x, _: np.where(x == -np.inf, 0.0, x * formula(x)), decompose, vjp)


def _remainder(b: NodeBuilder, y: Value) -> Value:
    """1 - y."""
    return b.emit("sub", full_like(b, 1.0, y), y)


def _normal_gate(b: NodeBuilder, x: Value) -> Value:
    """The part of a normal distribution that lies below x."""
    return times(b, b.emit("erfc", times(b, x, -math.sqrt(0.5))), 0.5)


def _normal_density(b: NodeBuilder, x: Value, _y: Value) -> Value:
    return times(b, b.emit("exp", times(b, b.emit("square", x), -0.5)), 1 / math.sqrt(2 * math.pi))


_NEARLY_NORMAL = (2 * math.sqrt(2 / math.pi), 0.044715)  # D. Hendrycks, K. Gimpel (2016), section 2


def _nearly_normal_gate(b: NodeBuilder, x: Value) -> Value:
    factor, cubic = _NEARLY_NORMAL
    inner = b.emit("mul", x, plus(b, times(b, b.emit("square", x), cubic), 1.0))
    return b.emit("sigmoid", times(b, inner, factor))


def _nearly_normal_slope(b: NodeBuilder, x: Value, y: Value) -> Value:
    factor, cubic = _NEARLY_NORMAL
    inner = times(b, plus(b, times(b, b.emit("square", x), 3 * cubic), 1.0), factor)
    return b.emit("mul", b.emit("mul", y, _remainder(b, y)), inner)


def _mish_gate(b: NodeBuilder, x: Value) -> Value:
    return b.emit("tanh", b.emit("softplus", x))


def _mish_slope(b: NodeBuilder, x: Value, y: Value) -> Value:
    return b.emit("mul", _remainder(b, b.emit("square", y)), b.emit("sigmoid", x))


def _hard_slope(b: NodeBuilder, x: Value, _y: Value) -> Value:
    """1/6 between -3 and 3, 0 from there on."""
    inside = b.emit("lt", b.emit("abs", x), full_like(b, 3.0, x))
    return b.emit("select", inside, full_like(b, 1 / 6, x), full_like(b, 0.0, x))


def _erfc(x: NDArray) -> NDArray:
    return np.asarray([math.erfc(v) for v in x.reshape(-1)], np.float64).reshape(x.shape)


# ---- prelu


def _infer_prelu(context: Inference) -> tuple[TensorType, ...]:
    x, weights = context.types
    if not x.dtype.is_float or weights.dtype is not x.dtype:
        got = f"{x.dtype}, {weights.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    return (TensorType(x.dtype, context.same_shape(x.shape, weights.shape, "the operands")),)


def _reference_prelu(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, weights = map(exact, inputs)
    with np.errstate(all="ignore"):
        return (np.where(x > 0, x, weights * x).astype(types[0].dtype.numpy),)


def _vjp_prelu(c: VjpContext) -> Sequence[Value]:
    (x, weights), (g,) = c.inputs, c.cotangents
    positive = above(c, x, 0.0)
    below = c.emit("select", positive, full_like(c, 0.0, g), c.emit("mul", g, x))
    return (c.emit("select", positive, g, c.emit("mul", g, weights)), below)


def _decompose_prelu(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    x, weights = inputs
    return b.emit("select", above(b, x, 0.0), x, b.emit("mul", weights, x))


# ---- the first half of an axis times a function of the second


def _infer_halves(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_float(context)
    axis = context.axis(context.attrs["axis"], x.rank)
    half = divide_exact(x.shape[axis], 2)
    if half is None:
        raise context.error("the axis has no two halves", expected="an even size", got=x.shape[axis])
    return (TensorType(x.dtype, (*x.shape[:axis], half, *x.shape[axis + 1 :])),)


def _half(b: NodeBuilder, x: Value, axis: int, number: int) -> Value:
    shape = b.type(x).shape
    axis %= len(shape)
    half = divide_exact(shape[axis], 2)
    assert half is not None  # infer demands it
    start: list[Size] = [0] * len(shape)
    stop = list(shape)
    start[axis], stop[axis] = half * number, half * (number + 1)
    return b.emit("slice", x, start=tuple(start), stop=tuple(stop), step=(1,) * len(shape))


def _halves(name: str, doc: str, gate: str, formula: Callable[[NDArray], NDArray]) -> OpDef:
    def reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        x, opened = np.split(exact(inputs[0]), 2, attrs["axis"])
        with np.errstate(all="ignore"):
            return ((x * formula(opened)).astype(types[0].dtype.numpy),)

    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        x, opened = (_half(b, inputs[0], attrs["axis"], number) for number in (0, 1))
        return b.emit("mul", x, b.emit(gate, opened))

    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AttrSpec("axis", "axis", "the axis whose halves they are", -1),),
        infer=_infer_halves,
        reference=reference,
        decompose=decompose,
        samples=_halves_samples,
        errors=(
            ErrorSample((_MATRIX,), {}, ShapeError, "no two halves"),
            ErrorSample((TensorType(F32, (N, M)),), {}, ShapeError, "no two halves"),
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(I32, (2,)),), {}, DTypeError, "element type does not fit"),
        ),
    )


def _halves_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 3, 4),))
    yield Sample((normal(rng, 2, 6, 5) * 5,), {"axis": 1})
    yield Sample((normal(rng, 0, 4),))
    yield Sample((normal(rng, 5, 6),), shapes=((N, 2 * M),))
    yield Sample((np.array([[1.0, np.nan], [np.nan, 1.0], [2.0, np.inf], [2.0, -np.inf]]),), kinks=True)


SELF_GATED = (
    activation(
        "gelu",
        "x times the part of a normal distribution that lies below x, erfc(-x / sqrt(2)) / 2. "
        "Source: D. Hendrycks, K. Gimpel, Gaussian error linear units (2016).",
        _gated(lambda x: _erfc(x * -math.sqrt(0.5)) / 2, _normal_gate, _normal_density, 40.0),
    ),
    activation(
        "gelu_tanh",
        "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2, nearly gelu. "
        "Source: D. Hendrycks, K. Gimpel, Gaussian error linear units (2016).",
        _gated(
            lambda x: sigmoid(_NEARLY_NORMAL[0] * x * (1 + _NEARLY_NORMAL[1] * x * x)),
            _nearly_normal_gate,
            _nearly_normal_slope,
            40.0,
        ),
    ),
    activation(
        "silu",
        "x * sigmoid(x). Source: S. Elfwing et al., Sigmoid-weighted linear units (2018).",
        _gated(
            sigmoid,
            lambda b, x: b.emit("sigmoid", x),
            lambda b, _, y: b.emit("mul", y, _remainder(b, y)),
            1000.0,
        ),
    ),
    activation(
        "mish",
        "x * tanh(log(1 + exp(x))). Source: D. Misra, Mish (2019).",
        _gated(lambda x: np.tanh(softplus(x)), _mish_gate, _mish_slope, 1000.0),
    ),
    activation(
        "hard_swish",
        "x * hard_sigmoid(x). Source: A. Howard et al., Searching for MobileNetV3 (2019).",
        _gated(lambda x: np.clip(x + 3, 0, 6) / 6, lambda b, x: b.emit("hard_sigmoid", x), _hard_slope, 3.0),
    ),
)
OPS = (
    *SELF_GATED,
    OpDef(
        name="prelu",
        doc="x above 0, weights * x below. Source: K. He et al., Delving deep into rectifiers (2015).",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_prelu,
        reference=_reference_prelu,
        vjp=_vjp_prelu,
        decompose=_decompose_prelu,
        samples=lambda rng: (*operands((fractional, normal))(rng), special(2)),
        errors=(
            ErrorSample((_MATRIX,), {}, GraphError, "wrong number of operands"),
            ErrorSample((_MATRIX, TensorType(F32, (3,))), {}, ShapeError, "ranks of the operands differ"),
            ErrorSample((_MATRIX, TensorType(F64, (2, 3))), {}, DTypeError, "element types do not fit"),
        ),
    ),
    _halves(
        "glu",
        "The first half of an axis times the sigmoid of the second. "
        "Source: Y. Dauphin et al., Language modeling with gated convolutional networks (2017).",
        "sigmoid",
        sigmoid,
    ),
    _halves(
        "swiglu",
        "The first half of an axis times the silu of the second. "
        "Source: N. Shazeer, GLU variants improve transformer (2020).",
        "silu",
        lambda x: np.where(x == -np.inf, 0.0, x * sigmoid(x)),
    ),
)
