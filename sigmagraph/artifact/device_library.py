"""Compiles the C of an artifact for GPUs by the machine's C compiler, loads it and opens a state on a device."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.artifact.loaded import Library
from sigmagraph.errors import CompileError, TargetError
from sigmagraph.ir.interface import Function, Interface, Status

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT = 600  # seconds


class DeviceLibrary(Library):
    """The functions of an artifact for GPUs, with a state on a device.

    Args:
        folder: where its files are, which were looked at.
        interface: what it offers.
        device: the number of the device.

    Raises:
        TargetError: there is no driver, no C compiler, or no device that it has code for.
        CompileError: the C compiler refuses it.
        DeviceError: the device does not take it.
    """

    _SUFFIX, _POINTERS = "", 2  # of functions: state and arena come before the dims
    _ARGUMENTS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
        {
            **Library._ARGUMENTS,
            "state_open": (ctypes.c_void_p, ctypes.c_int32),
            "state_close": (ctypes.c_void_p,),
            "state_message": (ctypes.c_void_p,),
            "selftest_run": (ctypes.c_void_p,),
        }
    )

    def __init__(self, folder: Path, interface: Interface, device: int) -> None:
        self._device = device
        self.place = 0
        name = interface.name
        try:
            ctypes.CDLL(_DRIVER)
        except OSError as error:
            raise TargetError(
                f"the artifact '{name}' is for CUDA devices", expected="NVIDIA's driver", got=str(error)
            ) from error
        with TemporaryDirectory(prefix="sigmagraph-", ignore_cleanup_errors=True) as place:
            path = Path(place) / f"lib{name}.so"
            _compile(folder / f"{name}.c", path)
            super().__init__(path, interface, "")

    def _new_state(self, interface: Interface) -> tuple[NDArray, int]:
        handle = ctypes.c_void_p()
        status = self.call("state_open", ctypes.addressof(handle), self._device)
        self.place = handle.value or 0
        self._end = weakref.finalize(self, _close, self._function("state_close"), self.place)
        if status:
            try:
                self.check(status, f"the artifact '{interface.name}'")
            finally:
                self.close()
        return np.zeros(0, np.uint8), self.place

    def said(self, status: int) -> str:
        """What a status means, and what the library says of it besides."""
        more = self.text("state_message", self.place) if self.place else ""
        text = self.text("error", status)
        return f"{text}: {more}" if more and not more.startswith(text) else more or text

    def selftest(self) -> int:
        """The status of the self-test."""
        return self.call("selftest_run", self.place)

    def function(self, function: Function) -> Callable[..., int]:
        """A program, called with options, of which there are none, state, arena, dims, inputs and outputs."""
        found = super().function(function)

        def call(_options: object, *arguments: object) -> int:
            return found(*arguments) if self.place else int(Status.STATE)

        return call

    def close(self) -> None:
        """Give back what is on the device; nothing can be called from then on."""
        self._end()
        self.place = 0


def _close(close: Callable[[int], int], place: int) -> None:
    close(place)


def _compile(source: Path, library: Path) -> None:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise TargetError(
            f"{source.name} has to be compiled before it can be loaded",
            expected="a C compiler",
            got=f"none of {', '.join(_COMPILERS)} on the path",
        )
    command = [compiler, "-std=c99", "-O1", "-shared", "-fPIC", f"-I{source.parent}", str(source), "-o", str(library)]
    try:
        done = subprocess.run(  # noqa: S603  # a compiler, without a shell
            [*command, "-ldl"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError("the C compiler does not work", expected=compiler, got=str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise CompileError(f"{compiler} does not compile {source}", got=said or f"exit status {done.returncode}")
