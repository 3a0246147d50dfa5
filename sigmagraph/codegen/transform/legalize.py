"""Brings a scheduled kernel into the form that emitters take: nothing unrolled, primitive scalar ops, plain indices."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.codegen.transform.unroll import unroll
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage


def legalize(kernel: Kernel, f16_casts: bool = False, fma: bool = True) -> Kernel:
    """A legal kernel of the same meaning.

    With ``f16_casts`` conversions between f16 and f32 count as primitive; without ``fma`` multiply-add in f32 does not.
    """
    callees = tuple(_callee(c, f16_casts, fma) for c in kernel.callees)
    body = expand(hoist(unroll(simplify(kernel))), f16_casts, fma)
    return replace(body, stage=KernelStage.LEGAL, callees=callees)


@lru_cache(maxsize=64)
def _callee(kernel: Kernel, f16_casts: bool, fma: bool) -> Kernel:
    """The same for a kernel that others call, mostly several of them."""
    return legalize(kernel, f16_casts, fma)
