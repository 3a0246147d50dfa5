"""All targets, as a literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sigmagraph.codegen.backend import Backend
from sigmagraph.codegen.cuda.backend import CudaBackend
from sigmagraph.codegen.llvm.backend import CpuBackend
from sigmagraph.errors import TargetError
from sigmagraph.options import Target

BACKENDS: Mapping[str, Callable[[Target, str], Backend]] = MappingProxyType(
    {"cpu": lambda target, _precision: CpuBackend(target), "cuda": CudaBackend}
)


def backend_for(target: Target, precision: str = "") -> Backend:
    """The backend of a target, and of what it may round (see :class:`~sigmagraph.options.CompileOptions`).

    Raises:
        TargetError: there is no such target.
    """
    if target.kind not in BACKENDS:
        raise TargetError("there is no such target", expected=" or ".join(BACKENDS), got=target.kind)
    return BACKENDS[target.kind](target, precision)
