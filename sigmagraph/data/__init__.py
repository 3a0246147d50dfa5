"""Data: where it comes from, how it is read, preprocessed, split, streamed, and dealt out in batches."""

from sigmagraph.data import datasets
from sigmagraph.data.batches import Batch, Batches
from sigmagraph.data.cache import Cache
from sigmagraph.data.dataset import Dataset
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
from sigmagraph.data.readers.arrays import Arrays, Joined
from sigmagraph.data.readers.arrow import ArrowFile, Parquet
from sigmagraph.data.readers.bytes import Bytes
from sigmagraph.data.readers.csv import Csv
from sigmagraph.data.readers.idx import Idx, read_idx
from sigmagraph.data.readers.images import Images
from sigmagraph.data.readers.npy import Npy, Npz
from sigmagraph.data.readers.table import Table
from sigmagraph.data.readers.text import Text
from sigmagraph.data.readers.vocabulary import Vocabulary
from sigmagraph.data.records import Block, Records
from sigmagraph.data.sources.archive import Member
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.data.sources.extract import extract_all
from sigmagraph.data.sources.file import File
from sigmagraph.data.sources.first import First
from sigmagraph.data.sources.memory import Memory
from sigmagraph.data.sources.url import Url
from sigmagraph.data.streamed import StreamedDataset

__all__ = [
    "Arrays",
    "ArrowFile",
    "Augmentation",
    "Batch",
    "Batches",
    "Block",
    "Bytes",
    "Cache",
    "Compressed",
    "Csv",
    "Dataset",
    "File",
    "FillMissing",
    "First",
    "Idx",
    "Images",
    "Joined",
    "Lambda",
    "Learner",
    "Member",
    "Memory",
    "Normalise",
    "Npy",
    "Npz",
    "OneHot",
    "Parquet",
    "PerIndexNormalise",
    "Permute",
    "Preprocessor",
    "RandomCrop",
    "RandomFlip",
    "RandomShift",
    "Records",
    "Shuffle",
    "Source",
    "Standardise",
    "StreamedDataset",
    "Table",
    "Text",
    "Url",
    "Vocabulary",
    "datasets",
    "extract_all",
    "prefetch",
    "preprocessor_from_json",
    "read_idx",
]
