"""The real PyCUDA runs programs against a driver library that works on the processor."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

cuda_shim = pytest.importorskip("cuda_shim", reason="the execution of GPU programs on the processor is not there")

HERE = Path(__file__).parent / "driver"
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pycuda") is None, reason="PyCUDA is not installed"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++"),
]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library that takes the driver's place."""
    folder = tmp_path_factory.mktemp("driver")
    source, library = HERE / "libcuda.cpp", folder / "libcuda.so.1"
    flags = ("-std=c++17", "-O1", "-shared", "-fPIC")
    subprocess.run(["g++", *flags, "-o", str(library), str(source), "-ldl"], check=True)
    return folder


def session(stand_in: Path, *parts: str, **environment: str) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(Path(cuda_shim.__file__).parent), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "LD_LIBRARY_PATH": str(stand_in), "PYTHONPATH": paths, **environment}
    command = [sys.executable, str(HERE / "session.py"), *parts]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended well" in done.stdout


def test_programs_run(stand_in: Path) -> None:
    session(
        stand_in,
        "programs",
        "results_on_the_device",
        "threads_and_forks",
        "batches_ahead",
        "forks_give_up",
        "limits",
        "captures",
        "no_context_is_left",
    )


def test_a_failing_kernel_ends_no_process(stand_in: Path) -> None:
    session(stand_in, "a_failure")


def test_trainers_run(stand_in: Path, tmp_path: Path) -> None:
    session(stand_in, "trains", SIGMAGRAPH_CACHE=str(tmp_path))


def test_a_machine_may_have_no_device(stand_in: Path) -> None:
    session(stand_in, "no_device", STAND_IN_DEVICES="0")
