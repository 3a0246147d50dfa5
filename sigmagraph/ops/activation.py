"""Activations: functions of single elements as composites, with finite limits and gradients wherever these exist.

NaN stays NaN. Sources are named where a formula is not plain; piecewise functions take the slope of one side at a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sigmagraph.dtypes import F32, I32
from sigmagraph.errors import AttributeValueError, DTypeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    DecomposeRule,
    ErrorSample,
    Inference,
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
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import fractional, one_operand, special

Formula: TypeAlias = "Callable[[NDArray, Attrs], NDArray]"
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # G. Klambauer et al. (2017), section 2


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one element: its meaning in NumPy and in other ops, and its gradient."""

    formula: Formula
    decompose: DecomposeRule
    vjp: VjpRule


def activation(name: str, doc: str, function: Function, attrs: tuple[AttrSpec, ...] = (), **use: float) -> OpDef:
    """The op of a function of one element; ``use`` are attributes for a sample, all of them positive numbers."""

    def infer(context: Inference) -> tuple[TensorType, ...]:
        for spec in attrs:
            if not 0 < context.attrs[spec.name] < math.inf:
                got = context.attrs[spec.name]
                raise context.error(
                    f"'{spec.name}' is out of range", expected="(0, inf)", got=got, kind=AttributeValueError
                )
        return infer_float(context)

    def reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(function.formula(exact(inputs[0]), attrs)).astype(types[0].dtype.numpy),)

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield from one_operand(fractional)(rng)
        yield special(1)
        yield Sample((fractional(rng, 7) * 3,), use)  # to both sides of kinks at 3 and 6

    x = TensorType(F32, (2,))
    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=attrs,
        infer=infer,
        reference=reference,
        vjp=function.vjp,
        decompose=function.decompose,
        samples=samples,
        errors=(
            ErrorSample((TensorType(I32, (2,)),), {}, DTypeError, "element type does not fit"),
            *(ErrorSample((x,), {s.name: 0.0}, AttributeValueError, f"'{s.name}' is out of range") for s in attrs),
        ),
    )


def times(b: NodeBuilder, value: Value, factor: float) -> Value:
    """The value times a number."""
    return value if factor == 1 else b.emit("mul", value, full_like(b, factor, value))


def plus(b: NodeBuilder, value: Value, number: float) -> Value:
    """The value plus a number."""
    return value if number == 0 else b.emit("add", value, full_like(b, number, value))


def at_least(b: NodeBuilder, value: Value, number: float) -> Value:
    """The value, or the number where that is greater."""
    return b.emit("maximum", value, full_like(b, number, value))


def at_most(b: NodeBuilder, value: Value, number: float) -> Value:
    """The value, or the number where that is less."""
    return b.emit("minimum", value, full_like(b, number, value))


def above(b: NodeBuilder, value: Value, number: float) -> Value:
    """Whether the value is greater than a number."""
    return b.emit("gt", value, full_like(b, number, value))


# ---- smooth steps


def sigmoid(x: NDArray) -> NDArray:
    """1 / (1 + exp(-x)), in NumPy."""
    return 1 / (1 + np.exp(-x))


def _vjp_sigmoid(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("mul", g, c.emit("mul", y, c.emit("sub", full_like(c, 1.0, y), y))),)


def _decompose_sigmoid(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    one = full_like(b, 1.0, inputs[0])
    return b.emit("div", one, b.emit("add", one, b.emit("exp", b.emit("neg", inputs[0]))))


def _softsign(x: NDArray, _attrs: Attrs) -> NDArray:
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


def _vjp_softsign(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    part = c.emit("div", full_like(c, 1.0, x), plus(c, c.emit("abs", x), 1.0))
    return (c.emit("mul", g, c.emit("mul", part, part)),)


def _decompose_softsign(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    limit = 2.0 ** (b.type(inputs[0]).dtype.bits - 1)  # 1 more or less is rounded away there
    x = at_most(b, at_least(b, inputs[0], -limit), limit)
    return b.emit("div", x, plus(b, b.emit("abs", x), 1.0))


# ---- smooth bends


def softplus(x: NDArray, beta: float = 1.0) -> NDArray:
    """log(1 + exp(beta * x)) / beta, in NumPy."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(beta * x))) / beta


def _bend(b: NodeBuilder, x: Value) -> Value:
    """log(1 + exp(-|x|)): how far a smooth bend lies from the sharp one."""
    return b.emit("log1p", b.emit("exp", b.emit("neg", b.emit("abs", x))))


def _vjp_softplus(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    return (c.emit("mul", g, c.emit("sigmoid", times(c, x, c.attrs["beta"]))),)


def _decompose_softplus(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x,), beta = inputs, attrs["beta"]
    return b.emit("add", at_least(b, x, 0.0), times(b, _bend(b, times(b, x, beta)), 1 / beta))


def _vjp_log_sigmoid(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    return (c.emit("mul", g, c.emit("sigmoid", c.emit("neg", x))),)


def _decompose_log_sigmoid(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("sub", at_most(b, inputs[0], 0.0), _bend(b, inputs[0]))


# ---- x above 0, something else below


def _vjp_relu(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("select", above(c, y, 0.0), g, full_like(c, 0.0, g)),)


def _decompose_relu(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return at_least(b, inputs[0], 0.0)


def _vjp_leaky_relu(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    return (c.emit("select", above(c, x, 0.0), g, times(c, g, c.attrs["slope"])),)


def _decompose_leaky_relu(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x,) = inputs
    return b.emit("select", above(b, x, 0.0), x, times(b, x, attrs["slope"]))


def _exponential(constants: Callable[[Attrs], tuple[float, float, float]]) -> Function:
    """``gain * (x if x > 0 else depth * (exp(rate * x) - 1))``, for the (gain, depth, rate) that attributes mean."""

    def formula(x: NDArray, attrs: Attrs) -> NDArray:
        gain, depth, rate = constants(attrs)
        return gain * (np.maximum(x, 0) + depth * np.expm1(rate * np.minimum(x, 0)))

    def vjp(c: VjpContext) -> Sequence[Value]:
        (x,), (g,) = c.inputs, c.cotangents
        gain, depth, rate = constants(c.attrs)
        below = c.emit("exp", times(c, at_most(c, x, 0.0), rate))
        below = c.emit("mul", g, times(c, below, gain * depth * rate))
        return (c.emit("select", above(c, x, 0.0), times(c, g, gain), below),)

    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        (x,) = inputs
        gain, depth, rate = constants(attrs)
        below = b.emit("expm1", times(b, at_most(b, x, 0.0), rate))
        return times(b, b.emit("add", at_least(b, x, 0.0), times(b, below, depth)), gain)

    return Function(formula, decompose, vjp)


# ---- straight pieces


def _clipped(low: float, high: float, shift: float = 0.0, divisor: float = 1.0) -> Function:
    """``x + shift``, held between two bounds and divided."""

    def held(b: NodeBuilder, x: Value) -> Value:
        return at_most(b, at_least(b, plus(b, x, shift), low), high)

    def divided(b: NodeBuilder, value: Value) -> Value:
        return value if divisor == 1 else b.emit("div", value, full_like(b, divisor, value))

    def vjp(c: VjpContext) -> Sequence[Value]:
        (x,), (g,) = c.inputs, c.cotangents
        y = plus(c, x, shift)
        inside = c.emit("and", above(c, y, low), c.emit("lt", y, full_like(c, high, y)))
        return (c.emit("select", inside, divided(c, g), full_like(c, 0.0, g)),)

    return Function(
        lambda x, _: np.clip(x + shift, low, high) / divisor,
        lambda b, inputs, _: divided(b, held(b, inputs[0])),
        vjp,
    )


OPS = (
    activation(
        "sigmoid",
        "The logistic function 1 / (1 + exp(-x)).",
        Function(lambda x, _: sigmoid(x), _decompose_sigmoid, _vjp_sigmoid),
    ),
    activation(
        "log_sigmoid",
        "log(1 / (1 + exp(-x))), without overflow or loss of small probabilities.",
        Function(lambda x, _: -softplus(-x), _decompose_log_sigmoid, _vjp_log_sigmoid),
    ),
    activation("softsign", "x / (1 + |x|).", Function(_softsign, _decompose_softsign, _vjp_softsign)),
    activation(
        "softplus",
        "log(1 + exp(beta * x)) / beta, without overflow.",
        Function(lambda x, attrs: softplus(x, attrs["beta"]), _decompose_softplus, _vjp_softplus),
        (AttrSpec("beta", "float", "how sharp the bend is", 1.0),),
        beta=2.5,
    ),
    activation(
        "relu",
        "max(x, 0); NaN for NaN. Its gradient at 0 is 0.",
        Function(lambda x, _: np.maximum(x, 0), _decompose_relu, _vjp_relu),
    ),
    activation(
        "leaky_relu",
        "x above 0, slope * x below.",
        Function(lambda x, attrs: np.where(x > 0, x, attrs["slope"] * x), _decompose_leaky_relu, _vjp_leaky_relu),
        (AttrSpec("slope", "float", "the slope below 0", 0.01),),
        slope=0.3,
    ),
    activation(
        "elu",
        "x above 0, alpha * (exp(x) - 1) below. Source: D.-A. Clevert et al., Exponential linear units (2016).",
        _exponential(lambda attrs: (1.0, attrs["alpha"], 1.0)),
        (AttrSpec("alpha", "float", "minus the limit below", 1.0),),
        alpha=0.7,
    ),
    activation(
        "celu",
        "x above 0, alpha * (exp(x / alpha) - 1) below. "
        "Source: J. T. Barron, Continuously differentiable exponential linear units (2017).",
        _exponential(lambda attrs: (1.0, attrs["alpha"], 1 / attrs["alpha"])),
        (AttrSpec("alpha", "float", "minus the limit below", 1.0),),
        alpha=0.7,
    ),
    activation(
        "selu",
        f"{_SELU_SCALE} * elu(x) for alpha = {_SELU_ALPHA}. "
        "Source: G. Klambauer et al., Self-normalizing neural networks (2017).",
        _exponential(lambda _: (_SELU_SCALE, _SELU_ALPHA, 1.0)),
    ),
    activation("relu6", "min(max(x, 0), 6).", _clipped(0.0, 6.0)),
    activation("hard_tanh", "min(max(x, -1), 1).", _clipped(-1.0, 1.0)),
    activation("hard_sigmoid", "min(max(x + 3, 0), 6) / 6.", _clipped(0.0, 6.0, 3.0, 6.0)),
)
