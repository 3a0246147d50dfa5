"""A tree of seeds: one root seed yields independent streams of random numbers by name."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

import numpy as np

from sigmagraph.errors import AttributeValueError

_LIMIT = 2**63


class Seeds:
    """A place in a tree of seeds. What it yields depends on the root seed and on the names of the path to it alone.

    A child of a child is the child of both names, so that ``seeds.child("worker", 3)`` and
    ``seeds.child("worker").child(3)`` are the same place. Each call gives the same numbers again: for other numbers,
    take another child.

    Args:
        seed: the root seed, from 0 to 2**63 - 1; None draws one from the system.

    Attributes:
        seed: the root seed, whether given or drawn.
        path: the names of the path from the root.

    Raises:
        AttributeValueError: the seed is none.
    """

    __slots__ = ("path", "seed")

    def __init__(self, seed: int | None = None) -> None:
        self.seed: int = secrets.randbits(63) if seed is None else _checked_seed(seed)
        self.path: tuple[str | int, ...] = ()

    def child(self, *names: str | int) -> Seeds:
        """The place that names lead to from here.

        Args:
            names: texts or whole numbers, at least one; ``3`` and ``"3"`` are different names.

        Raises:
            AttributeValueError: there is no name, or one is neither text nor a whole number.
        """
        if not names:
            raise AttributeValueError(
                "a child of seeds has a name", expected="such as seeds.child('shuffle')", got="none"
            )
        for name in names:
            if isinstance(name, bool) or not isinstance(name, (str, int, np.integer)):
                raise AttributeValueError("this names no seeds", expected="text or a whole number", got=repr(name))
        child = Seeds(self.seed)
        child.path = (*self.path, *(name if isinstance(name, str) else int(name) for name in names))
        return child

    def integer(self) -> int:
        """The seed of this place, from 0 to 2**63 - 1, for what takes an integer."""
        return int.from_bytes(self._digest("integer")[:8], "little") % _LIMIT

    def generator(self) -> np.random.Generator:
        """A new generator at the start of this place's stream (Philox 4x64-10)."""
        key = np.frombuffer(self._digest("generator")[:16], "<u8")
        return np.random.Generator(np.random.Philox(key=key))

    def _digest(self, purpose: str) -> bytes:
        """SHA-256 of the path in JSON, which no two paths have in common."""
        return hashlib.sha256(json.dumps([purpose, self.seed, *self.path]).encode()).digest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seeds):
            return NotImplemented
        return (self.seed, self._names()) == (other.seed, other._names())

    def __hash__(self) -> int:
        return hash((self.seed, self.path))

    def _names(self) -> str:
        return json.dumps(self.path)

    def __repr__(self) -> str:
        return f"Seeds({self.seed})" + (f".child{self.path!r}" if self.path else "")


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < _LIMIT:
        raise AttributeValueError("this is no seed", expected="an int from 0 to 2**63 - 1", got=repr(seed))
    return int(seed)
