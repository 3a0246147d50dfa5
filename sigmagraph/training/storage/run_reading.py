"""Reads what a run has left in its folder; parts that are damaged or missing are named, not fatal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.storage.checkpoints import CheckpointFolder
from sigmagraph.training.storage.folder_lock import is_locked
from sigmagraph.training.storage.plain_values import from_json

CONFIG, ENVIRONMENT, STATE = "config.json", "environment.json", "state.json"
METRICS, LOG, CHECKPOINTS = "metrics.jsonl", "log.txt", "checkpoints"
_STATES = ("running", "paused", "finished", "stopped", "failed")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_ENDS = ("NaN", "Infinity", "-Infinity")


@dataclass(frozen=True)
class Run:
    """What a folder said of its run when it was read.

    Attributes:
        path: of the folder.
        state: ``running``, ``paused``, ``finished``, ``stopped``, ``failed``; ``killed`` if its process ended
            without a word; ``unknown`` if that cannot be read.
        started: when, in ISO 8601; None if that cannot be read.
        ended: when it ended last; None while it runs, and after it was killed.
        config: what was trained.
        environment: with what.
        faults: what could not be read, in words.
    """

    path: Path
    state: str
    started: str | None
    ended: str | None
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    faults: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.name or self.path.resolve().name

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The run's checkpoints."""
        return CheckpointFolder(self.path / CHECKPOINTS)

    @cached_property
    def _read(self) -> tuple[list[dict[str, Any]], list[str]]:
        return read_metrics(self.path / METRICS)

    def metrics(self) -> list[dict[str, Any]]:
        """What was measured: ``epoch``, ``iteration``, ``time`` (seconds since 1970) and ``values`` of each event.

        Read at the first call.
        """
        return self._read[0]

    def metric_faults(self) -> list[str]:
        """Which lines of the metrics could not be read, in words."""
        return self._read[1]

    def names(self) -> list[str]:
        """The identifiers of all that was measured, in the order in which they came."""
        return list(dict.fromkeys(name for event in self.metrics() for name in event["values"]))

    def by_epoch(self, name: str) -> dict[int, float]:
        """The last value of each epoch, by the number of finished epochs."""
        return {event["epoch"]: event["values"][name] for event in self.metrics() if name in event["values"]}


def read_run(path: str | PathLike[str]) -> Run:
    """What a folder says of its run, even while it is running.

    Raises:
        InputError: there is no run.
    """
    folder = Path(path)
    if not any((folder / name).is_file() for name in (STATE, METRICS, CONFIG)):
        raise InputError(f"there is no run in {folder}", expected=f"a folder with {STATE} and {METRICS}")
    faults: list[str] = []
    state, config, environment = (_read_part(folder / name, faults) for name in (STATE, CONFIG, ENVIRONMENT))
    now = state.get("state")
    if state and now not in _STATES:
        faults.append(f"{STATE} has an unknown state: {now!r:.40}")
    if _goes_on(state) and not is_locked(folder):
        # It may have ended since its state was read.
        state = read_json(folder / STATE) or state
        now = "killed" if _goes_on(state) else state.get("state")
    return Run(
        folder,
        now if now in (*_STATES, "killed") else "unknown",
        _text(state.get("started")),
        _text(state.get("ended")),
        config,
        environment,
        tuple(faults),
    )


def _goes_on(state: Mapping[str, Any]) -> bool:
    return state.get("state") in ("running", "paused") and state.get("ended") is None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_part(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        found = from_json(path.read_bytes())
    except OSError as error:
        faults.append(f"{path.name} cannot be read: {error.strerror}")
        return {}
    except ValueError as error:
        faults.append(f"{path.name} is damaged: {error}")
        return {}
    if not isinstance(found, dict):
        faults.append(f"{path.name} is damaged: expected an object, got {type(found).__name__}")
        return {}
    return found


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if it is missing or damaged."""
    faults: list[str] = []
    found = _read_part(path, faults)
    return None if faults else found


def line_of(epoch: int, iteration: int, time: float, values: Mapping[str, float]) -> bytes:
    """A line of metrics.

    Raises:
        AttributeValueError: a value is no number.
    """
    numbers = {str(name): _number(name, value) for name, value in values.items()}
    event = {"epoch": int(epoch), "iteration": int(iteration), "time": round(time, 3), "values": numbers}
    return (json.dumps(event, allow_nan=False, separators=(",", ":")) + "\n").encode()


def _number(name: str, value: Any) -> float | str:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise AttributeValueError(
            f"the metric {name!r} is no number", expected="a float", got=f"{value!r:.80}"
        ) from error
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events in a file of metrics, and what is wrong with it; the half of a line at the end is passed over."""
    events: list[dict[str, Any]] = []
    faults: list[str] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # its writer was killed, or is just writing it
                try:
                    events.append(_event(line))
                except _UNREADABLE as error:
                    faults.append(f"{path.name}:{number} cannot be read: {error!r:.100}")
    except FileNotFoundError:
        pass
    except OSError as error:
        faults.append(f"{path.name} cannot be read: {error.strerror}")
    return events, faults


def _event(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    values = {name: _as_float(value) for name, value in found["values"].items()}
    return {
        "epoch": int(found["epoch"]),
        "iteration": int(found["iteration"]),
        "time": float(found["time"]),
        "values": values,
    }


def _as_float(value: Any) -> float:
    if isinstance(value, str) and value not in _ENDS:
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)
