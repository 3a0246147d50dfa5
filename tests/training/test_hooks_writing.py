"""Hooks that write tables and event files: what their readers find in them, also after training was resumed."""

from __future__ import annotations

import csv
import errno
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from acting_runs import HandmadeTraining

from sigmagraph.errors import AttributeValueError, FileFormatError, IdentifierError, InputError
from sigmagraph.training.hooks.csv_log import CsvLog
from sigmagraph.training.hooks.tensorboard import TensorBoard

COSTS = [{"optimiser.cost": np.float32(1 / n), "validation.accuracy": 1 - 1 / n} for n in range(1, 7)]
NAMES = ("optimiser.cost", "validation.accuracy")


def again(state: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(state, allow_nan=False))  # type: ignore[no-any-return]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- tables


def test_a_table_has_a_header_and_a_row_for_each_event(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.csv"
    training, hook = HandmadeTraining(), CsvLog(path, *NAMES)
    hook.attached(training)
    training.epochs(hook, COSTS[:3])
    found = rows(path)
    assert list(found[0]) == ["epoch", "iteration", "seconds", *NAMES]
    assert [row["iteration"] for row in found] == ["10", "20", "30"]
    assert [np.float32(row["optimiser.cost"]) for row in found] == [values["optimiser.cost"] for values in COSTS[:3]]
    assert [float(row["validation.accuracy"]) for row in found] == [v["validation.accuracy"] for v in COSTS[:3]]


def test_columns_come_from_patterns_and_each_comes_once(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), CsvLog(tmp_path / "log.csv", "epoch", "validation.accuracy", "*.*")
    training.epochs(hook, [{"epoch": 1, **COSTS[0]}])
    assert list(rows(tmp_path / "log.csv")[0]) == ["epoch", "iteration", "seconds", "validation.accuracy", NAMES[0]]


def test_cells_are_numbers_texts_or_empty(tmp_path: Path) -> None:
    values = {"shared.a": 'x, "y"', "shared.b": math.nan, "shared.c": np.array([7]), "shared.d": None, "shared.e": True}
    values |= {"shared.f": object(), "shared.g": np.zeros(2), "shared.h": (1,)}  # which a pattern leaves out
    training, hook = HandmadeTraining(), CsvLog(tmp_path / "log.csv", "shared.*")
    training.epochs(hook, [values])
    assert list(rows(tmp_path / "log.csv")[0].values())[3:] == ['x, "y"', "nan", "7", "", "True"]


def test_a_table_refuses_arrays(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), CsvLog(tmp_path / "log.csv", "shared.a")
    with pytest.raises(InputError, match="a table takes numbers"):
        training.epochs(hook, [{"shared.a": np.zeros(2)}])
    with pytest.raises(IdentifierError):
        training.epochs(hook, [{}])


def test_a_resumed_training_cuts_off_what_was_written_after_the_checkpoint(tmp_path: Path) -> None:
    path, training = tmp_path / "log.csv", HandmadeTraining()
    hook = CsvLog(path, *NAMES)
    checkpoint = again(training.epochs(hook, COSTS[:3]))
    training.epochs(hook, COSTS[:2], again(checkpoint))
    path.write_bytes(path.read_bytes()[:-5])  # the power went in the middle of a row
    resumed = HandmadeTraining()
    resumed.epoch, resumed.iteration = 3, 30
    hook.attached(resumed)
    resumed.epochs(hook, COSTS[3:], checkpoint)
    other = tmp_path / "whole.csv"
    HandmadeTraining().epochs(CsvLog(other, *NAMES), COSTS)
    assert path.read_bytes() == other.read_bytes()


def test_a_new_training_goes_on_behind_the_rows_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    HandmadeTraining().epochs(CsvLog(path, *NAMES), COSTS[:2])
    path.write_bytes(path.read_bytes().rstrip())
    HandmadeTraining().epochs(CsvLog(path, *NAMES), COSTS[:3])
    assert [row["epoch"] for row in rows(path)] == ["1", "2", "1", "2", "3"]


def test_a_table_that_was_taken_away_begins_anew(tmp_path: Path) -> None:
    path, training = tmp_path / "log.csv", HandmadeTraining()
    state = training.epochs(CsvLog(path, *NAMES), COSTS[:2])
    path.unlink()
    training.epochs(CsvLog(path, *NAMES), COSTS[:1], state)
    assert [row["epoch"] for row in rows(path)] == ["3"]


@pytest.mark.parametrize("content", [b"epoch,iteration,seconds,optimiser.cost\n1,10,5.0,1.0\n", b"\xff\x00", b"\n"])
def test_a_table_of_other_columns_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="other columns"):
        HandmadeTraining().epochs(CsvLog(path, *NAMES), COSTS[:1])
    assert path.read_bytes() == content


def test_a_column_that_comes_late_is_refused(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), CsvLog(tmp_path / "log.csv", "shared.*")
    with pytest.raises(InputError, match="no column"):
        training.epochs(hook, [{"shared.a": 1}, {"shared.a": 1, "shared.b": 2}])
    assert len(rows(tmp_path / "log.csv")) == 1


def test_a_full_disk_is_named_and_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, training = tmp_path / "log.csv", HandmadeTraining()
    hook = CsvLog(path, *NAMES)
    state = training.epochs(hook, COSTS[:2])
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _on_full_disk)
        with pytest.raises(InputError, match=r"log\.csv cannot be written"):
            training.epochs(hook, COSTS[:1], state)
    assert path.read_bytes() == before
    training.epochs(hook, COSTS[:1], state)
    assert [row["epoch"] for row in rows(path)] == ["1", "2", "4"]


class _Full:
    """A file that takes half of what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: bytes) -> None:
        self._file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


_OPEN = Path.open


def _on_full_disk(path: Path, mode: str) -> _Full:
    return _Full(_OPEN(path, mode))


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"log\.csv cannot be written"):
        CsvLog(tmp_path / "file" / "log.csv", *NAMES).attached(HandmadeTraining())


def test_two_tables_of_a_training_are_two_files(tmp_path: Path) -> None:
    training, path = HandmadeTraining(), tmp_path / "log.csv"
    first, second = CsvLog(path, *NAMES), CsvLog(path, *NAMES, every="10 iterations")
    first.attached(training)
    first.attached(training)
    with pytest.raises(InputError, match="two hooks write to"):
        second.attached(training)
    second.attached(HandmadeTraining())
    first.detached(training)
    second.attached(training)


@pytest.mark.parametrize("options", [{"scope": "local"}, {"background": True}])
def test_tables_are_neither_local_nor_in_the_background(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        CsvLog("log.csv", **options)
    with pytest.raises(AttributeValueError):
        CsvLog("log.csv", every="sometimes")


# ---- event files


def events(folder: Path) -> Iterator[Any]:
    """All events of a folder's files, in their order, read by the library's own messages and check sums."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            message = content[at + 12 : at + 12 + size]
            assert struct.unpack_from("<I", content, at + 8) == (masked_crc32c(content[at : at + 8]),)
            assert struct.unpack_from("<I", content, at + 12 + size) == (masked_crc32c(message),)
            event = event_pb2.Event()
            event.ParseFromString(message)
            yield event
            at += 16 + size


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """A curve as TensorBoard shows it: a start of a session takes away what is there from its step on."""
    points: list[tuple[int, float]] = []
    for event in events(folder):
        if event.WhichOneof("what") == "session_log":
            points = [point for point in points if point[0] < event.step]
        points += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
    return points


def test_event_files_have_curves_by_iteration(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), TensorBoard(tmp_path / "events", *NAMES)
    hook.attached(training)
    training.epochs(hook, COSTS)
    found = list(events(tmp_path / "events"))
    assert found[0].file_version == "brain.Event:2"
    expected = [(10 * n, float(values["optimiser.cost"])) for n, values in enumerate(COSTS, 1)]
    assert curve(tmp_path / "events", "optimiser/cost") == expected
    assert len(curve(tmp_path / "events", "validation/accuracy")) == len(COSTS)
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_event_files_have_histograms(tmp_path: Path) -> None:
    training = HandmadeTraining()
    hook = TensorBoard(tmp_path, histograms="network.**")
    weights = np.array([0.0, 1.0, 2.0, math.nan, math.inf], np.float32)
    training.epochs(hook, [{"network.layers.fc.weights": weights}])
    (histogram,) = [value for event in events(tmp_path) for value in event.summary.value]
    assert histogram.tag == "network/layers.fc.weights"
    assert (histogram.histo.num, histogram.histo.min, histogram.histo.max, histogram.histo.sum) == (3, 0, 2, 3)
    assert sum(histogram.histo.bucket) == 3
    assert training.lines == ["TensorBoard: 2 elements of network.layers.fc.weights are not finite"]


def test_a_resumed_training_drops_the_events_after_the_checkpoint(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), TensorBoard(tmp_path, *NAMES)
    checkpoint = again(training.epochs(hook, COSTS[:3]))
    training.epochs(hook, COSTS[:3], again(checkpoint))
    resumed = HandmadeTraining()
    resumed.epoch, resumed.iteration = 3, 30
    resumed.epochs(hook, COSTS[3:], again(checkpoint))
    expected = [(10 * n, float(values["optimiser.cost"])) for n, values in enumerate(COSTS, 1)]
    assert curve(tmp_path, "optimiser/cost") == expected
    assert len(list(tmp_path.iterdir())) == 2


def test_a_training_resumed_where_it_stopped_goes_on_in_its_file(tmp_path: Path) -> None:
    training, hook = HandmadeTraining(), TensorBoard(tmp_path, *NAMES)
    training.epochs(hook, COSTS, saved_at=3)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(curve(tmp_path, "optimiser/cost")) == len(COSTS)


def test_event_files_take_numbers(tmp_path: Path) -> None:
    HandmadeTraining().epochs(TensorBoard(tmp_path, "*"), [{"a": None, "b": 2.0, "c": "text", "d": np.zeros(3)}])
    assert [value.tag for event in events(tmp_path) for value in event.summary.value] == ["b"]
    with pytest.raises(InputError, match="TensorBoard needs a number"):
        HandmadeTraining().epochs(TensorBoard(tmp_path, "a"), [{"a": None}])


def test_a_folder_of_events_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        TensorBoard(tmp_path / "file" / "events", *NAMES).attached(HandmadeTraining())


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"sigmagraph\[tensorboard\]"):
        TensorBoard("events", *NAMES).attached(HandmadeTraining())
