"""Batches that are got ready before they are asked for: their order, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sigmagraph.training.upcoming import Upcoming


def test_one_item_at_most_is_got_ready_and_none_is_lost() -> None:
    asked: list[int] = []
    ready: list[int] = []

    def source() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    upcoming = Upcoming(source(), ready.append)
    assert next(upcoming) == 0
    for _ in range(2):
        upcoming.get_ready()
    assert (asked, ready) == ([0, 1], [1])
    assert [next(upcoming), next(upcoming)] == [1, 2]
    upcoming.get_ready()
    upcoming.get_ready()
    assert list(upcoming) == [3]
    upcoming.get_ready()
    assert list(upcoming) == []
    assert ready == [1, 3]


def test_what_goes_wrong_is_raised_where_the_item_would_have_come() -> None:
    def refuse(number: int) -> None:
        if number == 1:
            raise ValueError("not this one")

    upcoming = Upcoming(iter(range(3)), refuse)
    assert next(upcoming) == 0
    upcoming.get_ready()
    upcoming.get_ready()
    with pytest.raises(ValueError, match="not this one"):
        next(upcoming)
    upcoming.get_ready()
    assert list(upcoming) == [2]
