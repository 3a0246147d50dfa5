"""A plugin of pytest that has texts of GPU programs compiled for the processor, as the stand-in for the driver wants them.

``LD_LIBRARY_PATH=FOLDER python -m pytest -p host_code -m gpu`` carries out the tests for GPUs through PyCUDA without one,
with the library of `libcuda.cpp` in FOLDER and this folder on the path; `tests/cuda/test_pycuda_path.py` does it.
"""

from __future__ import annotations

import cuda_pretended
import cuda_shim
import pytest


def pytest_configure() -> None:
    """From here to the end."""
    cuda_shim._runtime()
    cuda_pretended.host_code(pytest.MonkeyPatch())
