"""The folder of a run: what was asked for, where it ran, what was measured, its log and its checkpoints.

``config.json`` and ``environment.json`` say what was trained and with what, ``state.json`` how far it got;
``metrics.jsonl`` has a line of JSON for each event, in which numbers that JSON does not know stand as text.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from sigmagraph.errors import AttributeValueError, InputError, TrainingStateError
from sigmagraph.runtime.devices import default_threads, devices
from sigmagraph.runtime.whole_files import fill_whole, write_text
from sigmagraph.training.logs import file_handler
from sigmagraph.training.storage.checkpoints import CheckpointFolder
from sigmagraph.training.storage.folder_lock import FolderLock
from sigmagraph.training.storage.plain_values import as_json
from sigmagraph.training.storage.run_reading import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    LOG,
    METRICS,
    STATE,
    Run,
    line_of,
    read_json,
    read_metrics,
    read_run,
)

_LOG = logging.getLogger("sigmagraph.training")
Ending: TypeAlias = Literal["paused", "finished", "stopped", "failed"]


class RunFolder:
    """The folder of one run, which this object alone writes to from :meth:`open` to :meth:`close`.

    Args:
        path: of the folder; it is made when it is opened.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._lock: FolderLock | None = None
        self._lines: _Lines | None = None
        self._handlers: list[logging.Handler] = []

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / CHECKPOINTS)

    @property
    def is_open(self) -> bool:
        """Whether this object may write to the folder."""
        return self._lock is not None

    # ---- from its beginning to its end

    def open(self, resuming_at: int | None = None, epochs: int | None = None) -> None:
        """Lock the folder and begin a run in it, or go on with the one that it holds.

        Args:
            resuming_at: iterations that were done where the run goes on; what the folder has of later ones is dropped
                from the metrics, and later checkpoints are set aside. None begins a run.
            epochs: epochs that were done there. What was measured at the end of a later one is dropped too: its last
                iteration may be done before the epoch is.

        Raises:
            TrainingStateError: somebody else writes to the folder, or it holds a run and a new one is to begin.
            InputError: it cannot be written to.
        """
        if self.is_open:
            raise TrainingStateError(f"the run folder {self.path} is open already")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be made", got=error.strerror) from error
        lock = FolderLock(self.path)
        try:
            self._prepare(resuming_at, epochs)
        except BaseException:
            lock.release()
            raise
        self._lock = lock

    def _prepare(self, resuming_at: int | None, epochs: int | None) -> None:
        former = read_json(self.path / STATE) or {}
        if resuming_at is None:
            if self._holds_a_run():
                raise TrainingStateError(
                    f"the folder {self.path} holds a run already",
                    expected="a folder without one",
                    hint="trainer.resume(folder) goes on with it; a new run takes another folder",
                )
            former = {}
        else:
            self._cut(resuming_at, epochs)
            self.checkpoints.set_aside(resuming_at)
        resumed = list(former.get("resumed") or [])
        state = {
            "state": "running",
            "started": former.get("started") or _now(),
            "resumed": resumed if resuming_at is None else [*resumed, _now()],
            "ended": None,
        }
        self._write(STATE, state)
        self._tell_environment()
        self._lines = _Lines(self.path / METRICS)

    def _holds_a_run(self) -> bool:
        metrics = self.path / METRICS
        return bool(self.checkpoints.files()) or (metrics.is_file() and metrics.stat().st_size > 0)

    def _cut(self, iteration: int, epochs: int | None) -> None:
        """Drop what was measured after an iteration, and half a line at the end."""
        path = self.path / METRICS
        with contextlib.suppress(FileNotFoundError), path.open("rb") as source:
            if all(_stays(line, iteration, epochs) for line in source):
                return
            source.seek(0)

            def fill(file: BinaryIO) -> None:
                file.writelines(line for line in source if _stays(line, iteration, epochs))

            fill_whole(path, fill)

    def mark(self, state: Literal["running", "paused"]) -> None:
        """Say that the run pauses, or goes on after a pause.

        Raises:
            TrainingStateError: the folder is not open.
            InputError: it cannot be written to.
        """
        self._check_open()
        self._write(STATE, {**(read_json(self.path / STATE) or {}), "state": state})

    def close(self, state: Ending) -> None:
        """End the run and free the folder; nothing happens if it is not open.

        Args:
            state: how it ended; one that is paused goes on later.

        Raises:
            InputError: the folder cannot be written to; it is free all the same.
        """
        if self._lock is None:
            return
        try:
            former = read_json(self.path / STATE) or {}
            self._write(STATE, {**former, "state": state, "ended": _now()})
        finally:
            for handler in self._handlers:
                logging.getLogger("sigmagraph").removeHandler(handler)
                handler.close()
            self._handlers.clear()
            if self._lines is not None:
                self._lines.close()
            self._lines = None
            self._lock.release()
            self._lock = None

    def _check_open(self) -> None:
        if not self.is_open:
            raise TrainingStateError(f"the run folder {self.path} is not open", hint="call open() first")

    # ---- what is written

    def configure(self, mapping: Mapping[str, Any]) -> None:
        """Write down what is trained: plain values, such as the network's name and the learning rate.

        Raises:
            TrainingStateError: the folder is not open.
            AttributeValueError: something is no plain value.
            InputError: it cannot be written.
        """
        self._check_open()
        self._write(CONFIG, mapping)

    def record(self, epoch: int, iteration: int, values: Mapping[str, float]) -> None:
        """Append what was measured at an event; it is with the system before this returns.

        Args:
            epoch: epochs that were finished.
            iteration: iterations that were finished.
            values: numbers by identifier.

        Raises:
            TrainingStateError: the folder is not open.
            AttributeValueError: a value is no number.
            InputError: it cannot be written; nothing of it is.
        """
        self._check_open()
        assert self._lines is not None
        self._lines.append(line_of(epoch, iteration, time.time(), values))

    def handler(self) -> logging.Handler:
        """What writes to ``log.txt`` when it is added to the logger ``sigmagraph``; it is taken off when the run ends.

        Raises:
            TrainingStateError: the folder is not open.
            InputError: the file cannot be written.
        """
        self._check_open()
        handler = file_handler(self.path / LOG)
        self._handlers.append(handler)
        return handler

    def metrics(self) -> list[dict[str, Any]]:
        """What was measured: ``epoch``, ``iteration``, ``time`` in seconds since 1970, ``values`` of all events."""
        return read_metrics(self.path / METRICS)[0]

    @staticmethod
    def read(path: str | PathLike[str]) -> Run:
        """What a folder says of its run, even while it is running.

        Raises:
            InputError: there is no run.
        """
        return read_run(path)

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        write_text(self.path / name, as_json(value, name.removesuffix(".json"), indent=1) + "\n")

    def _tell_environment(self) -> None:
        now, former = environment(), read_json(self.path / ENVIRONMENT)
        if former and former != now:
            others = ", ".join(f"{key} {former.get(key)} -> {now[key]}" for key in now if former.get(key) != now[key])
            _LOG.warning("the run in %s goes on in another environment: %s", self.path, others)
        self._write(ENVIRONMENT, now)


def environment() -> dict[str, Any]:
    """Versions, system and processor; nothing that tells whose machine it is."""
    (cpu, *_) = devices()
    return {
        **{name: _version(name) for name in ("sigmagraph", "numpy", "llvmlite")},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu() or cpu.description,
        "threads": default_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str | None:
    """The processor as Linux calls it."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _stays(line: bytes, iteration: int, epochs: int | None) -> bool:
    """Whether a line is of no later iteration; a whole one that cannot be read stays, for somebody to look at."""
    if not line.endswith(b"\n"):
        return False
    try:
        event = json.loads(line)
        return int(event["iteration"]) <= iteration and (epochs is None or int(event["epoch"]) <= epochs)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return True


class _Lines:
    """A file at whose end lines are put, from any thread, each whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alone = threading.Lock()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise InputError(f"{path} cannot be written", got=error.strerror) from error
        self.close = weakref.finalize(self, os.close, self._file)

    def append(self, line: bytes) -> None:
        """Put a line at the end."""
        with self._alone:
            if not self.close.alive:
                raise TrainingStateError("the run has ended", got=f"a line for {self._path}")
            size = os.fstat(self._file).st_size
            try:
                left = memoryview(line)
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)
                raise InputError(f"{self._path} cannot be written", got=error.strerror) from error


def find_runs(root: str | PathLike[str], depth: int = 3) -> list[Run]:
    """The runs in a folder and those below it, by name.

    Args:
        root: the folder; it may be a run itself.
        depth: how many levels below it are looked at.

    Raises:
        InputError: there is no such folder.
        AttributeValueError: the depth is no number from 0 on.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise AttributeValueError("the depth is out of range", expected="0, 1, 2, ...", got=repr(depth))
    top = Path(root)
    if not top.is_dir():
        raise InputError(f"there is no folder {top}")
    return [read_run(folder) for folder in _folders(top, depth)]


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / STATE).is_file() or (folder / METRICS).is_file():
        yield folder
    elif depth:
        inner: list[Path] = []
        with contextlib.suppress(OSError):  # one that may not be looked into
            inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
        for path in inner:
            yield from _folders(path, depth - 1)
