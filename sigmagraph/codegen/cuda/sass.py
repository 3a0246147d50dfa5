"""Which instructions a kernel came to, read from a disassembly where one of NVIDIA's disassemblers is at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from sigmagraph.codegen.cuda.flight import WIDTHS, Flight, flight
from sigmagraph.codegen.cuda.nvrtc import wheel_folders
from sigmagraph.errors import CompileError

HINT = "pip install nvidia-cuda-nvdisasm"
_TIMEOUT = 600  # seconds
_TOOLS = (("nvdisasm", ()), ("cuobjdump", ("--dump-sass",)))
_KERNEL = re.compile(r"^\s*(?:\.text\.(\S+):|Function : (\S+))\s*$")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_TENSOR = ("HMMA", "HGMMA", "IMMA", "IGMMA", "QMMA", "QGMMA", "DMMA", "UTCHMMA", "UTCQMMA", "UTCIMMA")
_COPIES = ("LDGSTS", "UTMALDG", "UBLKCP")
_WIDE = "128"
Widths: TypeAlias = tuple[tuple[int, int], ...]  # bytes a thread, and how many instructions move as many


@dataclass(frozen=True, slots=True)
class Sass:
    """How many instructions of some kinds are in a kernel's code (not how often they are carried out).

    Attributes:
        symbol: the kernel's name.
        total: all of them.
        tensor: products on tensor cores.
        fma: fused multiply-adds of float32.
        loads, wide_loads: from global memory, and those of 16 bytes a thread among them.
        stores, wide_stores: to global memory.
        shared_loads, wide_shared_loads: from shared memory.
        copies: from global to shared memory, asynchronously.
        barriers: waits for the block.
        shuffles: exchanges within a warp.
        local: loads from and stores to local memory: spilled registers and arrays that are indexed.
        load_widths: of what reads global memory, asynchronous copies included.
        store_widths: of what writes it.
        flight: bytes of global memory that a thread waits for at the same time; None where the order is not known.
    """

    symbol: str
    total: int
    tensor: int
    fma: int
    loads: int
    wide_loads: int
    stores: int
    wide_stores: int
    shared_loads: int
    wide_shared_loads: int
    copies: int
    barriers: int
    shuffles: int
    local: int
    load_widths: Widths = ()
    store_widths: Widths = ()
    flight: Flight | None = None


@cache
def find_disassembler() -> tuple[str, ...]:
    """The command of a disassembler, before the file's name; empty where there is none."""
    folders = [path for place in wheel_folders() for path in sorted(place.glob("*/bin")) if path.is_dir()]
    for name, options in _TOOLS:
        found = shutil.which(name) or next((p for f in folders if (p := shutil.which(name, path=str(f)))), None)
        if found:
            return (found, *options)
    return ()


def read_sass(cubin: bytes) -> tuple[Sass, ...]:
    """Count the instructions of every kernel, by name.

    Raises:
        CompileError: there is no disassembler, or it refuses the code.
    """
    command = find_disassembler()
    if not command:
        raise CompileError(
            "this machine has no disassembler for GPUs", expected="nvdisasm or cuobjdump", got="neither", hint=HINT
        )
    with tempfile.TemporaryDirectory(prefix="sigmagraph-") as place:
        path = Path(place) / "program.cubin"
        path.write_bytes(cubin)
        try:
            done = subprocess.run(  # noqa: S603  # a disassembler, without a shell
                [*command, str(path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompileError("the disassembler does not work", expected=command[0], got=str(error)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise CompileError("the disassembler refuses the code", got=said or f"exit status {done.returncode}")
    return count_instructions(done.stdout.decode(errors="replace"))


def count_instructions(listing: str) -> tuple[Sass, ...]:
    """The counts of a listing by nvdisasm or ``cuobjdump --dump-sass``, by name of the kernel."""
    kernels: dict[str, list[str]] = {}
    own: list[str] = []
    for line in listing.splitlines():
        if heading := _KERNEL.match(line):
            own = kernels.setdefault(heading[1] or heading[2], [])
        else:
            own.append(line)
    return tuple(_count(name, kernels[name]) for name in sorted(kernels))


def _count(symbol: str, lines: list[str]) -> Sass:
    instructions = filter(None, map(_INSTRUCTION.match, lines))
    parts = [tuple(instruction[1].split(".")) for instruction in instructions]

    def number(*names: str, wide: bool = False) -> int:
        return sum(part[0] in names and (not wide or _WIDE in part) for part in parts)

    def widths(*names: str) -> Widths:
        moved = (part for part in parts if part[0] in names)
        return tuple(sorted(Counter(max([WIDTHS.get(p, 0) for p in part]) or 4 for part in moved).items()))

    return Sass(
        symbol,
        total=len(parts) - number("NOP"),
        tensor=number(*_TENSOR),
        fma=number("FFMA", "FFMA2"),
        loads=number("LDG"),
        wide_loads=number("LDG", wide=True),
        stores=number("STG"),
        wide_stores=number("STG", wide=True),
        shared_loads=number("LDS", "LDSM"),
        wide_shared_loads=number("LDS", wide=True),
        copies=number(*_COPIES),
        barriers=number("BAR"),
        shuffles=number("SHFL"),
        local=number("LDL", "STL"),
        load_widths=widths("LDG", "LDGSTS"),
        store_widths=widths("STG"),
        flight=flight(lines),
    )
