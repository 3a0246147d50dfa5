"""Checkpoints: everything that a training depends on, in one safetensors file each, and the folders that hold them.

A file has arrays by name and, in its metadata, one JSON document. It is written whole or not at all. What cannot stand
in JSON as it is, such as an infinite number, is written as an object with one key that says what it is.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fsync, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, FileFormatError, InputError
from sigmagraph.identifiers import matching
from sigmagraph.training.weights import read_file, write_arrays

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Mode: TypeAlias = Literal["max", "min"]

FORMAT = "sigmagraph checkpoint 1"
_NAME = re.compile(r"step-(\d{8,})\.safetensors")
_PARTS = {"network": "network/*", "optimiser": "optimiser/*", "random": "random/*", "workers": "worker.*"}
_SUPERSEDED = "superseded"
_FLOAT = "__float__"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything that a training depends on, as it was at one time.

    Attributes:
        arrays: by name: ``network/<identifier>``, ``optimiser/<name>``, ``random/<identifier>``, ``worker.<n>/...``.
        document: the rest, in plain values.
    """

    arrays: Mapping[str, NDArray]
    document: Mapping[str, Any]

    def select(self, *parts: str) -> Checkpoint:
        """Only some of the arrays.

        Args:
            parts: ``network``, ``optimiser``, ``random``, ``workers``, or patterns of names.

        Raises:
            IdentifierError: a pattern names nothing.
        """
        wanted = [name for part in parts for name in matching(_PARTS.get(part, part), self.arrays)]
        return Checkpoint({name: self.arrays[name] for name in self.arrays if name in wanted}, self.document)


def write_checkpoint(path: str | PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a file. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: the file cannot be written.
        AttributeValueError: the document holds something that is no plain value.
    """
    text = json.dumps(_plain(checkpoint.document, "document"), allow_nan=False, separators=(",", ":"))
    write_arrays(path, checkpoint.arrays, {"format": FORMAT, "training": text})


def read_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        InputError: the file does not exist or cannot be opened.
        FileFormatError: it is damaged, no checkpoint, or of another version.
    """
    arrays, metadata = read_file(path)
    found = metadata.get("format", "a file without a format")
    if found != FORMAT:
        hint = "a newer sigmagraph wrote it" if found.startswith("sigmagraph checkpoint") else None
        raise FileFormatError(f"{path} is no checkpoint of this version", expected=FORMAT, got=found, hint=hint)
    try:
        document = json.loads(metadata["training"], object_hook=_object)
    except (KeyError, ValueError) as error:
        raise FileFormatError(f"{path} is damaged", expected="a document in JSON", got=error) from error
    if not isinstance(document, dict):
        raise FileFormatError(f"{path} is damaged", expected="a JSON object", got=type(document).__name__)
    return Checkpoint(arrays, document)


def _plain(value: Any, where: str) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: value.hex()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    raise AttributeValueError(
        f"{where} is no plain value", expected="numbers, text, lists and dicts of them", got=f"{value!r:.80}"
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise AttributeValueError(f"{where} has a key that is no text", expected="text", got=repr(key))
    return key


def _object(found: dict[str, Any]) -> Any:
    return float.fromhex(found[_FLOAT]) if found.keys() == {_FLOAT} else found


@dataclass(frozen=True, slots=True)
class Score:
    """How good the network was when a checkpoint was made.

    Attributes:
        name: the identifier of what was measured.
        value: of it.
        mode: whether the greatest or the smallest is the best.
    """

    name: str
    value: float
    mode: Mode

    def beats(self, other: float) -> bool:
        """Whether it is better than another value; NaN is better than nothing but NaN."""
        if math.isnan(other):
            return not math.isnan(self.value)
        return self.value > other if self.mode == "max" else self.value < other


class CheckpointFolder:
    """A folder of checkpoints ``step-<iteration>.safetensors``, of which ``index.json`` knows the best.

    Whatever a writer was killed at, the files with these names are whole.

    Args:
        path: the folder; it is made when something is saved.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def save(self, step: int, checkpoint: Checkpoint, score: Score | None = None, keep_last: int | None = None) -> Path:
        """Write a checkpoint, then remove those that are not wanted any more.

        Args:
            step: iterations that were done.
            checkpoint: what is written.
            score: how good it is; the best one by each name is kept besides the last ones.
            keep_last: how many are kept, the best ones not counted; None keeps all.

        Returns:
            The file.

        Raises:
            InputError: it cannot be written; the others are as they were.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for leftover in self.path.glob(".step-*.part"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be used", got=error.strerror) from error
        path = self.path / f"step-{step:08}.safetensors"
        write_checkpoint(path, checkpoint)
        best = self._best()
        if score is not None and score.name in best and best[score.name]["file"] == path.name:
            del best[score.name]  # the file was overwritten
        if score is not None and (score.name not in best or score.beats(best[score.name]["value"])):
            best[score.name] = {"file": path.name, "value": score.value, "mode": score.mode}
        self._write_index(best)
        self._prune(keep_last, [str(entry["file"]) for entry in best.values()])
        return path

    def set_aside(self, after: int) -> None:
        """Move checkpoints of later iterations into the folder ``superseded``, since another course begins there.

        Args:
            after: iterations that were done where it begins.

        Raises:
            InputError: they cannot be moved.
        """
        later = [path for path in self.files() if _step(path) > after]
        try:
            for path in later:
                (self.path / _SUPERSEDED).mkdir(exist_ok=True)
                replace(path, self.path / _SUPERSEDED / path.name)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written to", got=error.strerror) from error

    def files(self) -> list[Path]:
        """All checkpoints, from the earliest to the latest."""
        if not self.path.is_dir():
            return []
        found = [(int(name[1]), p) for p in self.path.iterdir() if (name := _NAME.fullmatch(p.name))]
        return [path for _, path in sorted(found)]

    def latest(self) -> Path:
        """The latest checkpoint.

        Raises:
            InputError: there is none.
        """
        found = self.files()
        if not found:
            raise InputError(f"there is no checkpoint in {self.path}", expected="step-<iteration>.safetensors")
        return found[-1]

    def best(self, name: str | None = None) -> Path:
        """The best checkpoint.

        Args:
            name: by which score; may be left out where there is but one.

        Raises:
            InputError: there is none.
        """
        known = self._best()
        chosen = known.get(name) if name else next(iter(known.values()), None)
        if chosen is None or (name is None and len(known) > 1):
            raise InputError(
                f"there is no best checkpoint in {self.path}",
                expected=", ".join(known) or "one that was saved with a score",
                got=name,
            )
        return self.path / str(chosen["file"])

    def read_latest(self) -> Checkpoint:
        """What is in the latest checkpoint.

        Raises:
            InputError: there is none.
            FileFormatError: it is damaged; the error names the latest one that is whole.
        """
        path = self.latest()
        try:
            return read_checkpoint(path)
        except FileFormatError as error:
            error.hint = self._whole_before(path)
            raise

    def _whole_before(self, path: Path) -> str:
        for other in reversed(self.files()):
            if other < path:
                with contextlib.suppress(FileFormatError, InputError):
                    read_checkpoint(other)
                    return f"{other} is whole: resume from it by its name"
        return "no other checkpoint in this folder is whole"

    def _best(self) -> dict[str, dict[str, Any]]:
        """What the index says of files that exist; scores that it has lost stand in the files' documents."""
        try:
            index = json.loads((self.path / "index.json").read_text("utf-8"), object_hook=_object)
            best = index["best"]
            return {name: entry for name, entry in best.items() if (self.path / entry["file"]).is_file()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return self._best_of_files()

    def _best_of_files(self) -> dict[str, dict[str, Any]]:
        best: dict[str, dict[str, Any]] = {}
        for path in self.files():
            with contextlib.suppress(FileFormatError, InputError, KeyError, TypeError):
                found = read_checkpoint(path).document["score"]
                score = Score(found["name"], found["value"], found["mode"])
                if score.name not in best or score.beats(best[score.name]["value"]):
                    best[score.name] = {"file": path.name, "value": score.value, "mode": score.mode}
        return best

    def _write_index(self, best: Mapping[str, Mapping[str, Any]]) -> None:
        text = json.dumps(_plain({"format": "sigmagraph checkpoints 1", "best": best}, "index"), indent=1)
        write_text(self.path / "index.json", text + "\n")

    def _prune(self, keep_last: int | None, best: list[str]) -> None:
        if keep_last is None:
            return
        for path in self.files()[:-keep_last]:
            if path.name not in best:
                with contextlib.suppress(OSError):
                    path.unlink()


def _step(path: Path) -> int:
    """Iterations that were done when a checkpoint was made."""
    return int(path.stem.removeprefix("step-"))


def write_text(path: Path, text: str) -> None:
    """Write a text file. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            fsync(file.fileno())
        replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written", got=error.strerror) from error
