"""Reads ahead in a thread, so that what is needed next is at hand when it is asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from sigmagraph.data.digests import natural

T = TypeVar("T")


@contextmanager
def prefetch(source: Iterable[T], depth: int = 2) -> Iterator[Iterator[T]]:
    """What the source gives, in its order, up to ``depth`` items of it fetched ahead by a thread.

    ::

        with prefetch(batches.epoch(0)) as ahead:
            for batch in ahead: ...

    An exception of the source is raised where its next item would have come. The thread ends with the context, as soon
    as an item that it is just fetching is there; what was fetched and not asked for is lost.

    Args:
        source: iterated over in the thread, and nowhere else.
        depth: items in store; with 0 there is no thread, and the source is asked when its items are.

    Raises:
        AttributeValueError: the depth is not a natural number.
    """
    if natural(depth, "this is no number of items to fetch ahead") == 0:
        yield iter(source)
        return
    ahead = _Ahead(source, depth)
    try:
        yield ahead
    finally:
        ahead.end()


class _Ahead(Iterator[T], Generic[T]):
    """The store between the two threads."""

    def __init__(self, source: Iterable[T], depth: int) -> None:
        self._source = source
        self._depth = depth
        self._items: deque[T] = deque()
        self._failure: BaseException | None = None
        self._done = False  # the source has no more, or is not wanted any more
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._fetch, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        with self._changed:
            while not self._items and not self._done:
                self._changed.wait()
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopIteration

    def end(self) -> None:
        """Stop the thread and wait for it."""
        with self._changed:
            self._done = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join()

    def _fetch(self) -> None:
        failure: BaseException | None = None
        try:
            iterator = iter(self._source)
            try:
                while self._wanted():
                    self._store(next(iterator))
            finally:
                # A generator that is left in the middle holds files and blocks until it is closed.
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            failure = error
        with self._changed:
            self._failure = failure
            self._done = True
            self._changed.notify_all()

    def _wanted(self) -> bool:
        """Whether there is room for an item, once there is."""
        with self._changed:
            while len(self._items) >= self._depth and not self._done:
                self._changed.wait()
            return not self._done

    def _store(self, item: T) -> None:
        with self._changed:
            if not self._done:
                self._items.append(item)
                self._changed.notify_all()
