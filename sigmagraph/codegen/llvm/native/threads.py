"""The routine that reads how many processors a control group allows."""

from __future__ import annotations

from sigmagraph.codegen.llvm.native.memory import I64, Ptr, load_u8

ZERO = 0x30
NINE = 0x39
SPACE = 0x20


def quota(text: Ptr, size: I64) -> I64:
    """Processors by the text of ``cpu.max``, which has two numbers or ``max`` first; rounded up, 0 for no limit."""
    limit = 0
    period = 0
    at = 0
    while at < size and ZERO <= load_u8(text, at) <= NINE and at < 15:
        limit = 10 * limit + (load_u8(text, at) - ZERO)
        at += 1
    if at == 0 or at >= size or load_u8(text, at) != SPACE:
        return 0
    at += 1
    while at < size and ZERO <= load_u8(text, at) <= NINE and at < 30:
        period = 10 * period + (load_u8(text, at) - ZERO)
        at += 1
    if period == 0:
        return 0
    return (limit + period - 1) // period
