"""What users write graphs with besides operators: sources, NumPy-like functions, random numbers."""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.dims import Size
from sigmagraph.dtypes import I64, as_dtype
from sigmagraph.errors import AttributeValueError, GraphError, ShapeError
from sigmagraph.ir.graph.types import TensorType, as_shape
from sigmagraph.runtime.state import Variable
from sigmagraph.tensor.tensor import (
    Axes,
    Parameter,
    Tensor,
    TensorLike,
    as_array,
    as_tensor,
    broadcast,
    elementwise,
    emit,
    floating,
    located,
    promoted,
)
from sigmagraph.tensor.workspace import Workspace, here

# ---- sources


def placeholder(name: str, shape: Sequence[Size] | Size, dtype: object = "float32") -> Tensor:
    """A tensor that is handed in at every call, by its name.

    Args:
        name: unique among the inputs and parameters of a graph.
        shape: ints, and Dims where the size is known only at the call; ``()`` for a scalar.
        dtype: element type.

    Raises:
        GraphError: the name is empty.
        ShapeError: a size is negative or no size.
        DTypeError: there is no such element type.
    """
    if not isinstance(name, str) or not name:
        raise GraphError("a placeholder needs a name", expected="text", got=repr(name), location=here())
    type = TensorType(located(as_dtype, dtype), located(as_shape, shape))
    workspace = Workspace()
    return Tensor(workspace, workspace.graph.add_input(name, type, here()))


def parameter(name: str, value: TensorLike, trainable: bool = True) -> Parameter:
    """A tensor that lives in the state of the programs that read or update it, and its first value.

    NumPy arrays keep their dtype; other floats become f32, other ints i64.

    Raises:
        GraphError: the name is empty.
        DTypeError: the value is no array of numbers.
    """
    array = located(as_array, value)
    return Parameter(Variable(name, as_dtype(array.dtype), array.shape, array), trainable)


def constant(value: TensorLike, dtype: object = None) -> Tensor:
    """A tensor that is the same at every call.

    NumPy arrays keep their dtype unless one is given; other floats become f32, other ints i64.

    Raises:
        DTypeError: the value is no array of numbers, or does not fit the dtype.
    """
    return as_tensor(value, None if dtype is None else located(as_dtype, dtype))


# ---- by element


def exp(x: TensorLike) -> Tensor:
    """``e ** x`` (ints as f64)."""
    return emit("exp", floating(x))


def log(x: TensorLike) -> Tensor:
    """Natural logarithm (ints as f64); ``-inf`` for 0, NaN below."""
    return emit("log", floating(x))


def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent (ints as f64)."""
    return emit("tanh", floating(x))


def sqrt(x: TensorLike) -> Tensor:
    """Square root (ints as f64); NaN below 0."""
    return emit("sqrt", floating(x))


def abs(x: TensorLike) -> Tensor:
    """Absolute value."""
    return emit("abs", as_tensor(x))


def relu(x: TensorLike) -> Tensor:
    """``maximum(x, 0)``; NaN stays NaN."""
    return emit("relu", floating(x))


def sigmoid(x: TensorLike) -> Tensor:
    """``1 / (1 + exp(-x))``, without overflow."""
    return emit("sigmoid", floating(x))


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The greater of two elements; NaN where one is."""
    return elementwise("maximum", a, b)


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The lesser of two elements; NaN where one is."""
    return elementwise("minimum", a, b)


def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether elements are equal, as a bool tensor (``==`` compares the identity of tensors)."""
    return elementwise("eq", a, b)


def not_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Whether elements differ, as a bool tensor."""
    return elementwise("ne", a, b)


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Elements of ``a`` where the bool condition holds, of ``b`` elsewhere."""
    return emit("select", *broadcast(as_tensor(condition), *promoted(a, b)))


# ---- shape and position


def broadcast_to(x: TensorLike, shape: Sequence[Size] | Size) -> Tensor:
    """The tensor with missing axes, and axes of size 1, repeated to give a shape.

    Raises:
        ShapeError: the shape is no such extension.
    """
    return emit("broadcast", as_tensor(x), shape=located(as_shape, shape))


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis; the other axes are equal.

    Raises:
        ShapeError: they do not fit together, or there are none.
    """
    return emit("concatenate", *promoted(*_several(tensors, "concatenate")), axis=axis)


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors of equal shapes one after the other along a new axis.

    Raises:
        ShapeError: the shapes differ, there is no such axis, or there are no tensors.
    """
    parts = broadcast(*promoted(*_several(tensors, "stack")))
    rank = parts[0].ndim + 1
    if not -rank <= axis < rank:
        raise ShapeError("stack: there is no such axis", expected=f"-{rank} .. {rank - 1}", got=axis, location=here())
    key = (*(slice(None),) * (axis % rank), None)
    return concatenate([part[key] for part in parts], axis % rank)


def take(table: TensorLike, indices: TensorLike, axis: int = 0) -> Tensor:
    """Entries of an axis by integer indices, whose axes stand in the place of that axis (``numpy.take``).

    An index that is negative or too great gives NaN for floats, the least value for signed ints, the greatest for
    unsigned ones and False for bools.
    """
    return emit("gather", as_tensor(table), as_tensor(indices), axis=axis)


def one_hot(indices: TensorLike, depth: int, dtype: object = "float32") -> Tensor:
    """A new last axis of size ``depth`` that is 1 at the index and 0 elsewhere; all 0 for an index out of range."""
    return emit("one_hot", as_tensor(indices), depth=depth, dtype=located(as_dtype, dtype))


# ---- reductions and products


def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Sum over axes, over all of them by default; ints and bools are summed as i64."""
    return as_tensor(x).sum(axis, keepdims)


def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Mean over axes, over all of them by default; that of ints and bools is f64."""
    return as_tensor(x).mean(axis, keepdims)


def max(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Greatest element over axes, over all of them by default; NaN where there is one."""
    return as_tensor(x).max(axis, keepdims)


def min(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Least element over axes, over all of them by default; NaN where there is one."""
    return as_tensor(x).min(axis, keepdims)


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first greatest element (of the first NaN), as i64; without an axis in the flat tensor."""
    return as_tensor(x).argmax(axis, keepdims)


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Matrix product with NumPy's rules for vectors and leading axes."""
    return as_tensor(a) @ b


def dense(x: TensorLike, weights: TensorLike, biases: TensorLike, activation: str = "none") -> Tensor:
    """``activation(x @ weights + biases)`` as one node, for x[..., inputs], weights[inputs, size] and biases[size]."""
    return emit("dense", *promoted(x, weights, biases), activation=activation)


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis, without overflow."""
    return emit("softmax", floating(x), axis=axis)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """Logarithm of :func:`softmax`, without overflow or loss of small probabilities."""
    return emit("log_softmax", floating(x), axis=axis)


def softmax_cross_entropy(logits: TensorLike, labels: TensorLike) -> Tensor:
    """``-log(softmax(logits)[label])`` for logits[..., classes] and integer labels[...], as one node."""
    return emit("softmax_cross_entropy", floating(logits), as_tensor(labels))


# ---- random numbers


def random_uniform(key: TensorLike, shape: Sequence[Size] | Size, dtype: object = "float32", stream: int = 0) -> Tensor:
    """Numbers in [0, 1), the same for the same key, stream and place.

    Args:
        key: i64[2], the seed and the step.
        shape: of the result.
        dtype: of the result, a float type.
        stream: tells apart the random tensors that share a key.
    """
    wanted = {"shape": located(as_shape, shape), "dtype": located(as_dtype, dtype)}
    return emit("random_uniform", as_tensor(key, I64), stream=stream, **wanted)


def dropout(x: TensorLike, rate: TensorLike, key: TensorLike, stream: int = 0) -> Tensor:
    """Inverted dropout: elements become 0 with probability ``rate``, the others are divided by ``1 - rate``.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).

    Args:
        x: a float tensor.
        rate: a scalar in [0, 1); a tensor may change from call to call.
        key: i64[2], the seed and the step.
        stream: tells apart the random tensors that share a key.

    Raises:
        AttributeValueError: the rate is a number out of range.
    """
    if isinstance(rate, (int, float)) and not 0 <= rate < 1:
        raise AttributeValueError("dropout: the rate is out of range", expected="[0, 1)", got=rate, location=here())
    x = floating(x)
    return emit("dropout", x, as_tensor(key, I64), as_tensor(rate, x.dtype), stream=stream)


def _several(tensors: Sequence[TensorLike], what: str) -> Sequence[TensorLike]:
    if isinstance(tensors, Tensor) or not len(tensors):
        got = "one tensor" if isinstance(tensors, Tensor) else "none"
        raise ShapeError(f"{what} takes several tensors", expected="a list of tensors", got=got, location=here())
    return tensors
