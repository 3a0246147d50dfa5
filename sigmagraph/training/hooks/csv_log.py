"""A hook that writes values to a CSV file, one row for each event."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sigmagraph.errors import FileFormatError, InputError
from sigmagraph.training.hooking.criteria import Criterion
from sigmagraph.training.hooking.hook import Moment, State, Training, When
from sigmagraph.training.hooks.acting import ActingHook
from sigmagraph.training.hooks.claims import claim, release
from sigmagraph.training.hooks.comparison import is_number
from sigmagraph.training.hooks.listing import listed


@dataclass(frozen=True, init=False)
class CsvLog(ActingHook):
    """Write a row at every event: ``CsvLog("runs/digits.csv", "optimiser.cost", "validation.*")``.

    The columns are ``epoch``, ``iteration``, ``seconds`` and the identifiers, in the order in which the first row has
    them; the file begins with their names. The file is closed after each row. If one of the same columns is there, rows
    are put behind those that it has. When training is resumed, the rows are cut off that were written after the
    checkpoint.

    Args:
        path: of the file; its folder is made.
        identifiers: of numbers or texts, or patterns; of what these name, numbers and texts count.
        every, on, priority: as for :class:`Hook`.

    Raises:
        AttributeValueError: one of these makes no sense.
    """

    path: str
    identifiers: tuple[str, ...]

    def __init__(
        self,
        path: str | Path,
        *identifiers: str,
        every: When = "1 epoch",
        on: Criterion | None = None,
        priority: int = 0,
    ) -> None:
        super().__init__(every=every, on=on, priority=priority)
        object.__setattr__(self, "path", str(path))
        object.__setattr__(self, "identifiers", identifiers)

    def reads(self) -> tuple[str, ...]:
        return self.identifiers

    def initial(self) -> State:
        return {"columns": None, "bytes": 0}

    def attached(self, trainer: Training) -> None:
        claim(trainer, Path(self.path), self)
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            with Path(self.path).open("ab"):
                pass
        except OSError as error:
            raise self._refused(error) from error

    def detached(self, trainer: Training) -> None:
        release(trainer, Path(self.path), self)

    def invoke(self, now: Moment, /) -> None:
        row: dict[str, Any] = {"epoch": now.epoch, "iteration": now.iteration, "seconds": round(now.seconds, 6)}
        for name, value in listed(now, self.identifiers).items():
            if name in self.identifiers or _is_cell(value):
                row.setdefault(name, value)
        columns = now.state["columns"] or list(row)
        extra = [name for name in row if name not in columns]
        if extra:
            raise InputError(f"{self.path} has no column for this", expected=", ".join(columns), got=", ".join(extra))
        line = _line(_cell(name, row.get(name)) for name in columns)
        try:
            with Path(self.path).open("a+b") as file:
                size = self._append(file, now.state, columns, line)
        except OSError as error:
            raise self._refused(error) from error
        now.state.update(columns=columns, bytes=size)

    def _append(self, file: IO[bytes], state: State, columns: list[str], line: bytes) -> int:
        """Put a row where the last one ends that the hook knows of; the size of the file then."""
        size = file.seek(0, io.SEEK_END)
        if state["columns"] and size > state["bytes"]:  # written after the checkpoint that training was resumed from
            size = file.truncate(state["bytes"])
        elif size and size != state["bytes"]:
            line = self._join(file, columns) + line
        if not size:
            line = _line(columns) + line
        try:
            file.write(line)
            file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
        return file.tell()

    def _join(self, file: IO[bytes], columns: list[str]) -> bytes:
        """Check the header of a file that was there before; what has to stand between its end and another row."""
        file.seek(0)
        header = next(csv.reader([file.readline().decode("utf-8", "replace")]), [])
        if header != columns:
            raise FileFormatError(
                f"{self.path} is a table of other columns",
                expected=", ".join(columns),
                got=", ".join(header),
                hint="give the hook another file, or take this one away",
            )
        file.seek(-1, io.SEEK_END)
        return b"" if file.read(1) == b"\n" else b"\n"

    def _refused(self, error: OSError) -> InputError:
        return InputError(f"{self.path} cannot be written", got=error.strerror)


def _line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(list(cells))
    return text.getvalue().encode()


def _cell(name: str, value: Any) -> Any:
    """A value as a table has it; numbers are written so that reading them gives the same again."""
    if not _is_cell(value):
        raise InputError("a table takes numbers and texts", expected=f"'{name}' as one", got=f"{value!r:.80}")
    return value if value is None or isinstance(value, (str, bool, int, float)) else np.asarray(value).item()


def _is_cell(value: Any) -> bool:
    if value is None or isinstance(value, (str, bool, int, float)):
        return True
    return isinstance(value, (np.ndarray, np.generic)) and is_number(value)
