"""Comparisons with PyTorch run where it is installed: ``make compare``. The largest errors are printed at the end."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the largest error of each layer and loss, relative to the largest number of a result or gradient."""
    from agreement import LARGEST

    if LARGEST:
        terminalreporter.section("largest distance from PyTorch")
        for name, error in sorted(LARGEST.items()):
            terminalreporter.line(f"{error:.1e}  {name}")
