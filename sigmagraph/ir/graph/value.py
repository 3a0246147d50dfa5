"""A use of a node's result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """Result ``index`` of the node with id ``node``, within one graph."""

    node: int
    index: int = 0

    def __str__(self) -> str:
        return f"%{self.node}" + (f"#{self.index}" if self.index else "")
