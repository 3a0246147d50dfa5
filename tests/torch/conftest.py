"""Comparisons with PyTorch run where it is installed: ``pip install 'sigmagraph[torch]'``."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
