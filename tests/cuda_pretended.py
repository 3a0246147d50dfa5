"""Has ``target="cuda"`` mean the CUDA shim for a while: the whole way from users to the driver, without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cuda_shim import HostDriver, build

from sigmagraph import execution
from sigmagraph.codegen.cuda import backend
from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.runtime import cuda
from sigmagraph.runtime.mirrors import Device


def host_code(patch: pytest.MonkeyPatch) -> None:
    """Have the texts of GPU programs compiled for the processor."""

    def compile_text(text: str, arch: str, compiler: str = "", *, listing: bool = False) -> Compiled:
        return Compiled(build(text).read_bytes(), "", (), "g++", 0.0)

    patch.setattr(backend, "compile_text", compile_text)
    patch.setattr(backend, "compiler_name", lambda compiler="": "g++")


@contextmanager
def pretended(driver: HostDriver | None = None) -> Iterator[HostDriver]:
    """Pretend that the first CUDA device is the shim."""
    driver = driver or HostDriver(seed=1)
    with pytest.MonkeyPatch.context() as patch:
        host_code(patch)
        patch.setattr(cuda, "probe", lambda: cuda.Probe(True))
        found = cuda.CudaDevice(0, driver.name, driver.arch, 1 << 34, 1)
        patch.setattr(cuda, "cuda_devices", lambda: (found,))
        patch.setitem(execution._devices(), 0, Device(driver))
        yield driver
