"""The tests for GPUs, as `make test-gpu` carries them out, through the real PyCUDA and a stand-in for the driver."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
pytestmark = [
    pytest.mark.extended,
    pytest.mark.skipif(importlib.util.find_spec("pycuda") is None, reason="PyCUDA is not installed"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++"),
]
SOME = "test_gpu_device or softmax-0 or (tiny and perceptron)"


def test_the_tests_for_gpus_pass_and_show_a_table(tmp_path: Path) -> None:
    flags = ("-std=c++17", "-O1", "-shared", "-fPIC")
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["g++", *flags, "-o", str(library), str(HERE / "driver" / "libcuda.cpp"), "-ldl"], check=True)
    folders = (ROOT, ROOT / "tests", ROOT / "tests" / "ops", HERE / "driver")
    paths = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "host_code", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-m", "gpu", "-k", SOME, str(HERE)],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["what", "passed", "tolerance"] in lines
    (total,) = (line[1] for line in lines if line[:1] == ["all"])
    passed, made = map(int, total.split("/"))
    assert passed == made >= 10
    assert ["softmax", "1/1", *["64", "units", "of", "the", "greatest"]] in lines


def test_without_a_device_the_command_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_present"],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 or "cuda:0" in done.stdout
    assert "needs a CUDA device: cuda: the CUDA driver" in done.stderr or done.returncode == 0
