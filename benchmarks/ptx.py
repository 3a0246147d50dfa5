"""Which instructions a kernel's PTX has, where there is no disassembler for the machine code."""

from __future__ import annotations

import re
from collections import Counter

from sigmagraph.codegen.cuda.sass import Sass, Widths

_ENTRY = re.compile(r"\.entry\s+(\w+)\s*\(")
_INSTRUCTION = re.compile(r"^\s*(?:@!?%\w+\s+)?([a-z][\w.:]*)[\s;]")
_TENSOR = ("mma.", "wmma.mma", "wgmma.mma")


def count_ptx(ptx: str) -> tuple[Sass, ...]:
    """The counts of all kernels of an assembly, by name. Registers are not yet given, so that spills cannot be seen."""
    found: dict[str, list[str]] = {}
    own: list[str] | None = None
    for line in ptx.splitlines():
        if entry := _ENTRY.search(line):
            own = found.setdefault(entry[1], [])
        elif line.startswith("}"):
            own = None
        elif own is not None and (instruction := _INSTRUCTION.match(line)):
            own.append(instruction[1])
    return tuple(_count(name, found[name]) for name in sorted(found))


def _count(symbol: str, instructions: list[str]) -> Sass:
    def number(*starts: str) -> int:
        return sum(i.startswith(starts) for i in instructions)

    loads, stores = (_widths(instructions, f"{kind}.global") for kind in ("ld", "st"))
    shared = _widths(instructions, "ld.shared")
    copies = number("cp.async.ca", "cp.async.cg", "cp.async.bulk")
    return Sass(
        symbol,
        total=len(instructions),
        tensor=number(*_TENSOR),
        fma=number("fma.rn.f32"),
        loads=sum(count for _, count in loads),
        wide_loads=dict(loads).get(16, 0),
        stores=sum(count for _, count in stores),
        wide_stores=dict(stores).get(16, 0),
        shared_loads=sum(count for _, count in shared) + number("ldmatrix"),
        wide_shared_loads=dict(shared).get(16, 0),
        copies=copies,
        barriers=number("bar.sync", "barrier.sync"),
        shuffles=number("shfl"),
        local=number("ld.local", "st.local"),
        load_widths=loads,
        store_widths=stores,
    )


def _widths(instructions: list[str], start: str) -> Widths:
    """Bytes that a thread moves: what ``.v4`` says times the bits of the type."""
    found: Counter[int] = Counter()
    for parts in (i.split(".") for i in instructions if i.startswith(start)):
        lanes = next((int(p[1:]) for p in parts if re.fullmatch(r"v\d", p)), 1)
        found[lanes * int(re.sub(r"\D", "", parts[-1])) // 8] += 1
    return tuple(sorted(found.items()))
