"""Ops that compute every element from the operands' elements at the same index.

Each is a scalar op of :data:`~sigmagraph.ir.kernel.scalar.SCALARS` lifted to arrays: the element types it takes, its
NumPy meaning and its lowering come from there. Operands have exactly equal shapes and types; nothing is broadcast or
promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, I32, DType
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import (
    DecomposeRule,
    ErrorSample,
    Inference,
    LowerContext,
    LowerRule,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr, apply
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ops.fragments import full_like
from sigmagraph.ops.samples import (
    Draw,
    booleans,
    distinct,
    fractional,
    integers,
    nonzero,
    normal,
    one_operand,
    operands,
    positive,
    special,
)

Samples = Callable[[np.random.Generator], Iterable[Sample]]
_COMMUTATIVE = frozenset({Trait.COMMUTATIVE})


@dataclass(frozen=True, slots=True)
class Takes:
    """The element types an op takes: in words, one that fits, one that does not, and whether a bool stands first."""

    words: str
    fits: DType
    refuses: DType
    condition: bool = False


FLOATS = Takes("floats of one type", F32, I32)
NUMBERS = Takes("numbers of one type", F32, BOOL)
BITS = Takes("integers or bools of one type", I32, F32)
_ALIKE = Takes("two operands of one type", F32, I32)
_CHOICE = Takes("bool and two operands of one type", F32, I32, condition=True)


def lifted(
    name: str, doc: str, takes: Takes, samples: Samples, vjp: VjpRule, *, scalar: str = "", commutes: bool = False
) -> OpDef:
    """The op that applies a scalar op, of the same name if no other is given, to all elements."""
    op = SCALARS[scalar or name]

    def lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
        return apply(op.name, *(context.operand(i, index) for i in range(op.arity)))

    record = elementwise(name, doc, takes, samples, vjp, rule=op.rule, arity=op.arity, formula=op.evaluate, lower=lower)
    return replace(record, traits=_COMMUTATIVE) if commutes else record


def elementwise(
    name: str,
    doc: str,
    takes: Takes,
    samples: Samples,
    vjp: VjpRule,
    *,
    rule: Callable[[Sequence[DType]], DType | None],
    arity: int,
    formula: Callable[..., Any],
    lower: LowerRule | None = None,
    decompose: DecomposeRule | None = None,
) -> OpDef:
    """An op on all elements, by the rule for its element types, its NumPy formula and its lowering or decomposition."""

    def infer(context: Inference) -> tuple[TensorType, ...]:
        dtypes = [t.dtype for t in context.types]
        dtype = rule(dtypes)
        if dtype is None:
            got = ", ".join(map(str, dtypes))
            raise context.error("the element types do not fit", expected=takes.words, got=got, kind=DTypeError)
        shape = context.types[0].shape
        for other in context.types[1:]:
            shape = context.same_shape(shape, other.shape, "the operands")
        return (TensorType(dtype, shape),)

    def reference(inputs: Sequence[NDArray], _attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(formula(*inputs)),)

    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.ELEMENTWISE if decompose is None else OpKind.COMPOSITE,
        arity=arity,
        infer=infer,
        reference=reference,
        vjp=vjp,
        lower=lower,
        decompose=decompose,
        samples=samples,
        errors=tuple(_wrong_uses(arity, takes)),
    )


def _wrong_uses(arity: int, takes: Takes) -> Iterator[ErrorSample]:
    right = [TensorType(takes.fits, (2, 3))] * arity
    if takes.condition:
        right[0] = TensorType(BOOL, (2, 3))
    yield ErrorSample((*right, right[-1]), {}, GraphError, "wrong number of operands")
    yield ErrorSample((*right[:-1], TensorType(takes.refuses, (2, 3))), {}, DTypeError, takes.words)
    if arity > 1:
        wider, flatter = TensorType(takes.fits, (2, 4)), TensorType(takes.fits, (3,))
        yield ErrorSample((*right[:-1], wider), {}, ShapeError, "sizes of axis 1 of the operands differ")
        yield ErrorSample((*right[:-1], flatter), {}, ShapeError, "ranks of the operands differ")


# ---- gradients


def zero_gradient(context: VjpContext) -> Sequence[Value | None]:
    """The derivative is zero wherever it exists."""
    return (None,) * len(context.inputs)


def _neg(c: VjpContext) -> Sequence[Value]:
    return (c.emit("neg", c.cotangents[0]),)


def _abs(c: VjpContext) -> Sequence[Value]:
    (x,), (g,) = c.inputs, c.cotangents
    zero = full_like(c, 0.0, x)
    negative = c.emit("select", c.emit("lt", x, zero), c.emit("neg", g), zero)
    return (c.emit("select", c.emit("gt", x, zero), g, negative),)


def _sqrt(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("div", c.emit("mul", g, full_like(c, 0.5, g)), y),)


def _exp(c: VjpContext) -> Sequence[Value]:
    return (c.emit("mul", c.cotangents[0], c.outputs[0]),)


def _log(c: VjpContext) -> Sequence[Value]:
    return (c.emit("div", c.cotangents[0], c.inputs[0]),)


def _tanh(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("mul", g, c.emit("sub", full_like(c, 1.0, y), c.emit("mul", y, y))),)


def _add(c: VjpContext) -> Sequence[Value]:
    return (c.cotangents[0], c.cotangents[0])


def _sub(c: VjpContext) -> Sequence[Value]:
    return (c.cotangents[0], c.emit("neg", c.cotangents[0]))


def _mul(c: VjpContext) -> Sequence[Value]:
    (a, b), (g,) = c.inputs, c.cotangents
    return (c.emit("mul", g, b), c.emit("mul", g, a))


def _div(c: VjpContext) -> Sequence[Value]:
    (_, b), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    share = c.emit("div", g, b)
    return (share, c.emit("neg", c.emit("mul", share, y)))


def _extreme(wins: str) -> VjpRule:
    """The gradient of an extreme goes to the operand that ``wins`` over the other, in halves when they are equal."""

    def vjp(c: VjpContext) -> Sequence[Value]:
        (a, b), (g,) = c.inputs, c.cotangents
        zero, half = full_like(c, 0.0, g), c.emit("mul", g, full_like(c, 0.5, g))
        tie, first = c.emit("eq", a, b), c.emit(wins, a, b)
        return (
            c.emit("select", tie, half, c.emit("select", first, g, zero)),
            c.emit("select", tie, half, c.emit("select", first, zero, g)),
        )

    return vjp


def _select(c: VjpContext) -> Sequence[Value | None]:
    condition, (g,) = c.inputs[0], c.cotangents
    zero = full_like(c, 0.0, g)
    return (None, c.emit("select", condition, g, zero), c.emit("select", condition, zero, g))


# ---- samples


def with_special(samples: Samples, arity: int) -> Samples:
    """Samples, and the special numbers as operands."""
    return lambda rng: (*samples(rng), special(arity))


def integer_samples(samples: Samples, arity: int) -> Samples:
    """Samples, and integers as operands."""
    return lambda rng: (
        *samples(rng),
        Sample(tuple(integers(rng, 5, 7) for _ in range(arity)), exact=True),
        Sample(tuple(integers(rng, 3, 4).astype(np.int64) for _ in range(arity)), exact=True),
    )


def unary_samples(draw: Draw) -> Samples:
    """Samples of one operand of floats, special numbers among them."""
    return with_special(one_operand(draw), 1)


def binary_samples(samples: Samples) -> Samples:
    """Samples of two operands of floats, and special numbers and integers as operands."""
    return with_special(integer_samples(samples, 2), 2)


def _apart(rng: np.random.Generator) -> Iterator[Sample]:
    """Two operands that are nowhere nearly equal, and two that are equal everywhere."""
    for sample in one_operand(distinct)(rng):
        a = sample.inputs[0]
        yield Sample((a, a + nonzero(rng, *a.shape)), shapes=sample.shapes and sample.shapes * 2)
    yield Sample((np.ones((2, 3)), np.ones((2, 3))), kinks=True)


def _logic(arity: int) -> Samples:
    return lambda rng: (
        *operands((booleans,) * arity, exact=True)(rng),
        Sample(tuple(integers(rng, 3, 7) for _ in range(arity)), exact=True),
        Sample(tuple(integers(rng, 3, 7).astype(np.uint8) for _ in range(arity)), exact=True),
    )


def _comparison_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _apart(rng)
    yield special(2)
    yield from _logic(2)(rng)


def _choices(rng: np.random.Generator) -> Iterator[Sample]:
    yield from operands((booleans, normal, normal))(rng)
    yield Sample((booleans(rng, 3, 2), integers(rng, 3, 2), integers(rng, 3, 2)), exact=True)
    yield Sample((np.array([True, False]), np.array([1.0, np.nan]), np.array([np.nan, 2.0])), kinks=True)


def _division_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from operands((normal, nonzero))(rng)
    yield special(2)
    least = np.iinfo(np.int32).min
    yield Sample((np.array([7, -7, 7, -7, 5, least], np.int32), np.array([2, 2, -2, -2, 0, -1], np.int32)), exact=True)
    yield Sample((np.array([7, 200, 5], np.uint8), np.array([2, 3, 0], np.uint8)), exact=True)


# ---- the list


def _comparison(name: str, words: str) -> OpDef:
    doc = f"Whether the first operand is {words} the second, as bool. With NaN only `ne` is true."
    return lifted(name, doc, _ALIKE, _comparison_samples, zero_gradient, commutes=name in ("eq", "ne"))


_SHARED = "NaN if either is. Equal operands share the gradient."
OPS = (
    lifted("neg", "The negative; integers wrap.", NUMBERS, integer_samples(unary_samples(normal), 1), _neg),
    lifted("abs", "The magnitude; its gradient at 0 is 0.", NUMBERS, integer_samples(unary_samples(nonzero), 1), _abs),
    lifted("sqrt", "The square root; NaN for negative numbers.", FLOATS, unary_samples(positive), _sqrt),
    lifted("exp", "e to the power of the operand.", FLOATS, unary_samples(normal), _exp),
    lifted(
        "log", "The natural logarithm; -inf for 0, NaN for negative numbers.", FLOATS, unary_samples(positive), _log
    ),
    lifted("tanh", "The hyperbolic tangent.", FLOATS, unary_samples(normal), _tanh),
    lifted("floor", "The greatest whole number that is not greater.", FLOATS, unary_samples(fractional), zero_gradient),
    lifted("ceil", "The least whole number that is not less.", FLOATS, unary_samples(fractional), zero_gradient),
    lifted(
        "round",
        "The nearest whole number; halves go to the even one.",
        FLOATS,
        unary_samples(fractional),
        zero_gradient,
    ),
    lifted("add", "The sum; integers wrap.", NUMBERS, binary_samples(operands((normal, normal))), _add, commutes=True),
    lifted("sub", "The difference; integers wrap.", NUMBERS, binary_samples(operands((normal, normal))), _sub),
    lifted(
        "mul", "The product; integers wrap.", NUMBERS, binary_samples(operands((normal, normal))), _mul, commutes=True
    ),
    lifted("div", "The quotient; of integers toward zero, 0 for a zero divisor.", NUMBERS, _division_samples, _div),
    lifted(
        "minimum",
        f"The lesser; {_SHARED}",
        NUMBERS,
        binary_samples(_apart),
        _extreme("lt"),
        scalar="min",
        commutes=True,
    ),
    lifted(
        "maximum",
        f"The greater; {_SHARED}",
        NUMBERS,
        binary_samples(_apart),
        _extreme("gt"),
        scalar="max",
        commutes=True,
    ),
    lifted(
        "logical_not", "The opposite truth value; of integers every bit.", BITS, _logic(1), zero_gradient, scalar="not"
    ),
    lifted("and", "Both; of integers bit by bit.", BITS, _logic(2), zero_gradient, commutes=True),
    lifted("or", "Either; of integers bit by bit.", BITS, _logic(2), zero_gradient, commutes=True),
    lifted("xor", "One but not both; of integers bit by bit.", BITS, _logic(2), zero_gradient, commutes=True),
    _comparison("lt", "less than"),
    _comparison("le", "less than or equal to"),
    _comparison("gt", "greater than"),
    _comparison("ge", "greater than or equal to"),
    _comparison("eq", "equal to"),
    _comparison("ne", "different from"),
    lifted("select", "The second operand where the first (bool) is true, else the third.", _CHOICE, _choices, _select),
)
