"""Tic-tac-toe: every position that can come about in a game, with its true value."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from sigmagraph.data.dataset import Dataset

# Nine squares, row by row, as the player to move sees them: 1 has a piece of that player, -1 one of the other.
_Board: TypeAlias = "tuple[int, ...]"

_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def tic_tac_toe() -> Dataset:
    """All 5,478 positions of tic-tac-toe: inputs f32[5478,9], targets i32[5478], the value for the player to move.

    Inputs are 1 where the player to move has a piece, -1 where the other has one, 0 elsewhere, row by row. Targets are
    0 (lost), 1 (drawn), 2 (won) if both play as well as possible, found by looking at all ways to go on (minimax).
    Games that are over are among them: lost for the player who would be next, or drawn with a full board.
    """
    values: dict[_Board, int] = {}
    _value((0,) * 9, values)
    boards = sorted(values)
    return Dataset(
        np.array(boards, np.float32), np.array([values[board] + 1 for board in boards], np.int32), "tic-tac-toe"
    )


def _value(board: _Board, values: dict[_Board, int]) -> int:
    """What a position is worth to the player to move: -1, 0 or 1; that of each position after it is noted too."""
    if board not in values:
        values[board] = _outcome(board, values)
    return values[board]


def _outcome(board: _Board, values: dict[_Board, int]) -> int:
    if any(all(board[square] == -1 for square in line) for line in _LINES):
        return -1
    after = [tuple(-piece for piece in (*board[:i], 1, *board[i + 1 :])) for i in range(9) if board[i] == 0]
    return max((-_value(next_board, values) for next_board in after), default=0)
