"""Copies of a plan as kernels, so that a launch can do one beside other work."""

from __future__ import annotations

from sigmagraph.codegen.cuda.index import are_multiples
from sigmagraph.codegen.cuda.threads import THREADS
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, names
from sigmagraph.dtypes import I32
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Kernel, KernelStage, LoopKind, Role, Store
from sigmagraph.ir.plan import Copy

_WORD = I32.itemsize
_LANES = 4


def copy_kernel(copy: Copy) -> Kernel | None:
    """A kernel that moves words from its first parameter to its second; None where there are no whole words.

    Its name says how many words a thread moves; kernels of one name have the same alignment.
    """
    sizes = (copy.bytes, copy.source.offset, copy.target.offset)
    lanes = next((n for n in (_LANES, 1) if all(are_multiples(size, n * _WORD) for size in sizes)), 0)
    count = divide_exact(copy.bytes, lanes * _WORD) if lanes else None
    if count is None or any(name.startswith("%") for name in names(copy.bytes)):
        return None
    source = Buffer("%from", I32, (lanes * count,), Role.IN)
    target = Buffer("%to", I32, (lanes * count,), Role.OUT)
    at = THREADS * Dim("%block") + Dim("%thread")
    index: Size = lanes * at + Dim("%lane") if lanes > 1 else at
    body: Block = (Store(target.name, (index,), Load(source.name, (index,), I32)),)
    if lanes > 1:
        body = (For("%lane", lanes, LoopKind.VECTORIZED, body),)
    thread = For("%thread", THREADS, LoopKind.THREAD_X, (If((count - 1 - at,), body),))
    block = For("%block", ceildiv(count, THREADS), LoopKind.BLOCK_X, (thread,))
    return Kernel(f"copy{lanes}", names(copy.bytes), (source, target), (block,), KernelStage.LEGAL)
