"""What users slide windows over tensors with: convolutions and pooling over one or more spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Size, ceildiv, divide_exact, maximum
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.ops.geometry import Geometry, exchanged
from sigmagraph.ops.window import span
from sigmagraph.tensor.functions import take, where
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast, emit, floating, promoted
from sigmagraph.tensor.workspace import here

Numbers: TypeAlias = "int | Sequence[int]"
Padding: TypeAlias = "int | str | Sequence[int | tuple[int, int]]"


def convolution(
    x: TensorLike,
    w: TensorLike,
    strides: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """The sum of products of a kernel with every window of a tensor, over one or more spatial axes.

    As in all networks the kernel is not reversed.

    Args:
        x: [n, *spatial, c].
        w: [*kernel, c / groups, o].
        strides: how far apart windows start; one number, or one for each spatial axis.
        padding: zeros around the tensor: a number, or for each axis one or (before, behind); ``"valid"`` for none;
            ``"same"`` for as many as give ``ceil(size / stride)`` windows, the odd one behind.
        dilation: how far apart the elements of a window are.
        groups: output channels see the input channels of their own group only; ``groups=c`` is a depthwise convolution.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: shapes do not fit each other or the windows.
        AttributeValueError: a number is out of range, or a word is none of those above.
    """
    x, w = map(floating, promoted(x, w))
    x = channels_last(x, data_format)
    count = _spatial(x)
    _check_kernel(w, count, groups)
    steps, spread = numbers(strides, count, "strides"), numbers(dilation, count, "dilation")
    low, high = paddings(padding, x.shape[1:-1], w.shape[:count], steps, spread)
    geometry = Geometry(steps, low, high, spread, (1,) * count, groups)
    return as_given(emit("convolution", x, w, **geometry.attrs), data_format)


def transposed_convolution(
    x: TensorLike,
    w: TensorLike,
    strides: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """Windows of ``w``, weighted by the elements of ``x`` and added up: what carries a convolution's gradient back.

    An axis of n elements becomes one of ``(n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 +
    output_padding``, as in PyTorch.

    Args:
        x: [n, *spatial, c].
        w: [*kernel, o / groups, c], the kernel of the convolution that leads from o to c channels.
        strides: how far apart windows start in the result; one number, or one for each spatial axis.
        padding: how many elements at both ends of each axis are left out of the result.
        output_padding: how many elements more the result has behind; less than the stride or the dilation.
        dilation: how far apart the elements of a window are.
        groups: number of groups into which channels are parted.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: shapes do not fit each other.
        AttributeValueError: a number is out of range.
    """
    x, w = map(floating, promoted(x, w))
    x = channels_last(x, data_format)
    count = _spatial(x)
    _check_kernel(w, count, groups)
    if isinstance(w.shape[-1], int) and w.shape[-1] % groups:
        raise ShapeError("the input channels do not divide into groups", expected=f"a multiple of {groups}",
                         got=w.shape[-1], location=here())  # fmt: skip
    steps, spread = numbers(strides, count, "strides"), numbers(dilation, count, "dilation")
    cut, more = numbers(padding, count, "padding", 0), numbers(output_padding, count, "output_padding", 0)
    for extra, step, apart in zip(more, steps, spread, strict=True):
        if extra >= max(step, apart):
            expected = f"less than {max(step, apart)}"
            raise AttributeValueError("'output_padding' is too great", expected=expected, got=extra, location=here())
    reach = [span(size, apart) - 1 for size, apart in zip(w.shape, spread, strict=False)]
    low = tuple(r - c for r, c in zip(reach, cut, strict=True))
    high = tuple(before + extra for before, extra in zip(low, more, strict=True))
    geometry = Geometry((1,) * count, low, high, spread, steps, groups)
    workspace = w.workspace
    kernel = Tensor(workspace, exchanged(workspace.builder(), w.resolve()[1], groups))
    return as_given(emit("convolution", x, kernel, **geometry.attrs), data_format)


def max_pool(
    x: TensorLike,
    window: Numbers,
    strides: Numbers | None = None,
    padding: Padding = 0,
    dilation: Numbers = 1,
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """The greatest element of every window; NaN where one is. Equal maxima of a window share its gradient.

    Args:
        x: [n, *spatial, c].
        window: its size; one number, or one for each spatial axis.
        strides: how far apart windows start; by default they touch.
        padding: as for :func:`convolution`, but with what is less than all elements, and no window sees only that.
        dilation: how far apart the elements of a window are.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: no window fits, or one sees only padding.
        AttributeValueError: a number is out of range.
    """
    return _pool("max_pool", as_tensor(x), window, strides, padding, dilation, data_format)


def average_pool(
    x: TensorLike,
    window: Numbers,
    strides: Numbers | None = None,
    padding: Padding = 0,
    *,
    count_include_pad: bool = True,
    data_format: str = "channels_last",
) -> Tensor:
    """The mean of every window.

    Args:
        x: [n, *spatial, c].
        window: its size; one number, or one for each spatial axis.
        strides: how far apart windows start; by default they touch.
        padding: zeros around the tensor, as for :func:`convolution`; no window sees only them.
        count_include_pad: whether the zeros count as elements of a window.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: no window fits, or one sees only padding.
        AttributeValueError: a number is out of range.
    """
    counted = {"count_padding": count_include_pad}
    return _pool("average_pool", floating(x), window, strides, padding, None, data_format, **counted)


def adaptive_max_pool(x: TensorLike, sizes: Numbers, *, data_format: str = "channels_last") -> Tensor:
    """The greatest elements of a wanted number of windows; number i of m covers ``floor(i n/m) .. ceil((i+1) n/m)``.

    Along one spatial axis after the other; elements that are equal share the gradient.

    Args:
        x: [n, *spatial, c].
        sizes: the number of windows; one, or one for each spatial axis. 1 is the maximum over the whole axis.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: an axis is empty, or symbolic and not divisible.
        AttributeValueError: a number is out of range.
    """
    return _adaptive(as_tensor(x), sizes, Tensor.max, _greatest_of, data_format)


def adaptive_average_pool(x: TensorLike, sizes: Numbers, *, data_format: str = "channels_last") -> Tensor:
    """The means of a wanted number of windows; number i of m covers ``floor(i n/m) .. ceil((i+1) n/m)``.

    Args:
        x: [n, *spatial, c].
        sizes: the number of windows; one, or one for each spatial axis. 1 is the mean over the whole axis.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        ShapeError: an axis is empty, or symbolic and not divisible.
        AttributeValueError: a number is out of range.
    """
    return _adaptive(floating(x), sizes, Tensor.mean, _mean_of, data_format)


def unfold(x: TensorLike, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Tensor:
    """The windows of an axis: [..., n, ...] -> [..., count, size, ...], with ``o * stride + k * dilation`` at (o, k).

    Args:
        x: any tensor.
        axis: which axis.
        size: number of elements of a window.
        stride: how far apart windows start.
        dilation: how far apart the elements of a window are.

    Raises:
        ShapeError: there is no such axis, or no window fits.
        AttributeValueError: a number is not positive.
    """
    return emit("unfold", as_tensor(x), axis=axis, size=size, stride=stride, dilation=dilation)


# ---- layouts and numbers


def channels_last(x: Tensor, data_format: str) -> Tensor:
    """The tensor [n, *spatial, c], from either format.

    Raises:
        AttributeValueError: there is no such format.
        ShapeError: there is no spatial axis.
    """
    if data_format not in ("channels_last", "channels_first"):
        expected = "channels_last or channels_first"
        raise AttributeValueError("there is no such data format", expected=expected, got=data_format, location=here())
    if x.ndim < 3:
        raise ShapeError("the tensor has no spatial axis", expected="[n, *spatial, c]", got=x.type, location=here())
    return x if data_format == "channels_last" else x.transpose(0, *range(2, x.ndim), 1)


def as_given(x: Tensor, data_format: str) -> Tensor:
    """A tensor [n, *spatial, c] in the format that was asked for."""
    return x if data_format == "channels_last" else x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _spatial(x: Tensor) -> int:
    return x.ndim - 2


def _check_kernel(w: Tensor, count: int, groups: int) -> None:
    if w.ndim != count + 2:
        got = f"{w.ndim} axes"
        raise ShapeError(
            "the ranks of tensor and kernel differ", expected=f"{count + 2} axes", got=got, location=here()
        )
    numbers(groups, 1, "groups")


def numbers(given: Numbers, count: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One whole number for each spatial axis, from one for all or one for each.

    Raises:
        ShapeError: there is another number of them.
        AttributeValueError: one is less than ``least``.
    """
    each: tuple[int, ...] = tuple(given) if isinstance(given, Sequence) else (given,) * count
    if len(each) != count:
        raise ShapeError(f"'{name}' does not have one number for each spatial axis", expected=count, got=given,
                         location=here())  # fmt: skip
    for number in each:
        if isinstance(number, bool) or not hasattr(number, "__index__") or number < least:
            expected = f"whole numbers of at least {least}"
            raise AttributeValueError(f"'{name}' is out of range", expected=expected, got=given, location=here())
    return each


def paddings(
    given: Padding, lengths: Sequence[Size], kernel: Sequence[Size], strides: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """How many elements stand before and behind each spatial axis, from what users say of them.

    Raises:
        ShapeError: there is another number of them than of axes.
        AttributeValueError: one is negative, or there is no such word.
    """
    count = len(lengths)
    if given == "valid":
        return (0,) * count, (0,) * count
    if given == "same":
        sizes = zip(lengths, kernel, strides, dilation, strict=True)
        whole = [maximum((ceildiv(n, s) - 1) * s + span(k, d) - n, 0) for n, k, s, d in sizes]
        return tuple(width // 2 for width in whole), tuple(width - width // 2 for width in whole)
    if isinstance(given, str):
        raise AttributeValueError("there is no such padding", expected="same, valid or numbers", got=given,
                                  location=here())  # fmt: skip
    each: Sequence[int | tuple[int, int]] = (given,) * count if isinstance(given, int) else given
    if any(isinstance(item, tuple) and len(item) != 2 for item in each):
        raise AttributeValueError("a padding is no pair", expected="(before, behind)", got=given, location=here())
    low = tuple(item[0] if isinstance(item, tuple) else item for item in each)
    high = tuple(item[1] if isinstance(item, tuple) else item for item in each)
    return numbers(low, count, "padding", 0), numbers(high, count, "padding", 0)


# ---- pooling


def _pool(
    op: str,
    x: Tensor,
    window: Numbers,
    strides: Numbers | None,
    padding: Padding,
    dilation: Numbers | None,
    data_format: str,
    **attrs: Any,
) -> Tensor:
    x = channels_last(x, data_format)
    count = _spatial(x)
    size = numbers(window, count, "window")
    steps = size if strides is None else numbers(strides, count, "strides")
    apart = numbers(1 if dilation is None else dilation, count, "dilation")
    low, high = paddings(padding, x.shape[1:-1], size, steps, apart)
    if dilation is not None:
        attrs["dilation"] = apart
    return as_given(emit(op, x, window=size, strides=steps, low=low, high=high, **attrs), data_format)


def _adaptive(
    x: Tensor,
    sizes: Numbers,
    whole: Callable[[Tensor, int], Tensor],
    part: Callable[[Tensor, int, int], Tensor],
    data_format: str,
) -> Tensor:
    x = channels_last(x, data_format)
    for axis, count in enumerate(numbers(sizes, _spatial(x), "sizes"), 1):
        length = x.shape[axis]
        even = divide_exact(length, count)
        if even is not None and even != 0:
            x = whole(x.reshape(*x.shape[:axis], count, even, *x.shape[axis + 1 :]), axis + 1)
        elif isinstance(length, int) and length:
            x = part(x, axis, count)
        else:
            expected = f"a number, or a multiple of {count}"
            raise ShapeError(f"axis {axis} cannot be parted", expected=expected, got=length, location=here())
    return as_given(x, data_format)


def _covered(length: int, count: int) -> np.ndarray[Any, Any]:
    """Whether a window sees an element: [count, length] of bool."""
    window, element = np.arange(count)[:, None], np.arange(length)
    return np.asarray((element >= window * length // count) & (element < -(-(window + 1) * length // count)))


def _mean_of(x: Tensor, axis: int, count: int) -> Tensor:
    length = x.shape[axis]
    assert isinstance(length, int)
    covered = _covered(length, count)
    weights = as_tensor((covered / covered.sum(1, keepdims=True)).astype(x.dtype.numpy))
    left, new = tuple(range(x.ndim)), x.ndim
    result = tuple(new if i == axis else i for i in left)
    return emit("contract", x, weights, left=left, right=(new, axis), result=result)


def _greatest_of(x: Tensor, axis: int, count: int) -> Tensor:
    length = x.shape[axis]
    assert isinstance(length, int)
    covered = _covered(length, count)
    places = covered.argmax(1)[:, None] + np.arange(covered.sum(1).max())
    inside = places <= length - 1 - covered[:, ::-1].argmax(1)[:, None]
    parts = take(x, np.minimum(places, length - 1).astype(np.int32), axis)
    mask = inside.reshape(*inside.shape, *(1,) * (x.ndim - axis - 1))
    least = x.dtype.numpy.type(-np.inf if x.dtype.is_float else np.iinfo(x.dtype.numpy).min)
    return where(broadcast(as_tensor(mask), parts)[0], parts, least).max(axis + 1)
