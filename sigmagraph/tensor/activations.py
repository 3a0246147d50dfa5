"""Activations: functions that networks apply to every element, besides those that are plain arithmetic.

Integers and bools are taken as f64. NaN stays NaN; limits at infinity and gradients are finite where the true ones are.
"""

from __future__ import annotations

from sigmagraph.tensor.tensor import Tensor, TensorLike, broadcast_to, emit, floating, promoted


def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """``x`` times the part of a normal distribution that lies below ``x``; nearly that, by ``tanh``, if approximate."""
    return emit("gelu_tanh" if approximate else "gelu", floating(x))


def silu(x: TensorLike) -> Tensor:
    """``x * sigmoid(x)``."""
    return emit("silu", floating(x))


def mish(x: TensorLike) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return emit("mish", floating(x))


def softplus(x: TensorLike, beta: float = 1.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, without overflow.

    Raises:
        AttributeValueError: beta is no positive number.
    """
    return emit("softplus", floating(x), beta=beta)


def softsign(x: TensorLike) -> Tensor:
    """``x / (1 + abs(x))``."""
    return emit("softsign", floating(x))


def log_sigmoid(x: TensorLike) -> Tensor:
    """Logarithm of the sigmoid, without overflow or loss of small probabilities."""
    return emit("log_sigmoid", floating(x))


def leaky_relu(x: TensorLike, slope: float = 0.01) -> Tensor:
    """``x`` above 0, ``slope * x`` below.

    Raises:
        AttributeValueError: the slope is no positive number.
    """
    return emit("leaky_relu", floating(x), slope=slope)


def prelu(x: TensorLike, weights: TensorLike) -> Tensor:
    """``x`` above 0, ``weights * x`` below; the weights are broadcast."""
    x, weights = map(floating, promoted(x, weights))
    return emit("prelu", x, broadcast_to(weights, x.shape))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below.

    Raises:
        AttributeValueError: alpha is no positive number.
    """
    return emit("elu", floating(x), alpha=alpha)


def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below.

    Raises:
        AttributeValueError: alpha is no positive number.
    """
    return emit("celu", floating(x), alpha=alpha)


def selu(x: TensorLike) -> Tensor:
    """:func:`elu` with the two constants that keep mean 0 and variance 1 (G. Klambauer et al., 2017)."""
    return emit("selu", floating(x))


def relu6(x: TensorLike) -> Tensor:
    """``minimum(maximum(x, 0), 6)``."""
    return emit("relu6", floating(x))


def hard_tanh(x: TensorLike) -> Tensor:
    """``minimum(maximum(x, -1), 1)``."""
    return emit("hard_tanh", floating(x))


def hard_sigmoid(x: TensorLike) -> Tensor:
    """``minimum(maximum(x + 3, 0), 6) / 6``."""
    return emit("hard_sigmoid", floating(x))


def hard_swish(x: TensorLike) -> Tensor:
    """``x * hard_sigmoid(x)``."""
    return emit("hard_swish", floating(x))


def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """The first half of an axis times the sigmoid of the second.

    Raises:
        ShapeError: there is no such axis, or its size is odd.
    """
    return emit("glu", floating(x), axis=axis)


def swiglu(x: TensorLike, axis: int = -1) -> Tensor:
    """The first half of an axis times :func:`silu` of the second.

    Raises:
        ShapeError: there is no such axis, or its size is odd.
    """
    return emit("swiglu", floating(x), axis=axis)
