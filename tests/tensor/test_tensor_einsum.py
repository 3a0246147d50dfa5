from __future__ import annotations

import numpy as np
import pytest
from tensor_value import value

from sigmagraph import gradients, placeholder
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32, F64
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.einsum import einsum

RNG = np.random.default_rng(3)
CASES = [
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("ij,jk", (3, 4), (4, 5)),
    ("ba,ca", (3, 4), (5, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("...ij,...jk", (2, 1, 3, 4), (5, 4, 6)),
    ("i...,i...->...", (3, 4, 5), (3, 5)),
    ("a...b->b...a", (2, 3, 4, 5)),
    ("...->...", (2, 3)),
    ("ii->i", (4, 4)),
    ("ii", (4, 4)),
    ("iji->j", (4, 3, 4)),
    ("iii->i", (3, 3, 3)),
    ("ijj,jk->ik", (2, 3, 3), (3, 4)),
    ("ij->", (3, 4)),
    ("ij->ji", (3, 4)),
    ("i,j->ij", (3,), (4,)),
    ("ij,ij->ij", (3, 4), (3, 4)),
    ("ij,ij->i", (3, 4), (3, 4)),
    ("ij,kj->", (1, 4), (3, 4)),
    ("ij,jk->ik", (3, 1), (4, 5)),
    (",ij->ij", (), (2, 3)),
    ("abc,cd,de,ea->b", (2, 3, 4), (4, 5), (5, 6), (6, 2)),
    ("ij,jk,kl,lm,mn,no,op->ip", (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 2), (2, 3)),
    (" ij , jk -> k i ", (3, 4), (4, 5)),
    ("ij,jk->ik", (0, 4), (4, 5)),
    ("ij,jk->ik", (3, 0), (0, 5)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_it_is_that_of_numpy(case: tuple[str, *tuple[tuple[int, ...], ...]]) -> None:
    subscripts, *shapes = case
    arrays = [RNG.standard_normal(shape) for shape in shapes]
    got = value(einsum(subscripts, *arrays))
    expected = np.einsum(subscripts, *arrays)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_types_are_promoted() -> None:
    y = einsum("ij,j->i", np.ones((2, 3), np.float32), np.arange(3))
    assert y.dtype is F64
    np.testing.assert_array_equal(value(y), [3.0, 3.0])
    assert einsum("i,i", np.ones(3, np.float32), [1.0, 2.0, 3.0]).dtype is F32


def test_symbolic_sizes() -> None:
    n, m = Dim("n"), Dim("m")
    x, y = placeholder("x", (n, m, m), "float64"), placeholder("y", (m, n), "float64")
    out = einsum("ijj,ji->j", x, y)
    assert out.shape == (m,)
    a, b = RNG.standard_normal((2, 3, 3)), RNG.standard_normal((3, 2))
    np.testing.assert_allclose(value(out, {x: a, y: b}), np.einsum("ijj,ji->j", a, b))


def test_gradients() -> None:
    """Of a trilinear form by one operand: what is left of the form without it."""
    a, b, c = (placeholder(name, shape, "float64") for name, shape in (("a", (2, 3)), ("b", (3, 3)), ("c", (3, 2))))
    (db,) = gradients(einsum("ij,jj,ji->", a, b, c), [b])
    at = {x: RNG.standard_normal([int(s) for s in x.shape if isinstance(s, int)]) for x in (a, b, c)}
    np.testing.assert_allclose(value(db, at), np.diag(np.einsum("ij,ji->j", at[a], at[c])))


def test_a_chain_is_multiplied_in_the_cheap_order() -> None:
    """Behind a vector, every product is one of a matrix with a vector: none has the size of two matrices."""
    v, a, b = (placeholder(name, shape) for name, shape in (("v", (50,)), ("a", (40, 50)), ("b", (30, 40))))
    graph, _ = einsum("kj,ji,i->k", b, a, v).resolve()
    assert max(len(t.shape) for n in graph.nodes() for t in n.types if n.op.name == "contract") == 1


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "match"),
    [
        ("ij,jk->ik", ((2, 3), (4, 5)), ShapeError, "sizes of the axes 'j' differ"),
        ("ii->i", ((2, 3),), ShapeError, "diagonal of axes of different sizes"),
        ("...i,...i", ((2, 3), (4, 3)), ShapeError, "ellipsis differ"),
        ("ij->i", ((2, 3), (3,)), AttributeValueError, "subscripts do not fit"),
        ("i1->i", ((2, 3),), AttributeValueError, "subscripts do not fit"),
        ("i......j->i", ((2, 3),), AttributeValueError, "subscripts do not fit"),
        ("ijk->i", ((2, 3),), AttributeValueError, "does not fit its operand"),
        ("i->i", ((2, 3),), AttributeValueError, "does not fit its operand"),
        ("ij->ii", ((2, 3),), AttributeValueError, "result's letters"),
        ("ij->k", ((2, 3),), AttributeValueError, "result's letters"),
        ("...i->i", ((2, 3),), AttributeValueError, "result lacks"),
    ],
)
def test_wrong_uses(subscripts: str, shapes: tuple[tuple[int, ...], ...], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        einsum(subscripts, *(np.ones(shape) for shape in shapes))
