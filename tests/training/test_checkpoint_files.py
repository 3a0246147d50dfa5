from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmagraph.dtypes import DType
from sigmagraph.errors import AttributeValueError, DTypeError, FileFormatError, IdentifierError, InputError
from sigmagraph.training.storage.checkpoints import (
    FORMAT,
    Checkpoint,
    CheckpointFolder,
    Score,
    read_checkpoint,
    write_checkpoint,
)
from sigmagraph.training.storage.plain_values import as_json, from_json
from sigmagraph.training.storage.weights import read_file, read_metadata, write_arrays


def small(value: float = 0.0) -> Checkpoint:
    return Checkpoint({"network/w": np.full(3, value, np.float32)}, {"iteration": 1, "value": value})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    write_checkpoint(path, small(), [Score("accuracy", 0.5, "max")])
    return path


# What a file holds.


@pytest.mark.parametrize("dtype", DType, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)], ids=str)
def test_arrays_come_back_bit_for_bit(dtype: DType, shape: tuple[int, ...], tmp_path: Path) -> None:
    count = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(1).integers(0, 2 if dtype is DType.BOOL else 256, count, np.uint8)
    array = np.frombuffer(raw.tobytes(), dtype.numpy).reshape(shape)
    write_arrays(tmp_path / "a", {"x": array, "y": array.T}, {})
    found = read_file(tmp_path / "a")[0]
    for name, expected in (("x", array), ("y", array.T)):
        assert (found[name].dtype, found[name].shape) == (dtype.numpy, expected.shape)
        assert found[name].tobytes() == expected.tobytes()


def test_arrays_of_any_layout_come_back(tmp_path: Path) -> None:
    arrays = {
        "big-endian": np.arange(3, dtype=">f4"),
        "strided": np.arange(12, dtype=np.int32)[::-3],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "": np.ones(1, bool),
        "a/β.1": np.zeros(2, ml_dtypes.bfloat16),
    }
    write_arrays(tmp_path / "a", arrays, {"é": "ü"})
    found = read_file(tmp_path / "a")[0]
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert read_metadata(tmp_path / "a") == {"é": "ü"}


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.array(["a"]), np.array([None]), np.zeros(1, np.uint64)])
def test_arrays_that_no_program_has_are_refused(array: Any, tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="node: network/w"):
        write_arrays(tmp_path / "a", {"network/w": array}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_names_that_no_file_can_hold_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AttributeValueError, match="no name of an array"):
        write_arrays(tmp_path / "a", {name: np.zeros(1)}, {})


# Documents.

DOCUMENT = {
    "numbers": [0, -1, True, None, 1e-310, 0.1, -0.0, 2**53 + 1, 10**400, -(10**5000), 1e308],
    "ends": [float("inf"), -float("inf")],
    "text": ["", "\ud800", '"\\\x00é𝄞'],
    "deep": {"a": {"": [[], {}, [{}]]}},
    "marks": [{"__float__": "nan"}, {"__int__": 1}, {"__object__": {}}, {"__object__": {"__float__": 1}}],
}


def test_documents_come_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", Checkpoint({}, DOCUMENT))
    found = read_checkpoint(tmp_path / "a").document
    assert found == DOCUMENT
    assert str(found["numbers"][6]) == "-0.0"
    assert type(found["numbers"][2]) is bool


def test_nan_comes_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", Checkpoint({}, {"cost": float("nan"), "costs": (np.float32("nan"),)}))
    found = read_checkpoint(tmp_path / "a").document
    assert found["cost"] != found["cost"]
    assert found["costs"][0] != found["costs"][0]


def test_scalars_of_numpy_become_those_of_python() -> None:
    values = [np.float32(0.1), np.float64(2), np.int64(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("a")]
    found = from_json(as_json([*values, ml_dtypes.bfloat16(1.5), np.float16("inf")], "x"))
    assert found == [float(np.float32(0.1)), 2.0, -3, 2**64 - 1, True, "a", 1.5, float("inf")]
    assert [type(value) for value in found] == [float, float, int, int, bool, str, float, float]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, {"b": object()}]}, r"x\.a\[1\]\.b"),
        ({"a": np.zeros(2)}, r"x\.a"),
        ({"a": {1, 2}}, r"x\.a"),
        ({"a": 1j}, r"x\.a"),
        ({"a": np.longdouble(1)}, r"x\.a"),
        ({"a": b"bytes"}, r"x\.a"),
        ({"a": {1: 2}}, r"x\.a has a key"),
    ],
)
def test_what_is_no_plain_value_is_refused_where_it_stands(value: Any, where: str) -> None:
    with pytest.raises(AttributeValueError, match=where):
        as_json(value, "x")


def test_what_has_no_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(AttributeValueError, match="too deeply"):
        as_json(value, "x")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["__float__", "__int__"]), inner),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(plain)
def test_any_plain_value_comes_back(value: Any) -> None:
    assert from_json(as_json(value, "x")) == value


def test_parts_are_selected() -> None:
    names = ["network/a", "optimiser/m", "random/drop", "worker.0/network/a", "worker.1/optimiser/m"]
    checkpoint = Checkpoint({name: np.zeros(1) for name in names}, {"epoch": 3})
    assert list(checkpoint.select("optimiser", "network").arrays) == names[:2]
    assert list(checkpoint.select("workers").arrays) == names[3:]
    assert list(checkpoint.select("*/m").arrays) == ["optimiser/m", "worker.1/optimiser/m"]
    assert checkpoint.select("random").document == {"epoch": 3}
    with pytest.raises(IdentifierError):
        checkpoint.select("nonsense")


# Damage.


def header(content: dict[str, Any] | str, size: int | None = None, rest: bytes = b"") -> bytes:
    text = (content if isinstance(content, str) else json.dumps(content)).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + rest


def one(dtype: str, shape: list[Any], offsets: list[Any]) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def metadata(**texts: str) -> bytes:
    return header({"__metadata__": texts})


DAMAGED = {
    "empty": b"",
    "short": b"\x08\x00\x00",
    "no header": struct.pack("<Q", 0),
    "endless header": struct.pack("<Q", 2**63) + b"{}",
    "header behind the end": header({}, 1000),
    "header is no JSON": header("{]"),
    "header is a list": header("[1]"),
    "header is no text": struct.pack("<Q", 2) + b"\xff\xfe",
    "nested header": header("[" * 5000),
    "huge shape": header(one("F32", [2**62, 2**62], [0, 8]), rest=bytes(8)),
    "another size": header(one("F32", [3], [0, 8]), rest=bytes(8)),
    "negative shape": header(one("F32", [-1], [0, 8]), rest=bytes(8)),
    "offsets backwards": header(one("F32", [2], [8, 0]), rest=bytes(8)),
    "offsets too far": header(one("F32", [2**40], [0, 2**42]), rest=bytes(8)),
    "bytes left": header(one("F32", [2], [0, 8]), rest=bytes(9)),
    "unknown type": header(one("X7", [2], [0, 8]), rest=bytes(8)),
    "type without elements": header(one("F8_E4M3", [8], [0, 8]), rest=bytes(8)),
    "wide integers": header(one("U64", [1], [0, 8]), rest=bytes(8)),
    "no format": header(one("F32", [2], [0, 8]), rest=bytes(8)),
    "format of others": metadata(format="pt"),
    "no document": metadata(format=FORMAT),
    "document is no JSON": metadata(format=FORMAT, training="{"),
    "document is a list": metadata(format=FORMAT, training="[]"),
    "document is a number": metadata(format=FORMAT, training='{"__float__": "nan"}'),
    "document has a wrong number": metadata(format=FORMAT, training='{"a": {"__float__": 3}}'),
    "document has a number too large": metadata(format=FORMAT, training='{"a": {"__float__": "0x1p9999"}}'),
    "document has another number": metadata(format=FORMAT, training='{"a": {"__int__": []}}'),
    "document has a wrong object": metadata(format=FORMAT, training='{"a": {"__object__": 3}}'),
    "document is nested": metadata(format=FORMAT, training='{"a":' * 99999),
    "document has endless digits": metadata(format=FORMAT, training='{"a": %s}' % ("9" * 5000)),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=path.name):
        read_checkpoint(path)
    with pytest.raises(InputError, match="no best checkpoint"):
        CheckpointFolder(tmp_path).best()


def test_files_cut_at_any_length_are_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=file.name):
            read_checkpoint(file)


def test_files_with_any_byte_changed_are_read_or_refused(file: Path) -> None:
    content = file.read_bytes()
    refused = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            assert next(iter(read_checkpoint(file).arrays.values())).shape == (3,)
        except FileFormatError:
            refused += 1
    assert refused > 50


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a", {}, {"format": "sigmagraph checkpoint 2", "training": "{}"})
    with pytest.raises(FileFormatError, match="newer sigmagraph") as caught:
        read_checkpoint(tmp_path / "a")
    assert FORMAT in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_checkpoint(path)
        with pytest.raises(InputError):
            read_metadata(path)
    with pytest.raises(InputError, match="cannot be written"):
        write_checkpoint(tmp_path / "absent" / "a", small())


# A full disk.


class Full:
    """A file on a disk that gets full after some bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        self.file.write(content[: self.room])
        raise OSError(28, "No space left on device")


def fail_write(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", **k: Full(opened(self, mode, **k), 10) if "x" in mode else opened(self, mode, **k),
    )


def fail_call(name: str) -> Any:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    return lambda monkeypatch: monkeypatch.setattr(f"sigmagraph.runtime.whole_files.{name}", no_space)


@pytest.mark.parametrize(
    "fail", [fail_write, fail_call("fsync"), fail_call("replace")], ids=["write", "fsync", "replace"]
)
def test_a_full_disk_leaves_what_was_there(fail: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, small(1.0), Score("a", 1.0, "max"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        fail(patch)
        for step in (1, 2):
            with pytest.raises(InputError, match="cannot be written") as caught:
                folder.save(step, small(2.0), Score("a", 2.0, "max"), keep_last=1)
            assert "No space left" in str(caught.value)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    folder.save(2, small(2.0), Score("a", 2.0, "max"), keep_last=1)
    assert [path.name for path in folder.files()] == ["step-00000002.safetensors"]


def test_ctrl_c_leaves_no_part(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = file.read_bytes()
    monkeypatch.setattr("sigmagraph.runtime.whole_files.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(file, small(2.0))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_disk_that_fills_up_between_a_checkpoint_and_the_index_loses_no_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, small(), Score("a", 1.0, "max"))
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "_write_index", lambda *_: (_ for _ in ()).throw(InputError("full")))
        with pytest.raises(InputError):
            folder.save(2, small(), Score("a", 9.0, "max"))
    for step in (3, 4, 5):
        folder.save(step, small(), Score("a", 2.0, "max"), keep_last=1)
    assert steps(folder.files()) == [2, 5]
    assert steps([folder.best()]) == [2]


# Folders.


def steps(paths: list[Path]) -> list[int]:
    return [int(path.stem.partition("-")[2]) for path in paths]


def test_the_last_and_the_best_by_each_score_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "made")
    assert folder.files() == []
    accuracies, costs = [0.1, 0.9, 0.3, float("nan"), 0.9, 0.5], [5.0, 4.0, 1.0, float("nan"), 2.0, 3.0]
    for step, (accuracy, cost) in enumerate(zip(accuracies, costs, strict=True), 1):
        folder.save(step, small(step), Score("accuracy", accuracy, "max"), keep_last=2)
        folder.save(step, small(step), Score("cost", cost, "min"), keep_last=2)
    assert steps(folder.files()) == [2, 3, 5, 6]
    assert steps([folder.best("accuracy"), folder.best("cost"), folder.latest()]) == [2, 3, 6]
    assert folder.read_latest().document == {"iteration": 1, "value": 6}
    for name in (None, "absent"):
        with pytest.raises(InputError, match="accuracy, cost"):
            folder.best(name)


def test_nan_is_the_best_only_while_there_is_nothing_else(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step, value in ((1, float("nan")), (2, float("-inf")), (3, float("nan"))):
        folder.save(step, small(), Score("a", value, "max"))
        assert steps([folder.best()]) == [min(step, 2)]


@pytest.mark.parametrize(
    "index",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"best": {}}',
        b'{"format": "sigmagraph checkpoints 2", "best": {}, "files": ["step-00000002.safetensors"]}',
        b'{"format": "sigmagraph checkpoints 1", "best": {"a": {"file": "../x", "value": 9, "mode": "max"}}, "files": []}',
        b'{"format": "sigmagraph checkpoints 1", "best": {"a": {"file": 3, "value": 9, "mode": "max"}}, "files": []}',
        b'{"format": "sigmagraph checkpoints 1", "best": {"a": {"value": 9, "mode": "max"}}, "files": []}',
        b'{"format": "sigmagraph checkpoints 1", "best": {"a": {"file": "x", "value": "9", "mode": "max"}}, "files": []}',
        b'{"format": "sigmagraph checkpoints 1", "best": {"a": {"file": "x", "value": 9, "mode": "big"}}, "files": []}',
        b'{"format": "sigmagraph checkpoints 1", "best": {}, "files": 3}',
        b"\xff" * 10,
    ],
)
def test_an_index_that_is_lost_is_made_again(index: bytes | None, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step, value in ((1, 1.0), (2, 3.0), (3, 2.0)):
        folder.save(step, small(), Score("a", value, "max"))
    if index is None:
        (tmp_path / "index.json").unlink()
    else:
        (tmp_path / "index.json").write_bytes(index)
    assert steps([folder.best()]) == [2]
    folder.save(4, small(), Score("a", 0.0, "max"), keep_last=1)
    assert steps(folder.files()) == [2, 4]
    assert json.loads((tmp_path / "index.json").read_text())["best"]["a"]["value"] == 3.0


def test_the_second_best_is_the_best_when_the_best_is_gone(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step, value in ((1, 2.0), (2, 3.0), (3, 1.0)):
        folder.save(step, small(), Score("a", value, "max"))
    folder.best().unlink()
    assert steps([folder.best()]) == [1]
    folder.save(1, small(7.0), Score("a", 0.5, "max"))  # other values, so what was said of it is no longer true
    assert steps([folder.best()]) == [3]


def test_scores_stay_with_a_file_that_is_written_again_alike(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, small(), Score("a", 1.0, "max"))
    folder.save(1, small(), Score("b", 2.0, "max"))
    folder.save(1, small())
    assert steps([folder.best("a"), folder.best("b")]) == [1, 1]
    folder.save(1, small(3.0), Score("b", 2.0, "max"))
    assert steps([folder.best()]) == [1]
    with pytest.raises(InputError):
        folder.best("a")


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (10**8, 99_999_999, 2):
        folder.save(step, small(step))
    (tmp_path / "step-7.safetensors").write_bytes(b"")
    (tmp_path / "step-00000008.safetensors.bak").write_bytes(b"")
    assert steps(folder.files()) == [2, 99_999_999, 10**8]
    folder.latest().write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match=r"step-99999999\.safetensors is whole"):
        folder.read_latest()
    for path in folder.files():
        path.write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match="no other checkpoint"):
        folder.read_latest()


def test_the_one_just_written_is_never_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(9, small())
    assert folder.save(3, small(), keep_last=1).exists()
    assert steps(folder.files()) == [3, 9]


def test_later_ones_are_set_aside(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.set_aside(3)
    for step, value in ((1, 1.0), (2, 2.0), (3, 3.0)):
        folder.save(step, small(value), Score("a", value, "max"))
    folder.set_aside(2)
    assert steps(folder.files()) == [1, 2]
    assert steps([folder.best()]) == [2]
    assert read_checkpoint(tmp_path / "superseded" / "step-00000003.safetensors").document["value"] == 3.0
    folder.set_aside(2)
    assert steps(folder.files()) == [1, 2]


@pytest.mark.parametrize(
    "arguments", [{"keep_last": 0}, {"keep_last": -1}, {"keep_last": True}, {"step": -1}, {"step": 1.5}]
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AttributeValueError, match="out of range"):
        CheckpointFolder(tmp_path).save(**{"step": 1, "checkpoint": small(), **arguments})


def test_a_folder_without_checkpoints_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (
        CheckpointFolder(tmp_path),
        CheckpointFolder(tmp_path / "absent"),
        CheckpointFolder(tmp_path / "file"),
    ):
        with pytest.raises(InputError, match="no checkpoint"):
            folder.latest()
        with pytest.raises(InputError, match="no best checkpoint"):
            folder.best()
    with pytest.raises(InputError, match="cannot be used"):
        CheckpointFolder(tmp_path / "file").save(1, small())


WRITER = """
import sys, numpy as np
from sigmagraph.training.storage.checkpoints import Checkpoint, CheckpointFolder, Score
folder = CheckpointFolder(sys.argv[1])
step = 0
while True:
    step += 1
    arrays = {f"network/{i}": np.full(40_000, step, np.float32) for i in range(4)}
    folder.save(step, Checkpoint(arrays, {"iteration": step}), Score("a", step % 7, "max"), keep_last=2)
    if step == 1:
        print("go", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_writer_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    """Several writers, one after the other; none gets to tidy up."""
    folder, seconds = CheckpointFolder(tmp_path), np.random.default_rng(3).uniform(0, 0.15, 4)
    for pause in seconds:
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"go\n"
            time.sleep(float(pause))
            os.kill(child.pid, signal.SIGKILL)
        found = folder.files()
        assert found
        for path in found:
            checkpoint = read_checkpoint(path)
            step = checkpoint.document["iteration"]
            assert steps([path]) == [step]
            assert all((array == step).all() for array in checkpoint.arrays.values())
        assert folder.best() in found
    parts = list(tmp_path.glob(".*"))
    assert len(parts) <= 1  # what the last one was killed at
    folder.save(1, small())
    assert list(tmp_path.glob(".*")) == []
