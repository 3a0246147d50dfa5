from __future__ import annotations

import re
from pathlib import Path

import pytest

from sigmagraph.errors import InputError
from sigmagraph.training import demo


def test_the_demo_learns_to_read_digits(tmp_path: Path) -> None:
    said: list[str] = []
    trainer = demo.run(None, 20, 0, "cpu", tmp_path / "stages", said.append)
    accuracies = [accuracy for accuracy in trainer.history.accuracies if accuracy is not None]
    assert len(accuracies) == 20
    assert accuracies[-1] >= 0.97
    report = "\n".join(said)
    assert "1438 records of 'digits' to learn from, 359 held out" in report
    assert re.search(r"compile time +\d+\.\d+ s \((cold|from the cache)\)", report)
    assert re.search(r"step +\d+\.\d+ ms", report)
    # 64 x 1000 + 1000 + 1000 x 800 + 800 + 800 x 10 + 10 numbers of 4 bytes, and as much for Adagrad
    assert "parameters 3,495,240 bytes, optimiser state 3,495,240 bytes, arena " in report
    suffixes = {path.suffix for path in (tmp_path / "stages").iterdir()}
    assert suffixes == {".sg", ".sgk", ".json", ".ll", ".s", ".html"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        demo.run(None, 0, 0, "cpu", tmp_path / "file" / "stages", lambda line: None)
