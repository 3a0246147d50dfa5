"""All targets, as a literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.errors import TargetError
from sigmagraph.options import Target

BACKENDS: Mapping[str, Callable[[Target], Backend]] = MappingProxyType({"cpu": CpuBackend, "cuda": CudaBackend})


def backend_for(target: Target) -> Backend:
    """The backend of a target.

    Raises:
        TargetError: there is no such target.
    """
    if target.kind not in BACKENDS:
        raise TargetError("there is no such target", expected=" or ".join(BACKENDS), got=target.kind)
    return BACKENDS[target.kind](target)
