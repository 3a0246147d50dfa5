"""The commands ``sigmagraph runs``: list runs, show one, compare several."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sigmagraph.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from sigmagraph.training.storage.run_reading import Run

_NONE = "-"
_LAST = 10  # epochs that are shown of one run


def runs_commands() -> typer.Typer:
    """All commands about runs."""
    app = typer.Typer(no_args_is_help=True, help="List, show and compare what trainings have left in their folders.")
    app.command("list")(list_runs)
    app.command("show")(show_run)
    app.command("compare")(compare_runs)
    return app


def list_runs(
    folder: Annotated[Path, typer.Argument(help="Where runs are looked for, up to three levels down.")] = Path("runs"),
) -> None:
    """List the runs in a folder: how each was set up, how far it got, and what it came to."""
    from sigmagraph.training.storage.run_comparison import summary
    from sigmagraph.training.storage.run_folder import find_runs

    runs = find_runs(folder)
    if not runs:
        typer.echo(f"there are no runs in {folder}")
        return
    rows = []
    for run in runs:
        found = summary(run)
        name = run.name if run.path == folder else run.path.relative_to(folder).as_posix()
        cost, accuracy, rate = _number(found.cost), _number(found.accuracy), _number(found.learning_rate)
        mark = " (damaged)" if run.faults or run.metric_faults() else ""
        row = [name, run.state + mark, _time(run.started), found.epochs, cost, accuracy, found.optimiser, rate]
        rows.append(row)
    heads = ("run", "state", "started", "epochs", "last cost", "best accuracy", "optimiser", "learning rate")
    _print(_table(heads, rows, right=(3, 4, 5, 7)))


def show_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)],
    epochs: Annotated[int, typer.Option(min=0, help="How many of the last epochs are shown.")] = _LAST,
) -> None:
    """Show one run: settings, environment, checkpoints, metrics, and what of it is damaged."""
    from sigmagraph.training.storage.run_comparison import settings
    from sigmagraph.training.storage.run_folder import RunFolder

    found = RunFolder.read(run)
    typer.echo(f"{_safe(run)}: {found.state}, started {_time(found.started)}, ended {_time(found.ended)}")
    for fault in (*found.faults, *found.metric_faults()):
        typer.echo(f"damaged: {_safe(fault)}")
    _print(_table(("setting", "value"), [[name, _value(value)] for name, value in settings(found).items()]))
    _print(_table(("environment", "value"), [[name, _value(value)] for name, value in found.environment.items()]))
    files = found.checkpoints.files()
    best: dict[Path, list[str]] = {}
    for name, (path, score) in found.checkpoints.scores().items():
        best.setdefault(path, []).append(f"{name} {_number(score.value)}")
    _print(_table(("checkpoint", "best by"), [[path.name, ", ".join(best.get(path, []))] for path in files]))
    names = found.names()
    last = {event["epoch"]: event["epoch"] for event in found.metrics()} if epochs else {}
    columns = [found.by_epoch(name) for name in names]
    rows = [[epoch, *(_number(column.get(epoch)) for column in columns)] for epoch in sorted(last)[-epochs:]]
    _print(_table(("epoch", *names), rows, right=range(1 + len(names))))


def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", metavar="NAME", help="A metric, or a pattern.", show_default="costs, accuracies"
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help='Draw them; needs "sigmagraph[plot]".', show_default="no plot"),
    ] = None,
) -> None:
    """Compare runs: settings that differ, and metrics side by side by epoch."""
    from sigmagraph.training.storage.run_comparison import by_epoch, chosen, differences
    from sigmagraph.training.storage.run_folder import RunFolder

    if len(runs) < 2:
        raise typer.BadParameter("expected two runs or more", param_hint="RUN...")
    found = [RunFolder.read(path) for path in runs]
    names, labels = chosen(found, metric or []), _labels(found)
    if not names:
        raise InputError("these runs have no such metrics", expected="costs or accuracies, or --metric NAME")
    unlike = differences(found)
    if unlike:
        rows: list[list[Any]] = [[name, *map(_value, values)] for name, values in unlike.items()]
        _print(_table(("setting", *labels), rows))
    else:
        typer.echo("the runs have the same settings")
    for name in names:
        rows = [[epoch, *map(_number, values)] for epoch, values in by_epoch(found, name).items()]
        _print(_table(("epoch", *labels), rows, title=name, right=range(1 + len(labels))))
    if plot is not None:
        from sigmagraph.training.storage.run_plot import plot_runs

        plot_runs(plot, found, labels, names)
        typer.echo(f"plot: {plot}")


def _labels(runs: Sequence[Run]) -> list[str]:
    """What runs are called: their folders, without the part that all have in common."""
    paths = [str(run.path.resolve()) for run in runs]
    names = [run.name for run in runs]
    if len(set(names)) == len(names) or len(set(paths)) < len(paths):
        return names
    common = os.path.commonpath(paths)
    return [Path(path).relative_to(common).as_posix() for path in paths]


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", right: Iterable[int] = ()) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=Text(_safe(title)) if title else None, title_justify="left")
    justified = list(right)
    for number, head in enumerate(heads):
        # A text object, since rich would take brackets in a plain one for its own.
        table.add_column(Text(_safe(head)), justify="right" if number in justified else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_NONE if cell is None else _safe(cell)) for cell in row))
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    if not table.row_count:
        return
    console = Console()
    if not console.is_terminal:  # whoever reads it looks for whole words
        console = Console(width=10_000)
    console.print(table)


def _safe(value: object) -> str:
    """Text that does nothing to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def _value(value: object) -> str:
    return value if isinstance(value, str) else _NONE if value is None else repr(value)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _time(text: str | None) -> str:
    if text is None:
        return _NONE
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return text
