from __future__ import annotations

import errno
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counted import Counted

from sigmagraph.data import Cache, Lambda, StreamedDataset
from sigmagraph.data.records import Block
from sigmagraph.errors import AttributeValueError, CacheWarning


def everything(dataset: Any) -> list[int]:
    return [int(i) for batch in dataset.undivided().epoch(0) for i in batch.inputs[:, 0]]


def read(folder: Any, records: int = 10, block: int = 4, name: str = "counted", *steps: Any) -> tuple[list[int], int]:
    """What a dataset with that cache holds, and how many reads it took."""
    counted = Counted(records, name)
    dataset = StreamedDataset(counted, block=block, keep=1, cache=folder)
    got = everything(dataset.preprocess(*steps))
    return got, len(counted.ranges)


def test_what_was_read_once_comes_from_disk(tmp_path: Path) -> None:
    assert read(tmp_path) == (list(range(10)), 3)
    assert read(tmp_path) == (list(range(10)), 0)
    (pipeline,) = tmp_path.iterdir()
    assert sorted(p.name for p in pipeline.iterdir()) == ["00000000", "00000001", "00000002", "manifest.json"]
    manifest = json.loads((pipeline / "manifest.json").read_text())
    assert (manifest["format"], manifest["records"], manifest["block"]) == ("sigmagraph blocks 1", 10, 4)
    assert manifest["sections"] == ["inputs", "targets"]
    assert np.load(pipeline / "00000002" / "1.npy").tolist() == [-8, -9]


def test_blocks_from_disk_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    read(tmp_path)
    batch = next(StreamedDataset(Counted(10), block=4, cache=tmp_path).undivided().epoch(0))
    owner = batch.inputs
    while not isinstance(owner, np.memmap):
        owner = owner.base
    assert not batch.inputs.flags.writeable


def test_any_change_of_the_pipeline_reads_anew(tmp_path: Path) -> None:
    def double(x: Any) -> Any:
        return 2 * x

    read(tmp_path)
    assert read(tmp_path, 11)[1] == 3
    assert read(tmp_path, 10, 5)[1] == 2
    assert read(tmp_path, 10, 4, "other")[1] == 3
    assert read(tmp_path, 10, 4, "counted", Lambda(double)) == ([2 * i for i in range(10)], 3)
    assert read(tmp_path, 10, 4, "counted", Lambda(double)) == ([2 * i for i in range(10)], 0)
    assert read(tmp_path, 10, 4, "counted", Lambda(double, key="v2"))[1] == 3
    assert read(tmp_path, 10, 4, "counted", Lambda(double), Lambda(double)) == ([4 * i for i in range(10)], 3)
    assert len(list(tmp_path.iterdir())) == 7
    assert read(tmp_path)[1] == 0


def test_size_and_clear(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("stays")
    dataset = StreamedDataset(Counted(10), block=4, cache=tmp_path)
    assert dataset.cache is not None
    assert dataset.cache.size() == 0
    dataset.fill_cache()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "mine.txt"]
    assert dataset.cache.size() == sum(p.stat().st_size for p in files) > 10 * 12
    dataset.cache.clear()
    assert dataset.cache.size() == 0
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert everything(dataset) == list(range(10))


def test_filling_reads_once_and_in_order(tmp_path: Path) -> None:
    counted = Counted(10)
    dataset = StreamedDataset(counted, block=4, keep=1, cache=tmp_path)
    dataset.take(np.array([5]))
    counted.ranges.clear()
    dataset.fill_cache()
    assert counted.ranges == [(0, 4), (8, 10)]
    assert sorted(i for b in dataset.batches(3).epoch(0) for i in b.inputs[:, 0]) == list(range(10))
    assert len(counted.ranges) == 2
    with pytest.raises(AttributeValueError, match="has no cache"):
        StreamedDataset(counted).fill_cache()


@pytest.mark.parametrize("at", range(5))
def test_a_full_disk_leaves_no_half_block(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sigmagraph.data import cache

    settle, calls = cache._settle, []

    def full(file: Any) -> None:
        calls.append(file)
        if len(calls) > at:
            raise OSError(errno.ENOSPC, "No space left on device")
        settle(file)

    monkeypatch.setattr(cache, "_settle", full)
    counted = Counted(10)
    with pytest.warns(CacheWarning, match="No space left"):
        assert everything(StreamedDataset(counted, block=4, keep=1, cache=tmp_path)) == list(range(10))
    assert [p.name for p in tmp_path.rglob("*") if "part" in p.name] == []
    monkeypatch.undo()
    stored = [p.name for p in tmp_path.glob("*/0*")]
    assert stored == (["00000000"] if at == 4 else [])
    assert read(tmp_path) == (list(range(10)), 3 - len(stored))
    assert read(tmp_path)[1] == 0


def test_what_a_killed_writer_left_is_no_block(tmp_path: Path) -> None:
    read(tmp_path)
    (pipeline,) = tmp_path.iterdir()
    (pipeline / "00000001").rename(pipeline / ".1-abc.part")
    (pipeline / ".1-abc.part" / "1.npy").write_bytes(b"half")
    assert read(tmp_path) == (list(range(10)), 1)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"nonsense"])
def test_a_damaged_block_is_made_anew_with_a_warning(damage: bytes, tmp_path: Path) -> None:
    read(tmp_path)
    (pipeline,) = tmp_path.iterdir()
    (pipeline / "00000001" / "0.npy").write_bytes(damage)
    with pytest.warns(CacheWarning, match="damaged"):
        assert read(tmp_path) == (list(range(10)), 1)
    assert read(tmp_path) == (list(range(10)), 0)
    whole = (pipeline / "00000002" / "0.npy").read_bytes()
    (pipeline / "00000002" / "0.npy").write_bytes(whole[:-4])
    with pytest.warns(CacheWarning, match="damaged"):
        assert read(tmp_path) == (list(range(10)), 1)


def test_a_faster_writer_is_as_good(tmp_path: Path) -> None:
    first = StreamedDataset(Counted(10), block=4, keep=1, cache=tmp_path)
    shelf = first._blocks._shelf
    assert shelf is not None
    block: Block = Counted(10).read(0, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shelf.store(0, block)
        shelf.store(0, block)
    assert everything(first) == list(range(10))
    assert list(tmp_path.rglob("*.part")) == []


def test_a_limit_is_kept_and_the_oldest_pipeline_makes_room(tmp_path: Path) -> None:
    whole = Cache(tmp_path)
    read(whole, name="a")
    one = whole.size()
    limited = Cache(tmp_path, limit=one + one // 2)
    (oldest,) = tmp_path.iterdir()
    read(limited, name="b")
    assert limited.size() <= one + one // 2
    assert not oldest.exists()
    assert read(limited, name="b")[1] == 0
    small = Cache(tmp_path / "small", limit=100)
    assert read(small)[0] == list(range(10))
    assert small.size() <= 100
    with pytest.raises(AttributeValueError, match="number of bytes"):
        Cache(tmp_path, limit=-1)


def test_a_set_larger_than_its_budget_streams_from_disk(tmp_path: Path) -> None:
    counted = Counted(1000)
    dataset = StreamedDataset(counted, block=25, keep=2, cache=tmp_path)
    dataset.fill_cache()
    counted.ranges.clear()
    for epoch in range(2):
        got = [int(i) for b in dataset.batches(32).epoch(epoch) for i in b.inputs[:, 0]]
        assert sorted(got) == list(range(1000))
        assert dataset.held <= 2
    assert counted.ranges == []
