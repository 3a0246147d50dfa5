"""Operators: how training is carried out, and how the values of workers or networks are merged."""

from sigmagraph.training.operators.mergers import (
    Average,
    Custom,
    Maximum,
    Merger,
    Weighted,
    merge_networks,
)
from sigmagraph.training.operators.operator import Operator

__all__ = ["Average", "Custom", "Maximum", "Merger", "Operator", "Weighted", "merge_networks"]
