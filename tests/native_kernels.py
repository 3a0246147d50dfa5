"""Runs kernels as native code, for tests that compare it with the kernel interpreter."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, Processor, compile_module, processor
from sigmagraph.codegen.llvm.emit import Phase, emit_callee, emit_kernel
from sigmagraph.codegen.llvm.generation import module_text
from sigmagraph.codegen.memory import scratch_bytes
from sigmagraph.codegen.transform.instructions import USUAL, Instructions
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
    return module_text(code.text, declarations, host.attributes), code.phases


def callee_module(legal: Kernel, host: Processor) -> str:
    """LLVM IR of a legal kernel that others call."""
    declarations: dict[str, str] = {}
    return module_text(emit_callee(legal, declarations), declarations, host.attributes)


def run_native(
    kernel: Kernel, buffers: Sequence[np.ndarray], dims: Mapping[str, int], has: Instructions = USUAL
) -> None:
    """Run a kernel in place, its phases one after the other, as the entry point does."""
    legal = legalize(kernel, has)
    host = processor(Target())
    text, phases = module(legal, host)
    texts = [text, *(callee_module(c, host) for c in legal.callees)]
    code = pack(compile_module(t, host).object for t in texts)
    loaded = Loaded(code, tuple(p.symbol for p in phases), host, f"test.{kernel.name}")
    context = np.array([b.ctypes.data for b in buffers] + [dims[d] for d in kernel.dims], np.int64)
    for phase in phases:
        scratch = aligned_bytes(evaluate(scratch_bytes(legal), dims))
        _PHASE(loaded.address(phase.symbol))(context.ctypes.data, 0, evaluate(phase.extent, dims), scratch.ctypes.data)
