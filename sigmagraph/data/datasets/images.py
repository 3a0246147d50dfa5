"""Datasets of images: digits, which come with the package, and MNIST and its relatives, which are read from folders."""

from __future__ import annotations

from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sigmagraph.data.dataset import Dataset
from sigmagraph.data.readers.idx import read_idx
from sigmagraph.errors import FileFormatError, InputError

NDArray = np.ndarray[Any, Any]
# Where Debian's package dataset-fashion-mnist has its files.
_FASHION = "/usr/share/datasets/fashion-mnist"


def digits() -> Dataset:
    """1,797 handwritten digits: inputs f32[1797,8,8] from 0 to 1, targets i32[1797] from 0 to 9.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits" (test set), UCI Machine Learning
    Repository, CC BY 4.0; see digits.LICENSE in the package's folder ``data``.
    """
    with (
        files("sigmagraph.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return Dataset(arrays["images"].astype(np.float32) / 16, arrays["labels"].astype(np.int32), "digits")


def mnist(folder: str | PathLike[str]) -> tuple[Dataset, Dataset]:
    """The training and the test records of MNIST, or of a dataset in its form, such as Fashion-MNIST.

    The folder holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``, each perhaps with ``.gz``. Inputs are f32[records,height,width] from 0 to 1, targets
    i32[records].

    Raises:
        InputError: one of the files is missing.
        FileFormatError: one is damaged, or images and labels do not fit together.
    """
    where = Path(folder)
    train, test = (_mnist_part(where, part) for part in ("train", "t10k"))
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise FileFormatError(
            f"the images in {where} differ in size", expected=train.inputs.shape[1:], got=test.inputs.shape[1:]
        )
    return train, test


def fashion_mnist(folder: str | PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """The 60,000 training and the 10,000 test records of Fashion-MNIST: clothes in ten classes.

    Inputs are f32[records,28,28] from 0 to 1, targets i32[records]. Source: H. Xiao, K. Rasul, R. Vollgraf,
    "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", arXiv:1708.07747, MIT licence.

    Args:
        folder: holds the four files as those of MNIST are named; the folder of Debian's package unless given.

    Raises:
        InputError: one of the files is missing.
        FileFormatError: one is damaged, or images and labels do not fit together.
    """
    where = Path(_FASHION if folder is None else folder)
    try:
        return mnist(where)
    except InputError as error:
        error.hint = (
            "Debian's package dataset-fashion-mnist has the files, as has github.com/zalandoresearch/fashion-mnist"
        )
        raise


def _mnist_part(folder: Path, part: str) -> Dataset:
    images = _bytes(_find(folder, f"{part}-images-idx3-ubyte"), 3)
    labels = _bytes(_find(folder, f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels):
        raise FileFormatError(
            f"the {part} files in {folder} do not fit together", expected=f"{len(images)} labels", got=len(labels)
        )
    return Dataset(images.astype(np.float32) / 255, labels.astype(np.int32), f"{folder.name}/{part}")


def _find(folder: Path, name: str) -> Path:
    candidates = [folder / name, folder / f"{name}.gz"]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(f"{folder} lacks a file of the dataset", expected=" or ".join(p.name for p in candidates))


def _bytes(path: Path, rank: int) -> NDArray:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise FileFormatError(
            f"{path} holds something else",
            expected=f"unsigned bytes of rank {rank}",
            got=f"{array.dtype} of rank {array.ndim}",
        )
    return array
