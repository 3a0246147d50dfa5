"""Where things lie that share a piece of a device's memory."""

from __future__ import annotations

from collections.abc import Iterable

APART = 256  # what is allocated together stands at multiples of it


def apart(sizes: Iterable[int], start: int) -> tuple[list[int], int]:
    """Where things of these sizes begin that lie behind each other, and the end; all are multiples of APART."""
    offsets = [-(-start // APART) * APART]
    for size in sizes:
        offsets.append(offsets[-1] + -(-size // APART) * APART)
    return offsets[:-1], offsets[-1]
