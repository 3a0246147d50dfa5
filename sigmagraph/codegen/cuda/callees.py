"""The kernels that others call on GPUs: each says what a function of the prelude means."""

from __future__ import annotations

from types import MappingProxyType

from sigmagraph.codegen.cuda import fetch, tensor_cores
from sigmagraph.ir.kernel.kernel import Block, Call, Kernel, statements

PRELUDE = MappingProxyType({kernel.name: kernel for kernel in (*tensor_cores.KERNELS, *fetch.KERNELS)})
BY_ELEMENT = frozenset(f.name for f in fetch.KERNELS if f.params)  # there is a function for unaligned memory as well


def called(block: Block) -> tuple[Kernel, ...]:
    """The kernels that a block calls, all of which are functions of the prelude."""
    return tuple(PRELUDE[name] for name in dict.fromkeys(s.kernel for s in statements(block) if isinstance(s, Call)))
