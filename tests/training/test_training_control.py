"""What is asked of a training from another thread has begun when the call comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.control import Control, State


class Looping:
    """A thread that counts iterations as a trainer does."""

    def __init__(self) -> None:
        self.control, self.count = Control(), 0
        self._began, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()
        self._began.wait()

    def _work(self) -> None:
        self.control.begin()
        self._began.set()
        while self.control.proceed(lambda: None, lambda: None):
            self.count += 1
            self.control.done()
        self.end.wait(10)
        self.control.end(State.STOPPED)


@pytest.fixture
def looping() -> Iterator[Looping]:
    made = Looping()
    yield made
    made.end.set()
    made.control.stop()
    made.thread.join()


def test_waiting_after_steps_waits_for_the_steps(looping: Looping) -> None:
    looping.control.pause()
    assert looping.control.wait(State.PAUSED, timeout=10)
    for _ in range(50):
        before = looping.count
        looping.control.advance(3)
        assert looping.control.wait(State.PAUSED, timeout=10)
        assert looping.count == before + 3


def test_a_pause_is_over_when_training_is_to_end(looping: Looping) -> None:
    looping.control.pause()
    assert looping.control.wait(State.PAUSED, timeout=10)
    looping.control.stop()
    assert not looping.control.wait(State.PAUSED, State.STOPPED, timeout=0.05)
    looping.end.set()
    assert looping.control.wait(State.STOPPED, timeout=10)


@pytest.mark.parametrize("number", [0, -1, True, 1.5])
def test_steps_are_a_number(looping: Looping, number: object) -> None:
    with pytest.raises(AttributeValueError, match="advances by iterations"):
        looping.control.advance(number)  # type: ignore[arg-type]
