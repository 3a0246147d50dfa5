"""The samples of the op records as patterns: which operands and attributes an op takes, for graphs that are drawn."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.ir.graph.opdef import NDArray, OpDef, OpKind, Sample
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ops.registry import OPS


@dataclass(frozen=True, eq=False)
class Use:
    """One sample of an op; ``float64`` and ``int32`` stand for any type of floats and of integers."""

    op: OpDef
    sample: Sample

    @cached_property
    def types(self) -> tuple[TensorType, ...]:
        """Types of the operands."""
        arrays = self.sample.inputs
        shapes = self.sample.shapes or [a.shape for a in arrays]
        return tuple(TensorType(as_dtype(a.dtype), tuple(s)) for a, s in zip(arrays, shapes, strict=True))

    @property
    def any_rank(self) -> bool:
        """Whether operands of other ranks are likely to fit: they have one shape, and nothing but axes speaks of it."""
        kinds = {spec.kind for spec in self.op.attrs}
        one_shape = len({t.shape for t in self.types}) == 1
        return one_shape and not kinds & {"shape", "size", "ints", "graph", "array"} and not self.sample.square


@dataclass(frozen=True)
class Domain:
    """What the elements of an operand have in common in a sample.

    Attributes:
        low, high: the range in which they lie.
        ascending: whether they are in order along the last axis.
        square: whether they are matrices with properties that random ones do not have.
    """

    low: float
    high: float
    ascending: bool
    square: bool

    @property
    def strict(self) -> bool:
        """Whether the range looks like a demand, and not like the numbers that happened to be drawn."""
        return self.low >= 0 or max(-self.low, self.high) <= 1

    def holds(self, array: NDArray) -> bool:
        """Whether an array is as the operand was; ranges that look accidental are taken eight times as wide."""
        if not array.size or array.dtype == np.bool_:
            return True
        numbers = array.astype(np.float64)
        wide = 1.0 if self.strict else 8.0
        return bool(numbers.min() >= self.low * wide and numbers.max() <= self.high * wide)


@cache
def domain(use: Use, number: int) -> Domain | None:
    """The domain of an operand, or None where its sample says nothing."""
    array = use.sample.inputs[number]
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size or array.dtype == np.bool_:
        return None
    ascending = array.ndim > 0 and array.shape[-1] >= 5 and bool((np.diff(numbers, axis=-1) >= 0).all())
    square = use.sample.square and array.ndim >= 2 and array.shape[-1] == array.shape[-2]
    return Domain(float(finite.min()), float(finite.max()), ascending, square)


def _uses(op: OpDef) -> tuple[Use, ...]:
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    # Samples of special numbers (3e38, 1e-40) have no domain to speak of; such numbers are among the inputs anyway.
    return tuple(Use(op, sample) for sample in op.samples(rng) if not _is_special(sample))


def _is_special(sample: Sample) -> bool:
    return any(a.dtype == np.float64 and a.size and np.nanmax(np.abs(a)) > 1e30 for a in sample.inputs)


def has_bodies(op: OpDef) -> bool:
    """Whether an op takes graphs as attributes."""
    return any(spec.kind == "graph" for spec in op.attrs)


@cache
def uses() -> Mapping[OpKind, Mapping[str, tuple[Use, ...]]]:
    """The uses of all ops without bodies, by kind and name."""
    out: dict[OpKind, dict[str, tuple[Use, ...]]] = {}
    for op in OPS.values():
        found = () if has_bodies(op) else _uses(op)
        if found:
            out.setdefault(op.kind, {})[op.name] = found
    return out


def renamed(value: Any, sizes: Mapping[Size, Size]) -> Any:
    """A shape or size with other sizes in it."""
    if isinstance(value, tuple):
        return tuple(renamed(v, sizes) for v in value)
    return value if isinstance(value, bool) else sizes.get(value, value)


def retyped_attrs(use: Use, dtypes: Mapping[DType, DType]) -> dict[str, Any]:
    """The attributes of a use with other element types in them."""
    return {k: dtypes.get(v, v) if isinstance(v, DType) else v for k, v in use.sample.attrs.items()}
