"""Derivatives of tensors by tensors: gradients, products with Jacobians, Jacobians and Hessians."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sigmagraph.autodiff.jvp import jvp as jvp_values
from sigmagraph.autodiff.vjp import gradients as gradient_values
from sigmagraph.autodiff.vjp import vjp as vjp_values
from sigmagraph.dtypes import I64
from sigmagraph.errors import GraphError
from sigmagraph.ops.registry import OPS
from sigmagraph.tensor.control import scan
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast_to, emit
from sigmagraph.tensor.workspace import Workspace, here

Several = TypeVar("Several", Tensor, Sequence[Tensor])


def gradients(y: Tensor, wrt: Sequence[Tensor]) -> list[Tensor]:
    """Derivatives of a float scalar by tensors, each of its tensor's shape; zeros where ``y`` does not depend on it.

    The result is part of the graph like any other tensor, so gradients of gradients are taken in the same way.

    Raises:
        DifferentiationError: ``y`` is no float scalar, a tensor holds no floats, or an op in between has no gradient.
    """
    if isinstance(wrt, Tensor) or not all(isinstance(t, Tensor) for t in (y, *wrt)):
        raise GraphError(
            "gradients takes a tensor and a list of tensors", expected="gradients(y, [a, b])", location=here()
        )
    workspace = _together([y, *wrt])
    values = gradient_values(workspace.graph, OPS, y.resolve()[1], [t.resolve()[1] for t in wrt])
    return [Tensor(workspace, value) for value in values]


def vjp(outputs: Sequence[Tensor], wrt: Sequence[Tensor], cotangents: Sequence[TensorLike]) -> list[Tensor]:
    """Products of cotangents with Jacobians: for each x in ``wrt`` the sum over outputs of cotangent * d output / d x.

    Args:
        outputs: float tensors of any shape.
        wrt: float tensors.
        cotangents: one of the shape of each output.

    Raises:
        DifferentiationError: a cotangent is of another type than its output, a tensor holds no floats, or an op in
            between has no gradient.
    """
    if any(isinstance(tensors, Tensor) for tensors in (outputs, wrt, cotangents)):
        raise GraphError("vjp takes lists of tensors", expected="vjp([y], [x], [c])", location=here())
    given = [as_tensor(c, y.dtype) for c, y in zip(_rows(cotangents, outputs), outputs, strict=True)]
    workspace = _together([*outputs, *wrt, *given])
    sides = [[t.resolve()[1] for t in tensors] for tensors in (outputs, given, wrt)]
    return [Tensor(workspace, value) for value in vjp_values(workspace.graph, OPS, *sides)]


def jvp(y: Several, tangents: Mapping[Tensor, TensorLike]) -> Several:
    """The derivative of a tensor, or of several, when each tensor in ``tangents`` moves along its tangent.

    Args:
        y: what is differentiated, of floats of any shape.
        tangents: a tensor or array of the shape of each.

    Raises:
        DifferentiationError: a tangent is of another type than its tensor, a tensor holds no floats, or an op in
            between has no gradient.
    """
    if not isinstance(tangents, Mapping):
        raise GraphError("jvp takes a dict of tangents", expected="{x: v}", got=repr(tangents), location=here())
    outputs: list[Tensor] = [y] if isinstance(y, Tensor) else list(y)
    given: dict[Tensor, Tensor] = {x: as_tensor(v, x.dtype) for x, v in tangents.items()}
    workspace = _together([*outputs, *given, *given.values()])
    pairs = {x.resolve()[1]: v.resolve()[1] for x, v in given.items()}
    values = jvp_values(workspace.graph, OPS, [t.resolve()[1] for t in outputs], pairs)
    results = [Tensor(workspace, value) for value in values]
    return results[0] if isinstance(y, Tensor) else results


def jacobian(y: Tensor, x: Tensor) -> Tensor:
    """All derivatives of the elements of ``y`` by those of ``x``, as a tensor [*y.shape, *x.shape].

    A loop over the elements of ``y`` (or of ``x`` if these are fewer); the compiled code does not grow with them.

    Raises:
        DifferentiationError: a tensor holds no floats, or an op in between has no gradient.
    """
    _together([y, x])
    forward = isinstance(y.type.size, int) and isinstance(x.type.size, int) and x.type.size < y.type.size
    if not forward:
        rows = _along(y, lambda unit: vjp([y], [x], [unit])[0])
        return emit("reshape", rows, shape=(*y.shape, *x.shape))
    columns = _along(x, lambda unit: jvp(y, {x: unit}))
    last = (*range(1, 1 + y.ndim), 0)
    return emit("reshape", emit("transpose", columns, axes=last), shape=(*y.shape, *x.shape))


def hessian(y: Tensor, x: Tensor) -> Tensor:
    """All second derivatives of a float scalar by the elements of ``x``, as a tensor [*x.shape, *x.shape].

    Raises:
        DifferentiationError: ``y`` is no float scalar, ``x`` holds no floats, or an op in between has no gradient.
    """
    return jacobian(gradients(y, [x])[0], x)


def hessian_vector_product(y: Tensor, wrt: Sequence[Tensor], vectors: Sequence[TensorLike]) -> list[Tensor]:
    """Products of the matrix of second derivatives of a float scalar with vectors, without that matrix.

    Args:
        y: a float scalar.
        wrt: float tensors.
        vectors: one of the shape of each.

    Raises:
        DifferentiationError: ``y`` is no float scalar, a vector is of another type than its tensor, or an op in between
            has no gradient.
    """
    return vjp(gradients(y, wrt), wrt, vectors)  # the matrix is symmetric


def _along(x: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``derivative`` makes of every unit vector of the shape of ``x``, stacked along a new first axis."""
    size = x.type.size

    def turn(_: None, number: Tensor) -> tuple[None, Tensor]:
        places = emit("iota", axis=0, shape=(size,), dtype=I64)
        unit = emit("eq", places, broadcast_to(number, (size,))).astype(x.dtype)
        return None, derivative(emit("reshape", unit, shape=x.shape))

    numbers = emit("iota", axis=0, shape=(size,), dtype=I64)
    rows: Tensor = scan(turn, None, numbers)[1]
    return rows


def _rows(cotangents: Sequence[TensorLike], outputs: Sequence[Tensor]) -> Sequence[TensorLike]:
    if len(cotangents) != len(outputs):
        raise GraphError(
            "vjp takes a cotangent for each output", expected=len(outputs), got=len(cotangents), location=here()
        )
    return cotangents


def _together(tensors: Sequence[Tensor]) -> Workspace:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise GraphError("this is no tensor of a graph", expected="Tensor", got=repr(tensor), location=here())
    workspace = tensors[0].workspace
    for tensor in tensors[1:]:
        workspace = workspace.join(tensor.workspace)
    return workspace
