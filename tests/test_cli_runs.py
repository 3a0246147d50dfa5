from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sigmagraph import cli
from sigmagraph.errors import AttributeValueError
from sigmagraph.training.storage.checkpoints import Checkpoint, Score
from sigmagraph.training.storage.run_folder import RunFolder
from sigmagraph.training.storage.run_plot import plot_runs


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def row(self, first: str) -> list[str]:
        """The cells of the row that begins with a word."""
        (line,) = [line for line in self.out.splitlines() if line.split()[:1] == [first]]
        return re.split(r"\s{2,}", line.strip())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command line in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["sigmagraph", "runs", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(int(caught.value.code or 0), *capsys.readouterr())

    return run


def make(path: Path, rate: float, costs: list[float], accuracies: list[float], **more: Any) -> RunFolder:
    """A run that goes on."""
    folder = RunFolder(path)
    folder.open()
    optimiser = f"Adagrad(learning_rate={rate})"
    folder.configure(
        {"network": "mlp", "optimiser": optimiser, "hyperparameters": {"optimiser.learning_rate": rate}, **more}
    )
    for epoch, (cost, accuracy) in enumerate(zip(costs, accuracies, strict=True), 1):
        folder.record(epoch, 10 * epoch, {"cost": cost, "validation.accuracy": accuracy, "seconds": 1.0})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with three runs; one of them is running."""
    root = tmp_path / "runs"
    first = make(root / "digits" / "fast", 0.5, [2.0, 1.25, float("inf")], [0.5, 0.75, 0.625], tags=["[red]", "a"])
    first.checkpoints.save(20, Checkpoint({}, {}), Score("validation.accuracy", 0.75, "max"))
    first.checkpoints.save(30, Checkpoint({}, {}), Score("validation.accuracy", 0.625, "max"))
    first.close("finished")
    make(root / "digits" / "slow", 0.01, [2.5, 2.25], [0.25, float("nan")], tags=["[red]", "a"]).close("stopped")
    RunFolder(root / "empty").open()  # whoever opened it is gone
    return root


def test_runs_are_listed(command: Callable[..., Result], runs: Path) -> None:
    running = make(runs / "now", 0.1, [1.0], [0.5])
    listed = command("list", runs)
    running.close("finished")
    assert (listed.code, listed.err) == (0, "")
    fast, slow = listed.row("digits/fast"), listed.row("digits/slow")
    assert [*fast[:2], *fast[3:]] == ["digits/fast", "finished", "3", "inf", "0.75", "Adagrad", "0.5"]
    assert [*slow[:2], *slow[3:]] == ["digits/slow", "stopped", "2", "2.25", "0.25", "Adagrad", "0.01"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", fast[2])
    assert listed.row("now")[1] == "running"
    assert listed.row("empty")[1] == "killed (damaged)"  # it had said nothing of itself
    assert listed.row("empty")[3:] == ["0", "-", "-", "-", "-"]


def test_a_folder_without_runs_says_so(
    command: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert command("list").out == "there are no runs in runs\n"
    absent = command("list", tmp_path / "absent")
    assert absent.code == 1
    assert absent.err.startswith("error: there is no folder")


def test_a_folder_that_is_a_run_is_listed_alone(command: Callable[..., Result], runs: Path) -> None:
    listed = command("list", runs / "digits" / "slow")
    assert listed.row("slow")[1] == "stopped"
    assert "fast" not in listed.out


def test_a_run_is_shown(command: Callable[..., Result], runs: Path) -> None:
    shown = command("show", runs / "digits" / "fast")
    assert (shown.code, shown.err) == (0, "")
    assert "fast: finished, started 2" in shown.out.splitlines()[0]
    assert shown.row("hyperparameters.optimiser.learning_rate")[1] == "0.5"
    assert shown.row("tags")[1] == "['[red]', 'a']"
    assert shown.row("numpy")[1] == np.__version__
    assert shown.row("step-00000020.safetensors")[1] == "validation.accuracy 0.75"
    assert len(shown.row("step-00000030.safetensors")) == 1
    assert [shown.row(str(epoch)) for epoch in (1, 2, 3)] == [
        ["1", "2", "0.5", "1"],
        ["2", "1.25", "0.75", "1"],
        ["3", "inf", "0.625", "1"],
    ]
    assert "damaged" not in shown.out
    short = command("show", runs / "digits" / "fast", "--epochs", 1)
    assert short.row("3") == ["3", "inf", "0.625", "1"]
    assert not re.search(r"^ +2 ", short.out, re.MULTILINE)
    assert "cost" not in command("show", runs / "digits" / "fast", "--epochs", 0).out


def test_what_is_damaged_is_shown_and_the_rest_too(command: Callable[..., Result], runs: Path) -> None:
    path = runs / "digits" / "slow"
    (path / "state.json").write_text("{")
    (path / "config.json").write_text('{"a\\u001b[31m": "b\\u001b[32m"}')
    with (path / "metrics.jsonl").open("a") as file:
        file.write("nonsense\n")
    shown = command("show", path)
    assert shown.code == 0
    assert "slow: unknown, started -, ended -" in shown.out
    assert "damaged: state.json is damaged" in shown.out
    assert "damaged: metrics.jsonl:3 cannot be read" in shown.out
    assert shown.row("2") == ["2", "2.25", "nan", "1"]
    assert "\x1b" not in shown.out
    assert command("list", runs).row("digits/slow")[1] == "unknown (damaged)"


def test_what_is_no_run_is_refused(command: Callable[..., Result], tmp_path: Path) -> None:
    for arguments in (("show", tmp_path), ("compare", tmp_path, tmp_path)):
        result = command(*arguments)
        assert result.code == 1
        assert result.err.startswith("error: there is no run in")


def test_runs_are_compared(command: Callable[..., Result], runs: Path) -> None:
    compared = command("compare", runs / "digits" / "fast", runs / "digits" / "slow")
    assert (compared.code, compared.err) == (0, "")
    assert compared.row("hyperparameters.optimiser.learning_rate")[1:] == ["0.5", "0.01"]
    assert compared.row("optimiser")[1:] == ["Adagrad(learning_rate=0.5)", "Adagrad(learning_rate=0.01)"]
    assert "network" not in compared.out
    assert "tags" not in compared.out
    assert "seconds" not in compared.out
    cost, accuracy = compared.out.split("validation.accuracy")
    assert [line.split() for line in cost.splitlines() if line.strip()[:1].isdigit()] == [
        ["1", "2", "2.5"],
        ["2", "1.25", "2.25"],
        ["3", "inf", "-"],
    ]
    assert [line.split() for line in accuracy.splitlines() if line.strip()[:1].isdigit()] == [
        ["1", "0.5", "0.25"],
        ["2", "0.75", "nan"],
        ["3", "0.625", "-"],
    ]


def test_metrics_are_chosen_by_pattern(command: Callable[..., Result], runs: Path) -> None:
    two = [runs / "digits" / "fast", runs / "digits" / "slow"]
    chosen = command("compare", *two, "--metric", "sec*", "-m", "cost")
    assert chosen.out.index("seconds") < chosen.out.index("cost")
    assert "accuracy" not in chosen.out
    wrong = command("compare", *two, "--metric", "sekonds")
    assert wrong.code == 1
    assert "seconds" in wrong.err
    assert command("compare", two[0]).code == 2
    empty = command("compare", runs / "empty", runs / "empty")
    assert empty.code == 1
    assert "no such metrics" in empty.err
    assert "the same settings" in command("compare", two[0], two[0]).out


def test_runs_of_one_name_are_told_apart(command: Callable[..., Result], tmp_path: Path) -> None:
    for parent, rate in (("a", 0.5), ("b", 0.25)):
        make(tmp_path / parent / "run", rate, [1.0], [1.0]).close("finished")
    compared = command("compare", tmp_path / "a" / "run", tmp_path / "b" / "run", "-m", "cost")
    assert compared.row("epoch") == ["epoch", "a/run", "b/run"]


def test_runs_are_drawn(command: Callable[..., Result], runs: Path, tmp_path: Path) -> None:
    make(tmp_path / "_$x", 0.1, [3.0], [0.5], many=True).close("finished")
    picture = tmp_path / "out.png"
    two = [runs / "digits" / "fast", tmp_path / "_$x"]
    drawn = command("compare", *two, "--plot", picture, "-m", "cost", "-m", "validation.accuracy")
    assert (drawn.code, drawn.err) == (0, "")
    assert f"plot: {picture}" in drawn.out
    with Image.open(picture) as image:
        assert image.format == "PNG"
        high, pixels = image.size[1], np.asarray(image.convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    command("compare", *two, "--plot", picture, "-m", "cost")
    with Image.open(picture) as image:
        assert image.size[1] == high // 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_plots_that_cannot_be_made_are_refused(
    command: Callable[..., Result], runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [runs / "digits" / "fast", runs / "digits" / "slow"]
    wrong = command("compare", *two, "--plot", tmp_path / "out.svg")
    assert wrong.code == 1
    assert "PNG" in wrong.err
    with pytest.raises(AttributeValueError, match="nothing to draw"):
        plot_runs(tmp_path / "out.png", [], [], [])
    absent = command("compare", *two, "--plot", tmp_path / "absent" / "out.png", "-m", "cost")
    assert absent.code == 1
    assert "cannot be written" in absent.err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    missing = command("compare", *two, "--plot", tmp_path / "out.png")
    assert missing.code == 1
    assert "sigmagraph[plot]" in missing.err
