"""Tasks: progress, events, their end, and the lines that show them."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.display.progress import Progress
from sigmagraph.training.display.task_lines import TaskLines
from sigmagraph.training.display.terminal import Terminal, terminal
from sigmagraph.training.tasks import Event, Kind, TaskEvent, Tasks


def test_progress_is_what_is_done_of_the_total() -> None:
    tasks = Tasks()
    with tasks.begin(Kind.DOWNLOAD, "iris.zip", total=10) as task:
        assert task.progress == 0
        task.advance(4)
        task.advance()
        assert task.progress == 0.5
        task.progress = 0.8
        assert task.done == 8
        task.advance(9)
        assert task.progress == 1
        assert tasks.running() == [task]
        assert task.exposed
        assert not task.over
    assert tasks.running() == []
    assert task.over
    assert not task.cancelled
    assert 0 <= task.seconds == task.seconds


def test_a_total_may_be_known_late_or_never() -> None:
    tasks = Tasks()
    with tasks.begin(Kind.UNPACK, "a") as task:
        task.advance(100)
        assert task.progress is None
        task.report(150, 200)
        assert task.progress == 0.75
        task.report(180)
        assert task.progress == 0.9
    assert task.progress == 1  # ended is all of it
    with tasks.begin(Kind.TRAIN, "b") as task:
        task.progress = 0.25
        assert (task.done, task.total, task.progress) == (0.25, 1, 0.25)
    assert tasks.begin(Kind.SAVE, "empty", 0).progress == 1


def test_observers_hear_of_everything_in_order(caplog: pytest.LogCaptureFixture) -> None:
    tasks, heard = Tasks(), []

    def fail(event: TaskEvent) -> None:
        raise RuntimeError("broken observer")

    broken = tasks.observe(fail)
    end = tasks.observe(lambda e: heard.append((e.event, e.task.name, e.progress)))
    with caplog.at_level(logging.ERROR, "sigmagraph"), tasks.begin(Kind.LOAD, "a", 2) as task:
        broken()
        task.advance()
    with pytest.raises(KeyError), tasks.begin(Kind.LOAD, "b") as other:
        raise KeyError
    assert other.cancelled
    other.advance()  # whoever works on it may not know yet
    other.end()
    end()
    tasks.begin(Kind.LOAD, "c").cancel()
    assert heard == [
        (Event.CREATED, "a", 0),
        (Event.CHANGED, "a", 0.5),
        (Event.ENDED, "a", 1),
        (Event.CREATED, "b", None),
        (Event.CANCELLED, "b", None),
    ]
    assert caplog.text.count("RuntimeError: broken observer") == 1


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "1", None, True])
def test_amounts_are_numbers(amount: Any) -> None:
    task = Tasks().begin(Kind.LOAD, "a", 1)
    for use in (task.advance, task.report, lambda a: setattr(task, "progress", a)):
        with pytest.raises(AttributeValueError):
            use(amount)
    with pytest.raises(AttributeValueError):
        task.progress = 1.5
    if amount is not None:
        with pytest.raises(AttributeValueError):
            Tasks().begin(Kind.LOAD, "a", amount)
    assert task.done == 0


def test_wrong_tasks_are_refused() -> None:
    tasks = Tasks()
    for use in (lambda: tasks.begin("loading", "a"), lambda: tasks.begin(Kind.LOAD, ""), lambda: tasks.observe(3)):  # type: ignore[arg-type]
        with pytest.raises(AttributeValueError):
            use()
    assert tasks.running() == []
    assert len(Kind) == 8


def test_threads_advance_together() -> None:
    tasks, heard = Tasks(), []
    tasks.observe(lambda event: heard.append(event.progress))

    def work() -> None:
        for _ in range(200):
            task.advance()
            tasks.begin(Kind.LOAD, "other", 1).end()

    with tasks.begin(Kind.PREPROCESS, "shared", 800) as task:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert task.done == 800
    assert tasks.running() == []
    assert len(heard) == 2 + 800 + 2 * 800


def test_without_a_terminal_lines_say_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = Tasks()
    early = tasks.begin(Kind.PREPARE, "[early]")
    with TaskLines(tasks) as lines:
        lines.start()
        with tasks.begin(Kind.DOWNLOAD, "iris.zip", 4) as task:
            task.advance(2)
        tasks.begin(Kind.SAVE, "hidden", exposed=False).end()
        early.cancel()
    tasks.begin(Kind.LOAD, "later").end()
    out, err = capsys.readouterr()
    assert out == ""
    shown = [line.partition(" (")[0] for line in err.splitlines()]
    assert shown == [
        "prepare [early] ...",
        "download iris.zip ...",
        "download iris.zip done",
        "prepare [early] cancelled",
    ]
    lines.stop()


def test_bars_are_drawn_while_tasks_run(capsys: pytest.CaptureFixture[str]) -> None:
    tasks, other = Tasks(), object()
    with TaskLines(tasks, bars=True):
        assert terminal().claim(other)  # nothing runs, so nobody draws
        terminal().release(other)
        with tasks.begin(Kind.DOWNLOAD, "[iris].zip", 4) as task:
            task.advance(1)
            assert not terminal().claim(other, lambda: None)
        assert terminal().claim(other)
        terminal().release(other)
    err = capsys.readouterr().err
    assert "25%" in err or "0%" in err
    assert "download [iris].zip done" in err


def test_one_display_draws_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = Tasks()
    with TaskLines(tasks, bars=True):
        task = tasks.begin(Kind.DOWNLOAD, "early")
        with Progress(1, 2, bar=True, lines=False) as progress:  # the bars make room for it
            assert not terminal().claim(object())
            with Progress(1, 2, bar=True, lines=False) as second:  # the first one has the place
                second.step(1, 0.5)
            tasks.begin(Kind.DOWNLOAD, "meanwhile").end()
            progress.step(1, 0.25)
            task.end()
        with tasks.begin(Kind.DOWNLOAD, "late"):
            assert not terminal().claim(object(), lambda: None)
    err = capsys.readouterr().err
    assert "download meanwhile ..." in err
    assert "download meanwhile done" in err
    assert "download early done" in err
    assert "download late ..." not in err
    assert "cost 0.5" not in err
    owner = object()
    assert terminal().claim(owner)
    terminal().release(owner)


def test_the_place_goes_to_who_insists() -> None:
    place, calls = Terminal(), []
    first, second, third = "first", "second", "third"
    assert place.claim(first, lambda: calls.append("left"))
    assert not place.claim(second, lambda: None)
    assert place.claim(first, lambda: calls.append("left"))
    assert place.claim(third)
    assert calls == ["left"]
    assert not place.claim(second)
    place.release(first)
    assert not place.claim(second)
    place.release(third)
    assert place.claim(second)
