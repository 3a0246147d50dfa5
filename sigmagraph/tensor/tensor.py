"""The user's handle on a value of a graph under construction, with NumPy's operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeGuard, TypeVar

import numpy as np

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import BOOL, F32, F64, I64, DType, as_dtype, promote, promote_scalar
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError, SigmaError
from sigmagraph.ir.graph.attrs import Array
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.location import Location
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor import shapes
from sigmagraph.tensor.workspace import Workspace, here

NDArray: TypeAlias = "np.ndarray[Any, Any]"
TensorLike: TypeAlias = "Tensor | NDArray | np.generic | bool | int | float | Sequence[Any]"
Axes: TypeAlias = "int | Sequence[int] | None"
P = ParamSpec("P")
R = TypeVar("R")


class Tensor:
    """A value of a graph under construction.

    Operators follow NumPy: shapes are broadcast, dtypes promoted (Python numbers are weak), and what that needs is
    inserted as nodes of its own. Other than in NumPy, ``==`` and ``hash`` go by identity, because tensors are keys of
    ``updates={w: ...}``; elements are compared by :meth:`equal`. A tensor has no elements yet: it cannot be iterated
    over, taken for true or false, or made an array.
    """

    __slots__ = ("_value", "_workspace")
    __array_ufunc__ = None  # NumPy arrays on the left leave the operation to us

    def __init__(self, workspace: Workspace, value: Value) -> None:
        self._workspace = workspace
        self._value = value

    # ---- what it is

    def resolve(self) -> tuple[Graph, Value]:
        """The graph that holds the value now, and the value in it; both change when workspaces are joined."""
        root, shift = self._workspace.root()
        return root.graph, Value(self._value.node + shift, self._value.index)

    @property
    def workspace(self) -> Workspace:
        """The workspace that holds the value now."""
        return self._workspace.root()[0]

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        graph, value = self.resolve()
        return graph.type(value)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Size, ...]:
        """Sizes of the axes: ints, or Dims where a size is known only at the call."""
        return self.type.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.type.rank

    @property
    def name(self) -> str:
        """Name of a placeholder or parameter; empty for other tensors."""
        graph, value = self.resolve()
        return graph.node(value).name

    @property
    def location(self) -> Location:
        """The line and the layer that made it."""
        graph, value = self.resolve()
        return graph.node(value).location

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"Tensor({name}{self.type})"

    # ---- what it is not

    def __bool__(self) -> NoReturn:
        raise _no_elements(self, "is neither true nor false", "where(condition, a, b) chooses by element")

    def __iter__(self) -> Iterator[Tensor]:
        raise _no_elements(self, "cannot be iterated over", "x[i] takes a part of it")

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise _no_elements(self, "is no array", "compile() makes a function that gives arrays")

    # ---- arithmetic

    def __add__(self, other: TensorLike) -> Tensor:
        return elementwise("add", self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return elementwise("add", other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return elementwise("sub", self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return elementwise("sub", other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return elementwise("mul", self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return elementwise("mul", other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return _divide(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return _divide(other, self)

    def __mod__(self, other: TensorLike) -> Tensor:
        """The remainder of the division rounded down; it has the sign of the divisor."""
        return elementwise("remainder", self, other)

    def __rmod__(self, other: TensorLike) -> Tensor:
        return elementwise("remainder", other, self)

    def __floordiv__(self, other: TensorLike) -> Tensor:
        """The quotient rounded down; of ints 0 for a zero divisor."""
        return elementwise("floor_divide", self, other)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return elementwise("floor_divide", other, self)

    def __pow__(self, exponent: TensorLike) -> Tensor:
        """``x ** y``, as :func:`raised` says."""
        return raised(self, exponent)

    def __rpow__(self, base: TensorLike) -> Tensor:
        return raised(base, self)

    def __neg__(self) -> Tensor:
        return emit("neg", self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return emit("abs", self)

    def __round__(self, digits: int | None = None) -> Tensor:
        """The nearest numbers with so many decimal digits, whole ones by default; halves go to the even one."""
        return rounded(self, digits or 0)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return _matmul(self, other)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return _matmul(other, self)

    # ---- comparison and logic

    def __lt__(self, other: TensorLike) -> Tensor:
        return elementwise("lt", self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return elementwise("le", self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return elementwise("gt", self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return elementwise("ge", self, other)

    def equal(self, other: TensorLike) -> Tensor:
        """Whether elements are equal, as a bool tensor."""
        return elementwise("eq", self, other)

    def not_equal(self, other: TensorLike) -> Tensor:
        """Whether elements differ, as a bool tensor."""
        return elementwise("ne", self, other)

    def __and__(self, other: TensorLike) -> Tensor:
        return elementwise("and", self, other)

    def __rand__(self, other: TensorLike) -> Tensor:
        return elementwise("and", other, self)

    def __or__(self, other: TensorLike) -> Tensor:
        return elementwise("or", self, other)

    def __ror__(self, other: TensorLike) -> Tensor:
        return elementwise("or", other, self)

    def __xor__(self, other: TensorLike) -> Tensor:
        return elementwise("xor", self, other)

    def __rxor__(self, other: TensorLike) -> Tensor:
        return elementwise("xor", other, self)

    def __invert__(self) -> Tensor:
        return emit("logical_not", self)

    def __lshift__(self, count: TensorLike) -> Tensor:
        return elementwise("shift_left", self, count)

    def __rlshift__(self, number: TensorLike) -> Tensor:
        return elementwise("shift_left", number, self)

    def __rshift__(self, count: TensorLike) -> Tensor:
        return elementwise("shift_right", self, count)

    def __rrshift__(self, number: TensorLike) -> Tensor:
        return elementwise("shift_right", number, self)

    # ---- shape and type

    def __getitem__(self, key: object) -> Tensor:
        """Part of the tensor, by NumPy's basic indexing: ints, Dims, slices, ``None``, ``...``.

        One axis may be indexed by integers: a tensor, whose elements count from 0 and where they are out of range give
        what :func:`~sigmagraph.tensor.functions.take` gives, or an array or list, which is checked at once and may
        count from the end.

        Raises:
            ShapeError: an index is out of range or of another kind, a mask, or several axes are indexed by integers.
        """
        items = key if isinstance(key, tuple) else (key,)
        if any(isinstance(item, (Tensor, np.ndarray, list)) for item in items):
            return _gathered(self, items)
        chosen = located(shapes.select, key, self.shape)
        part = emit("reverse", self, axes=chosen.backwards) if chosen.backwards else self
        if not chosen.is_everything(self.shape):
            part = emit("slice", part, start=chosen.start, stop=chosen.stop, step=chosen.step)
        return part.reshape(chosen.shape)

    def reshape(self, *shape: Size | Sequence[Size]) -> Tensor:
        """The same elements in row-major order with other sizes, of which one may be ``-1``: what is left.

        Raises:
            ShapeError: the number of elements is another one.
        """
        wanted = located(shapes.reshaped, self.shape, _unpack(shape))
        return self if wanted == self.shape else emit("reshape", self, shape=wanted)

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """The axes in another order; reversed when none are given.

        Raises:
            ShapeError: not each axis is named once.
        """
        order = _unpack(axes) if axes else tuple(reversed(range(self.ndim)))
        return emit("transpose", self, axes=order)

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The tensor with its axes reversed."""
        return self.transpose()

    def astype(self, dtype: object) -> Tensor:
        """The elements as another type.

        Raises:
            DTypeError: there is no such type.
        """
        wanted = located(as_dtype, dtype)
        return self if wanted is self.dtype else emit("cast", self, dtype=wanted)

    # ---- reductions

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Sum over axes, over all of them by default; ints and bools are summed as i64."""
        x = self if self.dtype.is_float else self.astype(I64)
        return emit("reduce_sum", x, axes=shapes.reduced_axes(axis, x.ndim), keepdims=keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Mean over axes, over all of them by default; that of ints and bools is f64.

        Raises:
            ShapeError: an axis is empty.
        """
        x = floating(self)
        axes = located(shapes.occupied_axes, axis, x.shape, "mean")
        return emit("reduce_mean", x, axes=axes, keepdims=keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Greatest element over axes, over all of them by default; NaN where there is one.

        Raises:
            ShapeError: an axis is empty.
        """
        axes = located(shapes.occupied_axes, axis, self.shape, "greatest element")
        return emit("reduce_max", self, axes=axes, keepdims=keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Least element over axes, over all of them by default; NaN where there is one.

        Raises:
            ShapeError: an axis is empty.
        """
        axes = located(shapes.occupied_axes, axis, self.shape, "least element")
        return emit("reduce_min", self, axes=axes, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the first greatest element (of the first NaN), as i64; without an axis in the flat tensor."""
        if axis is not None:
            return emit("argmax", self, axis=axis, keepdims=keepdims)
        flat = emit("argmax", self.reshape(-1), axis=0, keepdims=False)
        return flat.reshape((1,) * self.ndim) if keepdims else flat


class Parameter(Tensor):
    """A tensor whose value lives in the state of the programs that read or update it.

    Attributes:
        variable: where the value lives.
        trainable: whether optimisers are to change it.
    """

    __slots__ = ("trainable", "variable")

    def __init__(self, variable: Variable, trainable: bool = True) -> None:
        if not isinstance(variable.name, str) or not variable.name:
            raise GraphError("a parameter needs a name", expected="text", got=repr(variable.name), location=here())
        workspace = Workspace()
        type = TensorType(variable.dtype, variable.shape)
        super().__init__(workspace, workspace.graph.add_param(variable.name, type, here()))
        workspace.variables[variable.name] = variable
        self.variable = variable
        self.trainable = trainable

    @property
    def value(self) -> NDArray:
        """The live value; writing to the array, or assigning another, writes to the parameter."""
        return self.variable.value

    @value.setter
    def value(self, value: Any) -> None:
        self.variable.assign(value)


# ---- what operators are made of


def emit(op: str, *operands: Tensor, **attrs: Any) -> Tensor:
    """The result of an op on tensors whose shapes and dtypes fit exactly.

    Raises:
        SigmaError: they do not fit, or different inputs of one name meet.
    """
    (result,) = emit_all(op, *operands, **attrs)
    return result


def emit_all(op: str, *operands: Tensor, **attrs: Any) -> tuple[Tensor, ...]:
    """All results of an op on tensors that fit it exactly.

    Raises:
        SigmaError: they do not fit, or different inputs of one name meet.
    """
    workspace = operands[0].workspace if operands else Workspace()
    for other in operands[1:]:
        workspace = workspace.join(other.workspace)
    values = workspace.builder().emit_all(op, *(t.resolve()[1] for t in operands), **attrs)
    return tuple(Tensor(workspace, value) for value in values)


def elementwise(op: str, *operands: TensorLike) -> Tensor:
    """The result of an elementwise op on operands that are promoted and broadcast."""
    return emit(op, *broadcast(*promoted(*operands)))


def raised(base: TensorLike, exponent: TensorLike) -> Tensor:
    """The base to the power of the exponent; ints are raised to ints that are numbers, not tensors.

    A whole number as the exponent gives products, 0.5 the square root, anything else the general power of floats, which
    is NaN for a negative base and an exponent that is not whole.

    Raises:
        DTypeError: ints are raised to a tensor of ints.
        AttributeValueError: ints are raised to a negative int.
    """
    if isinstance(exponent, (int, float, np.integer, np.floating)) and not isinstance(exponent, bool):
        whole = isinstance(exponent, (int, np.integer))
        x = as_tensor(base) if whole else floating(base)
        if exponent == 0.5:
            return emit("sqrt", x)
        if whole or (float(exponent).is_integer() and abs(float(exponent)) < 2**31):
            return emit("integer_power", x, exponent=int(exponent))
    x, y = broadcast(*promoted(base, exponent))
    if not x.dtype.is_float:
        raise DTypeError(
            "a power with a tensor as its exponent takes floats",
            expected="a float type",
            got=x.dtype,
            location=here(),
            hint="x.astype('float64') ** y",
        )
    return emit("power", x, y)


def rounded(x: TensorLike, digits: int = 0) -> Tensor:
    """The nearest numbers with so many decimal digits; halves go to the even one. Ints stay as they are.

    Raises:
        AttributeValueError: the number of digits is no int in -300 .. 300.
    """
    x = as_tensor(x)
    if isinstance(digits, bool) or not isinstance(digits, int) or not -300 <= digits <= 300:
        raise AttributeValueError("digits are an int", expected="-300 .. 300", got=repr(digits), location=here())
    if not x.dtype.is_float:
        return x
    if not digits:
        return emit("round", x)
    factor = 10.0 ** abs(digits)
    if digits > 0:
        return _divide(emit("round", elementwise("mul", x, factor)), factor)
    return elementwise("mul", emit("round", _divide(x, factor)), factor)


def as_tensor(value: TensorLike, dtype: DType | None = None) -> Tensor:
    """A tensor as it is, anything else as a constant: arrays keep their dtype, other floats become f32, other ints i64.

    Raises:
        DTypeError: the value is no array of numbers, or does not fit the dtype.
    """
    if isinstance(value, Tensor):
        return value if dtype is None else value.astype(dtype)
    return emit("constant", value=Array.of(located(as_array, value, dtype)))


def as_array(value: Any, dtype: DType | None = None) -> NDArray:
    """A NumPy array of an element type that graphs know; floats that are not NumPy's become f32.

    Raises:
        DTypeError: the value is no array of numbers, or does not fit the dtype.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DTypeError("this is no array of numbers", expected="rows of equal length", got=str(error)) from None
    source = as_dtype(array.dtype)
    if dtype is None:
        dtype = F32 if source is F64 and not isinstance(value, (np.ndarray, np.generic)) else source
    with np.errstate(all="ignore"):
        out = array.astype(dtype.numpy)
    if dtype.is_float:
        fits = bool(np.all(np.isfinite(out) == np.isfinite(array)))
    else:
        fits = not source.is_float and bool(np.all(out == array))
    if not fits:
        raise DTypeError(f"the value does not fit {dtype}", expected=dtype, got=f"{source}: {_short(value)}")
    return out


def promoted(*operands: TensorLike) -> tuple[Tensor, ...]:
    """Operands as tensors of the one dtype that NumPy's promotion gives; Python numbers are weak.

    Raises:
        DTypeError: a number does not fit that dtype.
    """
    numbers = [v for v in operands if _is_weak(v)]
    tensors = [None if _is_weak(v) else as_tensor(v) for v in operands]
    dtypes = [t.dtype for t in tensors if t is not None]
    dtype = promote(*dtypes) if dtypes else F32 if any(isinstance(n, float) for n in numbers) else BOOL
    for number in numbers:
        dtype = promote_scalar(dtype, number)
    return tuple(as_tensor(v, dtype) if t is None else t.astype(dtype) for v, t in zip(operands, tensors, strict=True))


def broadcast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors with missing axes and axes of size 1 repeated to fit one another.

    Raises:
        ShapeError: the shapes do not fit.
    """
    target = located(shapes.broadcast, [t.shape for t in tensors])
    return tuple(broadcast_to(t, shapes.stretched(t.shape, target)) for t in tensors)


def broadcast_to(x: Tensor, shape: tuple[Size, ...]) -> Tensor:
    """The tensor with axes repeated to have a shape; itself if it has it."""
    return x if x.shape == shape else emit("broadcast", x, shape=shape)


def floating(x: TensorLike) -> Tensor:
    """A float tensor as it is; ints and bools as f64."""
    x = as_tensor(x)
    return x if x.dtype.is_float else x.astype(F64)


def located(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that knows no place, and give its errors the user's line."""
    try:
        return function(*args, **kwargs)
    except SigmaError as error:
        raise error.at(location=here()) from error.__cause__


def _is_weak(value: object) -> TypeGuard[bool | int | float]:
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def _gathered(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    """The part that an index names of which one item is a tensor, an array or a list: basic indexing, then a gather."""
    items = located(shapes.expand_ellipsis, items, x.shape)
    places = [i for i, item in enumerate(items) if isinstance(item, (Tensor, np.ndarray, list))]
    dropped = [i for i, item in enumerate(items) if item is not None and not isinstance(item, slice)]
    at = places[0]
    axis = sum(item is not None for item in items[:at])
    indices = _indices(items[at], x.shape[axis])
    if len(places) > 1 or dropped[-1] - dropped[0] >= len(dropped):
        raise ShapeError(
            "only one axis is indexed by integers, and ints stand beside it",
            expected="one tensor, array or list",
            got=f"{len(places)} of them" if len(places) > 1 else "ints elsewhere",
            location=here(),
            hint="x[0][:, i] takes two steps",
        )
    part = x[(*items[:at], slice(None), *items[at + 1 :])]
    return emit("gather", part, indices, axis=at - sum(i < at for i in dropped))


def _indices(item: Tensor | NDArray | list[Any], size: Size) -> Tensor:
    """Integers that count along an axis from 0; those of arrays and lists are checked."""
    if isinstance(item, list):
        item = np.asarray(item, None if item else np.int64)
    dtype = item.dtype if isinstance(item, Tensor) else located(as_dtype, item.dtype)
    if dtype is BOOL:
        raise ShapeError(
            "a mask selects as many elements as are true, which only a call can tell",
            expected="integers",
            got=dtype,
            location=here(),
            hint="where(mask, x, other) keeps the shape",
        )
    if not dtype.is_integer:
        raise ShapeError("the indices are no integers", expected="an integer type", got=dtype, location=here())
    return item if isinstance(item, Tensor) else as_tensor(located(shapes.from_front, item, size))


def _divide(a: TensorLike, b: TensorLike) -> Tensor:
    return emit("div", *broadcast(*map(floating, promoted(a, b))))


def _matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """NumPy's product: vectors gain an axis that is dropped again, and leading axes are broadcast."""
    a, b = promoted(a, b)
    if not a.ndim or not b.ndim:
        got = f"{shapes.text(a.shape)} and {shapes.text(b.shape)}"
        raise ShapeError("a matrix product takes no scalars", expected="rank 1 or more", got=got, location=here())
    rows = a.shape[:-1]
    columns = b.shape[-1:] if b.ndim > 1 else ()
    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    if right.ndim == 2:  # one matrix for all: leading axes are more rows
        flat = emit("matmul", left.reshape(product(left.shape[:-1]), left.shape[-1]), right)
        return flat.reshape(*rows, *columns)
    batch = located(shapes.broadcast, [left.shape[:-2], right.shape[:-2]])
    left, right = (broadcast_to(t, (*shapes.stretched(t.shape[:-2], batch), *t.shape[-2:])) for t in (left, right))
    return emit("matmul", left, right).reshape(*batch, *rows[-1:], *columns)


def _unpack(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of ``f(1, 2)`` and of ``f((1, 2))``."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes


def _no_elements(x: Tensor, what: str, hint: str) -> GraphError:
    return GraphError(f"a tensor of a graph {what}: it has no elements yet", got=repr(x), location=here(), hint=hint)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
