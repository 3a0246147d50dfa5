"""Windows: cuts an axis into windows that touch without a gap, and joins them again, as what that is: a reshape.

Pooling with the stride of its window, and convolutions of one pixel or of patches, then are reductions and contractions
over plain axes, and their gradients need no sum over windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sigmagraph.dims import Size
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.node import Stage
from sigmagraph.ir.graph.value import Value
from sigmagraph.passes.base import PassContext
from sigmagraph.passes.canonicalize import nothing_moves, reshape_of_reshape, slice_of_slice
from sigmagraph.passes.rewrite import Match, P, RuleSet, rewrite, rule


@rule(P.op("unfold", P.any("x")))
def windows_side_by_side(m: Match) -> Value | None:
    """The axis in another shape, but for what lies behind the last window."""
    shape = m.type(m["x"]).shape
    axis = m.attrs["axis"] % len(shape)
    covered = _side_by_side(m, m.result.shape[axis : axis + 2])
    if covered is None:
        return None
    stop = (*shape[:axis], covered, *shape[axis + 1 :])
    whole = m.emit("slice", m["x"], start=(0,) * len(shape), stop=stop, step=(1,) * len(shape))
    return m.emit("reshape", whole, shape=m.result.shape)


@rule(P.op("fold", P.any("x")))
def sums_side_by_side(m: Match) -> Value | None:
    """Windows that do not overlap have nothing to add up but a zero, which the sum of floats shows by its sign."""
    shape, result = m.type(m["x"]).shape, m.result.shape
    axis = m.attrs["axis"] % len(result)
    covered = _side_by_side(m, shape[axis : axis + 2])
    if covered is None:
        return None
    out = m.emit("reshape", m["x"], shape=(*result[:axis], covered, *result[axis + 1 :]))
    if m.result.dtype.is_float:
        out = m.emit("add", out, m.full(0.0, m.type(out)))
    high = tuple(result[axis] - covered if a == axis else 0 for a in range(len(result)))
    none = (0,) * len(result)
    return m.emit("pad", out, low=none, high=high, interior=none, value=0.0)


def _side_by_side(m: Match, windows: Sequence[Size]) -> Size | None:
    """How many elements windows cover of which each begins where the one before ends; None for others."""
    count, size = windows
    touch = m.attrs["stride"] == size and (m.attrs["dilation"] == 1 or size == 1)
    return count * size if touch else None


RULES = RuleSet((windows_side_by_side, sums_side_by_side, nothing_moves, reshape_of_reshape, slice_of_slice))


@dataclass(frozen=True, slots=True)
class Windows:
    """Writes windows that touch as reshapes; ``limit`` bounds how often one node is rewritten.

    It comes behind :class:`~sigmagraph.passes.sink.Sink`, which carries transposes past windows, not past reshapes.
    """

    name: ClassVar[str] = "windows"
    requires: ClassVar[Stage] = Stage.PRIMITIVE
    ensures: ClassVar[Stage | None] = None

    limit: int = 100

    def run(self, graph: Graph, context: PassContext) -> Graph:
        """The graph without such windows.

        Raises:
            PassError: the rules do not come to an end.
        """
        return rewrite(graph, RULES, context, self.limit)
