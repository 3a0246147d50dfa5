"""NVIDIA's compiler as a library (NVRTC), of the wheel ``nvidia-cuda-nvrtc`` or of a toolkit, through ctypes."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sigmagraph.errors import CompileError

_LIBRARY = re.compile(r"(?:libnvrtc\.so\.|nvrtc64_)(\d+).*")
_BUILTINS = ("libnvrtc-builtins.so.*", "nvrtc-builtins64_*.dll")
_FOLDERS = ("lib", "lib64", "bin", "bin/x86_64")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a text.

    Attributes:
        done: whether it was compiled.
        cubin: the machine code; empty where there is none.
        ptx: the assembly; also there, if the compiler came that far, where the assembler refuses it.
        log: what the compiler and the assembler said.
    """

    done: bool
    cubin: bytes
    ptx: str
    log: str


class Nvrtc:
    """The library, loaded; it needs neither driver nor toolkit, and compiles in any thread.

    Args:
        path: of the library.

    Raises:
        OSError: it cannot be loaded.
        AttributeError: it is not NVRTC, or older than machine code in it (11.1).
    """

    def __init__(self, path: Path) -> None:
        # NVRTC loads this by its bare name, which finds what is loaded already.
        beside = [
            found for pattern in _BUILTINS for found in sorted(path.parent.glob(pattern)) if ".alt." not in found.name
        ]
        self._kept = [ctypes.CDLL(str(found)) for found in beside]
        self._library = ctypes.CDLL(str(path))
        pointer, size = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
        strings = ctypes.POINTER(ctypes.c_char_p)
        text, number = ctypes.c_char_p, ctypes.c_int
        programs = ctypes.POINTER(pointer)
        self._library.nvrtcCreateProgram.argtypes = [programs, text, text, number, strings, strings]
        self._library.nvrtcCompileProgram.argtypes = [pointer, number, strings]
        self._library.nvrtcDestroyProgram.argtypes = [programs]
        for name in ("CUBIN", "PTX", "ProgramLog"):
            getattr(self._library, f"nvrtcGet{name}Size").argtypes = [pointer, size]
            getattr(self._library, f"nvrtcGet{name}").argtypes = [pointer, text]
        self._library.nvrtcGetErrorString.restype = text
        major, minor = number(), number()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, text: str, name: str, options: Sequence[str]) -> Attempt:
        """Compile a text that includes no files.

        Args:
            text: CUDA C++.
            name: what the text is called in messages.
            options: as of the command line.

        Raises:
            CompileError: the library itself fails.
        """
        program = ctypes.c_void_p()
        self._check(self._library.nvrtcCreateProgram(program, text.encode(), name.encode(), 0, None, None))
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            done = self._library.nvrtcCompileProgram(program, len(options), given) == 0
            log = self._get(program, "ProgramLog").decode(errors="replace")
            cubin = self._get(program, "CUBIN") if done else b""
            # With an architecture that is real, the assembly comes first and is kept.
            return Attempt(done, cubin, self._get(program, "PTX").decode(errors="replace"), log)
        finally:
            self._library.nvrtcDestroyProgram(program)

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        """A result, without the zero at the end of texts; empty where there is none."""
        size = ctypes.c_size_t()
        if getattr(self._library, f"nvrtcGet{what}Size")(program, size) or not size.value:
            return b""
        room = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, room))
        return room.raw if what == "CUBIN" else room.raw.rstrip(b"\0")

    def _check(self, status: int) -> None:
        if status:
            raise CompileError("NVRTC fails", got=self._library.nvrtcGetErrorString(status).decode())


@cache
def find_nvrtc() -> tuple[Nvrtc | None, str]:
    """NVRTC, if this machine has it, and else why not; looked for once."""
    why = "it is not installed"
    for path in _candidates():
        try:
            return Nvrtc(path), ""
        except (OSError, AttributeError) as error:
            why = f"{path.name} cannot be loaded: {error}"
    return None, why


def _candidates() -> list[Path]:
    """Libraries: of wheels, the newest version first; of the toolkit that nvcc is in; of the system."""
    roots = [folder for place in wheel_folders() for folder in sorted(place.iterdir()) if folder.is_dir()]
    found = [
        (int(match[1]), path)
        for root in roots
        for sub in _FOLDERS
        for path in sorted((root / sub).glob("*nvrtc*"))
        if (match := _LIBRARY.fullmatch(path.name)) and ".alt" not in path.name
    ]
    paths = [path for _, path in sorted(found, key=lambda pair: -pair[0])]
    if nvcc := shutil.which("nvcc"):
        toolkit = Path(nvcc).resolve().parent.parent
        paths += [path for sub in _FOLDERS for path in sorted((toolkit / sub).glob("libnvrtc.so"))]
    if system := ctypes.util.find_library("nvrtc"):
        paths.append(Path(system))
    return paths


def wheel_folders() -> list[Path]:
    """Where NVIDIA's wheels put their files: ``nvidia/cu13`` and the like are below."""
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec else None
    return [path for path in map(Path, places or ()) if path.is_dir()]
