"""What a target offers to the compiler: a schedule, code for a program, and a loader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.plan import Plan


@dataclass(frozen=True, slots=True)
class Code:
    """A program's code, and texts to look at: file name to content."""

    object: bytes
    listings: Mapping[str, str]


class Library(Protocol):
    """Loaded code; it lives as long as this object does."""

    def address(self, symbol: str) -> int:
        """The address of an exported function."""
        ...


class Backend(Protocol):
    """A target, on the machine or for the device that it was made for."""

    @property
    def key(self) -> str:
        """Everything about the target that the code depends on."""
        ...

    def schedule(self, work: Work) -> Kernel:
        """How a work is carried out on the target."""
        ...

    def legalize(self, kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
        """Scheduled kernels in the form that there is code for."""
        ...

    def generate(self, plan: Plan, kernels: Mapping[str, Kernel], constants: Sequence[bytes], listing: bool) -> Code:
        """Code of a program, from its plan, its legal kernels by name, and the contents of its constants.

        The entry point is called like the plan. With ``listing`` the code comes with all texts on the way to it.
        """
        ...

    def load(self, code: bytes, symbols: tuple[str, ...]) -> Library:
        """Load code and find functions in it."""
        ...
