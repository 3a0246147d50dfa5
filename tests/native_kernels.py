"""Runs kernels as native code, for tests that compare it with the kernel interpreter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from sigmagraph.codegen.llvm.compile import Loaded, Processor, compile_module, processor
from sigmagraph.codegen.llvm.emit import Phase, emit_callee, emit_kernel
from sigmagraph.codegen.memory import scratch_bytes
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dims import evaluate
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.options import Target
from sigmagraph.runtime.state import aligned_bytes

_PHASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def module(legal: Kernel, host: Processor) -> tuple[str, tuple[Phase, ...]]:
    """LLVM IR of a legal kernel alone, and its phases."""
    declarations: dict[str, str] = {}
    code = emit_kernel(legal, declarations)
    callees = [emit_callee(c, declarations) for c in legal.callees]
    text = "\n".join([*declarations.values(), *callees, code.text, f"attributes #0 = {{ {host.attributes} }}"])
    return text, code.phases


def run_native(kernel: Kernel, buffers: Sequence[np.ndarray], dims: Mapping[str, int], f16_casts: bool = False) -> None:
    """Run a kernel in place, its phases one after the other, as the entry point does."""
    (legal,) = legalize([kernel], f16_casts)
    host = processor(Target())
    text, phases = module(legal, host)
    loaded = Loaded(compile_module(text, host).object, tuple(p.symbol for p in phases), host, f"test.{kernel.name}")
    context = np.array([b.ctypes.data for b in buffers] + [dims[d] for d in kernel.dims], np.int64)
    for phase in phases:
        scratch = aligned_bytes(evaluate(scratch_bytes(legal), dims))
        _PHASE(loaded.address(phase.symbol))(context.ctypes.data, 0, evaluate(phase.extent, dims), scratch.ctypes.data)
