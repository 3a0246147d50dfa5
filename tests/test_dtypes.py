from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType, as_dtype, promote, promote_scalar

INTEGERS = (BOOL, U8, I8, I16, I32, I64)
FLOATS = (F16, BF16, F32, F64)
ALL = (*INTEGERS, *FLOATS)


@pytest.mark.parametrize(("a", "b"), list(product(ALL, ALL)), ids=str)
def test_two_types_meet_as_in_numpy(a: DType, b: DType) -> None:
    met = promote(a, b)
    assert promote(b, a) is met
    if BF16 not in (a, b) or {a, b} <= {BF16, BOOL, U8, I8, F32, F64}:  # ml_dtypes knows no others
        assert met is as_dtype(np.promote_types(a.numpy, b.numpy))
    else:  # where bf16 has no word of its own, it goes with the integers as f16 does
        other = b if a is BF16 else a
        assert met is (F32 if other is F16 else promote(F16, other))


def test_each_type_meets_itself_in_itself() -> None:
    assert [promote(t) for t in ALL] == list(ALL)
    assert [promote(t, t) for t in ALL] == list(ALL)


@pytest.mark.parametrize("group", [INTEGERS, FLOATS], ids=["integers", "floats"])
def test_the_table_is_associative_among_integers_and_among_floats(group: tuple[DType, ...]) -> None:
    for a, b, c in product(group, repeat=3):
        assert promote(promote(a, b), c) is promote(a, promote(b, c)) is promote(a, b, c)


def test_the_order_of_several_types_does_not_matter() -> None:
    for types in product(ALL, repeat=3):
        (met,) = {promote(*order) for order in permutations(types)}
        if BF16 not in types:
            assert met is as_dtype(np.result_type(*(t.numpy for t in types)))


def test_the_table_is_not_associative_across_the_two() -> None:
    assert promote(promote(I8, U8), F16) is F32
    assert promote(I8, promote(U8, F16)) is promote(I8, U8, F16) is F16


@pytest.mark.parametrize("dtype", [t for t in ALL if t is not BF16], ids=str)
def test_python_numbers_are_weak_as_in_numpy(dtype: DType) -> None:
    one = np.ones((), dtype.numpy)
    for number in (True, 1, 1.0):
        expected = np.result_type(one, number) if dtype is not BOOL or number is not True else np.dtype(np.bool_)
        assert promote_scalar(dtype, number) is as_dtype(expected)


def test_python_numbers_leave_bf16_as_it_is() -> None:
    assert [promote_scalar(BF16, number) for number in (True, 1, 1.0)] == [BF16] * 3


def test_the_documentation_shows_the_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "tensors.md").read_text("utf-8")
    rows = [
        [cell.strip(" *") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| **")
    ]
    names = [str(t) for t in ALL]
    assert rows == [[str(a), *(str(promote(a, b)) for b in ALL)] for a in ALL]
    assert f"| | {' | '.join(names)} |" in page
