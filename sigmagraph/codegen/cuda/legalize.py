"""Brings a scheduled kernel into the form that is printed: bound to blocks and threads, in primitive scalar ops."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.cuda.threads import bind
from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage

GPU = Instructions(f16_casts=True, bf16_casts=True)


def legalize(kernel: Kernel) -> Kernel:
    """A legal kernel of the same meaning. Unrolled loops stay: the compiler of the text unrolls them."""
    callees = tuple(legalize(c) for c in kernel.callees)
    simple = hoist(simplify(kernel))
    bound = replace(simple, body=bind(simple.body))
    return replace(expand(bound, GPU), stage=KernelStage.LEGAL, callees=callees)
