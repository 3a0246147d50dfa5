from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counted import Counted

from sigmagraph.data import Dataset, RandomCrop, RandomFlip, RandomShift, StreamedDataset
from sigmagraph.data.preprocessors.augmentation import Draws
from sigmagraph.errors import AttributeValueError, ShapeError

IMAGES = np.random.default_rng(1).normal(size=(30, 6, 5)).astype(np.float32)


def images(*augmentations: Any) -> Dataset:
    return Dataset(IMAGES, np.arange(30)).augment(*augmentations)


def by_record(batches: Any, epoch: int) -> dict[int, Any]:
    return {int(t): x for batch in batches.epoch(epoch) for x, t in zip(*batch, strict=True)}


def test_numbers_are_uniform_and_those_of_the_record_alone() -> None:
    every = Draws(np.arange(40_000), 1, 2, 3)
    some = Draws(np.array([39_999, 7]), 1, 2, 3)
    for _ in range(2):
        u, few = every.uniform(), some.uniform()
        assert few.tolist() == [u[39_999], u[7]]
        counts = np.histogram(u, 20, (0, 1))[0]
        assert ((counts - 2000) ** 2 / 2000).sum() < 50  # chi-squared with 19 degrees of freedom
        assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.02
    assert np.unique(Draws(np.arange(1000), 0, 0, 0).integers(5)).tolist() == [0, 1, 2, 3, 4]
    streams = {float(Draws(np.array([0]), *key).uniform()[0]) for key in np.ndindex(3, 3, 3)}
    assert len(streams) == 27


def test_the_same_record_in_the_same_epoch_is_changed_alike_whatever_the_batch() -> None:
    data = images(RandomShift(2), RandomFlip(1))
    small, large = by_record(data.batches(3, seed=5), 1), by_record(data.batches(30, seed=5), 1)
    assert all((small[i] == large[i]).all() for i in range(30))
    other_epoch, other_seed = by_record(data.batches(3, seed=5), 2), by_record(data.batches(3, seed=6), 1)
    assert any((small[i] != other_epoch[i]).any() for i in range(30))
    assert any((small[i] != other_seed[i]).any() for i in range(30))


def test_an_epoch_that_is_taken_up_goes_on_alike() -> None:
    batches = images(RandomCrop(2), RandomFlip(0)).batches(4, seed=2)
    whole = list(batches.epoch(3))
    for start in (0, 3, 7):
        for mine, expected in zip(batches.epoch(3, start), whole[start:], strict=True):
            assert (mine.inputs == expected.inputs).all()


def test_chunks_and_the_records_themselves_stay_as_they_are() -> None:
    data = images(RandomFlip(1, 1.0))
    assert (np.concatenate([c.inputs for c in data.chunks(7)]) == IMAGES).all()
    assert (data.inputs == IMAGES).all()
    dealt = by_record(data.batches(7), 0)
    assert all((dealt[i] == IMAGES[i][:, ::-1]).all() for i in range(30))
    assert (images(RandomFlip(1, 0.0)).batches(30).epoch(0).__next__().inputs.sum() - IMAGES.sum()) < 1e-3
    unified = next(data.unified().epoch(0))
    assert (unified.inputs == IMAGES[:, :, ::-1]).all()


def test_shifts_move_whole_images_by_up_to_so_many_pixels() -> None:
    dealt = by_record(images(RandomShift((2, 1), fill=9)).batches(30), 0)
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (1, 1)), constant_values=9)
    found = set()
    for i in range(30):
        places = [(r, c) for r in range(5) for c in range(3) if (dealt[i] == padded[i, r : r + 6, c : c + 5]).all()]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) > 8


def test_crops_have_the_wanted_size_and_channels_stay() -> None:
    colour = np.random.default_rng(0).normal(size=(9, 6, 5, 3))
    for axes in [(0, 1), (1, 2)]:
        x = colour if axes == (0, 1) else colour.transpose(0, 3, 1, 2)
        data = Dataset(x, np.arange(9)).augment(RandomCrop(0, (4, 3), axes=axes))
        for i, crop in by_record(data.batches(9), 0).items():
            crop = crop if axes == (0, 1) else crop.transpose(1, 2, 0)
            places = [(r, c) for r in range(3) for c in range(3) if (crop == colour[i, r : r + 4, c : c + 3]).all()]
            assert len(places) == 1


def test_pictures_and_masks_are_changed_alike() -> None:
    data = Dataset({"image": IMAGES, "mask": IMAGES > 0}, IMAGES.copy())
    both = data.augment(RandomShift(1, sections=("inputs", "targets")), RandomFlip(1, sections=("inputs", "targets")))
    for batch in both.batches(8).epoch(0):
        assert (batch.inputs["image"] == batch.targets).all()
        assert ((batch.inputs["image"] > 0) == batch.inputs["mask"]).all()


def test_streamed_records_are_augmented_too_and_views_by_their_own_numbers() -> None:
    data = StreamedDataset(Counted(40), block=6, keep=2).augment(RandomFlip(0))
    seen = by_record(data.batches(7, seed=1), 0)
    turned = [i for i in range(1, 40) if seen[-i][0] == 2 * i]
    assert 5 < len(turned) < 35
    assert all(sorted(seen[-i]) == [i, 2 * i] for i in range(40))
    resumed = [b.inputs.tolist() for b in data.batches(7, seed=1).epoch(0, 4)]
    assert resumed == [b.inputs.tolist() for b in data.batches(7, seed=1).epoch(0)][4:]
    assert len(data.split(0.5, 0.5)[0].augmentations) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomCrop(-1),
        lambda: RandomCrop(0, (0, 1)),
        lambda: RandomCrop(1, axes=(1, 1)),
        lambda: RandomShift(0.5),  # type: ignore[arg-type]
        lambda: RandomFlip(-1),
        lambda: RandomFlip(1, 1.5),
    ],
)
def test_parameters_that_mean_nothing_are_refused(make: Any) -> None:
    with pytest.raises(AttributeValueError):
        make()


def test_records_that_are_no_images_are_refused() -> None:
    flat = Dataset(np.zeros((4, 3)), np.zeros(4))
    for augmentation in (RandomFlip(1), RandomShift(1), RandomCrop(0, (9, 9))):
        with pytest.raises(ShapeError):
            next(flat.augment(augmentation).batches(2).epoch(0))
    with pytest.raises(ShapeError, match="smaller"):
        next(images(RandomCrop(1, (9, 5))).batches(2).epoch(0))
    with pytest.raises(AttributeValueError, match="section that the records lack"):
        next(images(RandomFlip(1, sections=("mask",))).batches(2).epoch(0))
