"""What a target offers to the compiler: a schedule, and code for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.plan import Plan


@dataclass(frozen=True, slots=True)
class Code:
    """A program's code as an archive of object files, and texts to look at: file name to content."""

    object: bytes
    listings: Mapping[str, str]


class Modules(Protocol):
    """What the code of one program is written to; it does not depend on when kernels are handed in."""

    def begin(self, kernel: Kernel) -> None:
        """Begin the code of a legal kernel, which goes on while others are made."""
        ...

    def enter(self, plan: Plan, kernels: Sequence[Kernel], constants: Sequence[bytes]) -> Plan:
        """Add an entry point, called like its plan, from all of its legal kernels and the contents of its constants.

        What comes back is the plan that the code is for, whose launches may be other ones.
        """
        ...


class Generation(Modules, Protocol):
    """The code of one program in the making; a context, at the end of which work that nobody waits for is given up."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def finish(self) -> Code:
        """The code, of all kernels and entry points."""
        ...


@dataclass(frozen=True, slots=True)
class Again:
    """What a target makes again for each reader rather than write it down: as long as that takes less time.

    Attributes:
        sums: how many additions and multiplications of products it does in the time of a byte of memory, for factors of
            each type.
        operations: how many others.
        cached: how many bytes of what all read its cache gives in the time of a byte of memory.
        tasks: the fewest blocks of rows that give all threads something to do.
    """

    sums: Mapping[DType, int]
    operations: int
    cached: int
    tasks: int


class Backend(Protocol):
    """A target, on the machine or for the device that it was made for."""

    @property
    def key(self) -> str:
        """Everything about the target that the code depends on."""
        ...

    @property
    def concurrent(self) -> bool:
        """Whether launches next to each other may run at the same time."""
        ...

    @property
    def again(self) -> Again | None:
        """What is made again for each of its readers; None if all is made once and written down."""
        ...

    def schedule(self, work: Work) -> Kernel:
        """How a work is carried out on the target."""
        ...

    def legalize(self, kernel: Kernel) -> Kernel:
        """A scheduled kernel in the form that there is code for."""
        ...

    def generation(self, listing: bool) -> Generation:
        """Begin the code of a program. With ``listing`` it comes with all texts on the way to it."""
        ...
