"""Draws metrics of several runs over their epochs into a PNG file."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from sigmagraph.errors import AttributeValueError, InputError
from sigmagraph.runtime.whole_files import write_whole
from sigmagraph.training.storage.run_reading import Run

_WIDTH, _HEIGHT = 8.0, 3.2  # inches, of each metric
_DOTTED = 50  # epochs below which each has a dot


def plot_runs(path: str | PathLike[str], runs: Sequence[Run], labels: Sequence[str], names: Sequence[str]) -> None:
    """Draw metrics, one below the other, with a line for each run; needs ``pip install "sigmagraph[plot]"``.

    Args:
        path: of the PNG file.
        runs: what is drawn.
        labels: what the runs are called.
        names: of the metrics.

    Raises:
        AttributeValueError: the file has another ending, or there is nothing to draw.
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise AttributeValueError("plots are PNG files", expected="a name such as runs.png", got=str(path))
    if not names:
        raise AttributeValueError("there is nothing to draw", expected="the name of a metric")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "plots are drawn by matplotlib", got="it is not installed", hint='pip install "sigmagraph[plot]"'
        ) from error
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(len(names), 1, number)
        for run, label in zip(runs, labels, strict=True):
            values = run.by_epoch(name)
            drawn = [value if math.isfinite(value) else math.nan for value in values.values()]
            # A label that begins with an underline would be left out.
            shown = f" {label}" if label.startswith("_") else label
            axes.plot(list(values), drawn, marker="." if len(values) < _DOTTED else "", label=shown)
        axes.set_ylabel(name, parse_math=False)
        axes.grid(alpha=0.3)
        for text in axes.legend().get_texts():
            text.set_parse_math(False)
    axes.set_xlabel("epoch")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(target, content.getvalue())
