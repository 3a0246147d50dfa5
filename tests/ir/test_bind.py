"""Numbers for symbolic dims from the shapes of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32
from sigmagraph.errors import DimError, InputError
from sigmagraph.ir.bind import bind_dims, unbound_dims
from sigmagraph.ir.plan import Port

N, M = Dim("n"), Dim("m")


def bind(*pairs: tuple[tuple[Size, ...], tuple[int, ...]]) -> dict[str, int]:
    names = "xyz"
    ports = [Port(names[i], F32, shape) for i, (shape, _) in enumerate(pairs)]
    return bind_dims(ports, [np.empty(got, np.float32) for _, got in pairs])


def test_plain_names_and_fixed_sizes() -> None:
    assert bind(((N, 3), (5, 3)), ((N, M), (5, 0))) == {"n": 5, "m": 0}


def test_expressions_are_solved_once_the_rest_is_known() -> None:
    assert bind(((2 * N + M, 3), (11, 3)), ((M,), (5,))) == {"m": 5, "n": 3}
    assert bind(((N * 4 - 1,), (7,))) == {"n": 2}
    assert bind(((N * M, N), (12, 3)), ((M,), (4,))) == {"n": 3, "m": 4}


def test_inputs_that_disagree_are_both_named() -> None:
    with pytest.raises(DimError, match="the input 'y' does not fit along axis 0: n is 32 by axis 0 of 'x'") as caught:
        bind(((N, 3), (32, 3)), ((N,), (10,)))
    assert caught.value.expected == "32 (n)"
    assert caught.value.got == 10


def test_a_size_that_no_dim_gives() -> None:
    with pytest.raises(DimError, match="no 'n' gives that size") as caught:
        bind(((2 * N,), (7,)))
    assert str(caught.value.expected) == "2*n"
    with pytest.raises(DimError, match="no 'n' gives that size"):
        bind(((N + 3,), (1,)))


def test_a_fixed_size_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="'x' has another size along axis 1") as caught:
        bind(((N, 3), (5, 4)))
    assert (caught.value.expected, caught.value.got) == (3, 4)


def test_another_number_of_axes() -> None:
    with pytest.raises(InputError, match="another number of axes") as caught:
        bind(((N, 3), (5,)))
    assert caught.value.expected == "2 ([n,3])"
    assert caught.value.got == "1 ([5])"


def test_a_dim_that_does_not_follow() -> None:
    with pytest.raises(DimError, match="the dim 'm' does not follow"):
        bind(((N * M,), (6,)))


def test_unbound_dims() -> None:
    ports = [Port("x", F32, (N, 2 * N + M))]
    assert unbound_dims(ports, ("n", "m", "k")) == ("k",)
    assert unbound_dims([Port("x", F32, (N * M,))], ("n", "m")) == ("n", "m")
