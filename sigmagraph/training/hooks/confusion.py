"""A hook that counts which classes a network takes for which others, and shows it as a table or a picture."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from io import BytesIO, StringIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.training.evaluation import Evaluation
from sigmagraph.training.hooking.hook import Moment, Training
from sigmagraph.training.hooks.accuracy import JudgingHook
from sigmagraph.training.hooks.sharing import position

NDArray: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class ConfusionMatrix(JudgingHook):
    """Share and show how often each class was taken for each other one.

    ``<dataset>.confusion_matrix`` is i64[classes, classes]: rows are the right classes, columns the predicted ones. The
    table also says, for each class, its recall (the share of its records that were found) and its precision (the share
    of the records taken for it that are of it).

    Args:
        dataset: its name.
        labels: what the classes are called; None for their numbers.
        path: of a PNG file that shows it, written anew each time; needs ``pip install "sigmagraph[plot]"``.
        quiet: whether no table is shown.

    Raises:
        AttributeValueError: the labels are no texts, or the file has another ending; or as for :class:`JudgingHook`.
    """

    labels: tuple[str, ...] | None = None
    path: str | PathLike[str] | None = None
    _: KW_ONLY
    quiet: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels is not None:
            names = () if isinstance(self.labels, str) else tuple(self.labels)
            if not names or not all(isinstance(name, str) for name in names):
                raise AttributeValueError(
                    "ConfusionMatrix: these are no labels", expected="texts", got=repr(self.labels)
                )
            object.__setattr__(self, "labels", names)
        if self.path is not None:
            object.__setattr__(self, "path", str(self.path))
            if Path(self.path).suffix.lower() != ".png":
                raise AttributeValueError(
                    "ConfusionMatrix: this is no picture", expected="a file name that ends with .png", got=self.path
                )

    def provides(self) -> tuple[str, ...]:
        return (f"{self.dataset}.confusion_matrix",)

    def attached(self, trainer: Training) -> None:  # noqa: ARG002
        if self.path is not None:
            _plotting()

    def invoke(self, now: Moment, /) -> None:
        matrix = self._counts(self.judged(now))
        now.share(self.provides()[0], matrix)
        names = self.labels or tuple(str(number) for number in range(len(matrix)))
        title = f"{position(now)}: {self.dataset}"
        if not self.quiet:
            now.say(f"{title}, right classes by rows, predicted ones by columns\n{confusion_table(matrix, names)}")
        if self.path is not None:
            _draw(Path(self.path), matrix, names, title)

    def _counts(self, verdict: Evaluation) -> NDArray:
        classes = 1 + int(max(verdict.labels.max(), verdict.predicted.max()))
        if self.labels is not None and classes > len(self.labels):
            raise InputError(
                "ConfusionMatrix: there are more classes than labels", expected=len(self.labels), got=classes
            )
        size = len(self.labels or range(classes))
        matrix = np.zeros((size, size), np.int64)
        np.add.at(matrix, (verdict.labels, verdict.predicted), 1)
        return matrix


def precision(matrix: NDArray) -> NDArray:
    """f64[classes], the share of right ones in each column of a confusion matrix; NaN for a class never predicted."""
    return _shares(matrix, matrix.sum(0))


def recall(matrix: NDArray) -> NDArray:
    """f64[classes], the share of right ones in each row of a confusion matrix; NaN for a class without records."""
    return _shares(matrix, matrix.sum(1))


def _shares(matrix: NDArray, totals: NDArray) -> NDArray:
    shares: NDArray = np.full(len(matrix), np.nan)
    return np.divide(matrix.diagonal(), totals, out=shares, where=totals > 0)


def confusion_table(matrix: NDArray, names: tuple[str, ...]) -> str:
    """A confusion matrix as text, with the recall of each class at the end of its row and its precision below."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", *names, "recall"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name, counts, share in zip(names, matrix, recall(matrix), strict=True):
        table.add_row(Text(name), *map(str, counts), _percent(share))
    table.add_row("precision", *map(_percent, precision(matrix)))
    out = StringIO()
    console = Console(file=out, color_system=None, width=10_000)
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f} %"


def _plotting() -> tuple[Any, Any]:
    """What draws into memory.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "pictures are drawn by matplotlib", got="it is not installed", hint='pip install "sigmagraph[plot]"'
        ) from error
    return Figure, FigureCanvasAgg


def _draw(path: Path, matrix: NDArray, names: tuple[str, ...], title: str) -> None:
    """Write a picture, so that whoever looks finds the old or the new one, never a part."""
    figure_class, canvas_class = _plotting()
    size = max(4.0, 0.45 * len(names) + 1.5)
    figure = figure_class(figsize=(size, size), layout="constrained")
    canvas = canvas_class(figure)
    axes = figure.add_subplot()
    rows = np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(matrix / rows, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set(title=title, xlabel="predicted", ylabel="right")
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    for (row, column), count in np.ndenumerate(matrix):
        dark = count / rows[row, 0] > 0.5
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=8)
    picture = BytesIO()
    canvas.print_png(picture)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(picture.getvalue())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise InputError(f"{path} cannot be written", got=error.strerror) from error
