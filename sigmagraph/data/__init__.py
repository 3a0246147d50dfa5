"""Datasets, and how they are split and dealt out in batches."""

from sigmagraph.data import datasets
from sigmagraph.data.dataset import Batch, Batches, Dataset
from sigmagraph.data.idx import read_idx
from sigmagraph.data.prefetch import prefetch

__all__ = ["Batch", "Batches", "Dataset", "datasets", "prefetch", "read_idx"]
