"""Inverses and determinants of small matrices, made of systems and factorisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import DecomposeRule, Inference, NodeBuilder, VjpContext
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import expand, full_like
from sigmagraph.ops.linear_algebra import SINGULAR, diagonal, infer_square, of_matrices, related, solved, transposed


def _infer_number(context: Inference) -> tuple[TensorType, ...]:
    (a,) = infer_square(context)
    return (TensorType(a.dtype, a.shape[:-2]),)


def _inverse_transposed(b: NodeBuilder, a: Value, weight: Value) -> Value:
    """The transposed inverses, each times a number."""
    inverse = transposed(b, b.emit("inverse", a))
    shape = b.type(a).shape
    return b.emit("mul", inverse, expand(b, weight, (len(shape) - 2, len(shape) - 1), shape))


def _decompose_inverse(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    type = b.type(inputs[0])
    return b.emit("solve", inputs[0], b.emit("cast", related(b, type.shape, "eq"), dtype=type.dtype))


def _vjp_inverse(c: VjpContext) -> Sequence[Value]:
    """-Y^T G Y^T."""
    (y,), (g,) = c.outputs, c.cotangents
    turned = transposed(c, y)
    return (c.emit("neg", c.emit("matmul", c.emit("matmul", turned, g), turned)),)


def _on_diagonal(summarise: Callable[[NodeBuilder, Value], Value]) -> DecomposeRule:
    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
        return summarise(b, b.emit("lu_diagonal", inputs[0]))

    return decompose


def _product(b: NodeBuilder, factors: Value) -> Value:
    return b.emit("reduce_prod", factors, axes=(-1,))


def _sign_product(b: NodeBuilder, factors: Value) -> Value:
    zero, one = full_like(b, 0.0, factors), full_like(b, 1.0, factors)
    negative = b.emit("select", b.emit("lt", factors, zero), b.emit("neg", one), factors)
    return _product(b, b.emit("select", b.emit("gt", factors, zero), one, negative))


def _log_size(b: NodeBuilder, factors: Value) -> Value:
    return b.emit("reduce_sum", b.emit("log", b.emit("abs", factors)), axes=(-1,))


def _vjp_det(c: VjpContext) -> Sequence[Value]:
    return (_inverse_transposed(c, c.inputs[0], c.emit("mul", c.cotangents[0], c.outputs[0])),)


def _vjp_log_abs_det(c: VjpContext) -> Sequence[Value]:
    return (_inverse_transposed(c, c.inputs[0], c.cotangents[0]),)


def _vjp_zero(_c: VjpContext) -> Sequence[Value | None]:
    return (None,)


OPS = (
    of_matrices(
        "inverse",
        "The inverse of A[...,n,n]. " + SINGULAR,
        lambda a: solved(a, np.broadcast_to(np.eye(a.shape[-1]), a.shape)),
        _vjp_inverse,
        decompose=_decompose_inverse,
    ),
    of_matrices(
        "det",
        "The determinant, A[...,n,n] -> [...]. Its gradient is made of the inverse: not finite where A is singular.",
        lambda a: np.prod(diagonal(a), -1),
        _vjp_det,
        decompose=_on_diagonal(_product),
        infer=_infer_number,
    ),
    of_matrices(
        "sign_det",
        "The sign of the determinant: -1, 0 or 1, A[...,n,n] -> [...].",
        lambda a: np.prod(np.sign(diagonal(a)), -1),
        _vjp_zero,
        decompose=_on_diagonal(_sign_product),
        infer=_infer_number,
    ),
    of_matrices(
        "log_abs_det",
        "The logarithm of the magnitude of the determinant, without overflow, A[...,n,n] -> [...]; -inf for a singular "
        "A, where its gradient is not finite.",
        lambda a: np.sum(np.log(np.abs(diagonal(a))), -1),
        _vjp_log_abs_det,
        decompose=_on_diagonal(_log_size),
        infer=_infer_number,
    ),
)
