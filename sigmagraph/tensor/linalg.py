"""Linear algebra of small matrices, many at a time: leading axes are broadcast, as in ``numpy.linalg``.

Nothing is raised for what only the numbers show: a singular matrix gives infinities or NaN.
"""

from __future__ import annotations

from sigmagraph.errors import ShapeError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast_to, emit, floating, located, promoted
from sigmagraph.tensor.workspace import here


def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """``x`` with ``a @ x == b``, by elimination with partial pivoting; ints as f64.

    Args:
        a: [..., n, n].
        b: [n], or right sides as columns, [..., n, m].

    Raises:
        ShapeError: the shapes do not fit together.
    """
    matrices, sides, vector = _system(a, b)
    x = emit("solve", matrices, sides)
    return x[..., 0] if vector else x


def solve_triangular(
    a: TensorLike, b: TensorLike, lower: bool = False, transpose: bool = False, unit: bool = False
) -> Tensor:
    """``x`` with ``a @ x == b`` for triangular matrices; ints as f64.

    Args:
        a: [..., n, n]; the other triangle is not read.
        b: [n], or right sides as columns, [..., n, m].
        lower: whether the lower triangle is read, rather than the upper one.
        transpose: whether to solve ``a.T @ x == b`` (``lower`` speaks of ``a`` as it stands).
        unit: whether the diagonal counts as ones and is not read.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    matrices, sides, vector = _system(a, b)
    x = emit("triangular_solve", matrices, sides, lower=lower, transpose=transpose, unit=unit)
    return x[..., 0] if vector else x


def inv(a: TensorLike) -> Tensor:
    """The inverses of matrices [..., n, n]; ints as f64.

    Raises:
        ShapeError: they are not square.
    """
    return emit("inverse", floating(a))


def det(a: TensorLike) -> Tensor:
    """The determinants of matrices [..., n, n] -> [...]; ints as f64. The gradient asks for regular matrices.

    Raises:
        ShapeError: they are not square.
    """
    return emit("det", floating(a))


def slogdet(a: TensorLike) -> tuple[Tensor, Tensor]:
    """The signs of determinants and the logarithms of their magnitudes, [..., n, n] -> [...] and [...]; ints as f64.

    Raises:
        ShapeError: the matrices are not square.
    """
    a = floating(a)
    return emit("sign_det", a), emit("log_abs_det", a)


def cholesky(a: TensorLike, upper: bool = False) -> Tensor:
    """The triangular ``l`` with ``l @ l.T == a`` for positive definite matrices [..., n, n]; ints as f64.

    Only the lower triangle of ``a`` is read, and the gradient is there. Where a matrix is not positive definite, NaN
    from the first row on that shows it.

    Args:
        a: the matrices.
        upper: whether to return the transposed factor.

    Raises:
        ShapeError: they are not square.
    """
    factor = emit("cholesky", floating(a))
    rank = factor.ndim
    return factor.transpose((*range(rank - 2), rank - 1, rank - 2)) if upper else factor


def _system(a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor, bool]:
    """Matrices and right sides of one dtype with the same leading axes, and whether the right side is a vector."""
    matrices, sides = promoted(*map(floating, (as_tensor(a), as_tensor(b))))
    vector = sides.ndim == 1
    sides = sides[:, None] if vector else sides
    if matrices.ndim < 2 or sides.ndim < 2:
        got = f"{shapes.text(matrices.shape)} and {shapes.text(sides.shape)}"
        raise ShapeError(
            "these are no matrix and right sides", expected="[...,n,n] and [...,n,m]", got=got, location=here()
        )
    batch = located(shapes.broadcast, [matrices.shape[:-2], sides.shape[:-2]])
    matrices, sides = (
        broadcast_to(t, (*shapes.stretched(t.shape[:-2], batch), *t.shape[-2:])) for t in (matrices, sides)
    )
    return matrices, sides, vector
