"""Says which CUDA device there is, or what is missing, with exit status 1: ``python -m benchmarks.gpu_present``."""

from __future__ import annotations

import sys

from sigmagraph.codegen.cuda.compile import compiler_name
from sigmagraph.errors import CompileError
from sigmagraph.runtime.devices import devices, missing


def main() -> None:
    """Look for a device and a compiler for it."""
    lacks = list(missing())
    try:
        compiler = compiler_name()
    except CompileError as error:
        compiler = ""
        lacks.append(f"compiler: {error.got}")
    if lacks:
        sys.exit(f"this needs a CUDA device: {'; '.join(lacks)}")
    print(*(f"{device.name}: {device.description}" for device in devices() if device.name != "cpu"), sep="\n")
    print(f"compiled by {compiler}")


if __name__ == "__main__":
    main()
