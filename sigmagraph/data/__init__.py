"""Datasets: read, preprocessed, split, streamed, and dealt out in batches."""

from sigmagraph.data import datasets
from sigmagraph.data.batches import Batch, Batches
from sigmagraph.data.cache import Cache
from sigmagraph.data.dataset import Dataset
from sigmagraph.data.idx import read_idx
from sigmagraph.data.prefetch import prefetch
from sigmagraph.data.preprocessors.augmentation import Augmentation
from sigmagraph.data.preprocessors.base import Learner, Preprocessor
from sigmagraph.data.preprocessors.crop import RandomCrop, RandomShift
from sigmagraph.data.preprocessors.custom import Lambda
from sigmagraph.data.preprocessors.fill_missing import FillMissing
from sigmagraph.data.preprocessors.flip import RandomFlip
from sigmagraph.data.preprocessors.normalise import Normalise, PerIndexNormalise
from sigmagraph.data.preprocessors.one_hot import OneHot
from sigmagraph.data.preprocessors.permute import Permute
from sigmagraph.data.preprocessors.shuffle import Shuffle
from sigmagraph.data.preprocessors.standardise import Standardise
from sigmagraph.data.preprocessors.stored import preprocessor_from_json
from sigmagraph.data.records import Block, Records
from sigmagraph.data.streamed import StreamedDataset

__all__ = [
    "Augmentation",
    "Batch",
    "Batches",
    "Block",
    "Cache",
    "Dataset",
    "FillMissing",
    "Lambda",
    "Learner",
    "Normalise",
    "OneHot",
    "PerIndexNormalise",
    "Permute",
    "Preprocessor",
    "RandomCrop",
    "RandomFlip",
    "RandomShift",
    "Records",
    "Shuffle",
    "Standardise",
    "StreamedDataset",
    "datasets",
    "prefetch",
    "preprocessor_from_json",
    "read_idx",
]
