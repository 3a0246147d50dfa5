from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from sigmagraph.data.batches import Batches
from sigmagraph.data.dataset import Dataset
from sigmagraph.errors import AttributeValueError


def numbered(records: int) -> Dataset:
    """A dataset whose record i is (i, -i)."""
    return Dataset(np.arange(records), -np.arange(records))


def dealt(batches: Batches, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [batch.inputs.tolist() for batch in batches.epoch(epoch, start)]


def test_the_order_of_a_seed_is_that_of_earlier_versions() -> None:
    assert dealt(numbered(10).batches(4, seed=7), 1) == [[5, 4, 2, 6], [3, 8, 9, 0], [7, 1]]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("size", [1, 4, 23, 30])
def test_an_epoch_from_a_later_start_is_the_tail_of_the_whole(size: int, drop_last: bool) -> None:
    if drop_last and size > 23:
        return
    batches = numbered(23).batches(size, seed=3, drop_last=drop_last)
    whole = dealt(batches, 2)
    assert len(whole) == len(batches)
    for start in range(len(batches) + 1):
        assert dealt(batches, 2, start) == whole[start:]


def test_places_that_do_not_exist_are_refused_at_once() -> None:
    batches = numbered(10).batches(5)
    for number, start in [(-1, 0), (0, -1), (0, 3), (0.5, 0)]:
        with pytest.raises(AttributeValueError, match=r"no epoch|no batch|fewer batches"):
            batches.epoch(number, start)  # type: ignore[arg-type]


def test_a_seed_of_none_is_nought_until_there_is_another() -> None:
    batches = numbered(30).batches(7)
    assert batches.seed is None
    assert dealt(batches) == dealt(numbered(30).batches(7, seed=0))
    assert batches.seeded(5).seed == 5
    assert dealt(batches.seeded(5)) == dealt(numbered(30).batches(7, seed=5))
    with pytest.raises(AttributeValueError, match="no seed"):
        batches.seeded(-1)


def test_another_size_deals_the_same_order() -> None:
    batches = numbered(30).batches(7, seed=1)
    assert [*chain(*dealt(batches.sized(4)))] == [*chain(*dealt(batches))]
    assert len(batches.sized(4)) == 8
    with pytest.raises(AttributeValueError, match="at least one record"):
        batches.sized(0)


def test_fingerprints_tell_batches_apart() -> None:
    batches = numbered(30).batches(7)
    assert batches.fingerprint() == numbered(30).batches(7, seed=0).fingerprint()
    others = [
        batches.seeded(1),
        batches.sized(8),
        numbered(30).batches(7, drop_last=True),
        numbered(31).batches(7),
        Dataset(np.arange(30), np.arange(30)).batches(7),
        Dataset(np.arange(30.0), -np.arange(30)).batches(7),
    ]
    assert len({b.fingerprint() for b in [batches, *others]}) == 1 + len(others)
