"""The benchmarks run, with sigmagraph alone where PyTorch is missing, and write nothing when only a part is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def bench(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_part_of_the_benchmarks_runs() -> None:
    page = ROOT / "docs" / "benchmarks.md"
    before = page.stat().st_mtime_ns if page.exists() else 0
    out = bench("--only", "matmul 64 x *", "--threads", "1", "--rounds", "1", "--seconds", "0.01")
    lines = [line for line in out.splitlines() if line.startswith("  matmul 64 x")]
    assert len(lines) == 2
    assert all("sigmagraph" in line and "other results" not in line for line in lines)
    assert "GFLOP/s in multiply-adds" in out
    assert before == (page.stat().st_mtime_ns if page.exists() else 0)
