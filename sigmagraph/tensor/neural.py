"""What networks are made of beyond arithmetic and activations: normalisations, attention, likeness."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sigmagraph.dims import Size, divide_exact
from sigmagraph.dtypes import BOOL, F32, DType
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.creation import ones, zeros
from sigmagraph.tensor.functions import maximum, where
from sigmagraph.tensor.tensor import (
    Tensor,
    TensorLike,
    as_tensor,
    broadcast_to,
    emit,
    floating,
    located,
    promoted,
)
from sigmagraph.tensor.workspace import here

# ---- normalisations


def layer_norm(
    x: TensorLike,
    scale: TensorLike | None = None,
    bias: TensorLike | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, where mean and variance are taken over some axes.

    Args:
        x: floats.
        scale: of the sizes of these axes, in their order in x; 1 if left out.
        bias: of these sizes; 0 if left out.
        axis: one or several axes.
        epsilon: at least 0.

    Raises:
        ShapeError: there is no such axis, or scale or bias does not have its sizes.
        AttributeValueError: epsilon is negative.
    """
    x = floating(x)
    axes = shapes.reduced_axes(axis, x.ndim)
    if scale is None and bias is None:
        return emit("standardise", x, axes=axes, epsilon=epsilon)
    return emit("layer_norm", *_parameters(x, scale, bias, axes), axes=axes, epsilon=epsilon)


def rms_norm(
    x: TensorLike, scale: TensorLike | None = None, axis: int | Sequence[int] = -1, epsilon: float = 1e-5
) -> Tensor:
    """``x / sqrt(mean(x ** 2) + epsilon) * scale``, where the mean is taken over some axes.

    Args:
        x: floats.
        scale: of the sizes of these axes, in their order in x; 1 if left out.
        axis: one or several axes.
        epsilon: at least 0.

    Raises:
        ShapeError: there is no such axis, or the scale does not have its sizes.
        AttributeValueError: epsilon is negative.
    """
    x = floating(x)
    axes = shapes.reduced_axes(axis, x.ndim)
    if scale is None:
        return emit("rms_normalise", x, axes=axes, epsilon=epsilon)
    return emit("rms_norm", x, as_tensor(scale, x.dtype), axes=axes, epsilon=epsilon)


def batch_norm(
    x: TensorLike, scale: TensorLike | None = None, bias: TensorLike | None = None, epsilon: float = 1e-5
) -> Tensor:
    """:func:`layer_norm` over all axes but the last: of each channel over the batch, as in training.

    The mean and the variance that it takes are ``x.mean(axes)`` and ``var(x, axes)``; what a program computes twice is
    computed once.

    Args:
        x: [..., channels], floats.
        scale: [channels]; 1 if left out.
        bias: [channels]; 0 if left out.
        epsilon: at least 0.

    Raises:
        ShapeError: x has less than 2 axes, or scale or bias has another size.
        AttributeValueError: epsilon is negative.
    """
    return emit("batch_norm", *_parameters(floating(x), scale, bias), epsilon=epsilon)


def batch_norm_inference(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    scale: TensorLike | None = None,
    bias: TensorLike | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` with a mean and a variance that are known.

    Args:
        x: [..., channels], floats.
        mean: [channels].
        variance: [channels].
        scale: [channels]; 1 if left out.
        bias: [channels]; 0 if left out.
        epsilon: at least 0.

    Raises:
        ShapeError: a parameter has another size.
        AttributeValueError: epsilon is negative.
    """
    x, scale, bias = _parameters(floating(x), scale, bias)
    known = (as_tensor(value, x.dtype) for value in (mean, variance))
    return emit("batch_norm_inference", x, *known, scale, bias, epsilon=epsilon)


def instance_norm(
    x: TensorLike, scale: TensorLike | None = None, bias: TensorLike | None = None, epsilon: float = 1e-5
) -> Tensor:
    """:func:`layer_norm` over all axes between the first and the last: of each channel of each example.

    Args:
        x: [batch, ..., channels], floats.
        scale: [channels]; 1 if left out.
        bias: [channels]; 0 if left out.
        epsilon: at least 0.

    Raises:
        ShapeError: x has less than 3 axes, or scale or bias has another size.
        AttributeValueError: epsilon is negative.
    """
    return emit("instance_norm", *_parameters(floating(x), scale, bias), epsilon=epsilon)


def group_norm(
    x: TensorLike,
    groups: int,
    scale: TensorLike | None = None,
    bias: TensorLike | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """:func:`instance_norm` of groups of channels that stand side by side, each taken as a whole.

    Args:
        x: [batch, ..., channels], floats.
        groups: divides the channels.
        scale: [channels]; 1 if left out.
        bias: [channels]; 0 if left out.
        epsilon: at least 0.

    Raises:
        ShapeError: the channels do not come out even, or scale or bias has another size.
        AttributeValueError: there are no groups, or epsilon is negative.
    """
    return emit("group_norm", *_parameters(floating(x), scale, bias), groups=groups, epsilon=epsilon)


def _parameters(
    x: Tensor, scale: TensorLike | None, bias: TensorLike | None, axes: Sequence[int] = (-1,)
) -> tuple[Tensor, Tensor, Tensor]:
    """The operands of a normalisation, of the dtype of x."""
    shape = tuple(x.shape[axis] for axis in sorted(located(shapes.normal_axes, axes, x.ndim)))
    scale = ones(shape, x.dtype) if scale is None else as_tensor(scale, x.dtype)
    bias = zeros(shape, x.dtype) if bias is None else as_tensor(bias, x.dtype)
    return x, scale, bias


# ---- attention


def masked_softmax(x: TensorLike, mask: TensorLike, axis: int = -1) -> Tensor:
    """:func:`softmax` of the elements whose mask, a bool tensor that is broadcast, is true; 0 for all others.

    Where nothing is left along the axis, everything is 0.
    """
    return emit("masked_softmax", where(mask, floating(x), -np.inf), axis=axis)


def attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: TensorLike | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """``softmax(q @ k.T * scale + mask) @ v``: for each query the mean of the values whose keys are like it.

    Source: A. Vaswani et al., "Attention is all you need" (2017). A query that sees no key gives 0. The backward pass
    computes the probabilities again instead of keeping them. Leading axes are broadcast; where q has a multiple of the
    heads (axis -3) of k and v, each of these serves several heads of q (J. Ainslie et al., "GQA", 2023).

    Args:
        q: queries [..., heads, t, d], floats.
        k: keys [..., heads, s, d].
        v: values [..., heads, s, e].
        mask: is broadcast to [..., heads, t, s]; of bools, true where a query sees a key, or of floats, added.
        causal: whether query i sees the keys 0 .. i only. Values that are not finite behind them may or may not make
            a result NaN: they count as multiplied by 0, or are not read.
        scale: ``1 / sqrt(d)`` if left out.

    Returns:
        [..., heads, t, e].

    Raises:
        ShapeError: the sizes do not fit together, or d is symbolic and there is no scale.
        DTypeError: the mask holds integers.
    """
    q, k, v = map(floating, promoted(q, k, v))
    _check_ranks(q, k, v)
    if scale is None:
        scale = 1 / math.sqrt(max(_known(q.shape[-1], "attention: the size of the keys"), 1))
    masks = [] if mask is None else [_mask(mask, q.dtype)]
    heads = _shared_heads(q, k, v)
    if heads is not None:
        q, k, v, *masks = (_grouped(t, heads) for t in (q, k, v, *masks))
    lead = located(shapes.broadcast, [t.shape[:-2] for t in (q, k, v)])
    operands = [broadcast_to(t, (*shapes.stretched(t.shape[:-2], lead), *t.shape[-2:])) for t in (q, k, v)]
    pairs = (*lead, q.shape[-2], k.shape[-2])
    operands += [broadcast_to(m, shapes.stretched(m.shape, pairs)) for m in masks]
    out = emit("attention", *operands, causal=causal, scale=scale)
    return out if heads is None else out.reshape(*lead[:-2], lead[-2] * lead[-1], *out.shape[-2:])


def _check_ranks(*operands: Tensor) -> None:
    if any(t.ndim < 2 for t in operands):
        raise ShapeError(
            "attention: an operand has too few axes",
            expected="q[...,t,d], k[...,s,d], v[...,s,e]",
            got=", ".join(shapes.text(t.shape) for t in operands),
            location=here(),
        )


def _mask(mask: TensorLike, dtype: DType) -> Tensor:
    mask = as_tensor(mask)
    if mask.dtype.is_integer:
        raise DTypeError(
            "attention: the mask holds integers", expected="bools or floats", got=mask.dtype, location=here()
        )
    return mask if mask.dtype is BOOL else mask.astype(dtype)


def _shared_heads(q: Tensor, k: Tensor, v: Tensor) -> Size | None:
    """The number of heads of k and v, where each of these serves several heads of q."""
    if min(q.ndim, k.ndim, v.ndim) < 3 or k.shape[-3] != v.shape[-3] or k.shape[-3] in (1, q.shape[-3]):
        return None
    return None if divide_exact(q.shape[-3], k.shape[-3]) is None else k.shape[-3]


def _grouped(x: Tensor, heads: Size) -> Tensor:
    """The axis of heads as two: those of k and v, and for each of them those of q that it serves."""
    if x.ndim < 3:
        return x
    *lead, all_heads, rows, columns = x.shape
    outer: Size = 1 if all_heads == 1 else heads
    return x.reshape(*lead, outer, -1 if all_heads not in (1, heads) else 1, rows, columns)


def rotary_embedding(
    x: TensorLike, positions: TensorLike | None = None, base: float = 10000.0, interleaved: bool = False
) -> Tensor:
    """Queries or keys turned by their positions, so that products of two depend on the distance of their positions.

    Pair i of the last axis is turned by ``position * base ** (-2 * i / d)``. Source: J. Su et al., "RoFormer" (2021).

    Args:
        x: [..., t, d], floats; d is even and known.
        positions: [t], numbers; 0, 1, 2, ... if left out.
        base: a positive number.
        interleaved: whether the numbers 2i and 2i + 1 make a pair, instead of i and i + d / 2.

    Raises:
        ShapeError: d is odd or symbolic, or there are not t positions.
        AttributeValueError: the base is no positive number.
    """
    x = floating(x)
    if not 0 < base < math.inf:
        raise AttributeValueError(
            "rotary_embedding: the base is out of range", expected="(0, inf)", got=base, location=here()
        )
    if x.ndim < 2:
        raise ShapeError(
            "rotary_embedding: the operand has too few axes",
            expected="[...,t,d]",
            got=shapes.text(x.shape),
            location=here(),
        )
    size = _known(x.shape[-1], "rotary_embedding: the last axis")
    wide = x.astype(F32) if x.dtype.bits < 32 else x  # angles grow with the position and need more than 16 bits
    rates = base ** (-np.arange(size // 2, dtype=np.float64) * 2 / max(size, 1))
    if positions is None:
        positions = emit("iota", axis=0, shape=(x.shape[-2],), dtype=wide.dtype)
    angles = as_tensor(positions, wide.dtype)[:, None] * as_tensor(rates, wide.dtype)
    return emit("rotary", wide, angles, interleaved=interleaved).astype(x.dtype)


def _known(size: Size, what: str) -> int:
    if not isinstance(size, int):
        raise ShapeError(f"{what} must be known", expected="a number", got=size, location=here())
    return size


# ---- likeness


def cosine_similarity(a: TensorLike, b: TensorLike, axis: int = -1, epsilon: float = 1e-8) -> Tensor:
    """``sum(a * b) / (norm(a) * norm(b))`` along an axis, where the norms are at least epsilon.

    Raises:
        ShapeError: the shapes cannot be broadcast together, or there is no such axis.
        AttributeValueError: epsilon is no positive number.
    """
    if not 0 < epsilon < math.inf:
        raise AttributeValueError(
            "cosine_similarity: epsilon is out of range", expected="(0, inf)", got=epsilon, location=here()
        )
    a, b = map(floating, promoted(a, b))
    norms = (maximum((t * t).sum(axis, keepdims=True), epsilon**2) for t in (a, b))
    a, b = (t / emit("sqrt", n) for t, n in zip((a, b), norms, strict=True))
    return (a * b).sum(axis)
