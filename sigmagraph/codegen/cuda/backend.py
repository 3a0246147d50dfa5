"""GPUs as a target: schedules for blocks of threads, code through CUDA C."""

from __future__ import annotations

from functools import partial

from sigmagraph.codegen.backend import Again
from sigmagraph.codegen.cuda.chains import made_again
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.compile import compile_text, compiler_name
from sigmagraph.codegen.cuda.legalize import legalize
from sigmagraph.codegen.cuda.program import Generation
from sigmagraph.codegen.cuda.schedule import schedule
from sigmagraph.errors import TargetError
from sigmagraph.ir.kernel.compute import Work
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.options import HIGHEST, Target


class CudaBackend:
    """An architecture of GPUs (see :class:`sigmagraph.codegen.backend.Backend` for what the methods do).

    Raises:
        TargetError: the target names no architecture.
    """

    concurrent = True

    def __init__(self, target: Target, precision: str = "") -> None:
        if not target.cpu:
            raise TargetError("the architecture of the GPU is not known", expected="cuda:sm_80 or the like", got=target)
        self.arch = target.cpu
        self.chip = Chip.of(target.cpu, narrow=precision != HIGHEST)

    @property
    def key(self) -> str:
        """Architecture, and the compiler with its version."""
        return f"{self.arch} {compiler_name()}"

    @property
    def again(self) -> Again:
        """Sums of products are made again where tensor cores do them, and short ones elsewhere."""
        return made_again(self.chip)

    def schedule(self, work: Work) -> Kernel:
        """Cut a work into blocks of threads."""
        return schedule(work, self.chip)

    def legalize(self, kernel: Kernel) -> Kernel:
        """Write a kernel in what GPUs have."""
        return legalize(kernel)

    def generation(self, listing: bool) -> Generation:
        """One text of all kernels."""
        return Generation(self.arch, partial(compile_text, arch=self.arch, listing=listing), listing)
