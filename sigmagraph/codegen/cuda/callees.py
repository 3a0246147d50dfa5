"""The kernels that others call on GPUs: each says what a function of the prelude means."""

from __future__ import annotations

from types import MappingProxyType

from sigmagraph.codegen.cuda import fetch, tensor_cores
from sigmagraph.codegen.cuda.warpgroup import PUBLISH, of_group
from sigmagraph.ir.kernel.kernel import Block, Call, Kernel, statements

# All but those of warpgroups, which are many: their names say which one it is.
_PRELUDE = MappingProxyType({kernel.name: kernel for kernel in (*tensor_cores.KERNELS, *fetch.KERNELS, PUBLISH)})
BY_ELEMENT = frozenset(f.name for f in fetch.KERNELS if f.params)  # there is a function for unaligned memory as well


def prelude_function(name: str) -> str:
    """The function of the prelude that a kernel is; empty where it is none."""
    found = of_group(name)
    if found is not None:
        return found.function
    return f"sg_{name}" if name in _PRELUDE else ""


def called(block: Block) -> tuple[Kernel, ...]:
    """The kernels that a block calls, all of which are functions of the prelude."""
    return tuple(_kernel(name) for name in dict.fromkeys(s.kernel for s in statements(block) if isinstance(s, Call)))


def _kernel(name: str) -> Kernel:
    found = of_group(name)
    return _PRELUDE[name] if found is None else found.kernel()
