"""Sixty thousand images in ten classes: MNIST's files or those of a relative, or generated ones of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.data.datasets import mnist

CLASSES, SIDE = 10, 28
_DISTANCE = 0.3  # of a class's mean image from that of all, against noise from 0 to 1


@dataclass(frozen=True, slots=True)
class Images:
    """What is learnt from, and what is held out: f32[records,28,28] from 0 to 1, i32[records]."""

    train: Dataset
    held_out: Dataset


def images(folder: str | None, records: int, held_out: int) -> Images:
    """The first records of the files in a folder, or as many generated ones, always the same.

    Raises:
        InputError, FileFormatError: the folder lacks a file, or one is damaged.
    """
    if folder is not None:
        train, test = mnist(Path(folder))
        return Images(_first(train, records), _first(test, held_out))
    rng = np.random.default_rng(0)
    means = rng.random((CLASSES, SIDE, SIDE), np.float32) * _DISTANCE
    return Images(_generated(rng, means, records), _generated(rng, means, held_out))


def _first(dataset: Dataset, records: int) -> Dataset:
    if records >= len(dataset):
        return dataset
    batch = dataset.take(slice(records))
    return Dataset(batch.inputs, batch.targets, dataset.name)


def _generated(rng: np.random.Generator, means: np.ndarray, records: int) -> Dataset:
    labels = rng.integers(0, CLASSES, records).astype(np.int32)
    noise = rng.random((records, SIDE, SIDE), np.float32)
    noise *= 1 - _DISTANCE
    noise += means[labels]
    return Dataset(noise, labels, "generated images")
