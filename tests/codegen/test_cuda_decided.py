"""Comparisons of rows and columns: where they hold for all of a piece, and what is left of expressions there."""

from __future__ import annotations

import numpy as np
import pytest

from sigmagraph.codegen.cuda.decided import holding, settled
from sigmagraph.codegen.cuda.from_registers import PIECE, ROWS
from sigmagraph.dims import Dim, evaluate
from sigmagraph.dtypes import BOOL, F32
from sigmagraph.ir.kernel.expr import Const, Index, Load, Var, apply

ROW, COLUMN, BLOCK, WIDTH = Dim("%row"), Dim("%column"), Dim("%block"), 32
HOLDS = {"le": np.less_equal, "lt": np.less, "ge": np.greater_equal, "gt": np.greater}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("op", HOLDS)
def test_the_condition_of_a_piece_is_that_of_all_its_elements(op: str, swapped: bool) -> None:
    sides = [Index(ROWS * BLOCK + ROW), Index(COLUMN + 5)]
    comparison = apply(op, *(reversed(sides) if swapped else sides))
    (condition,) = holding([comparison], "%row", "%column", WIDTH)
    block = 1
    rows = ROWS * block + np.arange(ROWS)[:, None]
    for piece in range(8):
        columns = WIDTH * piece + np.arange(WIDTH) + 5
        all_hold = (HOLDS[op](columns, rows) if swapped else HOLDS[op](rows, columns)).all()
        assert (evaluate(condition, {"%block": block, PIECE: piece}) >= 0) == all_hold, piece


def test_what_is_left_of_an_expression() -> None:
    comparison = apply("ge", Index(ROW), Index(COLUMN))
    expr = apply("select", comparison, Var("%sum", F32), Const(0.0, F32))
    left = apply("select", Const(True, BOOL), Var("%sum", F32), Const(0.0, F32))
    assert settled(expr, "%row", "%column") == left


def test_other_comparisons_stay_as_they_are() -> None:
    numbers = apply("ge", Load("mask", (ROW, COLUMN), F32), Const(0.0, F32))
    own = apply("ge", Index(ROW), Index(7))
    for comparison in (numbers, own):
        assert holding([comparison], "%row", "%column", WIDTH) == ()
        assert settled(comparison, "%row", "%column") == comparison
