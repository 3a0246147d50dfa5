"""Object files of a toy for any system: two functions that others shall see, and one that they shall not."""

from __future__ import annotations

from functools import cache

from sigmagraph.codegen.llvm.apart import Apart
from sigmagraph.codegen.llvm.compile import Processor

EXPORTS = ("toy_nth", "toy_text")
PROCESSORS = {
    "x86_64-unknown-linux-gnu": ("x86-64", ""),
    "aarch64-unknown-linux-gnu": ("generic", ""),
    "riscv64-unknown-linux-gnu": ("generic-rv64", "+m,+a,+f,+d,+c"),
    "x86_64-pc-windows-msvc": ("x86-64", ""),
    "arm64-apple-macosx11.0.0": ("apple-m1", ""),
    "wasm32-unknown-unknown": ("generic", ""),
    "thumbv7em-none-eabihf": ("cortex-m7", ""),
    "x86_64-unknown-none-elf": ("x86-64", ""),
}

_TOY = """
@numbers = internal constant [4 x float] [float 1.0, float 2.0, float 3.0, float 5.0], align 64
@text = internal constant [4 x i8] c"toy\\00"
@texts = internal constant [1 x ptr] [ptr @text]

define float @toy_nth(i32 %x, float %factor) nounwind {
  %i = and i32 %x, 3
  %p = getelementptr [4 x float], ptr @numbers, i32 0, i32 %i
  %v = load float, ptr %p
  %w = fmul float %v, %factor
  ret float %w
}

define ptr @toy_text() nounwind {
  %v = load ptr, ptr @texts
  ret ptr %v
}

define i32 @unseen(i32 %x) nounwind {
  ret i32 %x
}
"""
_NEEDS = """
declare i32 @pthread_yield()
define i32 @toy_nth() nounwind {
  %v = call i32 @pthread_yield()
  ret i32 %v
}
"""


def toy(triple: str) -> bytes:
    """The toy's object file."""
    return _object(triple, _TOY)


def needy(triple: str) -> bytes:
    """An object file that needs a function of the C library."""
    return _object(triple, _NEEDS)


@cache
def _object(triple: str, text: str) -> bytes:
    compiler = Apart(Processor(triple, *PROCESSORS[triple]))
    code = compiler.compile(text).object
    compiler.close()
    return code
