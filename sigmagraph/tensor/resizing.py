"""Resizes tensors along spatial axes: nearest, linear and cubic interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.functions import broadcast_to, take
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, floating
from sigmagraph.tensor.windows import as_given, channels_last
from sigmagraph.tensor.workspace import here

_Array: TypeAlias = "np.ndarray[Any, Any]"
_CUBIC = -0.75


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis and what becomes of it: ``out`` elements, ``ratio`` elements of the operand apart."""

    length: int
    out: int
    ratio: float
    aligned: bool

    def centres(self) -> _Array:
        """Where the centres of the result's elements lie between those of the operand."""
        if not self.aligned:
            return np.asarray((np.arange(self.out) + 0.5) * self.ratio - 0.5)
        return np.asarray(np.arange(self.out) * ((self.length - 1) / max(self.out - 1, 1)))


_Taps: TypeAlias = "Sequence[tuple[_Array, _Array | None]]"  # which elements are read, and their weights


def _nearest(axis: _Axis) -> _Taps:
    return ((np.floor(np.arange(axis.out) * axis.ratio + 1e-9), None),)


def _nearest_exact(axis: _Axis) -> _Taps:
    return ((np.floor((np.arange(axis.out) + 0.5) * axis.ratio + 1e-9), None),)


def _linear(axis: _Axis) -> _Taps:
    centres = np.maximum(axis.centres(), 0.0)
    first = np.floor(centres)
    return ((first, 1 - (centres - first)), (first + 1, centres - first))


def _cubic(axis: _Axis) -> _Taps:
    """R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29 (1981)."""
    centres = axis.centres()
    first = np.floor(centres)
    t, a = centres - first, _CUBIC
    near = (((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t))
    far = (((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + t, 2 - t))
    (left, right), (before, behind) = near, far
    return ((first - 1, before), (first, left), (first + 1, right), (first + 2, behind))


_MODES: Mapping[str, Callable[[_Axis], _Taps]] = MappingProxyType(
    {"nearest": _nearest, "nearest_exact": _nearest_exact, "linear": _linear, "cubic": _cubic}
)


def resize(
    x: TensorLike,
    sizes: int | Sequence[int] | None = None,
    scale: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    *,
    data_format: str = "channels_last",
) -> Tensor:
    """The tensor with other sizes of its spatial axes, its elements interpolated as in PyTorch.

    Element i of an axis lies at ``(i + 0.5) * ratio - 0.5``, at ``floor(i * ratio)`` for ``nearest`` and at
    ``floor((i + 0.5) * ratio)`` for ``nearest_exact``; the ratio is that of the sizes, or 1 / scale. Beyond the ends
    the outermost elements are repeated.

    Args:
        x: [n, *spatial, c].
        sizes: the new ones; one number, or one for each spatial axis.
        scale: given instead of sizes: what they are multiplied with (and rounded down).
        mode: ``nearest``, ``nearest_exact``, ``linear`` (bilinear, trilinear) or ``cubic`` (with a = -0.75).
        align_corners: whether the outermost elements stay where they are, for linear and cubic interpolation.
        data_format: ``"channels_first"`` if tensor and result are [n, c, *spatial].

    Raises:
        AttributeValueError: there is no such mode, or a number is out of range.
        ShapeError: both or neither of sizes and scale are given; a spatial axis is empty, or symbolic (only whole
            multiples of those are possible, with ``nearest``).
    """
    if mode not in _MODES:
        raise AttributeValueError("there is no such mode", expected=", ".join(_MODES), got=mode, location=here())
    if (sizes is None) == (scale is None):
        raise ShapeError("resize takes sizes or scale", expected="one of them", got="both or none", location=here())
    nearest = mode.startswith("nearest")
    if nearest and align_corners:
        raise AttributeValueError("corners are not aligned with this mode", expected="linear or cubic", got=mode,
                                  location=here())  # fmt: skip
    x = channels_last(as_tensor(x) if nearest else floating(x), data_format)
    wanted = sizes if sizes is not None else scale
    each = tuple(wanted) if isinstance(wanted, Sequence) else (wanted,) * (x.ndim - 2)
    if len(each) != x.ndim - 2:
        raise ShapeError("there is not one number for each spatial axis", expected=x.ndim - 2, got=each,
                         location=here())  # fmt: skip
    for number, goal in enumerate(each, 1):
        if not isinstance(goal, (int, float)) or not 0 < goal < np.inf or (sizes is not None and goal != int(goal)):
            raise AttributeValueError("a new size is out of range", expected="at least 1", got=goal, location=here())
        factor = _whole_factor(x.shape[number], goal, scale is not None)
        if nearest and factor is not None:
            x = _repeated(x, number, factor)
        else:
            x = _interpolated(x, number, _axis(x.shape[number], goal, scale is not None, align_corners), _MODES[mode])
    return as_given(x, data_format)


def _whole_factor(length: Size, goal: float, scaled: bool) -> int | None:
    """The number of times that each element is repeated, if it is a whole one."""
    if scaled:
        return int(goal) if goal == int(goal) else None
    return int(goal) // length if isinstance(length, int) and length and goal % length == 0 else None


def _axis(length: Size, goal: float, scaled: bool, aligned: bool) -> _Axis:
    if not isinstance(length, int) or not length:
        expected = "a number of elements, at least 1"
        raise ShapeError("a spatial axis cannot be resized", expected=expected, got=length, location=here())
    out = int(length * goal) if scaled else int(goal)
    if not out:
        raise ShapeError(
            "a spatial axis becomes empty", expected="at least 1", got=f"{length} * {goal}", location=here()
        )
    return _Axis(length, out, 1 / goal if scaled else length / out, aligned)


def _repeated(x: Tensor, axis: int, factor: int) -> Tensor:
    before, (length, *behind) = x.shape[:axis], x.shape[axis:]
    wide = broadcast_to(x.reshape(*before, length, 1, *behind), (*before, length, factor, *behind))
    return wide.reshape(*before, length * factor, *behind)


def _interpolated(x: Tensor, number: int, axis: _Axis, mode: Callable[[_Axis], _Taps]) -> Tensor:
    out: Tensor | None = None
    for places, weights in mode(axis):
        part = take(x, np.clip(places, 0, axis.length - 1).astype(np.int32), number)
        if weights is not None:
            shape = (axis.out, *(1,) * (x.ndim - number - 1))
            part = part * as_tensor(weights.astype(x.dtype.numpy).reshape(shape))
        out = part if out is None else out + part
    assert out is not None  # every mode reads something
    return out
