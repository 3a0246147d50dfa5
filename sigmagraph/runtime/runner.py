"""What a program is to those who call it, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from sigmagraph.ir.plan import Plan
from sigmagraph.runtime.preparation import Preparation
from sigmagraph.runtime.state import Variable

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class Runner(Protocol):
    """A program that can be called.

    Attributes:
        plan: what it is.
        variables: its parameters, in the plan's order.
        preparation: what is done ahead of calls.
        threads: how many threads of this process take part.
    """

    plan: Plan
    variables: tuple[Variable, ...]
    preparation: Preparation | None

    @property
    def threads(self) -> int: ...

    def run(self, arrays: list[Any]) -> dict[str, NDArray]:
        """Run the program on arrays in the order of its inputs; fresh arrays come out.

        Raises:
            InputError: an array has another dtype or shape than the input takes.
            DimError: two arrays disagree about a dim, or a dim breaks a requirement.
            IndexRangeError: an index in an array is out of range; parameters are as they were.
        """
        ...

    def arena_bytes(self, dims: Mapping[str, int]) -> int:
        """Bytes of the arena for given dims."""
        ...
