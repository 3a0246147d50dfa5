"""Compiles a text again, with room for what threads keep, where the compiler spills it for more blocks at a time.

How many blocks a multiprocessor is to have is left open where it does not matter much. ptxas then goes for another one
now and then, and spills for it what has no room: 180 bytes of an attention, of which every step needs some.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from sigmagraph.codegen.cuda.compile import Compiled
from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.occupancy import REGISTERS

Compile: TypeAlias = Callable[[str], Compiled]
SET_ASIDE = 8  # bytes that it puts aside at the edge of its measure, which cost next to nothing
_UNIT = 8  # registers are given to threads in units of so many
_MOST = 248  # of a thread; with more of them, more would not help


def compile_with_room(text: str, compile: Compile) -> tuple[str, Compiled]:
    """Compile a text; if functions of it spill, again, and for a block less at a time. With the text that was taken."""
    compiled = compile(text)
    wider = with_room(text, compiled.resources)
    if wider == text:
        return text, compiled
    again = compile(wider)
    return (wider, again) if spilled(again.resources) < spilled(compiled.resources) else (text, compiled)


def spilled(resources: Sequence[Resources]) -> int:
    """Bytes of all instructions that spill registers."""
    return sum(r.spill_stores + r.spill_loads for r in resources)


def with_room(text: str, resources: Sequence[Resources]) -> str:
    """The text, in which functions that spill and leave it open ask for a block less than they have room for."""
    tight = {r.symbol: r.registers for r in resources if r.spill_stores > SET_ASIDE and r.registers <= _MOST}

    def bounds(head: re.Match[str]) -> str:
        threads, space, symbol = int(head[1]), head[2], head[3]
        each = -(-tight.get(symbol, 0) // _UNIT) * _UNIT * threads
        fewer = REGISTERS // each - 1 if each else 0
        return f"__launch_bounds__({threads}, {fewer}){space}{symbol}(" if fewer > 0 else head[0]

    return re.sub(r"__launch_bounds__\((\d+)\)(\s+)(\w+)\(", bounds, text)
