"""The known normalisations with their scale and bias, as composites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.dims import Size, divide_exact
from sigmagraph.dtypes import F32, F64
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import ErrorSample, Inference, NDArray, NodeBuilder, OpDef, OpKind, Sample
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, full_like, reshape
from sigmagraph.ops.normalisation import AXES, EPSILON, check_epsilon, rms_normalised, standardised
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import axis_numbers
from sigmagraph.ops.samples import M, N, normal, positive

_Uses: TypeAlias = "tuple[tuple[tuple[int, ...], tuple[Size, ...] | None, Mapping[str, Any]], ...]"
_MATRIX, _ROW = TensorType(F32, (2, 3)), TensorType(F32, (3,))


# ---- over axes of the operand itself


@dataclass(frozen=True, slots=True)
class _Norm:
    """``standardise(x) * scale + bias``, or ``rms_normalise(x) * scale``, and the axes that these belong to.

    Attributes:
        least: the rank that x has at least.
        axes: rank and attributes to the axes along which is normalised; with groups the channels count as two axes.
        kept: the same for the axes that scale and bias have.
        centres: whether the mean is taken off; there is a bias then.
        uses: samples' shapes of x, symbolic or not, and attributes.
    """

    least: int
    axes: Callable[[int, Attrs], tuple[int, ...]]
    kept: Callable[[int, Attrs], tuple[int, ...]]
    uses: _Uses
    centres: bool = True

    def infer(self, context: Inference) -> tuple[TensorType, ...]:
        """The type of x."""
        x, *parameters = context.types
        _check_floats(context)
        check_epsilon(context)
        if x.rank < self.least:
            raise context.error("the operand has too few axes", expected=f"at least {self.least}", got=x.rank)
        if "axes" in context.attrs:
            context.axes(context.attrs["axes"], x.rank)
        _check_groups(context)
        wanted = tuple(x.shape[axis] for axis in self.kept(x.rank, context.attrs))
        for parameter, what in zip(parameters, ("scale", "bias"), strict=False):
            context.same_shape(wanted, parameter.shape, f"the {what} and the axes that it belongs to")
        return (x,)

    def reference(self, inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        """The meaning in NumPy."""
        x, *parameters = map(exact, inputs)
        split = _split(x.shape, attrs)
        formula = standardised if self.centres else rms_normalised
        with np.errstate(all="ignore"):
            y = formula(x.reshape(split), self.axes(len(split), attrs), attrs["epsilon"]) if x.size else x
            y = y.reshape(x.shape)
            for combine, parameter in zip((np.multiply, np.add), parameters, strict=False):
                y = combine(y, parameter.reshape(_parameter_shape(x.shape, self.kept(x.ndim, attrs))))
            return (y.astype(types[0].dtype.numpy),)

    def decompose(self, b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        """The meaning in ops."""
        x, *parameters = inputs
        shape = b.type(x).shape
        split = _split(shape, attrs)
        axes = self.axes(len(split), attrs)
        op = "standardise" if self.centres else "rms_normalise"
        y = reshape(b, b.emit(op, reshape(b, x, split), axes=axes, epsilon=attrs["epsilon"]), shape)
        for combine, parameter in zip(("mul", "add"), parameters, strict=False):
            kept = _parameter_shape(shape, self.kept(len(shape), attrs))
            y = b.emit(combine, y, broadcast(b, reshape(b, parameter, kept), shape))
        return y

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        """Uses for the generated tests."""
        for shape, symbols, given in self.uses:
            kept = self.kept(len(shape), Attrs({"axes": AXES.default, **given}))
            draws = (positive, normal) if self.centres else (positive,)
            parameters = [draw(rng, *(shape[axis] for axis in kept)) for draw in draws]
            arrays = (normal(rng, *shape), *parameters)
            if symbols is None:
                yield Sample(arrays, given)
            else:
                rest = (tuple(symbols[axis] for axis in kept),) * len(parameters)
                yield Sample(arrays, given, shapes=(symbols, *rest))

    def errors(self, given: Mapping[str, Any]) -> Iterator[ErrorSample]:
        """Wrong uses, beside attributes that are right."""
        x, rest = TensorType(F32, (2, 5, 3)), (_ROW,) * (2 if self.centres else 1)
        yield ErrorSample((x,), given, GraphError, "wrong number of operands")
        yield ErrorSample((x, *rest[1:], TensorType(F32, (4,))), given, ShapeError, "belongs to")
        yield ErrorSample((x, *rest[1:], TensorType(F64, (3,))), given, DTypeError, "element types do not fit")
        yield ErrorSample((x, *rest), {**given, "epsilon": np.nan}, AttributeValueError, "'epsilon' is out of range")


def _op(name: str, doc: str, norm: _Norm, *errors: ErrorSample, attrs: tuple[AttrSpec, ...] = (), **use: int) -> OpDef:
    """The op of a normalisation; ``use`` are attributes that must be given."""
    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=3 if norm.centres else 2,
        attrs=(*attrs, EPSILON),
        infer=norm.infer,
        reference=norm.reference,
        decompose=norm.decompose,
        samples=norm.samples,
        errors=(*norm.errors(use), *errors),
    )


def _split(shape: Sequence[Size], attrs: Attrs) -> tuple[Any, ...]:
    """The shape with the channels split in groups, if the op has groups; their axis stands before the last."""
    if "groups" not in attrs:
        return tuple(shape)
    share = divide_exact(shape[-1], attrs["groups"])
    assert share is not None  # infer demands it
    return (*shape[:-1], attrs["groups"], share)


def _check_floats(context: Inference) -> None:
    dtypes = [t.dtype for t in context.types]
    if not dtypes[0].is_float or any(dtype is not dtypes[0] for dtype in dtypes):
        got = ", ".join(map(str, dtypes))
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)


def _check_groups(context: Inference) -> None:
    if "groups" not in context.attrs:
        return
    groups = context.attrs["groups"]
    if groups < 1:
        raise context.error("there are no groups", expected="at least 1", got=groups, kind=AttributeValueError)
    channels = context.types[0].shape[-1]
    if divide_exact(channels, groups) is None:
        raise context.error("the channels do not come out even", expected=f"a multiple of {groups}", got=channels)


def _parameter_shape(shape: Sequence[Size], kept: Sequence[int]) -> tuple[Any, ...]:
    """The shape of a scale with 1 for the axes that it does not have."""
    return tuple(size if i in kept else 1 for i, size in enumerate(shape))


def _given(rank: int, attrs: Attrs) -> tuple[int, ...]:
    return tuple(sorted(axis_numbers(attrs["axes"], rank)))


def _last(rank: int, _attrs: Attrs) -> tuple[int, ...]:
    return (rank - 1,)


def _all_but_last(rank: int, _attrs: Attrs) -> tuple[int, ...]:
    return tuple(range(rank - 1))


def _between(rank: int, _attrs: Attrs) -> tuple[int, ...]:
    return tuple(range(1, rank - 1))


def _within_groups(rank: int, _attrs: Attrs) -> tuple[int, ...]:
    """All axes but the first and that of the groups, once the channels are split."""
    return (*range(1, rank - 2), rank - 1)


# ---- with a mean and a variance that are known


def _infer_known(context: Inference) -> tuple[TensorType, ...]:
    x, *parameters = context.types
    _check_floats(context)
    check_epsilon(context)
    if x.rank < 1:
        raise context.error("the operand has no axis of channels", expected="x[...,channels]", got=x)
    for parameter in parameters:
        context.same_shape(x.shape[-1:], parameter.shape, "the channels and a parameter")
    return (x,)


def _reference_known(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, mean, variance, scale, bias = map(exact, inputs)
    with np.errstate(all="ignore"):
        y = (x - mean) / np.sqrt(variance + attrs["epsilon"]) * scale + bias
    return (y.astype(types[0].dtype.numpy),)


def _decompose_known(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x, mean, variance, scale, bias = inputs
    shape = b.type(x).shape
    root = b.emit("sqrt", b.emit("add", variance, full_like(b, attrs["epsilon"], variance)))
    factor = broadcast(b, b.emit("div", scale, root), shape)
    centred = b.emit("sub", x, broadcast(b, mean, shape))
    return b.emit("add", b.emit("mul", centred, factor), broadcast(b, bias, shape))


def _known_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, symbols in (((2, 4, 3), None), ((3,), None), ((0, 3), None), ((5, 3), (N, 3)), ((4, 5, 3), (N, M, 3))):
        rows = (normal(rng, 3), positive(rng, 3), positive(rng, 3), normal(rng, 3))
        yield Sample((normal(rng, *shape), *rows), shapes=symbols and (symbols, *((3,),) * 4))


_GIVEN: _Uses = (
    ((3, 5), None, {}),
    ((2, 4, 3), None, {"axes": (1, 2), "epsilon": 0.1}),
    ((2, 4, 3), None, {"axes": (-1, 0)}),
    ((0, 3), None, {}),
    ((5, 3), (N, 3), {}),
)
_GROUPED: _Uses = (
    ((4, 5, 6), None, {"groups": 2}),
    ((5, 6), None, {"groups": 3}),
    ((0, 5, 6), None, {"groups": 2}),
    ((5, 4, 6), (N, 4, 6), {"groups": 1, "epsilon": 0.1}),
)
_CHANNELS_LAST: _Uses = (((4, 5, 3), None, {}), ((2, 0, 3), None, {}), ((5, 4, 3), (N, 4, 3), {"epsilon": 1e-3}))
OPS = (
    _op(
        "layer_norm",
        "standardise(x) * scale + bias along `axes`; scale and bias have the sizes of these axes. "
        "Source: J. L. Ba et al., Layer normalization (2016).",
        _Norm(1, _given, _given, (*_GIVEN, ((5, 3), (N, M), {}))),
        ErrorSample((_MATRIX, _ROW, _ROW), {"axes": (2,)}, ShapeError, "no such axis"),
        attrs=(AXES,),
    ),
    _op(
        "rms_norm",
        "rms_normalise(x) * scale along `axes`; the scale has the sizes of these axes. "
        "Source: B. Zhang, R. Sennrich, Root mean square layer normalization (2019).",
        _Norm(1, _given, _given, _GIVEN, centres=False),
        ErrorSample((_MATRIX, _ROW), {"axes": (1, 1)}, ShapeError, "named twice"),
        attrs=(AXES,),
    ),
    _op(
        "batch_norm",
        "standardise(x) * scale + bias over all axes but the last: x[...,c], scale[c], bias[c]. "
        "Source: S. Ioffe, C. Szegedy, Batch normalization (2015).",
        _Norm(2, _all_but_last, _last, (*_CHANNELS_LAST, ((5, 3), (N, 3), {}))),
        ErrorSample((_ROW,) * 3, {}, ShapeError, "too few axes"),
    ),
    _op(
        "instance_norm",
        "standardise(x) * scale + bias over all axes between the first and the last, for each of a batch and each "
        "channel: x[b,...,c], scale[c], bias[c]. Source: D. Ulyanov et al., Instance normalization (2016).",
        _Norm(3, _between, _last, _CHANNELS_LAST),
        ErrorSample((_MATRIX, _ROW, _ROW), {}, ShapeError, "too few axes"),
    ),
    _op(
        "group_norm",
        "standardise(x) * scale + bias over all axes between the first and the last and over the channels of a group, "
        "which stand side by side: x[b,...,c], scale[c], bias[c]. Source: Y. Wu, K. He, Group normalization (2018).",
        _Norm(2, _within_groups, _last, _GROUPED),
        ErrorSample((_MATRIX, _ROW, _ROW), {"groups": 2}, ShapeError, "do not come out even"),
        ErrorSample((_MATRIX, _ROW, _ROW), {"groups": 0}, AttributeValueError, "no groups"),
        attrs=(AttrSpec("groups", "int", "the number of groups, which divides the channels"),),
        groups=3,
    ),
    OpDef(
        name="batch_norm_inference",
        doc="(x - mean) / sqrt(variance + epsilon) * scale + bias: x[...,c], mean[c], variance[c], scale[c], bias[c].",
        kind=OpKind.COMPOSITE,
        arity=5,
        attrs=(EPSILON,),
        infer=_infer_known,
        reference=_reference_known,
        decompose=_decompose_known,
        samples=_known_samples,
        errors=(
            ErrorSample((_MATRIX, *(_ROW,) * 3), {}, GraphError, "wrong number of operands"),
            ErrorSample((_MATRIX, *(_ROW,) * 3, TensorType(F32, (4,))), {}, ShapeError, "the channels and a parameter"),
            ErrorSample((_MATRIX, *(_ROW,) * 3, TensorType(F64, (3,))), {}, DTypeError, "element types do not fit"),
            ErrorSample((TensorType(F32, ()), *(_ROW,) * 4), {}, ShapeError, "no axis of channels"),
            ErrorSample((_MATRIX, *(_ROW,) * 4), {"epsilon": -1.0}, AttributeValueError, "'epsilon' is out of range"),
        ),
    ),
)
