"""Datasets, and how they are split and dealt out in batches."""

from sigmagraph.data import datasets
from sigmagraph.data.dataset import Batch, Batches, Dataset
from sigmagraph.data.readers.idx import read_idx

__all__ = ["Batch", "Batches", "Dataset", "datasets", "read_idx"]
