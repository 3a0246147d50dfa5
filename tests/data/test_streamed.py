from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from counted import Counted

from sigmagraph.data import (
    Batches,
    Block,
    Dataset,
    Lambda,
    RandomShift,
    Records,
    Shuffle,
    Standardise,
    StreamedDataset,
    prefetch,
)
from sigmagraph.data.blocks import Blocks, free_memory
from sigmagraph.errors import AttributeValueError, FileFormatError


def numbers(batches: Batches, epoch: int = 0, start: int = 0) -> list[int]:
    out: list[int] = []
    for batch in batches.epoch(epoch, start):
        assert (batch.inputs[:, 1] == 2 * batch.inputs[:, 0]).all()
        assert (batch.targets == -batch.inputs[:, 0]).all()
        out += batch.inputs[:, 0].astype(int).tolist()
    return out


def members(dataset: Any) -> list[int]:
    return [int(i) for chunk in dataset.chunks(7) for i in chunk.inputs[:, 0]]


@pytest.mark.parametrize("records", [1, 9, 10, 43])
@pytest.mark.parametrize(("block", "keep", "mixed"), [(1, 1, 1), (4, 2, None), (5, 3, 2), (100, 1, None)])
def test_every_record_comes_once_an_epoch(records: int, block: int, keep: int, mixed: int | None) -> None:
    dataset = StreamedDataset(Counted(records), block=block, keep=keep, shuffle_blocks=mixed)
    for seed, epoch, size in [(0, 0, 3), (1, 0, 10), (1, 5, 64)]:
        batches = dataset.batches(size, seed=seed)
        assert sorted(numbers(batches, epoch)) == list(range(records))
        assert [len(b.inputs) for b in batches.epoch(epoch)] == [
            min(size, records - start) for start in range(0, records, size)
        ]
    assert members(dataset) == list(range(records))


def test_the_order_is_random_and_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return numbers(StreamedDataset(Counted(60), block=5, keep=3).batches(7, seed=seed), epoch)

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1)}) == 4
    assert order(0, 1)[:15] != sorted(order(0, 1)[:15])
    assert len({i // 5 for i in order(0, 0)[:15]}) == 3


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_from_a_later_start_is_the_tail_and_reads_only_what_it_needs(drop_last: bool) -> None:
    records = Counted(50)
    dataset = StreamedDataset(records, block=5, keep=2)
    batches = dataset.batches(4, seed=2, drop_last=drop_last)
    whole = numbers(batches, 3)
    assert len(whole) == 48 + 2 * (not drop_last)
    for start in range(len(batches) + 1):
        fresh = Counted(50)
        tail = StreamedDataset(fresh, block=5, keep=2).batches(4, seed=2, drop_last=drop_last)
        assert numbers(tail, 3, start) == whole[4 * start :]
        assert {first // 5 for first, _ in fresh.ranges} == {i // 5 for i in whole[4 * start :]}


def test_no_block_is_read_twice_in_an_epoch() -> None:
    records = Counted(103)
    batches = StreamedDataset(records, block=5, keep=3).batches(8)
    for epoch in range(2):
        records.ranges.clear()
        numbers(batches, epoch)
        assert len(records.ranges) <= 21
        assert max(Counter(records.ranges).values()) == 1


class Watched(Counted):
    """Knows how many of the blocks that it gave are still in memory."""

    most = 0

    def read(self, start: int, stop: int) -> Block:
        block = super().read(start, stop)
        self.given = [*getattr(self, "given", []), weakref.ref(block["inputs"])]
        self.most = max(self.most, sum(ref() is not None for ref in self.given))
        return block


@pytest.mark.parametrize("keep", [1, 3])
def test_no_more_blocks_are_in_memory_than_are_to_be_kept(keep: int) -> None:
    gc.collect()
    records = Watched(200)
    dataset = StreamedDataset(records, block=5, keep=keep)
    train, held_out = dataset.split(0.7, 0.3)
    for batches in (dataset.batches(16), train.batches(9), held_out.undivided(), dataset.unified()):
        for _ in batches.epoch(0):
            assert dataset.held <= keep
    dataset.take(np.arange(199, -1, -1))
    assert dataset.held == keep
    # One is just being given while the others are there: room is made before a block is read.
    assert records.most == keep


def test_views_share_the_blocks_in_memory() -> None:
    records = Counted(20)
    dataset = StreamedDataset(records, block=10, keep=2)
    for part in dataset.split(0.5, 0.5):
        numbers(part.batches(4))
    assert records.ranges == [(0, 10), (10, 20)] or records.ranges == [(10, 20), (0, 10)]


@pytest.mark.parametrize("records", [1, 2, 7, 30, 101])
@pytest.mark.parametrize("streamed", [False, True])
def test_slices_are_disjoint_and_complete(records: int, streamed: bool) -> None:
    dataset: Any = StreamedDataset(Counted(records), block=4)
    if not streamed:
        dataset = Dataset(*dataset.take(slice(None)))
    for shares in [(1.0,), (0.5, 0.5), (0.8, 0.2), (1 / 3, 1 / 3, 1 / 3), (0.15, 0.15, 0.7)]:
        parts = dataset.split(*shares, seed=records)
        found = [i for part in parts for i in members(part)]
        assert sorted(found) == list(range(records))
        for part in parts:
            if len(part):
                assert sorted(numbers(part.batches(3, seed=1))) == members(part)
    for counts in [(1, 1), (1, 4), (2, 1, 1)]:
        if sum(counts[:-1]) * 2 < records:
            parts = dataset.split_blocks(*counts, block=2)
            assert sorted(i for part in parts for i in members(part)) == list(range(records))
            again = parts[0].split(0.5, 0.5)
            assert sorted(i for part in again for i in members(part)) == members(parts[0])


def test_the_same_records_are_drawn_in_memory_and_streamed() -> None:
    dataset = StreamedDataset(Counted(40), block=6)
    in_memory = Dataset(*dataset.take(slice(None)))
    for mine, other in zip(dataset.split(0.6, 0.4, seed=3), in_memory.split(0.6, 0.4, seed=3), strict=True):
        assert members(mine) == members(other)


def test_blocks_go_to_the_parts_in_turn() -> None:
    first, rest = StreamedDataset(Counted(22), block=2).split_blocks(1, 4)
    assert members(first) == [0, 1, 10, 11, 20, 21]
    assert members(rest) == [*range(2, 10), *range(12, 20)]
    assert members(rest.split_blocks(1, 1)[1]) == [4, 5, 8, 9, 14, 15, 18, 19]


@pytest.mark.parametrize("parts", [(), (0, 1), (1, -1), (1.5, 1), (11, 1)])
def test_splits_into_blocks_that_mean_nothing_are_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(AttributeValueError, match="cannot be split"):
        StreamedDataset(Counted(22), block=2).split_blocks(*parts)


def test_undivided_gives_whole_blocks_and_unified_all() -> None:
    dataset = StreamedDataset(Counted(11), block=4, keep=2)
    assert [b.inputs[:, 0].tolist() for b in dataset.undivided().epoch(0)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert [b.inputs[:, 0].tolist() for b in dataset.undivided().epoch(0, 2)] == [[8, 9, 10]]
    (everything,) = dataset.unified().epoch(4)
    assert everything.targets.tolist() == [-i for i in range(11)]
    assert len(dataset.unified()) == 1
    assert [len(b.inputs) for b in dataset.undivided().sized(6).epoch(0)] == [6, 5]
    with pytest.raises(AttributeValueError, match="has all records"):
        dataset.unified().sized(4)
    in_memory = Dataset(np.arange(6), np.arange(6))
    assert [b.inputs.tolist() for b in in_memory.unified().epoch(0)] == [[0, 1, 2, 3, 4, 5]]
    assert [b.inputs.tolist() for b in in_memory.undivided().sized(4).epoch(0)] == [[0, 1, 2, 3], [4, 5]]


def test_records_are_taken_by_any_numbers() -> None:
    dataset = StreamedDataset(Counted(20), block=3, keep=2)
    for chosen in [np.array([19, 0, 7, 7, 8]), slice(2, 17), slice(1, 19, 5), slice(4, 4), np.array([], np.int64)]:
        expected = np.arange(20)[chosen]
        assert dataset.take(chosen).inputs[:, 0].tolist() == expected.tolist()
        assert dataset.take(chosen).targets.tolist() == (-expected).tolist()
    assert dataset.take(np.arange(20) % 9 == 0).targets.tolist() == [0, -9, -18]
    for wrong in [np.array([20]), np.array([-1])]:
        with pytest.raises(AttributeValueError, match="no such record"):
            dataset.take(wrong)
    with pytest.raises(AttributeValueError, match="no such records"):
        dataset.read(3, 21)


def test_blocks_that_others_see_cannot_be_written() -> None:
    batch = next(StreamedDataset(Counted(8), block=4).undivided().epoch(0))
    with pytest.raises(ValueError, match="read-only"):
        batch.inputs[0] = 1


def test_threads_share_a_dataset() -> None:
    dataset = StreamedDataset(Counted(300), block=10, keep=2)
    found: list[list[int]] = []
    workers = [
        threading.Thread(target=lambda s=s: found.append(sorted(numbers(dataset.batches(7, seed=s))))) for s in range(4)
    ]
    for worker in workers:
        worker.start()
    with prefetch(dataset.batches(7).epoch(0)) as ahead:
        assert sum(len(b.inputs) for b in ahead) == 300
    for worker in workers:
        worker.join()
    assert found == [list(range(300))] * 4


def test_preprocessors_are_applied_to_views_too() -> None:
    dataset = StreamedDataset(Counted(40), block=6, keep=2)
    train, held_out = dataset.split(0.5, 0.5)
    fitted = Standardise().fit(train)
    mine = np.array(members(train), float)
    done = np.concatenate([c.inputs for c in train.preprocess(fitted).chunks(5)])
    np.testing.assert_allclose(done[:, 0], (mine - mine.mean()) / mine.std(), rtol=1e-5, atol=1e-6)
    other = np.array(members(held_out), float)
    done = np.concatenate([c.inputs for c in held_out.preprocess(fitted).chunks(5)])
    np.testing.assert_allclose(done[:, 1], (other - mine.mean()) / mine.std(), rtol=1e-5, atol=1e-6)
    with pytest.raises(AttributeValueError, match="must see all records"):
        dataset.preprocess(Shuffle())
    with pytest.raises(AttributeValueError, match="yet to learn"):
        dataset.preprocess(Standardise())


def test_fingerprints_tell_datasets_apart() -> None:
    dataset = StreamedDataset(Counted(40), block=6)
    half = Lambda(lambda x: x / 2, key="half")
    others = [
        StreamedDataset(Counted(41), block=6),
        StreamedDataset(Counted(40), block=7),
        StreamedDataset(Counted(40), block=6, shuffle_blocks=2),
        *dataset.split(0.5, 0.5),
        dataset.preprocess(half),
        dataset.preprocess(half, half),
        dataset.augment(RandomShift(1)),
        dataset.augment(RandomShift(2)),
    ]
    assert len({d.fingerprint() for d in [dataset, *others]}) == 1 + len(others)
    assert StreamedDataset(Counted(40), block=6).fingerprint() == dataset.fingerprint()


class Words(Counted):
    """Text that is wider in later blocks, in a section of its own."""

    @property
    def sections(self) -> tuple[str, ...]:
        return ("inputs.word", "inputs.place", "targets")

    def read(self, start: int, stop: int) -> Block:
        words = np.array(["x" * (i + 1) for i in range(start, stop)] or [""])[: stop - start]
        return {"inputs.word": words, "inputs.place": np.arange(start, stop), "targets": np.arange(start, stop)}


def test_several_inputs_come_by_name_and_text_is_never_cut_off() -> None:
    batch = StreamedDataset(Words(6), block=2).take(np.array([0, 5, 2]))
    assert batch.inputs["word"].tolist() == ["x", "xxxxxx", "xxx"]
    assert batch.inputs["place"].tolist() == [0, 5, 2]
    assert StreamedDataset(Words(6), block=4).take(slice(None)).inputs["word"][5] == "xxxxxx"


class Short(Counted):
    def read(self, start: int, stop: int) -> Block:
        return {name: array[:-1] if start else array for name, array in super().read(start, stop).items()}


class Raw(Counted):
    @property
    def sections(self) -> tuple[str, ...]:
        return ("columns",)


def test_records_that_are_not_what_they_say_are_refused() -> None:
    with pytest.raises(FileFormatError, match="another number"):
        members(StreamedDataset(Short(10), block=4))
    with pytest.raises(AttributeValueError, match="no inputs and targets"):
        StreamedDataset(Raw(10))


@pytest.mark.parametrize(
    "wrong", [{"block": 0}, {"keep": 0}, {"shuffle_blocks": 0}, {"shuffle_blocks": 5}, {"keep": 1.5}]
)
def test_numbers_of_blocks_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AttributeValueError, match="block"):
        StreamedDataset(Counted(10), **wrong)


def test_the_automatic_block_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def size(records: Records, keep: int) -> int:
        return Blocks(records, None, keep, None).size

    assert free_memory() > 1 << 20
    monkeypatch.setattr("sigmagraph.data.blocks.free_memory", lambda: 1 << 40)
    assert size(Counted(10), 4) == 10
    assert size(Counted(10_000_000), 4) == 65_536
    monkeypatch.setattr("sigmagraph.data.blocks.free_memory", lambda: 12 * 4 * 4 * 1000)
    assert size(Counted(10_000_000), 4) == 1000  # 12 bytes a record, 4 blocks, a quarter of what is free
    monkeypatch.setattr("sigmagraph.data.blocks.free_memory", lambda: 0)
    assert size(Counted(10), 4) == 1
