"""Datasets that come with the package, and readers of well-known ones."""

from sigmagraph.data.datasets.games import tic_tac_toe
from sigmagraph.data.datasets.gates import logic
from sigmagraph.data.datasets.images import digits, fashion_mnist, mnist
from sigmagraph.data.datasets.tables import breast_cancer, iris, wine
from sigmagraph.data.datasets.writing import character_names, text

__all__ = [
    "breast_cancer",
    "character_names",
    "digits",
    "fashion_mnist",
    "iris",
    "logic",
    "mnist",
    "text",
    "tic_tac_toe",
    "wine",
]
