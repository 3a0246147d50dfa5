"""Shows how far training is: a moving bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sigmagraph.training.display.terminal import terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """A context in which steps are counted and lines are printed.

    Args:
        epochs: how many there will be.
        steps: of each epoch.
        bar: whether to draw a bar on stderr; None draws one if stderr is a terminal. There is none while another
            training draws its own.
        lines: whether to print lines on stdout.
    """

    def __init__(self, epochs: int, steps: int, *, bar: bool | None = None, lines: bool = True) -> None:
        self._epochs = epochs
        self._steps = steps
        self._lines = lines
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty() if bar is None else bar:
            self._bar = _make_bar()

    def __enter__(self) -> Self:
        if self._bar is not None and terminal().claim(self):
            self._bar.start()
            self._task = self._bar.add_task("", total=self._epochs * self._steps, cost="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.stop()
            terminal().release(self)

    def step(self, epoch: int, cost: float) -> None:
        """A step of an epoch, which are counted from 1, is done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=f"epoch {epoch}", cost=f"cost {cost:.4f}")

    def line(self, text: str) -> None:
        """Print a line about training itself, if such are wanted."""
        if self._lines:
            self.say(text)

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[cost]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a file that stdout goes to still gets the lines
    )
