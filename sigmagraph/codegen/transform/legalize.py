"""Brings a scheduled kernel into the form that emitters take: nothing unrolled, primitive scalar ops, plain indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.codegen.transform.unroll import unroll
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage


def legalize(kernels: Sequence[Kernel], f16_casts: bool = False) -> tuple[Kernel, ...]:
    """Legal kernels of the same meaning; a callee that several of them share is made legal once.

    With ``f16_casts`` conversions between f16 and f32 count as primitive.
    """
    known: dict[Kernel, Kernel] = {}

    def legal(kernel: Kernel) -> Kernel:
        if kernel not in known:
            callees = tuple(legal(c) for c in kernel.callees)
            body = expand(hoist(unroll(simplify(kernel))), f16_casts)
            known[kernel] = replace(body, stage=KernelStage.LEGAL, callees=callees)
        return known[kernel]

    return tuple(legal(k) for k in kernels)
