from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sigmagraph.data import Dataset, datasets
from sigmagraph.errors import AttributeValueError, InputError


def means(dataset: Dataset) -> list[float]:
    return [round(float(mean), 2) for mean in dataset.inputs.astype(np.float64).mean(axis=0)]


@pytest.mark.parametrize(
    ("name", "shape", "classes", "first"),
    [
        ("iris", (150, 4), [50, 50, 50], [5.1, 3.5, 1.4, 0.2]),
        ("wine", (178, 13), [59, 71, 48], [14.23, 1.71, 2.43, 15.6]),
        ("breast_cancer", (569, 30), [212, 357], [17.99, 10.38, 122.8, 1001]),
    ],
)
def test_tables_are_those_of_their_sources(
    name: str, shape: tuple[int, int], classes: list[int], first: list[float]
) -> None:
    dataset = getattr(datasets, name)()
    assert (dataset.inputs.shape, dataset.inputs.dtype, dataset.targets.dtype) == (shape, np.float32, np.int32)
    assert np.bincount(dataset.targets).tolist() == classes
    np.testing.assert_array_equal(dataset.inputs[0, :4], np.float32(first))


def test_means_are_those_that_descriptions_of_the_tables_give() -> None:
    assert means(datasets.iris()) == [5.84, 3.06, 3.76, 1.2]
    assert [round(mean, 1) for mean in means(datasets.wine())[:5]] == [13.0, 2.3, 2.4, 19.5, 99.7]
    cancer = datasets.breast_cancer().inputs
    assert (cancer[:, 0].min(), cancer[:, 3].max(), cancer[:, 23].max()) == (np.float32(6.981), 2501, 4254)


def test_gates() -> None:
    for gate, function in (("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)):
        dataset = datasets.logic(gate)
        assert len({tuple(row) for row in dataset.inputs.tolist()}) == 4
        np.testing.assert_array_equal(dataset.targets, function(*dataset.inputs.T))
        assert dataset.targets.dtype == np.int32
    with pytest.raises(AttributeValueError, match="no such gate"):
        datasets.logic("nand")


WINS = [0b111000000, 0b000111000, 0b000000111, 0b100100100, 0b010010010, 0b001001001, 0b100010001, 0b001010100]


@cache
def solved(own: int, other: int) -> int:
    """What a game is worth to whoever moves: another solver, of sets of squares as bits, which counts from the other's side."""
    if any(other & win == win for win in WINS):
        return 0
    free = [bit for bit in (1 << i for i in range(9)) if not (own | other) & bit]
    if not free:
        return 1
    worst_for_other = min(solved(other, own | bit) for bit in free)
    return 2 - worst_for_other


def test_tic_tac_toe_has_every_position_with_its_true_value() -> None:
    games = datasets.tic_tac_toe()
    assert (games.inputs.shape, games.inputs.dtype, games.targets.dtype) == ((5478, 9), np.float32, np.int32)
    solved(0, 0)
    bits = 1 << np.arange(8, -1, -1)
    sides = [(int(bits[row == 1].sum()), int(bits[row == -1].sum())) for row in games.inputs]
    assert len(set(sides)) == solved.cache_info().currsize == 5478
    assert games.targets.tolist() == [solved(*side) for side in sides]
    pieces = np.abs(games.inputs).sum(axis=1)
    assert np.bincount(pieces.astype(int)).tolist() == [1, 9, 72, 252, 756, 1260, 1520, 1140, 390, 78]
    assert games.targets[pieces == 0] == 1
    assert (games.targets[pieces == 9] == 1).sum() == 16


def test_the_text_is_dealt_in_windows() -> None:
    text = datasets.character_names()
    dataset = datasets.text(32)
    symbols = sorted(set(text))
    assert dataset.inputs.shape == dataset.targets.shape == ((len(text) - 1) // 32, 32)
    assert "".join(symbols[code] for code in dataset.inputs[:9].ravel()) == text[: 9 * 32]
    assert "".join(symbols[code] for code in dataset.targets[:9].ravel()) == text[1 : 9 * 32 + 1]
    assert (len(text.splitlines()), dataset.targets.dtype) == (7952, np.int32)


def test_missing_fashion_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks a file") as caught:
        datasets.fashion_mnist(tmp_path)
    assert "dataset-fashion-mnist" in str(caught.value)
