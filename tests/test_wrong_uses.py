"""Wrong uses of the public functions end in errors of sigmagraph that say where, not in those of the code inside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.errors import (
    AttributeValueError,
    DifferentiationError,
    DimError,
    DTypeError,
    GraphError,
    IdentifierError,
    InputError,
    OptionError,
    ParseError,
    ShapeError,
    SigmaError,
    TargetError,
)

N = sg.Dim("n")
X, Y = sg.placeholder("x", (N, 4)), sg.placeholder("y", (3, 4))
INTS, IMAGE = sg.placeholder("i", (N,), "int32"), sg.placeholder("image", (1, 8, 8, 3))
W, KERNEL = sg.parameter("w", np.zeros((4, 3), np.float32)), np.zeros((3, 3, 3, 4), np.float32)
TINY = L.Input(3) + L.Dense(3)

Case = tuple[Callable[[], object], type[SigmaError], str]


def compiled(*arguments: object, **named: object) -> object:
    return sg.compile([X], {"y": X @ W})(*arguments, **named)  # type: ignore[arg-type]


def network(layers: object = TINY) -> sg.Network:
    return sg.Network("net", layers)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    # compiling
    "a target in place of updates": (lambda: sg.compile([X], {"y": X}, "cpu:1"), GraphError, "updates as a dict"),  # type: ignore[arg-type]
    "a list of outputs": (lambda: sg.compile([X], [X]), GraphError, "outputs as a dict"),  # type: ignore[arg-type]
    "a tensor as inputs": (lambda: sg.compile(X, {"y": X}), GraphError, "a list of inputs"),  # type: ignore[arg-type]
    "no inputs": (lambda: sg.compile(None, {"y": X}), GraphError, "a list of inputs"),  # type: ignore[arg-type]
    "a number as output": (lambda: sg.compile([X], {"y": 3}), GraphError, "no tensor"),  # type: ignore[dict-item]
    "a number as name": (lambda: sg.compile([X], {3: X}), GraphError, "names of outputs are text"),  # type: ignore[dict-item]
    "a missing input": (lambda: sg.compile([], {"y": X}), GraphError, "'x' is needed"),
    "an update of a placeholder": (lambda: sg.compile([X], {"y": X}, {X: X}), GraphError, "only parameters"),
    "an update of another shape": (lambda: sg.compile([X], {"y": X}, {W: X}), ShapeError, "another type"),
    "an unknown target": (lambda: sg.compile([X], {"y": X}, target="abacus"), TargetError, "there is no such target"),
    "a number as target": (lambda: sg.compile([X], {"y": X}, target=3), OptionError, "no target"),  # type: ignore[arg-type]
    "an unknown dim": (lambda: sg.compile([X], {"y": X}, specialise={"q": 3}), DimError, "no dim 'q'"),
    "a negative size": (lambda: sg.compile([X], {"y": X}, specialise={"n": -3}), DimError, "cannot be specialised"),
    "text as size": (lambda: sg.compile([X], {"y": X}, specialise={"n": "a"}), DimError, "cannot be specialised"),  # type: ignore[dict-item]
    # calling
    "no argument": (compiled, InputError, "the input 'x' is missing"),
    "too many arguments": (lambda: compiled(np.zeros((1, 4)), 2), InputError, "'main' takes fewer inputs"),
    "an unknown argument": (lambda: compiled(z=3), InputError, "the input 'x' is missing"),
    "an argument given twice": (
        lambda: compiled(np.zeros((1, 4)), x=np.zeros((1, 4))),
        InputError,
        "the input 'x' is given twice",
    ),
    "an array of another shape": (
        lambda: compiled(np.zeros((1, 5))),
        InputError,
        "the input 'x' has another size along axis 1",
    ),
    "an array of another rank": (lambda: compiled(np.zeros(4)), InputError, "the input 'x' has another number of axes"),
    "text as array": (lambda: compiled("abc"), InputError, "the input 'x' has another kind of dtype"),
    "an object as array": (lambda: compiled(object()), InputError, "the input 'x' has another kind of dtype"),
    "rows of different lengths": (lambda: compiled([[1, 2], [3]]), InputError, "the input 'x' is no array"),
    "complex numbers": (
        lambda: compiled(np.zeros((1, 4), complex)),
        InputError,
        "the input 'x' has another kind of dtype",
    ),
    # tensors
    "an unknown dtype": (lambda: sg.placeholder("q", (3,), "float33"), DTypeError, "no such element type"),
    "a fraction as size": (lambda: sg.placeholder("q", (3.5,)), ShapeError, "a size is neither an int nor a Dim"),  # type: ignore[arg-type]
    "a number as name of an input": (lambda: sg.placeholder(3, (3,)), GraphError, "a placeholder needs a name"),  # type: ignore[arg-type]
    "a sum with text": (lambda: X + "a", DTypeError, "there is no such element type"),  # type: ignore[operator]
    "a sum with nothing": (lambda: X + None, DTypeError, "there is no such element type"),  # type: ignore[operator]
    "a sum of other shapes": (
        lambda: X + sg.placeholder("z", (5,)),
        ShapeError,
        "these shapes cannot be broadcast together",
    ),
    "a product of other sizes": (
        lambda: X @ Y,
        ShapeError,
        "the columns of the first and the rows of the second operand ",
    ),
    "too many indices": (lambda: X[0, 0, 0], ShapeError, "there are more indices than axes"),
    "an index beyond the end": (lambda: Y[5], ShapeError, "the index of axis 0 is out of range"),
    "a number that does not fit": (lambda: sg.placeholder("k", (2,), "int8") + 1000, DTypeError, "does not fit"),
    "bits of floats": (lambda: X & X, DTypeError, "the element types do not fit"),
    "a division by zero of dims": (lambda: N // 0, DimError, "a size is divided by something that is not positive"),
    "a tensor as condition": (lambda: bool(X), GraphError, "no elements yet"),
    "a loop over a tensor": (lambda: list(X), GraphError, "no elements yet"),
    "another number of elements": (
        lambda: Y.reshape(5, 5),
        ShapeError,
        "the numbers of elements of operand and result differ",
    ),
    "an axis twice": (lambda: Y.transpose(0, 0), ShapeError, "an axis is named twice"),
    "an axis that does not exist": (lambda: Y.sum(axis=7), ShapeError, "no such axis"),
    "the greatest of nothing": (lambda: sg.placeholder("e", (0, 3)).max(axis=0), ShapeError, "empty"),
    "nothing to concatenate": (lambda: sg.concatenate([]), ShapeError, "concatenate takes several tensors"),
    "a window beyond the image": (lambda: sg.max_pool(IMAGE, 9), ShapeError, "the window is longer than the axis"),
    "a stride of zero": (
        lambda: sg.convolution(IMAGE, KERNEL, strides=0),
        AttributeValueError,
        "'strides' is out of range",
    ),
    "an unknown padding": (
        lambda: sg.convolution(IMAGE, KERNEL, padding="smae"),
        AttributeValueError,
        "there is no such padding",
    ),  # type: ignore[arg-type]
    "groups that do not come out even": (
        lambda: sg.convolution(IMAGE, KERNEL, groups=2),
        ShapeError,
        "the input channels do not divide into groups",
    ),
    "letters without operands": (lambda: sg.einsum("ij,jk->ik", X), AttributeValueError, "the subscripts do not fit"),
    "more than there are": (lambda: sg.top_k(Y, 9), ShapeError, "the axis is shorter"),
    # derivatives and loops
    "a gradient of a matrix": (lambda: sg.gradients(X, [X]), DifferentiationError, "not a float scalar"),
    "a list of tangents": (lambda: sg.jvp(X.sum(), [X]), GraphError, "a dict of tangents"),  # type: ignore[arg-type]
    "tensors in place of lists": (lambda: sg.vjp(X, X, X), GraphError, "lists of tensors"),  # type: ignore[arg-type]
    "a number as function": (lambda: sg.scan(3, X, Y), GraphError, "no function"),  # type: ignore[arg-type]
    "a number to checkpoint": (lambda: sg.checkpoint(3), GraphError, "no function"),  # type: ignore[arg-type]
    "a number as gradient": (lambda: sg.custom_gradient(sg.exp, 4), GraphError, "no function"),  # type: ignore[arg-type]
    "branches of other shapes": (
        lambda: sg.cond(sg.any(X > 0), lambda: Y, lambda: Y.T),
        ShapeError,
        "cond: result 0 of the branches differs in type",
    ),
    # networks and training
    "a layer of no size": (lambda: L.Dense(-1), AttributeValueError, "'size' is out of range"),
    "an unknown activation": (
        lambda: L.Dense(3, "foo"),
        AttributeValueError,
        "the layer '#-dense' has no such activation",
    ),
    "a network of nothing": (lambda: network(None), AttributeValueError, "this is no part of a network"),
    "a network without input": (
        lambda: network(L.Dense(3)),
        GraphError,
        "the network 'net' begins with something else",
    ),
    "features for a sequence": (lambda: network(L.Input(5) + L.LSTM(2)), ShapeError, "0-input"),
    "heads that do not come out even": (
        lambda: network(L.Input(5, 7) + L.MultiHeadAttention(2)),
        ShapeError,
        "0-input",
    ),
    "an image that is too small": (
        lambda: network(L.Input(2, 2, 1) + L.Conv2d(2, 3, padding="valid")),
        ShapeError,
        "cannot take what '0-input' gives",
    ),
    "records of another size": (
        lambda: network().predict(np.zeros((2, 4))),
        InputError,
        "the input 'inputs' has another size along axis 1",
    ),
    "a pattern that names nothing": (lambda: network().freeze("nix"), IdentifierError, "the pattern names nothing"),
    "a negative rate": (
        lambda: sg.optimisers.Adam(learning_rate=-1),
        AttributeValueError,
        "'optimiser.learning_rate' makes no sense with this value",
    ),
    "no optimiser": (
        lambda: sg.Trainer(network(), None, sg.data.Dataset(np.zeros((3, 3)), np.zeros((3, 3))).batches(2)),  # type: ignore[arg-type]
        AttributeValueError,
        "takes an optimiser",
    ),
    "no batches": (lambda: sg.Trainer(network(), sg.optimisers.Adam(), None), AttributeValueError, "takes batches"),  # type: ignore[arg-type]
    "targets of another number": (
        lambda: sg.data.Dataset(np.zeros((3, 3)), np.zeros((4, 3))),
        ShapeError,
        "the dataset 'dataset' has another number of targets than of ",
    ),
    "text that is no graph": (lambda: sg.parse("foo"), ParseError, "the version header is missing"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_uses_are_refused(name: str) -> None:
    call, error, match = CASES[name]
    with pytest.raises(error, match=match) as caught:
        call()
    assert len(str(caught.value)) > 20
