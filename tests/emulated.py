"""Runs programs for aarch64 by QEMU: a program with all its memory as a file, which it maps, calls and leaves.

The file lies at a fixed address. It begins with the arguments of the entry point, which point at what is behind them;
the exit status is what the entry point returns. Nothing else is linked to the objects, and no C library.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ladder import Point, live

from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.archive import unpack
from sigmagraph.codegen.llvm.compile import processor
from sigmagraph.dims import evaluate
from sigmagraph.driver import build
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.plan import ALIGNMENT, Port
from sigmagraph.options import CompileOptions, Target

TARGET = Target(triple="aarch64-linux-gnu")
EMULATOR = "qemu-aarch64"
_LINKERS = ("aarch64-linux-gnu-ld", "ld.lld")
_BASE, _LENGTH = 1 << 30, 1 << 28

# The words are `mov x8, x6; svc 0; ret`: the call of the system whose number is the seventh argument. Calls 222 and 93
# are mmap (to read and write: 3; shared and at this address: 17) and exit.
_RUNNER = """
@words = constant [3 x i32] [i32 u0xAA0603E8, i32 u0xD4000001, i32 u0xD65F03C0], section ".text.words"
declare i32 @{entry}(ptr, ptr, ptr, ptr, ptr, ptr)

define void @_start() {{
  call i64 @words(i64 {base}, i64 {length}, i64 3, i64 17, i64 0, i64 0, i64 222)
  %memory = inttoptr i64 {base} to ptr
{loads}
  %status = call i32 @{entry}(ptr %a0, ptr %a1, ptr %a2, ptr %a3, ptr %a4, ptr %a5)
  %wide = zext i32 %status to i64
  call i64 @words(i64 %wide, i64 0, i64 0, i64 0, i64 0, i64 0, i64 93)
  unreachable
}}

define ptr @memmove(ptr %to, ptr %from, i64 %count) {{
  %target = ptrtoint ptr %to to i64
  %source = ptrtoint ptr %from to i64
  %ahead = icmp ult i64 %target, %source
  br label %next
next:
  %done = phi i64 [ 0, %0 ], [ %more, %copy ]
  %more = add i64 %done, 1
  %left = icmp ult i64 %done, %count
  br i1 %left, label %copy, label %end
copy:
  %mirrored = sub i64 %count, %more
  %at = select i1 %ahead, i64 %done, i64 %mirrored
  %read = getelementptr i8, ptr %from, i64 %at
  %write = getelementptr i8, ptr %to, i64 %at
  %byte = load i8, ptr %read
  store i8 %byte, ptr %write
  br label %next
end:
  ret ptr %to
}}
"""


def missing() -> list[str]:
    """What is needed to run programs and is not installed."""
    return [EMULATOR] * (shutil.which(EMULATOR) is None) + ["a linker for aarch64"] * (_linker() is None)


def _linker() -> list[str] | None:
    found = next((path for name in _LINKERS if (path := shutil.which(name))), None)
    if found:
        return [found]
    return [sys.executable, "-m", "ziglang", "ld.lld"] if importlib.util.find_spec("ziglang") else None


class Emulated:
    """A graph as a program for aarch64.

    Args:
        graph: what it computes.
        folder: where its files go.
    """

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.graph = live(graph)
        program, code = build(self.graph, CompileOptions(TARGET, checks=False, prepare=False))
        self.plan = program.main
        self.memory = folder / "memory"
        self.program = folder / "program"
        objects = [folder / f"{number}.o" for number, _ in enumerate(unpack(code.object))]
        for path, data in zip(objects, unpack(code.object), strict=True):
            path.write_bytes(data)
        (folder / "runner.o").write_bytes(_runner(self.plan.name))
        linker = _linker()
        assert linker is not None
        command = [*linker, "-static", "-e", "_start", "-o", self.program, folder / "runner.o", *objects]
        subprocess.run(command, check=True)

    def results(self, at: Point) -> dict[str, NDArray]:
        """What a call gives, new values of parameters among it."""
        memory = _Memory()
        plan, dims = self.plan, at.sizes
        # What is read before it is written shows, because it is not a number.
        arena = memory.place(np.full(max(1, evaluate(plan.arena_bytes(1), dims)), 0xFF, np.uint8))
        params, inputs = (memory.ports(p, a, dims) for p, a in ((plan.params, at.params), (plan.inputs, at.inputs)))
        outputs = memory.ports(plan.outputs, {}, dims)
        tables = [memory.place(np.array([*table.values(), 0], np.int64)) for table in (params, inputs, outputs)]
        sizes = memory.place(np.array([*(dims[name] for name in plan.dims), 0], np.int64))
        memory.begin(arena, tables[0], sizes, tables[1], tables[2], 0)
        self.memory.write_bytes(memory.data)
        with self.memory.open("r+b") as file:
            done = subprocess.run([EMULATOR, self.program], stdin=file, timeout=120, check=False)
        assert done.returncode == 0
        data = self.memory.read_bytes()
        ports = {port.name: port for port in (*plan.params, *plan.outputs)}
        return {
            o.name: _array(
                data, ports[o.updates or o.name], (params if o.updates else outputs)[o.updates or o.name], dims
            )
            for o in self.graph.outputs
        }


class _Memory:
    """The file: arrays one behind the other, at aligned addresses."""

    def __init__(self) -> None:
        self.data = bytearray(ALIGNMENT)

    def place(self, array: NDArray) -> int:
        """Append an array; its address."""
        address = _BASE + len(self.data)
        self.data += array.tobytes()
        self.data += bytes(-len(self.data) % ALIGNMENT)
        assert len(self.data) <= _LENGTH
        return address

    def ports(self, ports: tuple[Port, ...], arrays: Mapping[str, NDArray], dims: Mapping[str, int]) -> dict[str, int]:
        """Append an array for each port, of ones in every bit where there is none; addresses by name."""
        found = {}
        for port in ports:
            size = evaluate(port.bytes, dims)
            found[port.name] = self.place(arrays.get(port.name, np.full(size, 0xFF, np.uint8)))
        return found

    def begin(self, *words: int) -> None:
        """Write what the file begins with."""
        self.data[: 8 * len(words)] = np.array(words, np.int64).tobytes()


def _array(data: bytes, port: Port, address: int, dims: Mapping[str, int]) -> NDArray:
    shape = [evaluate(size, dims) for size in port.shape]
    count = int(np.prod(shape))
    return np.frombuffer(data, port.dtype.numpy, count, address - _BASE).reshape(shape)


def _runner(entry: str) -> bytes:
    """The object that is run first."""
    loads = "\n".join(
        f"  %p{n} = getelementptr ptr, ptr %memory, i64 {n}\n  %a{n} = load ptr, ptr %p{n}" for n in range(6)
    )
    text = _RUNNER.format(entry=entry, base=_BASE, length=_LENGTH, loads=loads)
    compiler = Apart(processor(TARGET))
    code = compiler.compile(text)
    compiler.close()
    return code.object
