"""Brings a scheduled kernel into the form that is printed: bound to blocks and threads, in primitive scalar ops."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.cuda.threads import bind
from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.collective import is_collective
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage, is_grid, statements

GPU = Instructions(f16_casts=True, bf16_casts=True)


def legalize(kernel: Kernel) -> Kernel:
    """A legal kernel of the same meaning. Unrolled loops stay: the compiler of the text unrolls them.

    Raises:
        CompileError: a function of a warp is launched by itself.
    """
    if is_collective(kernel.body, kernel) and not any(is_grid(s) for s in statements(kernel.body)):
        raise CompileError("a function that all lanes of a warp call has no launch", node=f"@{kernel.name}")
    simple = hoist(simplify(kernel))
    return _legal(replace(simple, body=bind(simple.body)))


def _callee(kernel: Kernel) -> Kernel:
    return _legal(hoist(simplify(kernel)))


def _legal(kernel: Kernel) -> Kernel:
    """In primitive scalar ops."""
    return replace(expand(kernel, GPU), stage=KernelStage.LEGAL, callees=tuple(map(_callee, kernel.callees)))
