"""Small matrices, many at a time: factorisations and what is computed with them.

The gradients are those of M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, and, for the Cholesky factor, of I. Murray, "Differentiation of the Cholesky decomposition",
2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    DecomposeRule,
    ErrorSample,
    Inference,
    InferRule,
    LoopsRule,
    NDArray,
    NodeBuilder,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import full_like, transpose
from sigmagraph.ops.linear_loops import cholesky_loops, diagonal_loops, solve_loops, triangular_loops
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import M, N, normal

# ---- rules


def infer_square(context: Inference) -> tuple[TensorType, ...]:
    """The type of the one operand, which must be square matrices of floats.

    Raises:
        SigmaError: it is not.
    """
    (a,) = infer_float(context)
    return (_square(context, a),)


def _square(context: Inference, a: TensorType) -> TensorType:
    if a.rank < 2:
        raise context.error("the operand is no matrix", expected="[...,n,n]", got=a)
    size = context.same(a.shape[-2], a.shape[-1], "rows and columns of the matrix")
    return TensorType(a.dtype, (*a.shape[:-2], size, size))


def _infer_diagonal(context: Inference) -> tuple[TensorType, ...]:
    (a,) = infer_square(context)
    return (TensorType(a.dtype, a.shape[:-1]),)


def _infer_solve(context: Inference) -> tuple[TensorType, ...]:
    a, b = context.types
    if not a.dtype.is_float or a.dtype is not b.dtype:
        got = f"{a.dtype}, {b.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    a = _square(context, a)
    if b.rank != a.rank:
        raise context.error("the ranks of matrix and right sides differ", expected=a.rank, got=b.rank)
    rows = context.same_shape(a.shape[:-1], b.shape[:-1], "matrix and right sides, but for the last,")
    return (TensorType(a.dtype, (*rows, b.shape[-1])),)


# ---- lu_diagonal


def _eliminated(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Upper triangular matrices, the right sides that belong to them, and the signs of the permutations."""
    lu, x = exact(a).copy(), exact(b).copy()
    sign = np.ones(a.shape[:-2])
    for k in range(a.shape[-1]):
        pivot = k + np.argmax(np.nan_to_num(np.abs(lu[..., k:, k]), nan=-1.0), -1) if a.size else np.zeros(0, np.int64)
        sign = np.where(pivot == k, sign, -sign)
        for array in (lu, x):
            order = np.broadcast_to(np.arange(a.shape[-1]), array.shape[:-1]).copy()
            np.put_along_axis(order, np.asarray(pivot)[..., None], k, -1)
            order[..., k] = pivot
            array[...] = np.take_along_axis(array, order[..., None], -2)
        factor = lu[..., k + 1 :, k : k + 1] / lu[..., k : k + 1, k : k + 1]
        for array in (x, lu):
            array[..., k + 1 :, :] -= factor * array[..., k : k + 1, :]
    return lu, x, sign


def diagonal(a: NDArray) -> NDArray:
    """What `lu_diagonal` is, in NumPy."""
    lu, _, sign = _eliminated(a, a[..., :0])
    out = np.diagonal(lu, axis1=-2, axis2=-1).copy()
    out[..., :1] *= sign[..., None]
    return out


# ---- solve


def solved(a: NDArray, b: NDArray) -> NDArray:
    """What `solve` is, in NumPy."""
    upper, x, _ = _eliminated(a, b)
    return _substituted(upper, x, lower=False, unit=False)


def _vjp_solve(c: VjpContext) -> Sequence[Value]:
    """B' = A^-T X', A' = -B' X^T."""
    (a, _), (x,), (g,) = c.inputs, c.outputs, c.cotangents
    sides = c.emit("solve", transposed(c, a), g)
    return (c.emit("neg", c.emit("matmul", sides, transposed(c, x))), sides)


# ---- triangular_solve


def _substituted(a: NDArray, b: NDArray, lower: bool, unit: bool) -> NDArray:
    x = exact(b).copy()
    size = a.shape[-1]
    for k in range(size) if lower else reversed(range(size)):
        if not unit:
            x[..., k, :] /= a[..., k, k, None]
        rest = np.s_[k + 1 :] if lower else np.s_[:k]
        x[..., rest, :] -= a[..., rest, k, None] * x[..., None, k, :]
    return x


def _reference_triangular(
    inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    a, b = map(exact, inputs)
    turned, lower = attrs["transpose"], attrs["lower"]
    with np.errstate(all="ignore"):
        x = _substituted(np.swapaxes(a, -1, -2) if turned else a, b, lower is not turned, attrs["unit"])
    return (x.astype(types[0].dtype.numpy),)


def _vjp_triangular(c: VjpContext) -> Sequence[Value]:
    (a, _), (x,), (g,) = c.inputs, c.outputs, c.cotangents
    turned, lower, unit = (c.attrs[name] for name in ("transpose", "lower", "unit"))
    sides = c.emit("triangular_solve", a, g, lower=lower, transpose=not turned, unit=unit)
    first, second = (x, sides) if turned else (sides, x)
    whole = c.emit("neg", c.emit("matmul", first, transposed(c, second)))
    keep = ("gt" if lower else "lt") if unit else ("ge" if lower else "le")
    return (_triangle(c, whole, keep), sides)


# ---- cholesky


def _factor(a: NDArray) -> NDArray:
    a = exact(a)
    out = np.zeros_like(a)
    for k in range(a.shape[-1]):
        column = a[..., k:, k] - (out[..., k:, :k] @ out[..., k, :k, None])[..., 0]
        pivot = np.where(column[..., :1] > 0, column[..., :1], np.nan)
        out[..., k:, k] = column / np.sqrt(pivot)
    return out


def _vjp_cholesky(c: VjpContext) -> Sequence[Value]:
    """Phi(X + X^T) with X = L^-T Phi(L^T L') L^-1, where Phi takes the lower triangle with half the diagonal.

    Only the lower triangle of the operand is read, so that all of the gradient is there.
    """
    (y,), (g,) = c.outputs, c.cotangents
    inner = _half(c, c.emit("matmul", transposed(c, y), g))
    for _ in range(2):
        inner = transposed(c, c.emit("triangular_solve", y, inner, transpose=True))
    return (_half(c, c.emit("add", inner, transposed(c, inner))),)


def _half(b: NodeBuilder, x: Value) -> Value:
    """The lower triangle with half the diagonal."""
    strict, whole = _triangle(b, x, "gt"), _triangle(b, x, "ge")
    return b.emit("mul", b.emit("add", strict, whole), full_like(b, 0.5, x))


# ---- pieces of graph


def transposed(b: NodeBuilder, x: Value) -> Value:
    """Each matrix transposed."""
    rank = len(b.type(x).shape)
    return transpose(b, x, (*range(rank - 2), rank - 1, rank - 2))


def related(b: NodeBuilder, shape: Sequence[Size], relation: str) -> Value:
    """Whether row and column number are in a relation, for all elements of matrices."""
    numbers = (b.emit("iota", axis=axis, shape=tuple(shape), dtype=I32) for axis in (-2, -1))
    return b.emit(relation, *numbers)


def _triangle(b: NodeBuilder, x: Value, relation: str) -> Value:
    """The elements whose row and column number are in a relation, 0 elsewhere."""
    return b.emit("select", related(b, b.type(x).shape, relation), x, full_like(b, 0.0, x))


# ---- samples


def _regular(rng: np.random.Generator, *shape: int) -> NDArray:
    """Matrices far from singular, with rows in an order that asks for pivoting."""
    return _dominant(rng, *shape)[..., rng.permutation(shape[-1]), :]


def _dominant(rng: np.random.Generator, *shape: int) -> NDArray:
    """Matrices with large elements on the diagonal."""
    return np.asarray(normal(rng, *shape) * 0.4 + 2.0 * np.eye(shape[-1]))


def _definite(rng: np.random.Generator, *shape: int) -> NDArray:
    a = normal(rng, *shape)
    return np.asarray(a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1]))


def _matrices(draw: Callable[..., NDArray]) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield Sample((draw(rng, 4, 4),), square=True)
        yield Sample((draw(rng, 2, 3, 3),), square=True)
        yield Sample((draw(rng, 2, 3, 4, 4),), shapes=((2, N, M, M),), square=True)
        yield Sample((draw(rng, 1, 1),), square=True)
        yield Sample((np.zeros((2, 0, 0)),), square=True)
        yield Sample((np.zeros((0, 3, 3)),), square=True)

    return samples


def _systems(draw: Callable[..., NDArray]) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield Sample((draw(rng, 3, 3), normal(rng, 3, 1)), square=True)
        yield Sample((draw(rng, 2, 4, 4), normal(rng, 2, 4, 3)), shapes=((N, M, M), (N, M, 3)), square=True)
        yield Sample((draw(rng, 3, 3), normal(rng, 3, 0)), square=True)
        yield Sample((np.zeros((0, 0)), np.zeros((0, 2))), square=True)

    return samples


def _triangular_systems(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _systems(_dominant)(rng)
    for lower in (True, False):
        for flags in ({}, {"transpose": True}, {"unit": True}, {"transpose": True, "unit": True}):
            yield Sample((_dominant(rng, 2, 4, 4), normal(rng, 2, 4, 3)), {"lower": lower, **flags}, square=True)


_SQUARE, _FLAT = TensorType(F32, (3, 3)), TensorType(F32, (2, 3))
_NO_MATRICES = (
    ErrorSample((_FLAT,), {}, ShapeError, "rows and columns of the matrix differ"),
    ErrorSample((TensorType(F32, (3,)),), {}, ShapeError, "no matrix"),
    ErrorSample((TensorType(I32, (3, 3)),), {}, DTypeError, "element type does not fit"),
)
_NO_SYSTEMS = (
    ErrorSample((_FLAT, _FLAT), {}, ShapeError, "rows and columns of the matrix differ"),
    ErrorSample((_SQUARE, _FLAT), {}, ShapeError, "matrix and right sides, but for the last, differ"),
    ErrorSample((_SQUARE, TensorType(F32, (3,))), {}, ShapeError, "ranks of matrix and right sides"),
    ErrorSample((_SQUARE, TensorType(F64, (3, 2))), {}, DTypeError, "element types do not fit"),
    ErrorSample((TensorType(I32, (3, 3)), TensorType(I32, (3, 2))), {}, DTypeError, "element types do not fit"),
)


def of_matrices(
    name: str,
    doc: str,
    formula: Callable[[NDArray], NDArray],
    vjp: VjpRule | NotDifferentiable,
    *,
    loops: LoopsRule | None = None,
    decompose: DecomposeRule | None = None,
    infer: InferRule = infer_square,
    draw: Callable[..., NDArray] = _regular,
) -> OpDef:
    """An op of one operand of square matrices, without attributes."""

    def reference(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(formula(inputs[0])).astype(types[0].dtype.numpy),)

    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.OPAQUE if loops else OpKind.COMPOSITE,
        arity=1,
        infer=infer,
        reference=reference,
        vjp=vjp,
        loops=loops,
        decompose=decompose,
        samples=_matrices(draw),
        errors=_NO_MATRICES,
    )


def _reference_solve(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    with np.errstate(all="ignore"):
        return (solved(*inputs).astype(types[0].dtype.numpy),)


SINGULAR = "A singular matrix gives infinities or NaN."
OPS = (
    of_matrices(
        "cholesky",
        "The lower triangular L with L L^T = A, for positive definite A[...,n,n], whose lower triangle alone is read. "
        "Where A is not positive definite, NaN from the first row on that shows it.",
        _factor,
        _vjp_cholesky,
        loops=cholesky_loops,
        draw=_definite,
    ),
    of_matrices(
        "lu_diagonal",
        "The diagonal of U, where P A = L U with partial pivoting and ones on L's diagonal, A[...,n,n] -> [...,n]; "
        "the first element is multiplied by the sign of P, so that the product is the determinant.",
        diagonal,
        NotDifferentiable("the determinants that are made of it have gradients of their own"),
        loops=diagonal_loops,
        infer=_infer_diagonal,
    ),
    OpDef(
        name="solve",
        doc="X with A X = B, by elimination with partial pivoting: A[...,n,n], B[...,n,m] -> X[...,n,m]. " + SINGULAR,
        kind=OpKind.OPAQUE,
        arity=2,
        infer=_infer_solve,
        reference=_reference_solve,
        vjp=_vjp_solve,
        loops=solve_loops,
        samples=_systems(_regular),
        errors=_NO_SYSTEMS,
    ),
    OpDef(
        name="triangular_solve",
        doc="X with A X = B, or A^T X = B with `transpose`, where A[...,n,n] is lower or upper triangular (the other "
        "triangle is not read) and, with `unit`, has ones on its diagonal (which is not read): B[...,n,m] -> "
        "X[...,n,m]. " + SINGULAR,
        kind=OpKind.OPAQUE,
        arity=2,
        attrs=(
            AttrSpec("lower", "bool", "whether the lower triangle is read, rather than the upper one", True),
            AttrSpec("transpose", "bool", "whether the matrix is transposed", False),
            AttrSpec("unit", "bool", "whether the diagonal counts as ones", False),
        ),
        infer=_infer_solve,
        reference=_reference_triangular,
        vjp=_vjp_triangular,
        loops=triangular_loops,
        samples=_triangular_systems,
        errors=_NO_SYSTEMS,
    ),
)
