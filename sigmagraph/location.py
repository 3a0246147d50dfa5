"""Where a node comes from: the user's file and line, the layer path, and whether it is part of a gradient."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's program.

    Attributes:
        file: base name of the Python file (or of the ``.sg`` file); empty when unknown.
        line: line number from 1; 0 when unknown.
        scope: layer path such as ``mlp/1-dense``; empty outside layers.
        gradient: whether the node was appended by the differentiator for this place.
    """

    file: str = ""
    line: int = 0
    scope: str = ""
    gradient: bool = False

    def __str__(self) -> str:
        parts = [f'"{self.file}":{self.line}'] if self.file else []
        if self.scope:
            parts.append(f'"{self.scope}"')
        if self.gradient:
            parts.append("grad")
        return " ".join(parts)

    def __bool__(self) -> bool:
        return bool(self.file or self.scope or self.gradient)

    def as_gradient(self) -> Location:
        """The same place, marked as part of a gradient."""
        return replace(self, gradient=True)


UNKNOWN = Location()


def capture(scope: str = "") -> Location:
    """The innermost line of the call stack that is not sigmagraph's own."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            break
        frame = frame.f_back
    return Location(os.path.basename(frame.f_code.co_filename), frame.f_lineno, scope)
