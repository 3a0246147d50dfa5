"""Processes of their own that answer requests: one JSON document a line, each way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from benchmarks.machine import pinned

_THREADS = ("OMP_NUM_THREADS", "NUM_CPU_THREADS")  # what libraries, and tinygrad, call it
_ON_THE_PROCESSOR: Mapping[str, str] = MappingProxyType({"JAX_PLATFORMS": "cpu", "DEV": "CPU"})
_ON_A_DEVICE: Mapping[str, str] = MappingProxyType({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"})  # others need memory too


class Process:
    """A worker process, pinned to as many cores as it has threads.

    Args:
        module: what it runs; it ends with ``serve`` of ``benchmarks.worker``.
        key: its first argument.
        threads: its second one.
        device: whether libraries use the first CUDA device instead of the processor.
    """

    def __init__(self, module: str, key: str, threads: int, device: bool = False) -> None:
        self.key = key
        where = _ON_A_DEVICE if device else _ON_THE_PROCESSOR
        with pinned(threads):
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, key, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | where | dict.fromkeys(_THREADS, str(threads)),
                cwd=Path(__file__).resolve().parent.parent,
            )
        self.version: str = self.ask(do="hello")["version"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            RuntimeError: the worker has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of '{self.key}' has ended while it was asked for {request}")
        answer: dict[str, Any] = json.loads(line)
        return answer
