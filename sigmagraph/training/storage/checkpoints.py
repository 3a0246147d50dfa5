"""Checkpoints: everything that a training depends on, in one safetensors file each, and the folders that hold them.

A file has arrays by name and, in its metadata, one JSON document of plain values. It is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, FileFormatError, InputError
from sigmagraph.identifiers import matching
from sigmagraph.runtime.whole_files import write_text
from sigmagraph.training.storage.plain_values import as_json, from_json
from sigmagraph.training.storage.weights import read_file, read_metadata, write_arrays

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Mode: TypeAlias = Literal["max", "min"]

FORMAT = "sigmagraph checkpoint 1"
INDEX_FORMAT = "sigmagraph checkpoints 1"
_INDEX = "index.json"
_NAME = re.compile(r"step-(\d{8,})\.safetensors")
_PARTS = {"network": "network/*", "optimiser": "optimiser/*", "random": "random/*", "workers": "worker.*"}
_SUPERSEDED = "superseded"


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


def write_checkpoint(path: str | PathLike[str], checkpoint: Checkpoint, scores: Iterable[Score] = ()) -> None:
    """Write a checkpoint to a file. Until all is on disk, a file that was there stays as it was.

    Args:
        path: of the file.
        checkpoint: what is written.
        scores: how good it is.

    Raises:
        InputError: the file cannot be written.
        AttributeValueError: the document holds something that is no plain value.
        DTypeError: an array is of a type that there is no element type for.
    """
    found = {score.name: [score.value, score.mode] for score in scores}
    scored = {"scores": as_json(found, "scores")} if found else {}
    write_arrays(path, checkpoint.arrays, texts_of(checkpoint) | scored)


def texts_of(checkpoint: Checkpoint) -> dict[str, str]:
    """What a file says besides its arrays.

    Raises:
        AttributeValueError: the document holds something that is no plain value.
    """
    return {"format": FORMAT, "training": as_json(checkpoint.document, "document")}


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
        document = from_json(metadata["training"])
    except (KeyError, ValueError) as error:
        raise FileFormatError(f"{path} is damaged", expected="a document in JSON", got=error) from error
    if not isinstance(document, dict):
        raise FileFormatError(f"{path} is damaged", expected="a JSON object", got=type(document).__name__)
    return Checkpoint(arrays, document)


# By the name of a score: the best file, and its score.
_Best: TypeAlias = dict[str, tuple[str, Score]]


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
            AttributeValueError: the document holds something that is no plain value, or a number is out of range.
        """
        _check_count("step", step, 0)
        if keep_last is not None:
            _check_count("keep_last", keep_last, 1)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for leftover in self.path.glob(".*.part"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"the folder {self.path} cannot be used", got=error.strerror) from error
        path = self.path / f"step-{step:08}.safetensors"
        best, seen = self._index()
        if path.name in seen:  # what was said of it need not be true of what comes
            best, seen = {}, []
        scores = {s.name: s for s in (*_still_true(path, checkpoint), *([score] if score else ()))}
        write_checkpoint(path, checkpoint, scores.values())
        best = self._brought_up_to_date(best, seen)
        self._write_index(best)
        self._prune(keep_last, [path.name, *(file for file, _ in best.values())])
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
        known = self.scores()
        chosen = known.get(name) if name else next(iter(known.values()), None)
        if chosen is None or (name is None and len(known) > 1):
            raise InputError(
                f"there is no best checkpoint in {self.path}",
                expected=", ".join(known) or "one that was saved with a score",
                got=name or ("no name" if known else None),
            )
        return chosen[0]

    def scores(self) -> dict[str, tuple[Path, Score]]:
        """The best checkpoint by each score, and the score."""
        best = self._brought_up_to_date(*self._index())
        return {name: (self.path / file, score) for name, (file, score) in best.items()}

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
            if _step(other) < _step(path):
                with contextlib.suppress(FileFormatError, InputError):
                    read_checkpoint(other)
                    return f"{other} is whole: resume from it by its name"
        return "no other checkpoint in this folder is whole"

    def _index(self) -> tuple[_Best, Sequence[str]]:
        """The best files as the index has them, and all files that it takes into account; nothing if it is no good."""
        try:
            index = from_json((self.path / _INDEX).read_bytes())
            best = {name: (entry["file"], _score(name, entry)) for name, entry in index["best"].items()}
            seen = [str(name) for name in index["files"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}, []
        there = [path.name for path in self.files()]
        lost = index.get("format") != INDEX_FORMAT or any(file not in there for file, _ in best.values())
        return ({}, []) if lost else (best, seen)

    def _brought_up_to_date(self, best: _Best, seen: Sequence[str]) -> _Best:
        """With the scores of files that the index does not know, since its writer was killed or it got lost."""
        best = dict(best)
        for path in self.files():
            for score in _scores_of(path) if path.name not in seen else ():
                if score.name not in best or score.beats(best[score.name][1].value):
                    best[score.name] = (path.name, score)
        return best

    def _write_index(self, best: _Best) -> None:
        entries = {name: {"file": file, "value": s.value, "mode": s.mode} for name, (file, s) in best.items()}
        files = [path.name for path in self.files()]
        text = as_json({"format": INDEX_FORMAT, "best": entries, "files": files}, "index", indent=1)
        write_text(self.path / _INDEX, text + "\n")

    def _prune(self, keep_last: int | None, wanted: Sequence[str]) -> None:
        for path in self.files()[:-keep_last] if keep_last is not None else ():
            if path.name not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()


def _step(path: Path) -> int:
    """Iterations that were done when a checkpoint was made."""
    return int(path.stem.removeprefix("step-"))


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AttributeValueError(f"{name} is out of range", expected=f"{least}, {least + 1}, ...", got=repr(value))


def _score(name: str, entry: Mapping[str, Any]) -> Score:
    """What an index says of a score.

    Raises:
        ValueError: it is none.
        KeyError: something is missing.
    """
    value, mode = entry["value"], entry["mode"]
    if mode not in ("max", "min") or not isinstance(value, (int, float)):
        raise ValueError(f"this is no score: {entry!r:.80}")
    return Score(name, value, mode)


def _scores_of(path: Path) -> list[Score]:
    """The scores in a file; none of one that is damaged, which whoever reads it is told."""
    with contextlib.suppress(FileFormatError, InputError, ValueError, TypeError, AttributeError):
        found = from_json(read_metadata(path).get("scores", "{}"))
        return [_score(name, {"value": value, "mode": mode}) for name, (value, mode) in found.items()]
    return []


def _still_true(path: Path, checkpoint: Checkpoint) -> list[Score]:
    """The scores of a file that is written again with the same arrays."""
    scores = _scores_of(path)
    if not scores:
        return []
    with contextlib.suppress(FileFormatError, InputError):
        before = read_file(path)[0]
        now = checkpoint.arrays
        if before.keys() == now.keys() and all(_same(before[name], now[name]) for name in before):
            return scores
    return []


def _same(one: NDArray, other: NDArray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
