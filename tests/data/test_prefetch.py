from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from sigmagraph.data import prefetch
from sigmagraph.errors import AttributeValueError


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "prefetch"]


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
def test_everything_comes_in_order_and_once(depth: int) -> None:
    with prefetch(range(50), depth) as ahead:
        assert list(ahead) == list(range(50))
        assert next(ahead, "end") == "end"
    assert threads() == []


def fails_at(place: int) -> Iterator[int]:
    yield from range(place)
    raise KeyError("the source broke")


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_failure_comes_in_its_place_with_its_traceback(depth: int) -> None:
    with prefetch(fails_at(3), depth) as ahead:
        assert [next(ahead) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError, match="the source broke") as caught:
            next(ahead)
    assert "fails_at" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert threads() == []


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_the_depth_is_fetched_ahead(depth: int) -> None:
    fetched: list[int] = []

    def source() -> Iterator[int]:
        for i in range(100):
            fetched.append(i)
            yield i

    with prefetch(source(), depth) as ahead:
        next(ahead)
        deadline = time.monotonic() + 10
        while len(fetched) < depth + 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(fetched) == depth + 1


def test_stopping_early_ends_the_thread_and_closes_the_source() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.append(threading.current_thread().name)

    with prefetch(source(), 2) as ahead:
        assert next(ahead) == 0
        assert threads() == ["prefetch"]
    assert threads() == []
    assert closed == ["prefetch"]


def test_an_error_of_the_consumer_ends_the_thread_too() -> None:
    def consume() -> None:
        with prefetch(range(1_000_000), 2) as ahead:
            raise ValueError(next(ahead))

    with pytest.raises(ValueError, match="0"):
        consume()
    assert threads() == []


def test_depth_nought_reads_in_the_same_thread() -> None:
    def source() -> Iterator[str]:
        yield threading.current_thread().name

    with prefetch(source(), 0) as ahead:
        assert list(ahead) == [threading.current_thread().name]
    with prefetch(source(), 1) as ahead:
        assert list(ahead) == ["prefetch"]


@pytest.mark.parametrize("depth", [-1, 1.5, True])
def test_depths_are_natural_numbers(depth: object) -> None:
    with pytest.raises(AttributeValueError, match="no number of items"), prefetch([1], depth):  # type: ignore[arg-type]
        pass
