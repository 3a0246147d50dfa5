"""The op that gives numbers another element type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64, I8, I32, I64, U8
from sigmagraph.errors import AttributeValueError, DTypeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ir.kernel.scalar import convert
from sigmagraph.ops.samples import M, N, booleans, integers, normal


def _infer_cast(context: Inference) -> tuple[TensorType, ...]:
    return (TensorType(context.attrs["dtype"], context.types[0].shape),)


def _reference_cast(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    with np.errstate(all="ignore"):
        return (np.asarray(convert(inputs[0], attrs["dtype"])),)


def _vjp_cast(c: VjpContext) -> Sequence[Value | None]:
    dtype = c.type(c.inputs[0]).dtype
    if not dtype.is_float:
        return (None,)
    g = c.cotangents[0]
    return (g if c.type(g).dtype is dtype else c.emit("cast", g, dtype=dtype),)


def _lower_cast(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    return cast_expr(context.operand(0, index), context.attrs["dtype"])


def _cast_samples(rng: np.random.Generator) -> Iterator[Sample]:
    x = normal(rng, 3, 4) * 90
    for dtype in (F64, F32, I32, I64, I8, U8, BOOL):
        yield Sample((x,), {"dtype": dtype}, shapes=((M, 4),), kinks=not dtype.is_float)
        yield Sample((integers(rng, 2, 5) * 40,), {"dtype": dtype}, exact=True)
    edges = np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e19, -1e19, 0.99, -0.99, 0.0])
    for dtype in (I32, I64, U8, BOOL):
        yield Sample((edges,), {"dtype": dtype}, kinks=True, exact=True)
    yield Sample((booleans(rng, 0, 3),), {"dtype": F32}, shapes=((N, 3),), exact=True)
    yield Sample((booleans(rng, 5),), {"dtype": F32}, exact=True)


OPS = (
    OpDef(
        name="cast",
        doc="The same numbers with another element type. Floats become integers toward zero and saturate, NaN becomes "
        "0; integers that do not fit keep their low bits; bools are `!= 0`.",
        kind=OpKind.ELEMENTWISE,
        arity=1,
        attrs=(AttrSpec("dtype", "dtype", "the element type of the result"),),
        infer=_infer_cast,
        reference=_reference_cast,
        vjp=_vjp_cast,
        lower=_lower_cast,
        samples=_cast_samples,
        traits=frozenset({Trait.TRANSPARENT}),
        errors=(
            ErrorSample((TensorType(F32, (2,)),), {}, AttributeValueError, "'dtype' is missing"),
            ErrorSample((TensorType(F32, (2,)),), {"dtype": "f31"}, DTypeError, "no such element type"),
        ),
    ),
)
