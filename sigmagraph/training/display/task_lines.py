"""Shows running tasks: bars at the foot of a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sigmagraph.training.display.terminal import terminal
from sigmagraph.training.tasks import Event, Task, TaskEvent, Tasks

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class TaskLines:
    """A context in which exposed tasks are shown on stderr.

    Bars are drawn while tasks are running, in a terminal in which nobody else draws; when the bar of a training begins,
    they make room for it. Without bars a line is printed when a task begins and when it is over.

    Args:
        tasks: what to show.
        bars: whether bars are drawn; None draws them if stderr is a terminal.
    """

    def __init__(self, tasks: Tasks, *, bars: bool | None = None) -> None:
        self._tasks = tasks
        self._wanted = bars
        self._lock = threading.RLock()
        self._bars: Bars | None = None
        self._rows: dict[Task, TaskID] = {}
        self._end: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to show tasks, those that are running already included; nothing happens if it has begun."""
        with self._lock:
            if self._end is not None:
                return
            self._end = self._tasks.observe(self._see)
            for task in self._tasks.running():
                self._begin(task)

    def stop(self) -> None:
        """Show nothing more."""
        with self._lock:
            if self._end is not None:
                self._end()
                self._end = None
            self._close()

    def _see(self, event: TaskEvent) -> None:
        with self._lock:
            if self._end is None or not event.task.exposed:
                return
            if event.event is Event.CREATED:
                self._begin(event.task)
            elif event.event is Event.CHANGED:
                self._update(event.task)
            else:
                self._finish(event)

    def _begin(self, task: Task) -> None:
        if task in self._rows or task.over or not task.exposed:
            return
        if self._bars is None and self._may_draw() and terminal().claim(self, self._make_room):
            self._bars = _make_bars()
            self._bars.start()
        if self._bars is None:
            _print(f"{_title(task)} ...")
        else:
            self._rows[task] = self._bars.add_task(_title(task), total=task.total)
            self._update(task)

    def _update(self, task: Task) -> None:
        if self._bars is not None and task in self._rows:
            self._bars.update(self._rows[task], completed=task.done, total=task.total)

    def _finish(self, event: TaskEvent) -> None:
        task = event.task
        row = self._rows.pop(task, None)
        if self._bars is not None and row is not None:
            self._bars.remove_task(row)
        _print(f"{_title(task)} {'done' if event.event is Event.ENDED else 'cancelled'} ({task.seconds:.1f} s)")
        if not self._rows:
            self._close()

    def _may_draw(self) -> bool:
        return sys.stderr.isatty() if self._wanted is None else self._wanted

    def _make_room(self) -> None:
        """Another display wants to draw: what is running is told by lines from now on."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        bars, self._bars = self._bars, None
        self._rows.clear()
        if bars is not None:
            bars.stop()
        terminal().release(self)


def _title(task: Task) -> str:
    return f"{task.kind.value} {task.name}"


def _print(line: str) -> None:
    """Print above the bars, which redirect stderr while they are drawn."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _make_bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a file that stdout goes to still gets the lines
    )
