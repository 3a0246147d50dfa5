"""Memory for large results, used again once nobody holds the arrays any more.

Fresh memory has to be mapped and cleared page by page while a program writes to it, which can take longer than the
program. A result is a view of a block; whoever keeps the result, or any view of it, keeps the block in use.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sigmagraph.runtime.profile import counters
from sigmagraph.runtime.state import ALIGNMENT, address_of

NDArray = np.ndarray[Any, Any]
LARGE = 1 << 16  # bytes from which on a result lies in a block
_EACH = 2  # blocks that are remembered for a result: one that the caller still has while the next is computed


class Blocks:
    """The blocks of one program; calls must not overlap.

    Args:
        results: how many results a call has at most that lie in blocks.
    """

    def __init__(self, results: int) -> None:
        self._most = _EACH * results
        self._blocks: list[NDArray] = []

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> NDArray:
        """An array of ``size`` bytes with any contents, at a multiple of ALIGNMENT, which nobody else holds."""
        block = self._unused(size)
        if block is None:
            counters().result_allocations += 1
            block = np.empty(size + ALIGNMENT, np.uint8)
            if len(self._blocks) == self._most:
                del self._blocks[0]
            self._blocks.append(block)
        start = -address_of(block) % ALIGNMENT
        return block[start : start + size].view(dtype).reshape(shape)

    def _unused(self, size: int) -> NDArray | None:
        for block in self._blocks:
            if sys.getrefcount(block) == _UNUSED and 0 <= block.size - size - ALIGNMENT <= size:
                return block
        return None


def _references(blocks: list[NDArray]) -> int:
    """How often a block is referred to, seen from where :class:`Blocks` looks."""
    for block in blocks:
        return sys.getrefcount(block)
    return 0


_PROBE = [np.empty(1, np.uint8)]
_UNUSED = _references(_PROBE)
_VIEW = _PROBE[0].view(np.int8)[:1].reshape(1, 1)
if _references(_PROBE) <= _UNUSED:  # views do not count: every block is taken to be in use
    _UNUSED = -1
del _PROBE, _VIEW
