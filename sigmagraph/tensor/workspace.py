"""Graphs that grow while tensors are combined: each starts small, and two become one when their tensors meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.location import Location, capture
from sigmagraph.ops.registry import OPS
from sigmagraph.runtime.state import Variable

_SCOPE: ContextVar[str] = ContextVar("scope", default="")


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Let the nodes made inside carry ``name`` in their layer path, within that of the scopes around."""
    outer = _SCOPE.get()
    token = _SCOPE.set(f"{outer}/{name}" if outer else name)
    try:
        yield
    finally:
        _SCOPE.reset(token)


class Workspace:
    """A graph under construction and the variables of its parameters.

    There is no global graph: placeholders, parameters and constants start workspaces of their own, and an operation
    joins those of its operands. The smaller graph is absorbed by the larger one (a union-find weighted by size), so
    that ids of nodes grow by an offset that :meth:`root` tells.
    """

    __slots__ = ("_parent", "_shift", "graph", "variables")

    def __init__(self) -> None:
        self.graph = Graph("workspace")
        self.variables: dict[str, Variable] = {}
        self._parent: Workspace | None = None
        self._shift = 0

    def root(self) -> tuple[Workspace, int]:
        """The workspace that holds this one's nodes now, and by how much their ids have grown."""
        if self._parent is None:
            return self, 0
        root, shift = self._parent.root()
        self._parent, self._shift = root, self._shift + shift
        return self._parent, self._shift

    def join(self, other: Workspace) -> Workspace:
        """Make one workspace of two, and return it.

        Raises:
            GraphError: different inputs or parameters of one name meet.
        """
        large, small = self.root()[0], other.root()[0]
        if large is small:
            return large
        if len(large.graph) < len(small.graph):
            large, small = small, large
        small._shift = large.graph.absorb(small.graph)
        small._parent = large
        large.variables.update(small.variables)
        del small.graph, small.variables  # only a root has them
        return large

    def builder(self) -> Builder:
        """Appends nodes at the user's line, within the current scope."""
        return Builder(self.root()[0].graph, OPS, here())


def here() -> Location:
    """The user's line and the current layer path."""
    return capture(_SCOPE.get())
