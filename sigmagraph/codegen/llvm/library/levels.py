"""Writes how a library finds out which of its levels the processor at hand can run.

The bits are those of Intel's and AMD's manuals (instruction CPUID); the levels are those of the x86-64 psABI.
"""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.codegen.llvm.compile import Processor

_NONE = """
define internal i32 @level() #0 {
  ret i32 0
}
"""

# What each level needs besides the one before: bits of leaf 1 ECX, leaf 7 EBX, leaf 80000001h ECX, and of XCR0.
_V2 = ((0, 9, 13, 19, 20, 23), (), (0,), ())
_V3 = ((12, 22, 27, 28, 29), (3, 5, 8), (5,), (1, 2))
_V4 = ((), (16, 17, 28, 30, 31), (), (5, 6, 7))

_FIND = """
define internal { i32, i32, i32, i32 } @cpuid(i32 %leaf) #0 {
  %r = call { i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx}"(i32 %leaf, i32 0)
  ret { i32, i32, i32, i32 } %r
}

define internal i32 @rank() #0 {
  %zero = call { i32, i32, i32, i32 } @cpuid(i32 0)
  %last = extractvalue { i32, i32, i32, i32 } %zero, 0
  %long = icmp uge i32 %last, 7
  br i1 %long, label %look, label %least
least:
  ret i32 0
look:
  %one = call { i32, i32, i32, i32 } @cpuid(i32 1)
  %a = extractvalue { i32, i32, i32, i32 } %one, 2
  %seven = call { i32, i32, i32, i32 } @cpuid(i32 7)
  %b = extractvalue { i32, i32, i32, i32 } %seven, 1
  %extended = call { i32, i32, i32, i32 } @cpuid(i32 -2147483647)
  %c = extractvalue { i32, i32, i32, i32 } %extended, 2
  %saved = and i32 %a, 134217728
  %saves = icmp ne i32 %saved, 0
  br i1 %saves, label %registers, label %compare
registers:
  %enabled = call i32 asm sideeffect "xgetbv", "={ax},{cx},~{dx}"(i32 0)
  br label %compare
compare:
  %d = phi i32 [ 0, %look ], [ %enabled, %registers ]
"""


def level_text(levels: Sequence[Processor]) -> str:
    """``level``: the number of the best level that can run here, or -1 if none can."""
    ranks = [_rank(level) for level in levels]
    if max(ranks) == 0:
        return _NONE
    lines = [_FIND.rstrip("\n")]
    total, rank = "true", "0"
    for number, needs in enumerate((_V2, _V3, _V4), 1):
        for register, bits in zip("abcd", needs, strict=True):
            if bits:
                test = _all(lines, f"{number}{register}", register, bits)
                lines.append(f"  %and{number}{register} = and i1 {total}, {test}")
                total = f"%and{number}{register}"
        lines.append(f"  %rank{number} = select i1 {total}, i32 {number}, i32 {rank}")
        rank = f"%rank{number}"
    lines += [f"  ret i32 {rank}", "}", ""]
    lines += ["define internal i32 @level() #0 {", "  %rank = call i32 @rank()"]
    best = "-1"
    for number, needed in enumerate(ranks):
        lines.append(f"  %can{number} = icmp sge i32 %rank, {needed}")
        lines.append(f"  %best{number} = select i1 %can{number}, i32 {number}, i32 {best}")
        best = f"%best{number}"
    return "\n".join([*lines, f"  ret i32 {best}", "}", ""])


def _rank(processor: Processor) -> int:
    """Which of the psABI's levels a processor's code needs: 0 for the first, 3 for the fourth."""
    if not processor.has_levels:
        return 0
    features = processor.features.split(",")
    marks = ("+avx512f", "+avx2", "+sse4.2")
    return next((3 - number for number, mark in enumerate(marks) if mark in features), 0)


def _all(lines: list[str], name: str, register: str, bits: Sequence[int]) -> str:
    """Whether all bits of a register are set."""
    mask = sum(1 << bit for bit in bits)
    signed = mask - (1 << 32) if mask >= 1 << 31 else mask
    lines.append(f"  %masked{name} = and i32 %{register}, {signed}")
    lines.append(f"  %has{name} = icmp eq i32 %masked{name}, {signed}")
    return f"%has{name}"
