"""Executes the text of GPU programs on the processor: builds it against `tests/cuda/shim`, and pretends to be a device.

:func:`build` makes a library of a text, :class:`HostDriver` is the way to a device that runs such libraries, and :func:`call`
launches one function on arrays, each of which lies before memory that cannot be touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sigmagraph.errors import DeviceError, DeviceMemoryError

SHIM = Path(__file__).parent / "cuda" / "shim"
COMPILER = "g++"
_KEPT = 14 * 86400  # seconds for which an unused library stays in the cache
_COMMON = ("-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing")
_FLAGS = (
    *_COMMON,
    "-O0",  # programs of tests take longer to compile than to run
    "-w",
    "-nostdlib",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-asynchronous-unwind-tables",
    # Accesses that a GPU would refuse, and indices outside of arrays of a thread, end in a signal.
    "-fsanitize=alignment,bounds",
    "-fsanitize-undefined-trap-on-error",
    f"-I{SHIM}",
    "-include",
    "device.hpp",
)
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\(\s*(\d+)[^)]*\)\s*)?(\w+)\s*\(([^)]*)\)', re.DOTALL
)
_GROUPS = re.compile(
    r"\bsg_wgmma_\w+<\d"
)  # a text that multiplies by warpgroups; the prelude does not say how many columns


def available() -> bool:
    """Whether texts can be executed here."""
    return shutil.which(COMPILER) is not None


def build(text: str, flags: Sequence[str] = ()) -> Path:
    """The library of a text, from the cache where it is there.

    Args:
        text: of a GPU program; the functions that it exports take pointers and integers.
        flags: for the compiler, behind the usual ones.

    Raises:
        RuntimeError: the compiler refuses it.
    """
    table = ";".join(f"{name}:{threads}:{letters}" for name, (threads, letters) in functions(text).items())
    tables = f'shim_functions[] = "{table}", shim_watched = {int(_GROUPS.search(text) is not None)}'
    source = f'{text}\nextern "C" const char {tables};\n'
    return _compiled("program", source, ["-x", "c++", "-"], (*_FLAGS, *flags))


def functions(text: str) -> dict[str, tuple[int, str]]:
    """By name the functions of a text: the bound of threads of a block, and a letter for each parameter."""
    found = {}
    for match in _KERNEL.finditer(text):
        parameters = [p.strip() for p in match[3].split(",") if p.strip()]
        found[match[2]] = (int(match[1] or 1024), "".join(map(_letter, parameters)))
    return found


def _letter(parameter: str) -> str:
    kind = re.sub(r"\w+$", "", parameter).replace("const", "").strip()
    letter = "P" if "*" in parameter else {"int": "i", "sg_index": "i", "long long": "q"}.get(kind)
    if letter is None:
        raise ValueError(f"a function of a GPU program takes pointers and integers, not '{parameter}'")
    return letter


def _compiled(kind: str, source: str, what: Sequence[str], flags: Sequence[str]) -> Path:
    digest = hashlib.sha256("\0".join((_sources(), *flags, source)).encode()).hexdigest()
    path = _folder() / f"{kind}-{digest[:40]}.so"
    if path.exists():
        os.utime(path)
        return path
    new = path.with_suffix(f".{os.getpid()}")
    command = [COMPILER, *flags, *what, "-o", str(new)]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the text of a program is not C++ for {COMPILER}:\n{done.stderr[:4000]}")
    os.replace(new, path)
    return path


@cache
def _sources() -> str:
    version = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    return "".join([version, *(path.read_text() for path in sorted(SHIM.iterdir()))])


@cache
def _folder() -> Path:
    """Where libraries are kept from run to run; old ones are thrown away."""
    folder = Path(__file__).parent.parent / ".pytest_cache" / "cuda_shim"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="cuda_shim"))
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT:
                path.unlink()
    return folder


@cache
def _runtime() -> ctypes.PyDLL:
    """The runtime. It has one state for the process, which the interpreter's lock guards."""
    path = _compiled("runtime", "", [str(SHIM / "runtime.cpp"), "-lm"], (*_COMMON, "-O2"))
    library = ctypes.PyDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.shim_allocate.restype = ctypes.c_void_p
    library.shim_allocate.argtypes = (ctypes.c_size_t, ctypes.c_char_p)
    library.shim_release.argtypes = (ctypes.c_void_p,)
    library.shim_message.restype = ctypes.c_char_p
    library.shim_launch.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_uint,
    )
    return library


class HostMemory:
    """Memory of the pretended device, filled with 0xFF; it ends (up to 15 bytes) before a page that cannot be touched."""

    def __init__(self, size: int, what: str) -> None:
        self.size = size
        self.address = _runtime().shim_allocate(size, what.encode())
        if not self.address:
            raise DeviceMemoryError(f"the device has not enough memory for {what}", expected=f"{size:,} bytes")
        self._release = _runtime().shim_release

    def __del__(self) -> None:
        if getattr(self, "address", None) and hasattr(self, "_release"):
            self._release(self.address)


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function of a library."""

    symbol: str
    signature: str
    threads: int
    shared: int
    address: int
    image: HostImage


class HostImage:
    """A library of a text.

    Attributes:
        watched: whether its functions multiply by warpgroups, so that writes to shared memory are watched.
    """

    def __init__(self, path: Path) -> None:
        _runtime()
        self._library = ctypes.CDLL(str(path))
        table = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(self._library, "shim_functions"))).decode()
        self.watched = ctypes.c_char.in_dll(self._library, "shim_watched").value[0]
        self._functions = {}
        for entry in table.split(";") if table else ():
            name, threads, letters = entry.split(":")
            self._functions[name] = int(threads), letters

    def signature(self, symbol: str) -> str:
        """A letter for each parameter of a function."""
        return self._functions[symbol][1]

    def function(self, symbol: str, signature: str, threads: int, shared: int) -> HostFunction:
        """A function; what is asked for has to be what the text says."""
        if symbol not in self._functions:
            raise DeviceError("the code has no such function", got=symbol)
        bound, letters = self._functions[symbol]
        if letters != signature:
            raise DeviceError(f"'{symbol}' takes other arguments", expected=letters, got=signature)
        if not 0 < threads <= bound:
            raise DeviceError(f"'{symbol}' cannot have that many threads", expected=f"1 to {bound}", got=threads)
        if shared > 232448:
            raise DeviceError(f"'{symbol}' cannot have that much shared memory", expected="232448 bytes", got=shared)
        address = ctypes.cast(getattr(self._library, symbol), ctypes.c_void_p).value
        assert address is not None
        return HostFunction(symbol, signature, threads, shared, address, self)


class HostGraph:
    """What was captured."""

    def __init__(self, driver: HostDriver, actions: list[Callable[[], None]]) -> None:
        self._driver = driver
        self.actions = actions

    def replay(self) -> None:
        """Do it all again."""
        self._driver._count("replays")
        for action in self.actions:
            action()


class HostMark:
    """A place in a stream: how far the first one was, or an entry of what the second one has to do."""

    def __init__(self, driver: HostDriver, at: int, ahead: bool) -> None:
        self._driver = driver
        self.at = at
        self.ahead = ahead

    def wait(self) -> None:
        """Have everything before it done."""
        self._driver.arrive(self)


class HostDriver:
    """A device whose programs are libraries that :func:`build` makes.

    What goes into the first stream is done at once. Copies of the second are done when somebody waits for them, and no
    sooner, so that whoever forgets to wait finds what was there before. Whoever has something overwritten of which the
    first stream was not seen to be done is told so.

    Args:
        seed: draws in which order warps, lanes and blocks go on, and when copies arrive.
        arch: what it says that code is compiled for.
        limit: bytes of its memory.

    Attributes:
        counts: how often what was done (``launches``, ``copies``, ``fills``, ``uploads``, ``downloads``, ``allocations``,
            ``captures``, ``replays``, ``ahead``), and the bytes that went up and down (``uploaded``, ``downloaded``).
        order: what of that was asked for, in order.
        fails: the name of a function whose launches fail.
        launched: by name how often each function was launched.
    """

    name = "the CUDA shim"
    place = (1, 0)
    stream = 0

    def __init__(self, seed: int = 0, arch: str = "sm_80", limit: int = 1 << 34) -> None:
        self.seed = seed
        self.arch = arch
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.launched: Counter[str] = Counter()
        self.order: list[str] = []
        self.fails = ""
        self._capturing: list[Callable[[], None]] | None = None
        self._clock = 0  # how much the first stream has done
        self._reads: dict[tuple[int, int], int] = {}  # when it has last read pieces of memory by a copy
        self._seen = 0  # how far the second stream has waited for the first
        self._second: list[Callable[[], Any]] = []  # what the second has done and will do
        self._done = 0  # how much of that was done

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Nothing has to be done for that."""
        yield

    def allocate(self, size: int, what: str) -> HostMemory:
        """Memory filled with 0xFF."""
        if size > self.limit:
            raise DeviceMemoryError(
                f"the device has not enough memory for {what}",
                expected=f"{size:,} bytes",
                got=f"{self.limit:,} bytes on {self.name}",
            )
        self.counts["allocations"] += 1
        return HostMemory(size, what)

    def load(self, image: bytes | str | Path) -> HostImage:
        """Load a library: its path, or its bytes."""
        if isinstance(image, bytes) and image.startswith(b"\x7fELF"):
            path = _folder() / f"image-{hashlib.sha256(image).hexdigest()[:40]}.so"
            if not path.exists():
                new = path.with_suffix(f".{os.getpid()}")
                new.write_bytes(image)
                os.replace(new, path)
            return HostImage(path)
        path = Path(os.fsdecode(image))
        if not path.exists():
            raise DeviceError(f"{self.name} does not take the code", expected="a library of the shim", got=path)
        return HostImage(path)

    def upload(self, address: int, array: np.ndarray[Any, Any]) -> None:
        """Copy to the device."""
        assert array.flags.c_contiguous
        assert self._capturing is None, "graphs have no uploads"
        self._count("uploads")
        self.counts["uploaded"] += array.nbytes
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, parts: Sequence[tuple[np.ndarray[Any, Any], int]]) -> None:
        """Copy from the device."""
        assert self._capturing is None, "graphs have no downloads"
        self.order.append("wait")
        for array, address in parts:
            assert array.flags.c_contiguous
            self.counts["downloads"] += 1
            self.counts["downloaded"] += array.nbytes
            ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy within the device."""
        assert target + size <= source or source + size <= target or not size, "the pieces of a copy overlap"
        self._do("copies", lambda: self._copy(target, source, size))

    def _copy(self, target: int, source: int, size: int) -> None:
        self._clock += 1
        self._reads[source, source + size] = self._clock
        ctypes.memmove(target, source, size)

    def pinned(self, size: int) -> np.ndarray[Any, Any]:
        """Bytes that a copy in the second stream reads when it is done."""
        return np.full(size, 0xFF, np.uint8)

    def upload_ahead(self, address: int, array: np.ndarray[Any, Any]) -> None:
        """Note a copy."""
        assert self._capturing is None, "graphs have no uploads"
        for (low, high), when in self._reads.items():
            if low < address + array.nbytes and address < high and when > self._seen:
                raise DeviceError("memory is overwritten that the first stream may still read")
        self._count("ahead")
        self.counts["uploaded"] += array.nbytes
        self._second.append(lambda: ctypes.memmove(address, array.ctypes.data, array.nbytes))

    def mark(self, *, ahead: bool = False) -> HostMark:
        """Where a stream is."""
        assert self._capturing is None, "graphs have no marks"
        return HostMark(self, len(self._second) if ahead else self._clock, ahead)

    def follow(self, mark: HostMark, *, ahead: bool = False) -> None:
        """Have one stream wait for the other."""
        assert mark.ahead != ahead, "a stream waits for itself"
        if ahead:
            self._seen = max(self._seen, mark.at)
        else:
            self.arrive(mark)

    def arrive(self, mark: HostMark) -> None:
        """Have the second stream do what is before a mark."""
        if mark.ahead:
            for action in self._second[self._done : mark.at]:
                action()
            self._done = max(self._done, mark.at)

    def fill(self, address: int, size: int, byte: int) -> None:
        """Set every byte."""
        self._do("fills", lambda: ctypes.memset(address, byte, size))

    def launch(self, function: HostFunction, blocks: int, arguments: Sequence[int]) -> None:
        """Launch a function, and wait for it."""
        if len(arguments) != len(function.signature) or not 0 < blocks < 1 << 31:
            raise DeviceError(
                f"'{function.symbol}' cannot be launched",
                expected=f"{len(function.signature)} arguments, at least one block",
                got=f"{len(arguments)} arguments, {blocks} blocks",
            )
        words = (ctypes.c_ulonglong * max(len(arguments), 1))(*arguments)
        self._do("launches", lambda: self._launch(function, blocks, words, len(arguments)))

    def _launch(self, function: HostFunction, blocks: int, words: Any, count: int) -> None:
        runtime = _runtime()
        self.launched[function.symbol] += 1
        if function.symbol == self.fails:
            raise DeviceError("a kernel failed", got="as it was told to")
        runtime.shim_watch(function.image.watched)
        failed = runtime.shim_launch(
            function.address, blocks, function.threads, function.shared, words, count, self.seed & 0xFFFFFFFF
        )
        if failed:
            raise DeviceError(f"the function '{function.symbol}' failed", got=runtime.shim_message().decode())

    def _do(self, what: str, action: Callable[[], Any]) -> None:
        def counted() -> None:
            self._count(what)
            action()

        if self._capturing is not None:
            self._capturing.append(counted)
        else:
            counted()

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        self.order.append(what)

    def capture(self, run: Callable[[], None]) -> HostGraph:
        """Note what is asked for, without doing it."""
        self.counts["captures"] += 1
        self._capturing = actions = []
        try:
            run()
        finally:
            self._capturing = None
        return HostGraph(self, actions)

    def synchronize(self) -> None:
        """Nothing is ever left to be done in the first stream."""
        self.order.append("wait")

    def wait_for(self, stream: int) -> None:
        """Nobody else has streams."""

    def be_waited_for(self, stream: int) -> None:
        """Nobody else has streams."""


def call(
    image: HostImage,
    symbol: str,
    blocks: int,
    threads: int,
    shared: int,
    arrays: Sequence[np.ndarray[Any, Any] | tuple[tuple[int, ...], Any]],
    ints: Sequence[int] = (),
    seed: int = 0,
) -> list[np.ndarray[Any, Any]]:
    """Launch one function on copies of arrays, each in memory of its own; what is in that memory then.

    Args:
        image: the library.
        symbol, blocks, threads, shared: what is launched.
        arrays: a buffer for each pointer: an array, or shape and dtype of one that holds nothing yet (bytes 0xFF).
        ints: the arguments behind the pointers.
        seed: of the driver.

    Raises:
        DeviceError: the shim found a fault.
    """
    driver = HostDriver(seed)
    signature = image.signature(symbol)
    function = image.function(symbol, signature, threads, shared)
    memories, results = [], []
    for number, array in enumerate(arrays):
        result = np.empty(*array) if isinstance(array, tuple) else np.array(array, order="C")
        memories.append(driver.allocate(result.nbytes, f"buffer {number}"))
        results.append(result)
        if not isinstance(array, tuple):
            driver.upload(memories[-1].address, result)
    driver.launch(function, blocks, [*(m.address for m in memories), *ints])
    driver.download([(result, memory.address) for result, memory in zip(results, memories, strict=True)])
    return results
