"""Every example runs, in a folder of its own, and says what it should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "digits": ("accuracy 9", "the saved network predicts the same: True"),
    "logistic_regression": ("second derivative", r"accuracy on 359 held-out digits: (8[5-9]|9\d)"),
    "polynomial_fit": (r"greatest distance from sin\(3 x\): 0\.0",),
    "residual_mlp": ("13-dense", "accuracy 9"),
    "symbolic": (r"batch 7: loss", "the text reads back: True", "every stage: dump"),
}


def test_every_example_is_listed() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for text in SAYS[name]:
        assert re.search(text, done.stdout), done.stdout
