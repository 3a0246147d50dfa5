from __future__ import annotations

import gc
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmagraph.errors import AttributeValueError, InputError, TrainingStateError
from sigmagraph.training.storage.checkpoints import Checkpoint
from sigmagraph.training.storage.folder_lock import FolderLock, is_locked
from sigmagraph.training.storage.run_folder import RunFolder, environment, find_runs


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """An open one."""
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.open()
    yield folder
    folder.close("stopped")


def iterations(folder: RunFolder) -> list[int]:
    return [event["iteration"] for event in folder.metrics()]


# What is written.


def test_a_folder_tells_of_its_run(folder: RunFolder) -> None:
    folder.configure({"network": "mlp", "rate": np.float32(0.5), "clip": float("inf"), "sizes": (3, 4)})
    folder.record(0, 1, {"cost": 2.5})
    folder.record(1, 2, {"cost": np.float32(0.5), "validation.accuracy": 1})
    run = RunFolder.read(folder.path)
    assert (run.name, run.state, run.ended, run.faults) == ("one", "running", None, ())
    assert run.started is not None
    assert run.config == {"network": "mlp", "rate": 0.5, "clip": float("inf"), "sizes": [3, 4]}
    assert run.environment == environment()
    assert [(e["epoch"], e["iteration"], e["values"]) for e in run.metrics()] == [
        (0, 1, {"cost": 2.5}),
        (1, 2, {"cost": 0.5, "validation.accuracy": 1.0}),
    ]
    assert run.metrics()[0]["time"] <= run.metrics()[1]["time"]
    assert run.names() == ["cost", "validation.accuracy"]
    assert run.by_epoch("cost") == {0: 2.5, 1: 0.5}
    assert run.checkpoints.path == folder.checkpoints.path == folder.path / "checkpoints"


def test_states_follow_each_other(folder: RunFolder) -> None:
    seen = [RunFolder.read(folder.path)]
    folder.mark("paused")
    seen.append(RunFolder.read(folder.path))
    folder.mark("running")
    seen.append(RunFolder.read(folder.path))
    folder.close("finished")
    folder.close("stopped")
    seen.append(RunFolder.read(folder.path))
    assert [run.state for run in seen] == ["running", "paused", "running", "finished"]
    assert [run.started for run in seen] == [seen[0].started] * 4
    assert [run.ended is None for run in seen] == [True, True, True, False]


def test_the_environment_is_told_without_names(folder: RunFolder) -> None:
    found = json.loads((folder.path / "environment.json").read_text())
    assert list(found) == ["sigmagraph", "numpy", "llvmlite", "python", "system", "cpu", "threads"]
    assert platform.node() not in found.values()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert found["threads"] >= 1


def test_numbers_without_an_end_survive_and_every_line_is_json(folder: RunFolder) -> None:
    values = {"a": float("nan"), "b": float("inf"), "c": -np.float32("inf"), "d": 1e-320, "e": 0.1, "f": True}
    folder.record(0, 1, values)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=refuse)["epoch"] == 0
    (event,) = folder.metrics()
    np.testing.assert_array_equal(list(event["values"].values()), [float(value) for value in values.values()])


def test_every_line_is_there_as_soon_as_it_is_recorded(folder: RunFolder) -> None:
    for iteration in range(3):
        folder.record(0, iteration, {"cost": 1.0})
        assert len((folder.path / "metrics.jsonl").read_bytes().splitlines()) == iteration + 1


@pytest.mark.parametrize("value", ["many", None, np.zeros(2), 1j, [1.0]], ids=str)
def test_what_is_no_number_is_no_metric(value: Any, folder: RunFolder) -> None:
    with pytest.raises(AttributeValueError, match="'cost' is no number"):
        folder.record(0, 1, {"good": 1.0, "cost": value})
    assert folder.metrics() == []


def test_what_is_no_plain_value_is_no_configuration(folder: RunFolder) -> None:
    folder.configure({"a": 1})
    with pytest.raises(AttributeValueError, match=r"config\.b"):
        folder.configure({"b": object()})
    assert RunFolder.read(folder.path).config == {"a": 1}


def test_lines_of_several_threads_do_not_mix(folder: RunFolder) -> None:
    def work(number: int) -> None:
        for iteration in range(50):
            folder.record(number, iteration, {"x" * 200: float(number)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = RunFolder.read(folder.path)
    assert (len(run.metrics()), run.metric_faults()) == (200, [])


def test_a_full_disk_leaves_whole_lines(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.record(0, 1, {"cost": 1.0})
    write = os.write

    def half(handle: int, content: memoryview) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return write(handle, content[: len(content) // 2])

    with monkeypatch.context() as patch:
        patch.setattr("sigmagraph.training.storage.run_folder.os.write", half)
        with pytest.raises(InputError, match="cannot be written") as caught:
            folder.record(0, 2, {"cost": 1.0})
        assert "No space left" in str(caught.value)
    folder.record(0, 3, {"cost": 1.0})
    assert iterations(folder) == [1, 3]
    assert (folder.path / "metrics.jsonl").read_bytes().count(b"\n") == 2


def test_the_log_goes_to_the_folder_until_the_run_ends(folder: RunFolder) -> None:
    logger = logging.getLogger("sigmagraph")
    handlers = list(logger.handlers)
    handler = folder.handler()
    logger.addHandler(handler)
    logging.getLogger("sigmagraph.training").warning("one")
    folder.close("finished")
    logging.getLogger("sigmagraph.training").warning("two")
    assert logger.handlers == handlers
    (line,) = (folder.path / "log.txt").read_text().splitlines()
    assert line.endswith("WARNING sigmagraph.training: one")


def test_nothing_is_written_to_a_folder_that_is_not_open(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "one")
    actions = (
        lambda: folder.configure({}),
        lambda: folder.record(0, 0, {}),
        lambda: folder.mark("paused"),
        folder.handler,
    )
    for _ in range(2):
        for action in actions:
            with pytest.raises(TrainingStateError, match="not open"):
                action()
        folder.open()
        folder.close("finished")
    folder.open()
    with pytest.raises(TrainingStateError, match="open already"):
        folder.open()
    folder.close("finished")


# Two runs, and going on with one.


def test_a_folder_is_for_one_writer(folder: RunFolder) -> None:
    folder.record(0, 1, {"cost": 1.0})
    for resuming_at in (None, 0):
        with pytest.raises(TrainingStateError, match="another run writes") as caught:
            RunFolder(folder.path).open(resuming_at)
        assert "of this process" in str(caught.value)
        assert "another folder" in str(caught.value)
    assert iterations(folder) == [1]
    folder.record(0, 2, {"cost": 1.0})
    assert iterations(folder) == [1, 2]


def test_a_new_run_does_not_go_over_an_old_one(folder: RunFolder) -> None:
    folder.record(0, 1, {"cost": 1.0})
    folder.close("finished")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file() and path.name != "lock"}
    with pytest.raises(TrainingStateError, match="holds a run already") as caught:
        RunFolder(folder.path).open()
    assert "trainer.resume" in str(caught.value)
    assert not is_locked(folder.path)
    after = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file() and path.name != "lock"}
    assert after == before


def test_checkpoints_alone_are_a_run_too(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.save(1, Checkpoint({}, {}))
    with pytest.raises(TrainingStateError, match="holds a run already"):
        folder.open()


def test_a_run_that_came_to_nothing_is_begun_anew(folder: RunFolder) -> None:
    started = RunFolder.read(folder.path).started
    folder.close("failed")
    assert RunFolder.read(folder.path).state == "failed"
    folder.open()
    run = RunFolder.read(folder.path)
    assert (run.state, run.ended) == ("running", None)
    assert run.started is not None
    assert started is not None
    assert run.started >= started


def test_going_on_drops_what_comes_again(folder: RunFolder) -> None:
    started = RunFolder.read(folder.path).started
    for iteration in range(1, 7):
        folder.record(iteration // 2, iteration, {"cost": float(iteration)})
        folder.checkpoints.save(iteration, Checkpoint({}, {"iteration": iteration}))
    folder.close("stopped")
    other = RunFolder(folder.path)
    other.open(4)
    try:
        assert iterations(other) == [1, 2, 3, 4]
        assert other.checkpoints.read_latest().document == {"iteration": 4}
        other.record(2, 5, {"cost": -1.0})
        assert [event["values"]["cost"] for event in other.metrics()] == [1, 2, 3, 4, -1]
        run = RunFolder.read(folder.path)
        assert (run.state, run.started, run.ended) == ("running", started, None)
    finally:
        other.close("finished")
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_going_on_somewhere_else_begins_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new")
    folder.open(450)
    folder.record(3, 451, {"cost": 1.0})
    folder.close("finished")
    assert iterations(folder) == [451]


@pytest.mark.parametrize("end", [b'{"epoch":2,"iterat', b'{"epoch":2,"iteration":3,"time":1.0,"values":{}}', b"\xff"])
def test_half_a_line_at_the_end_is_cut(end: bytes, folder: RunFolder) -> None:
    folder.record(1, 2, {"cost": 1.0})
    folder.close("stopped")
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(end)
    run = RunFolder.read(folder.path)
    assert ([event["iteration"] for event in run.metrics()], run.metric_faults()) == ([2], [])
    folder.open(9)
    folder.record(2, 10, {"cost": 2.0})
    assert iterations(folder) == [2, 10]


def test_a_full_disk_while_cutting_leaves_all_lines(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for iteration in (1, 2):
        folder.record(0, iteration, {"cost": 1.0})
    folder.close("stopped")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sigmagraph.runtime.whole_files.fsync", no_space)
        with pytest.raises(InputError, match="cannot be written"):
            folder.open(1)
    assert iterations(folder) == [1, 2]
    assert not is_locked(folder.path)
    folder.open(1)
    assert iterations(folder) == [1]


def test_another_environment_is_noticed(folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.close("paused")
    path = folder.path / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "numpy": "1.0"}))
    with caplog.at_level("WARNING", "sigmagraph"):
        folder.open(0)
    assert f"numpy 1.0 -> {np.__version__}" in caplog.text
    assert "python" not in caplog.text


# The lock.

HOLDER = """
import sys, time
from sigmagraph.training.storage.run_folder import RunFolder
folder = RunFolder(sys.argv[1])
folder.open()
folder.record(0, 1, {"cost": 1.0})
print("go", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        with pytest.raises(TrainingStateError, match="another run writes") as caught:
            RunFolder(path).open(0)
        assert f"process {child.pid}" in str(caught.value)
        assert RunFolder.read(path).state == "running"
        os.kill(child.pid, signal.SIGKILL)
    assert RunFolder.read(path).state == "killed"
    folder = RunFolder(path)
    folder.open(1)
    assert RunFolder.read(path).state == "running"
    assert iterations(folder) == [1]
    folder.close("finished")


def test_a_run_that_was_killed_while_it_paused_was_killed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open()
    folder.mark("paused")
    assert RunFolder.read(tmp_path).state == "paused"
    del folder
    gc.collect()
    assert RunFolder.read(tmp_path).state == "killed"
    folder = RunFolder(tmp_path)
    folder.open(0)
    folder.close("paused")
    assert RunFolder.read(tmp_path).state == "paused"


def test_the_lock_goes_with_whoever_forgets_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open()
    assert is_locked(tmp_path)
    del folder
    gc.collect()
    assert not is_locked(tmp_path)
    assert RunFolder.read(tmp_path).state == "killed"


def test_looking_does_not_lock_others_out(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_locked(tmp_path)

    FolderLock(tmp_path).release()
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            FolderLock(tmp_path).release()
    finally:
        stop.set()
        thread.join()


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run").open()
    (tmp_path / "run" / "lock").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder(tmp_path / "run").open()


# What is read.


def test_damaged_parts_are_named(folder: RunFolder) -> None:
    for iteration in (1, 2, 3):
        folder.record(0, iteration, {"cost": 1.0})
    folder.configure({"a": 1})
    folder.close("finished")
    (folder.path / "config.json").write_text('{"a": ')
    (folder.path / "environment.json").write_text("[]")
    (folder.path / "state.json").write_text('{"state": "dreaming", "started": 3}')
    metrics = folder.path / "metrics.jsonl"
    first, *rest = metrics.read_bytes().splitlines(keepends=True)
    wrong = [
        b"\xff\n",
        b'{"epoch":0}\n',
        b'{"epoch":0,"iteration":1,"time":0,"values":{"a":"x"}}\n',
        b"[]\n",
        b"[" * 9999 + b"\n",
    ]
    metrics.write_bytes(b"".join([first, *wrong, *rest]))
    run = RunFolder.read(folder.path)
    assert [fault.split(" ")[0] for fault in run.faults] == ["config.json", "environment.json", "state.json"]
    assert (run.state, run.started, dict(run.config), dict(run.environment)) == ("unknown", None, {}, {})
    assert [event["iteration"] for event in run.metrics()] == [1, 2, 3]
    assert [fault.split(" ")[0] for fault in run.metric_faults()] == [f"metrics.jsonl:{line}" for line in range(2, 7)]
    folder.open(2)  # lines that cannot be read stay for somebody to look at
    assert len(metrics.read_bytes().splitlines()) == 2 + len(wrong)
    assert RunFolder.read(folder.path).state == "running"


def test_missing_parts_are_named(folder: RunFolder) -> None:
    folder.close("finished")
    (folder.path / "environment.json").unlink()
    (folder.path / "metrics.jsonl").unlink()
    run = RunFolder.read(folder.path)
    assert [fault.split(" ")[0] for fault in run.faults] == ["config.json", "environment.json"]
    assert (run.metrics(), run.metric_faults()) == ([], [])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no run"):
            RunFolder.read(path)


def test_runs_are_found_at_any_depth_up_to_a_bound(tmp_path: Path) -> None:
    for name in ("b", "a/2", "a/1", "x/y/z", "x/y/z2/w"):
        folder = RunFolder(tmp_path / name)
        folder.open()
        folder.close("finished")
    (tmp_path / "b" / "checkpoints" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)

    def found(root: Path, *depth: int) -> list[str]:
        return [run.path.relative_to(tmp_path).as_posix() for run in find_runs(root, *depth)]

    assert found(tmp_path) == ["a/1", "a/2", "b", "x/y/z"]
    assert found(tmp_path, 4) == ["a/1", "a/2", "b", "x/y/z", "x/y/z2/w"]
    assert found(tmp_path, 1) == ["b"]
    assert found(tmp_path, 0) == []
    assert found(tmp_path / "b", 0) == ["b"]
    with pytest.raises(InputError, match="no folder"):
        find_runs(tmp_path / "absent")
    with pytest.raises(AttributeValueError, match="depth"):
        find_runs(tmp_path, -1)
