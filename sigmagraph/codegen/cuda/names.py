"""What the names of a kernel are called in its CUDA C text."""

from __future__ import annotations

import re

from sigmagraph.ir.kernel.scalar import SCALARS

_OTHER = re.compile(r"[^A-Za-z0-9_]")
# Words of C++ and CUDA, macros that compilers define, and functions that texts call.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum errno explicit export extern
    false float for friend goto if inline int linux long mutable namespace new noexcept not not_eq nullptr operator or
    or_eq private protected public register reinterpret_cast return short signed sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename union unix unsigned
    using virtual void volatile wchar_t while xor xor_eq NULL INFINITY NAN
    threadIdx blockIdx blockDim gridDim warpSize flow level block_number main
    fmaf fma sqrtf sqrt floorf floor ceilf ceil rintf rint
"""
_TAKEN = frozenset(_WORDS.split())


def function_name(kernel: str) -> str:
    """The name of a kernel's function: its own, as far as C has such names."""
    name = _OTHER.sub("_", kernel)
    return f"k_{name}" if _is_taken(name) or name in SCALARS or name[0].isdigit() else name


def _is_taken(name: str) -> bool:
    return name in _TAKEN or name.startswith(("sg_", "SG_", "__"))


class Names:
    """The names of one function; names of the kernel differ in it as they do there."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._used: dict[str, None] = {}

    def of(self, name: str) -> str:
        """What something of the kernel is called."""
        if name not in self._names:
            self._names[name] = self.fresh(name.removeprefix("%"))
        return self._names[name]

    def fresh(self, stem: str) -> str:
        """A name that nothing has: the stem itself as far as C allows it, perhaps with a number."""
        stem = _OTHER.sub("_", stem)
        stem = name = f"v_{stem}" if _is_taken(stem) else stem
        number = 0
        while name in self._used:
            number += 1
            name = f"{stem}_{number}"
        self._used[name] = None
        return name
