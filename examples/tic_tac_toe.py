"""Tic-tac-toe: learn what every position is worth, then play 200 games against chance and 20 against a perfect player.

Who moves looks at all positions that he can reach, and takes the one that the network likes least for the other.
``python tic_tac_toe.py --play`` lets you play against it.
"""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import sigmagraph as sg
from sigmagraph import data, hooks, optimisers
from sigmagraph import layers as L

Array: TypeAlias = "np.ndarray[Any, Any]"
Player: TypeAlias = Callable[[Array], int]

positions = data.datasets.tic_tac_toe()  # all of them, each with its true value: 0 lost, 1 drawn, 2 won
env = sg.Environment("tic-tac-toe", seed=3)
network = sg.Network(
    "game", L.Input(9) + 2 * L.Dense(128, activation="relu", name="fc#") + L.Dense(3) + L.SoftmaxCrossEntropy()
)
rate = optimisers.schedules.Cosine(0.004, 40 * 86)
trainer = env.trainer("values", network, optimisers.Adam(rate), positions.batches(64), validation=positions)
trainer.add(hooks.Accuracy("validation", every="10 epochs"))
trainer.add(hooks.Stop(on=hooks.Threshold("validation.accuracy", ">=", 0.995)))

LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])
VALUES = {tuple(board): int(value) for board, value in zip(positions.inputs, positions.targets, strict=True)}


def reached(board: Array) -> tuple[Array, Array]:
    """The squares that are free, and the positions after a move to each, seen by the other player."""
    squares = np.flatnonzero(board == 0)
    after = np.repeat(-board[None], len(squares), 0)
    after[np.arange(len(squares)), squares] = -1
    return squares, after


def learnt(board: Array) -> int:
    """The move that the network finds best: the other is likely to lose, or at least not to win."""
    squares, after = reached(board)
    chances = network.predict(after)
    return int(squares[np.argmax(chances[:, 0] - chances[:, 2])])


CHANCE = np.random.default_rng(0)


def by_chance(board: Array) -> int:
    """Any move."""
    return int(CHANCE.choice(np.flatnonzero(board == 0)))


def perfect(board: Array) -> int:
    """A move that loses nothing."""
    squares, after = reached(board)
    return int(squares[np.argmin([VALUES[tuple(position)] for position in after])])


def ask(board: Array) -> int:
    """Your move."""
    for row in board.reshape(3, 3):
        print(" ".join(".XO"[int(piece)] for piece in row))
    free = np.flatnonzero(board == 0) + 1
    while (answer := input(f"your square, of {free.tolist()}: ")) not in map(str, free):
        pass
    return int(answer) - 1


def game(first: Player, second: Player) -> int:
    """1 if the first player wins, -1 if the second one does, 0 for a draw."""
    board, sign = np.zeros(9, np.float32), 1
    for player in [first, second] * 5:
        board[player(board)] = 1
        if (board[LINES] == 1).all(1).any():
            return sign
        if board.all():
            break
        board, sign = -board, -sign
    return 0


if __name__ == "__main__":
    trainer.run(40, lines=False)
    print(f"{trainer.epoch} epochs: {trainer.evaluate(positions).accuracy:.1%} of {len(positions)} positions")
    if "--play" in sys.argv:
        print({1: "you win", 0: "a draw", -1: "you lose"}[game(ask, learnt)])
        sys.exit()
    results = [game(learnt, by_chance) for _ in range(100)] + [-game(by_chance, learnt) for _ in range(100)]
    print(f"200 games against chance: {results.count(1)} won, {results.count(0)} drawn, {results.count(-1)} lost")
    hard = [game(learnt, perfect) for _ in range(10)] + [-game(perfect, learnt) for _ in range(10)]
    print(f"20 games against a perfect player: {hard.count(0)} drawn, {hard.count(-1)} lost")
