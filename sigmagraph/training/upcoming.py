"""The batches of an epoch in their order, of which the next one can be got ready before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Upcoming(Iterator[T], Generic[T]):
    """What a source gives, in its order.

    Args:
        source: is asked for one item more than was asked for here, at most.
        prepare: is called with an item that was got ready; what goes wrong with it is told when it is asked for.
    """

    def __init__(self, source: Iterator[T], prepare: Callable[[T], None]) -> None:
        self._source = source
        self._prepare = prepare
        self._ready: list[T] = []
        self._failure: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return self._ready.pop() if self._ready else next(self._source)

    def get_ready(self) -> None:
        """Get the next item ready, if there is one and that was not done."""
        if self._ready or self._failure is not None:
            return
        try:
            for item in self._source:
                self._prepare(item)
                self._ready.append(item)
                break
        except Exception as error:  # noqa: BLE001  # raised where the item would have come
            self._failure = error
