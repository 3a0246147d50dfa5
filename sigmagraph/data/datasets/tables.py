"""Datasets of measurements that come with the package: iris, wine and breast cancer."""

from __future__ import annotations

from importlib.resources import files

from sigmagraph.data.dataset import Dataset
from sigmagraph.data.readers.csv import Csv
from sigmagraph.data.sources.memory import Memory


def iris() -> Dataset:
    """150 iris plants: inputs f32[150,4] in cm, targets i32[150]: 0 setosa, 1 versicolor, 2 virginica, 50 of each.

    Inputs are length and width of the sepal, length and width of the petal. The values are those of Fisher's paper, as
    scikit-learn has them; UCI's file differs in two records.

    Source: R. A. Fisher, "Iris", UCI Machine Learning Repository, CC BY 4.0; see LICENSE beside this module.
    """
    return _table("iris", ["setosa", "versicolor", "virginica"])


def wine() -> Dataset:
    """178 wines: inputs f32[178,13] of chemical analyses, targets i32[178]: which of three cultivators (59, 71, 48).

    Inputs are alcohol, malic acid, ash, its alcalinity, magnesium, phenols, flavanoids, nonflavanoid phenols,
    proanthocyanins, intensity of colour, hue, OD280/OD315 and proline. Their ranges differ widely.

    Source: S. Aeberhard, M. Forina, "Wine", UCI Machine Learning Repository, CC BY 4.0; see LICENSE beside this module.
    """
    return _table("wine", ["1", "2", "3"])


def breast_cancer() -> Dataset:
    """569 tumours: inputs f32[569,30] of cell nuclei, targets i32[569]: 0 malignant (212), 1 benign (357).

    Inputs are ten measures (radius, texture, perimeter, area, smoothness, compactness, concavity, concave points,
    symmetry, fractal dimension): first their means, then their standard errors, then their worst values. Their ranges
    differ widely.

    Source: W. Wolberg, O. Mangasarian, N. Street, W. Street, "Breast Cancer Wisconsin (Diagnostic)", UCI Machine
    Learning Repository, CC BY 4.0; see LICENSE beside this module.
    """
    return _table("breast_cancer", ["malignant", "benign"])


def _table(name: str, classes: list[str]) -> Dataset:
    """A file of the package: its last column has classes, the others have inputs."""
    content = files("sigmagraph.data.datasets").joinpath(f"{name}.csv.gz").read_bytes()
    table = Csv(Memory(content, f"{name}.csv.gz"), header=True)
    records = table.extract(inputs=[(0, -2)], targets="class").map_values("class", classes)
    block = records.read(0, len(records))
    return Dataset(block["inputs"], block["targets"], name)
