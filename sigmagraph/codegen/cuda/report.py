"""A table of what the kernels of a program take and how full they make a multiprocessor, for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigmagraph.codegen.cuda.cubin import Resources
from sigmagraph.codegen.cuda.occupancy import architectures, occupancy
from sigmagraph.codegen.cuda.sass import Sass, Widths

_HEADINGS = (
    "kernel",
    "for",
    "threads",
    "registers",
    "shared",
    "stack",
    "spills",
    "blocks/SM",
    "warps/SM",
    "occupancy",
    "limited by",
)
_SASS_HEADINGS = (
    "kernel",
    "instructions",
    "tensor",
    "fma",
    "loads",
    "stores",
    "shared loads",
    "copies",
    "barriers",
    "shuffles",
)


def resources_text(
    builds: Mapping[str, Sequence[Resources]],
    launches: Mapping[str, tuple[int, int]],
    sass: Sequence[Sass] = (),
) -> str:
    """A table with a row for every kernel and architecture.

    Args:
        builds: by architecture, what the kernels take there: the compiler gives them other registers on each.
        launches: by kernel, the threads of a block and the bytes of shared memory that a launch asks for. Others are
            not in the table.
        sass: how many instructions there are, for a second table.
    """
    rows: list[Sequence[str]] = [_HEADINGS]
    for arch, kernels in builds.items():
        rows += [_row(arch, kernel, *launches[kernel.symbol]) for kernel in kernels if kernel.symbol in launches]
    text = _table([rows[0], *sorted(rows[1:], key=lambda row: row[0])])
    counts = [_counts(kernel) for kernel in sass if kernel.symbol in launches]
    if not counts:
        return text
    note = (
        "Instructions in the code. Of loads (copies among them) and stores of global memory: how many x bytes a\n"
        "thread; of shared loads those of 16 bytes behind the slash."
    )
    return f"{text}\n{note}\n{_table([_SASS_HEADINGS, *counts])}"


def _row(arch: str, kernel: Resources, threads: int, dynamic: int) -> Sequence[str]:
    shared = kernel.shared + dynamic
    spills = f"{kernel.spill_stores}+{kernel.spill_loads}" if kernel.spill_stores or kernel.spill_loads else "0"
    taken = (kernel.symbol, arch, threads, kernel.registers, shared, kernel.stack, spills)
    if arch.rstrip("af") not in architectures():
        return (*map(str, taken), "?", "?", "?", "?")
    full = occupancy(arch, threads, kernel.registers, shared, kernel.barriers)
    reasons = ", ".join(full.limits)
    return (*map(str, taken), str(full.blocks), str(full.warps), f"{full.share:.0%}", reasons)


def _counts(kernel: Sass) -> Sequence[str]:
    return (
        kernel.symbol,
        str(kernel.total),
        str(kernel.tensor),
        str(kernel.fma),
        _widths(kernel.load_widths),
        _widths(kernel.store_widths),
        f"{kernel.shared_loads}/{kernel.wide_shared_loads}",
        str(kernel.copies),
        str(kernel.barriers),
        str(kernel.shuffles),
    )


def _widths(found: Widths) -> str:
    return "+".join(f"{count}x{size}" for size, count in found) or "0"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what is in them: numbers to the right, under headings that are there too."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numbers = [all(cell[:1].isdigit() or cell == "?" for cell in column[1:]) for column in columns]
    shape = [">" if number else "<" for number in numbers]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, shape, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"
