"""Comparisons with PyTorch run where it is installed: ``make compare``. The largest errors are printed at the end."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("torch") else ["*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the largest error of each layer and loss, relative to the largest number of a result or gradient."""
    if "agreement" in sys.modules:
        terminalreporter.section("largest distance from PyTorch")
        for name, error in sorted(sys.modules["agreement"].LARGEST.items()):
            terminalreporter.line(f"{error:.1e}  {name}")
