"""NVIDIA's compiler as a program (nvcc): through PyCUDA's compiler module where that is installed, else by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sigmagraph.errors import CompileError

_TIMEOUT = 600  # seconds
_NAME = "kernel.cu"  # as PyCUDA calls it; it gets into messages, and so into what is told of them
_VERSION = re.compile(r"\bV(\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run: what was made, or nothing where nvcc refused, and what it said."""

    made: bytes | None
    said: str


@cache
def find_nvcc() -> tuple[str, str]:
    """The path of nvcc and its version; empty where there is none. A shell script that calls another will do."""
    path = shutil.which("nvcc")
    if path is None:
        return "", ""
    try:
        done = _call([path, "--version"])
    except CompileError:
        return "", ""
    version = _VERSION.search(done.stdout.decode(errors="replace"))
    return (path, version[1]) if done.returncode == 0 and version else ("", "")


def run_nvcc(text: str, kind: str, options: Sequence[str]) -> Run:
    """Compile a text.

    Args:
        text: CUDA C++.
        kind: what to make of it: ``cubin`` or ``ptx``.
        options: as of the command line.

    Raises:
        CompileError: nvcc cannot be run.
    """
    path, _ = find_nvcc()
    return _by_pycuda(path, text, kind, options) or _by_itself(path, text, kind, options)


def _by_pycuda(path: str, text: str, kind: str, options: Sequence[str]) -> Run | None:
    """None where PyCUDA is not installed, and where it refuses: without a driver it cannot even say why."""
    try:
        from pycuda.compiler import compile_plain
    except ImportError:
        return None
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            made: bytes = compile_plain(text, list(options), False, path, None, target=kind)
        except Exception:  # noqa: BLE001  # PyCUDA's class for this is in the module that needs a driver
            return None
    return Run(made, "\n".join(str(warning.message) for warning in heard))


def _by_itself(path: str, text: str, kind: str, options: Sequence[str]) -> Run:
    """The same in a folder of its own, whose name does not get into the code."""
    with tempfile.TemporaryDirectory(prefix="sigmagraph-") as place:
        here = Path(place)
        (here / _NAME).write_text(text)
        done = _call([path, f"--{kind}", *options, _NAME], here)
        said = (done.stdout + done.stderr).decode(errors="replace").replace(place, ".")
        made = (here / _NAME).with_suffix(f".{kind}")
        return Run(made.read_bytes() if done.returncode == 0 and made.exists() else None, said)


def _call(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603  # a compiler, without a shell
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError("nvcc does not work", got=str(error)) from error
