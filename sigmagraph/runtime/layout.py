"""Where things lie that share a piece of a device's memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

NDArray: TypeAlias = "np.ndarray[Any, Any]"
APART = 256  # what is allocated together stands at multiples of it
_SMALL = 1 << 14  # bytes up to which arrays that lie side by side are copied once more to be copied as one


def apart(sizes: Iterable[int], start: int) -> tuple[list[int], int]:
    """Where things of these sizes begin that lie behind each other, and the end; all are multiples of APART."""
    offsets = [-(-start // APART) * APART]
    for size in sizes:
        offsets.append(offsets[-1] + -(-size // APART) * APART)
    return offsets[:-1], offsets[-1]


def joined(pieces: Sequence[tuple[int, NDArray]]) -> list[tuple[int, NDArray]]:
    """Small arrays and where they go, those that are neighbours there as one, with any bytes in the gaps.

    A call of a device's driver takes longer than to copy a number or two.

    Args:
        pieces: addresses that grow, at multiples of APART, and contiguous arrays.
    """
    out: list[tuple[int, NDArray]] = []
    group: list[tuple[int, NDArray]] = []
    for address, array in pieces:
        near = group and apart([group[-1][1].nbytes], group[-1][0])[1] == address
        if not near or address + array.nbytes - group[0][0] > _SMALL:
            out += _one(group)
            group = []
        group.append((address, array))
    return out + _one(group)


def _one(group: Sequence[tuple[int, NDArray]]) -> list[tuple[int, NDArray]]:
    if len(group) < 2:
        return list(group)
    first, (last, end) = group[0][0], group[-1]
    whole = np.zeros(last + end.nbytes - first, np.uint8)
    for address, array in group:
        whole[address - first : address - first + array.nbytes] = array.reshape(-1).view(np.uint8)
    return [(first, whole)]
