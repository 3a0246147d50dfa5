"""What must hold when a program runs, or the call is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import BOOL, F32, I32
from sigmagraph.errors import AttributeValueError, DTypeError, IndexRangeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LayoutContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.plan import Check, Copy, Step
from sigmagraph.ops.samples import N, integers, normal


def _infer(context: Inference) -> tuple[TensorType, ...]:
    value, condition = context.types
    if condition.dtype is not BOOL:
        raise context.error("the condition is no truth value", expected="bool[]", got=condition, kind=DTypeError)
    if condition.rank:
        raise context.error("the condition is not a scalar", expected="bool[]", got=condition)
    return (value,)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    value, condition = inputs
    if not condition:
        raise IndexRangeError(attrs["message"])
    return (value,)


def _vjp(c: VjpContext) -> Sequence[Value | None]:
    return (c.cotangents[0], None)


def _steps(layout: LayoutContext) -> Sequence[Step]:
    (value, condition), (result,) = layout.operands, layout.results
    message = layout.attrs["message"]
    if layout.location:
        message += f" (at {layout.location})"
    check = Check(condition, message)
    return (check,) if value == result else (check, Copy(value, result, layout.types[0].bytes))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    said = {"message": "the sky is up"}
    yield Sample((normal(rng, 2, 3), np.array(True)), said, exact=True)
    yield Sample((integers(rng), np.array(True)), said, exact=True)
    yield Sample((normal(rng, 0, 3), np.array(True)), said, exact=True)
    yield Sample((normal(rng, 4, 3), np.array(True)), said, shapes=((N, 3), ()), exact=True)


_VALUE, _CONDITION = TensorType(F32, (2, 3)), TensorType(BOOL, ())
OPS = (
    OpDef(
        name="guard",
        doc="The first operand, if the second, bool[], holds. Else the program stops there, before it writes to any "
        "parameter, and the call is refused with `message`.",
        kind=OpKind.CONTROL,
        arity=2,
        attrs=(AttrSpec("message", "str", "what is wrong if it does not hold"),),
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        steps=_steps,
        samples=_samples,
        errors=(
            ErrorSample((_VALUE, TensorType(I32, ())), {"message": ""}, DTypeError, "no truth value"),
            ErrorSample((_VALUE, TensorType(BOOL, (3,))), {"message": ""}, ShapeError, "not a scalar"),
            ErrorSample((_VALUE, _CONDITION), {}, AttributeValueError, "'message' is missing"),
        ),
        traits=frozenset({Trait.CHECKS}),
    ),
)
