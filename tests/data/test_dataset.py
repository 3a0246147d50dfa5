from __future__ import annotations

import numpy as np
import pytest

from sigmagraph import data
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError, ShapeError


def numbered(records: int) -> Dataset:
    """A dataset whose record i is (i, -i)."""
    return Dataset(np.arange(records), -np.arange(records))


def test_digits_are_those_of_the_repository() -> None:
    digits = data.datasets.digits()
    assert digits.inputs.shape == (1797, 8, 8)
    assert digits.inputs.dtype == np.float32
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    assert digits.targets.dtype == np.int32
    assert np.bincount(digits.targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_split_is_random_complete_and_without_overlap() -> None:
    train, held_out = numbered(101).split(0.8, 0.2, seed=3)
    assert (len(train), len(held_out)) == (81, 20)
    assert sorted([*train.inputs, *held_out.inputs]) == list(range(101))
    assert (train.targets == -train.inputs).all()
    assert held_out.inputs.tolist() != list(range(81, 101))


def test_split_may_leave_records_out() -> None:
    parts = numbered(100).split(0.1, 0.25)
    assert [len(p) for p in parts] == [10, 25]
    assert len({*parts[0].inputs, *parts[1].inputs}) == 35


def test_split_depends_on_the_seed_alone() -> None:
    first, again, other = (numbered(50).split(0.5, seed=s)[0].inputs.tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("shares", [(), (0.5, 0.6), (0.5, 0.0), (1.5,), (-0.1, 0.5), (float("nan"),)])
def test_split_refuses_shares_that_mean_nothing(shares: tuple[float, ...]) -> None:
    with pytest.raises(AttributeValueError, match="cannot be split"):
        numbered(10).split(*shares)


def test_an_epoch_deals_out_every_record_once_and_the_last_batch_is_smaller() -> None:
    batches = numbered(23).batches(5)
    epoch = list(batches.epoch(0))
    assert [len(b.inputs) for b in epoch] == [5, 5, 5, 5, 3]
    assert len(batches) == 5
    assert sorted(np.concatenate([b.inputs for b in epoch])) == list(range(23))
    assert all((b.targets == -b.inputs).all() for b in epoch)


def test_drop_last_leaves_the_smaller_batch_out() -> None:
    batches = numbered(23).batches(5, drop_last=True)
    assert [len(b.inputs) for b in batches.epoch(0)] == [5, 5, 5, 5]
    assert len(batches) == 4


def test_every_epoch_has_an_order_of_its_own_which_the_seed_fixes() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate([b.inputs for b in numbered(40).batches(7, seed=seed).epoch(epoch)]).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "10"])
def test_batches_refuse_sizes_that_mean_nothing(size: object) -> None:
    with pytest.raises(AttributeValueError, match="at least one record"):
        numbered(10).batches(size)  # type: ignore[arg-type]


def test_batches_refuse_to_be_none() -> None:
    with pytest.raises(AttributeValueError, match="makes no batch"):
        numbered(10).batches(11, drop_last=True)
    with pytest.raises(AttributeValueError, match="makes no batch"):
        numbered(0).batches(1)


@pytest.mark.parametrize("seed", [-1, 0.5, True])
def test_seeds_are_natural_numbers(seed: object) -> None:
    with pytest.raises(AttributeValueError, match="no seed"):
        numbered(10).split(0.5, seed=seed)  # type: ignore[arg-type]


def test_inputs_and_targets_are_as_many() -> None:
    with pytest.raises(ShapeError, match="another number of targets"):
        Dataset(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ShapeError, match="no axis of records"):
        Dataset(np.float32(1), np.zeros(4))
