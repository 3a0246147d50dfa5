"""Brings a scheduled kernel into the form that emitters take: nothing unrolled, primitive scalar ops, plain indices."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sigmagraph.codegen.transform.expand import expand
from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.codegen.transform.instructions import USUAL, Instructions
from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.codegen.transform.unroll import unroll
from sigmagraph.ir.kernel.kernel import Kernel, KernelStage


def legalize(kernel: Kernel, has: Instructions = USUAL) -> Kernel:
    """A legal kernel of the same meaning, for a processor that has these instructions."""
    callees = tuple(_callee(c, has) for c in kernel.callees)
    body = expand(hoist(unroll(simplify(kernel))), has)
    return replace(body, stage=KernelStage.LEGAL, callees=callees)


@lru_cache(maxsize=64)
def _callee(kernel: Kernel, has: Instructions) -> Kernel:
    """The same for a kernel that others call, mostly several of them."""
    return legalize(kernel, has)
