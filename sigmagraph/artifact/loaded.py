"""An artifact whose library is loaded: a state, and functions that are called like compiled ones."""

from __future__ import annotations

import ctypes
import json
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.artifact.manifest import Manifest, info_text
from sigmagraph.dims import evaluate
from sigmagraph.dtypes import BF16, BOOL, F16, DType
from sigmagraph.errors import (
    AttributeValueError,
    DeviceError,
    DeviceMemoryError,
    DimError,
    FileFormatError,
    IndexRangeError,
    InputError,
    SigmaError,
    TargetError,
)
from sigmagraph.ir.bind import bind_dims
from sigmagraph.ir.interface import ABI, OWN_ERRORS, Function, Interface, Status
from sigmagraph.ir.plan import Port
from sigmagraph.runtime.arrays import as_input
from sigmagraph.runtime.state import address_of, aligned_bytes
from sigmagraph.runtime.whole_files import write_whole

NDArray: TypeAlias = "np.ndarray[Any, Any]"
_Shapes: TypeAlias = tuple[tuple[int, ...], ...]
# Dims in their order, bytes of the arena, shapes and types of outputs.
_Binding: TypeAlias = tuple[list[int], int, list[tuple[tuple[int, ...], "np.dtype[Any]"]]]
_SHAPE = attrgetter("shape")
_BINDINGS = 256  # different combinations of input shapes that are remembered

_ERRORS: Mapping[int, type[SigmaError]] = MappingProxyType(
    {
        Status.DIMS: DimError,
        Status.FILE: FileFormatError,
        Status.MODEL: FileFormatError,
        Status.SELFTEST: TargetError,
        Status.PROCESSOR: TargetError,
        Status.THREADS: TargetError,
        Status.DEVICE: TargetError,
        Status.LAUNCH: DeviceError,
        Status.MEMORY: DeviceMemoryError,
    }
)
_SCALARS: Mapping[DType, Any] = MappingProxyType(
    {
        DType.F16: ctypes.c_uint16, DType.BF16: ctypes.c_uint16, DType.F32: ctypes.c_float, DType.F64: ctypes.c_double,
        DType.I8: ctypes.c_int8, DType.I16: ctypes.c_int16, DType.I32: ctypes.c_int32, DType.I64: ctypes.c_int64,
        DType.U8: ctypes.c_uint8, DType.BOOL: ctypes.c_uint8,
    }
)  # fmt: skip


def read_bytes(file: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read", got=error.strerror) from error


class Artifact:
    """A library that is loaded, and a state of its model.

    Each function is an attribute that is called with arrays, by position or by name, and gives its outputs by name. A
    hyperparameter goes by its last name, too: ``learning_rate`` for ``optimiser.learning_rate``.

    Attributes:
        name: of the artifact.
        interface: what the library offers.
        functions: what can be called, by name.
    """

    def __init__(self, manifest: Manifest, library: Library, threads: int) -> None:
        self.interface = manifest.interface
        self.name = self.interface.name
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= self.interface.threads:
            most = self.interface.threads
            raise AttributeValueError("this is no number of threads", expected=f"1 .. {most}", got=repr(threads))
        self._library = library
        self._state = library.state
        self._lock = threading.Lock()
        self._threads = _Threads(self._library, threads) if threads > 1 else None
        self.functions: Mapping[str, LoadedFunction] = MappingProxyType(
            {f.name: LoadedFunction(self, f) for f in self.interface.functions}
        )

    def __getattr__(self, name: str) -> LoadedFunction:
        functions = self.__dict__.get("functions", {})
        if name in functions:
            found: LoadedFunction = functions[name]
            return found
        raise AttributeError(f"the artifact has no function '{name}'; it has {', '.join(functions) or 'none'}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.functions]

    def __repr__(self) -> str:
        return f"<Artifact {self.name!r} for {self.interface.triple}: {', '.join(self.functions)}>"

    def _begin(self, state: bytes | None) -> None:
        if state is not None:
            self._take(state, "the state file")
        else:
            self._library.check(self._library.call("state_init", self._library.place), self.name)

    def _take(self, data: bytes, what: str) -> None:
        with self._lock:
            bytes_in = np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)
            status = self._library.call("state_read", self._library.place, address_of(bytes_in), len(data))
        self._library.check(status, what)

    def load_state(self, path: str | PathLike[str]) -> None:
        """Go on with the state in a file: one that was saved here or in C, or a checkpoint of the trainer.

        Raises:
            InputError: the file cannot be read.
            FileFormatError: it is damaged, or of another model; the state is as it was.
        """
        self._take(read_bytes(Path(path)), str(path))

    def save_state(self, path: str | PathLike[str]) -> None:
        """Write the state to a file. Until all is on disk, a file that was there stays as it was.

        Raises:
            InputError: it cannot be written.
        """
        write_whole(Path(path), self._image())

    def _image(self) -> bytes:
        out = np.zeros(self._library.call("state_file_size"), np.uint8)
        with self._lock:
            status = self._library.call("state_write", self._library.place, address_of(out), out.size)
        self._library.check(status, self.name)
        return out.tobytes()

    @property
    def state(self) -> dict[str, NDArray]:
        """The values of the state by name, as copies."""
        image = self._image()
        at = 8 + int.from_bytes(image[:8], "little")
        found: dict[str, NDArray] = {}
        for stored in self.interface.stored:
            data = image[at : at + stored.bytes]
            found[stored.name] = np.frombuffer(bytearray(data), stored.dtype.numpy).reshape(stored.shape)
            at += stored.bytes
        return found

    @property
    def info(self) -> dict[str, Any]:
        """What the library says of itself."""
        text = self._library.text("info_json")
        found: dict[str, Any] = json.loads(text)
        return found

    def prepare(self) -> None:
        """Do ahead what functions that only read would do at every call since the last update."""
        with self._lock:
            self._library.check(self._library.call("state_prepare", self._library.place), self.name)

    def selftest(self) -> None:
        """Compute on this machine what was computed at export.

        Raises:
            TargetError: something else came out.
        """
        with self._lock:
            self._library.check(self._library.selftest(), self.name)

    def close(self) -> None:
        """End its threads; calls are on one thread from then on. What is on a device is given back."""
        with self._lock:
            if self._threads is not None:
                self._threads.close()
                self._threads = None
            self._library.close()


class LoadedFunction:
    """A function of an artifact (see :class:`Artifact`)."""

    def __init__(self, artifact: Artifact, function: Function) -> None:
        self.function = function
        self.name = function.name
        self._artifact = artifact
        self._call = artifact._library.function(function)
        self._names = tuple(port.name for port in function.inputs)
        last = [name.rpartition(".")[2] for name in self._names]
        self._short = {
            s: n for s, n in zip(last, self._names, strict=True) if last.count(s) == 1 and s not in self._names
        }
        self._arenas: list[NDArray] = []  # that no call is using
        self._bindings: dict[_Shapes, _Binding] = {}

    def __repr__(self) -> str:
        ports = ", ".join(f"{p.name}: {p.dtype}[{','.join(map(str, p.shape))}]" for p in self.function.inputs)
        return f"<{self._artifact.name}.{self.name}({ports})>"

    def memory(self, **dims: int) -> int:
        """Bytes of the arena for given dims.

        Raises:
            DimError: a dim is unknown, missing or negative.
        """
        if sorted(dims) != sorted(self.function.dims) or any(value < 0 for value in dims.values()):
            raise DimError(f"'{self.name}' has other dims", expected=", ".join(self.function.dims), got=str(dims))
        return evaluate(self.function.arena, dims)

    def __call__(self, *positional: Any, **named: Any) -> dict[str, NDArray]:
        """Run the program.

        Raises:
            InputError: an input is missing, unknown, or has another dtype or shape.
            DimError: two inputs disagree about a dim, or a dim breaks a requirement.
            IndexRangeError: an index in an array is out of range; the state is as it was.
        """
        arrays = [as_input(a, p) for a, p in zip(self._ordered(positional, named), self.function.inputs, strict=True)]
        shapes = tuple(map(_SHAPE, arrays))
        sizes, room, results = self._bindings.get(shapes) or self._bind(shapes, arrays)
        outputs = [np.empty(shape, dtype) for shape, dtype in results]
        inputs = [
            address_of(a) if p.shape else _scalar(a, p) for a, p in zip(arrays, self.function.inputs, strict=True)
        ]
        artifact = self._artifact
        arena = self._arena(room)
        try:
            with artifact._lock:
                options = artifact._threads.options if artifact._threads else None
                state, places = artifact._library.place, [address_of(a) for a in outputs]
                status = self._call(options, state, address_of(arena), *sizes, *inputs, *places)
        finally:
            self._arenas.append(arena)
        self._check(status)
        return dict(zip((p.name for p in self.function.outputs), outputs, strict=True))

    def _bind(self, shapes: _Shapes, arrays: Sequence[NDArray]) -> _Binding:
        """Find out the dims of a combination of shapes, and what follows from them."""
        function = self.function
        dims = bind_dims(function.inputs, arrays)
        for requirement in function.requirements:
            requirement.check(dims)
        results = [(tuple(evaluate(size, dims) for size in p.shape), p.dtype.numpy) for p in function.outputs]
        if len(self._bindings) >= _BINDINGS:
            self._bindings.clear()
        room = 0 if self._artifact.interface.on_device else evaluate(function.arena, dims)
        binding = [dims[name] for name in function.dims], room, results
        self._bindings[shapes] = binding
        return binding

    def _arena(self, size: int) -> NDArray:
        try:
            arena = self._arenas.pop()
        except IndexError:
            return aligned_bytes(size)
        return arena if arena.size >= size else aligned_bytes(size)

    def _ordered(self, positional: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        if len(positional) > len(self._names):
            raise InputError(f"'{self.name}' takes fewer inputs", expected=len(self._names), got=len(positional))
        given = dict(zip(self._names, positional, strict=False))
        for name, value in named.items():
            full = self._short.get(name, name)
            if full in given:
                raise InputError(f"the input '{full}' is given twice")
            given[full] = value
        missing = [n for n in self._names if n not in given]
        unknown = [n for n in given if n not in self._names]
        if missing or unknown:
            problem = f"the input '{missing[0]}' is missing" if missing else f"there is no input '{unknown[0]}'"
            raise InputError(
                f"'{self.name}': {problem}", expected=", ".join(self._names) or "none", got=", ".join(given) or "none"
            )
        return [given[name] for name in self._names]

    def _check(self, status: int) -> None:
        if status >= OWN_ERRORS:
            number = status - self.function.first_error
            is_check = number >= len(self.function.requirements)
            kind = IndexRangeError if is_check else DimError
            hint = "the state is as it was" if is_check else None
            raise kind(self._artifact._library.said(status), hint=hint)
        self._artifact._library.check(status, f"{self._artifact.name}.{self.name}")


def _scalar(array: NDArray, port: Port) -> Any:
    """An array without axes as what C takes by value."""
    if array.shape:
        raise InputError(f"the input '{port.name}' has no axes", expected="a number", got=f"an array of {array.shape}")
    if port.dtype in (F16, BF16):
        return int(array.reshape(1).view(np.uint16)[0])
    return bool(array) if port.dtype is BOOL else array.item()


class Library:
    """The functions of a library, typed as its header has them.

    Attributes:
        state: what a state lives in, and has to be kept for it.
        place: the address of that.
    """

    _SUFFIX, _POINTERS = "_with", 3  # of functions: options, state and arena come before the dims
    _WORDS = ("state_size", "state_file_size", "selftest_size", "threads_size")
    _ARGUMENTS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
        {
            "state_init": (ctypes.c_void_p,),
            "state_read": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            "state_write": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            "state_prepare": (ctypes.c_void_p,),
            "selftest_run": (ctypes.c_void_p, ctypes.c_size_t),
            "threads_start": (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32),
            "threads_stop": (ctypes.c_void_p,),
            "error": (ctypes.c_int32,),
        }
    )

    def __init__(self, path: Path, interface: Interface, digest: str) -> None:
        self._name = interface.name
        self._loaded = _opened(path, digest)
        if self.call("abi_version") != ABI:
            raise FileFormatError(f"{path} is called otherwise", expected=ABI, got=self.call("abi_version"))
        size = interface.state_bytes if interface.on_device else interface.state_size
        if self.call("state_size") != size:
            raise FileFormatError(f"{path} is not what its manifest says", expected=size, got=self.call("state_size"))
        # Arrays and arenas are made as the manifest says, and the library writes to them as it thinks itself.
        if self.text("info_json") != info_text(interface):
            raise FileFormatError(f"the manifest of {path} is not its own", expected=self.text("info_json"))
        self.state, self.place = self._new_state(interface)

    def _new_state(self, interface: Interface) -> tuple[NDArray, int]:
        state = aligned_bytes(interface.state_size)
        return state, address_of(state)

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function that gives a number."""
        function = self._function(name)
        function.restype = ctypes.c_size_t if name in self._WORDS else ctypes.c_int32
        return int(function(*arguments))

    def text(self, name: str, *arguments: Any) -> str:
        """Call a function that gives a text."""
        function = self._function(name)
        function.restype = ctypes.c_char_p
        found: bytes = function(*arguments)
        return found.decode()

    def _function(self, name: str) -> Any:
        function = self._loaded[f"{self._name}_{name}"]
        function.argtypes = self._ARGUMENTS.get(name, ())
        return function

    def said(self, status: int) -> str:
        """What a status means."""
        return self.text("error", status)

    def check(self, status: int, what: str) -> None:
        """Raise the error that a status stands for."""
        if status:
            raise _ERRORS.get(status, InputError)(f"{what}: {self.said(status)}")

    def selftest(self) -> int:
        """The status of the self-test."""
        memory = np.zeros(self.call("selftest_size"), np.uint8)
        return self.call("selftest_run", address_of(memory), memory.size)

    def close(self) -> None:
        """Give back what the state has besides memory of this process."""

    def function(self, function: Function) -> Callable[..., int]:
        """A program, called with options, state, arena, dims, inputs and outputs."""
        found = self._loaded[f"{self._name}_{function.name}{self._SUFFIX}"]
        inputs = [ctypes.c_void_p if port.shape else _SCALARS[port.dtype] for port in function.inputs]
        pointers = [ctypes.c_void_p] * self._POINTERS
        found.argtypes = [
            *pointers,
            *[ctypes.c_int64] * len(function.dims),
            *inputs,
            *[ctypes.c_void_p] * len(function.outputs),
        ]
        found.restype = ctypes.c_int32
        call: Callable[..., int] = found
        return call


@cache
def _known() -> dict[Path, str]:
    """The libraries that this process has opened, and their hashes."""
    return {}


def _opened(path: Path, digest: str) -> ctypes.CDLL:
    """A library. By a path that was opened before the system gives back what lay there then: another one is copied."""
    where = path.resolve()
    first = _known().setdefault(where, digest)
    try:
        if first == digest:
            return ctypes.CDLL(str(where))
        with tempfile.TemporaryDirectory(prefix="sigmagraph-", ignore_cleanup_errors=True) as folder:
            return ctypes.CDLL(str(shutil.copy(where, Path(folder) / f"{digest[:16]}-{path.name}")))
    except OSError as error:
        raise TargetError(f"{path} cannot be loaded", got=str(error)) from error


class _Options(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("arena_size", ctypes.c_size_t),
        ("threads", ctypes.c_void_p),
        ("parallel_for", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    )


class _Threads:
    """Threads of a library, from its start to the end of this object."""

    def __init__(self, library: Library, count: int) -> None:
        self._memory = aligned_bytes(library.call("threads_size"))
        at = address_of(self._memory)
        library.check(library.call("threads_start", at, self._memory.size, count), "threads")
        self._options = _Options(ctypes.sizeof(_Options), 0, at)
        self.options = ctypes.addressof(self._options)
        self._end = weakref.finalize(self, _stop, library, self._memory)

    def close(self) -> None:
        """Stop them and wait for that."""
        self._end()


def _stop(library: Library, memory: NDArray) -> None:
    library.call("threads_stop", address_of(memory))
