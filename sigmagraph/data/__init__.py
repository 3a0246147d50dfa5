"""Data: where it comes from, how it is read, ready-made datasets, and how they are split and dealt out in batches."""

from sigmagraph.data import datasets
from sigmagraph.data.dataset import Batch, Batches, Dataset
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

__all__ = [
    "Arrays",
    "ArrowFile",
    "Batch",
    "Batches",
    "Block",
    "Bytes",
    "Compressed",
    "Csv",
    "Dataset",
    "File",
    "First",
    "Idx",
    "Images",
    "Joined",
    "Member",
    "Memory",
    "Npy",
    "Npz",
    "Parquet",
    "Records",
    "Source",
    "Table",
    "Text",
    "Url",
    "Vocabulary",
    "datasets",
    "extract_all",
    "read_idx",
]
