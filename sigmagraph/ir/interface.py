"""What an artifact offers to its host, as plain data: functions, what the state holds, and what can go wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from math import prod

from sigmagraph.dims import Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.plan import ALIGNMENT, Port, Requirement

ABI = 1
STATE_HEAD = 64  # bytes before the values in a state
CUDA = "cuda"  # in place of a triple, of libraries whose programs run on a device
OWN_ERRORS = 100  # the number of the first error that is an artifact's own


class Status(IntEnum):
    """What functions return; from ``OWN_ERRORS`` on follow the errors of an artifact's own programs."""

    OK = 0
    NULL = 1
    DIMS = 2
    ARENA = 3
    STATE = 4
    FILE = 5
    MODEL = 6
    OPTIONS = 7
    ALIGNMENT = 8
    WEIGHTS = 9
    SELFTEST = 10
    SIZE = 11
    THREADS = 12
    IO = 13
    MEMORY = 14
    PROCESSOR = 15
    DEVICE = 16
    LAUNCH = 17


STATUS_TEXTS = {
    Status.OK: "no error",
    Status.NULL: "a pointer is null",
    Status.DIMS: "a dim is negative, or so large that the memory for it cannot be addressed",
    Status.ARENA: "the arena is smaller than the function needs for these dims",
    Status.STATE: "the state was not initialised, or is that of another model",
    Status.FILE: "these are not the bytes of a whole safetensors file",
    Status.MODEL: "the file holds the state of another model",
    Status.OPTIONS: "the options have a size or a field that this library does not know",
    Status.ALIGNMENT: "a pointer is not aligned to the size of an element, or a state to 8 bytes",
    Status.WEIGHTS: "no weights are embedded: read a state from a file",
    Status.SELFTEST: "the library computes something else on this machine than it should",
    Status.SIZE: "the memory is too small for the result",
    Status.THREADS: "threads cannot be started",
    Status.IO: "the file cannot be read or written",
    Status.MEMORY: "there is not enough memory",
    Status.PROCESSOR: "the processor lacks instructions that the library is made of",
    Status.DEVICE: "there is no driver, or no device that the library has code for",
    Status.LAUNCH: "the device refused its work, or failed in it",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A value in the state.

    Attributes:
        name: in state files.
        dtype, shape: of the value.
        offset: where it lies, in bytes behind the head; a multiple of ALIGNMENT.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Function:
    """A function that runs a program.

    Attributes:
        name: without the artifact's name before it; a C identifier.
        dims: names of the symbolic dims, in the order of the arguments.
        inputs: in order; those without axes are handed over by value.
        outputs: in order.
        requirements: what dims have to fulfil.
        checks: what else can be wrong with a call, in words, in the order of the program's own status.
        updates: names of the stored values that it writes; where there are none, the state is read only.
        arena: bytes of scratch memory, by the dims.
        first_error: the number of the error of its first requirement; the others, and the checks, follow.
    """

    name: str
    dims: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    requirements: tuple[Requirement, ...]
    checks: tuple[str, ...]
    updates: tuple[str, ...]
    arena: Size
    first_error: int

    @property
    def errors(self) -> tuple[str, ...]:
        """Its own errors in words, numbered from ``first_error`` on."""
        return (*(f"{r.what}: expected {r.left} {r.relation} {r.right}" for r in self.requirements), *self.checks)


@dataclass(frozen=True, slots=True)
class Interface:
    """What an artifact offers.

    Attributes:
        name: what all symbols begin with; a C identifier.
        version: of sigmagraph.
        triple: LLVM's name of the system; ``cuda`` for devices.
        levels: processors that there is code for, the least one first; of devices the architecture.
        threads: how many may take part in a call.
        functions: in the order of the header.
        stored: what the state holds, in the order of state files.
        state_bytes: bytes behind the state's head.
        embedded: whether the values at export are in the library.
        counter: name of the stored i64 that counts calls of functions which update; empty for none.
        ignored: arrays whose names begin like this are skipped when a state is read.
    """

    name: str
    version: str
    triple: str
    levels: tuple[str, ...]
    threads: int
    functions: tuple[Function, ...]
    stored: tuple[Stored, ...]
    state_bytes: int
    embedded: bool
    counter: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def state_size(self) -> int:
        """Bytes of a state, wherever it begins."""
        return STATE_HEAD + ALIGNMENT + self.state_bytes

    @property
    def on_device(self) -> bool:
        """Whether its programs run on a device, where the state and all scratch memory is, too."""
        return self.triple == CUDA

    @property
    def model(self) -> int:
        """The number of the model, 64 bits, by which its states are known."""
        stored = [f"{s.name} {s.dtype}{list(s.shape)} {s.offset}" for s in self.stored]
        text = "\n".join([self.name, str(ABI), str(self.state_bytes), ",".join(self.levels), *stored])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") | 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """All that a library exports, in the order of its header."""
        names = ["abi_version", "info_json", "error", "state_size", "state_init", "state_file_size"]
        names += ["state_read", "state_write", "state_prepare"]
        names += ["state_open", "state_close", "state_message"] if self.on_device else []
        suffixes = ("_arena_size", "") if self.on_device else ("_arena_size", "", "_with")
        names += [f"{f.name}{suffix}" for f in self.functions for suffix in suffixes]
        names += ["selftest_run"] if self.on_device else ["selftest_size", "selftest_run"]
        names += ["threads_size", "threads_start", "threads_stop"] if self.threads > 1 else []
        return tuple(f"{self.name}_{name}" for name in names)

    @property
    def own_errors(self) -> tuple[str, ...]:
        """The artifact's own errors in words, from OWN_ERRORS on."""
        return tuple(chain.from_iterable(f.errors for f in self.functions))
