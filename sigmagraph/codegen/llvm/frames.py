"""How functions whose frame is larger than a page reach it on Windows, where a stack grows page by page.

The page below the last one in use guards the stack: touching it makes the next one the guard, touching one further down
is an error. LLVM has such functions call one that touches page after page; the usual one is in the compiler's library,
which programs do without.
"""

from __future__ import annotations

PROBE = "stack.probe"

# In: rax is the size of the frame. All registers stay as they are; rsp + 24 is what rsp is at the call.
_TEXT = f"""
define void @{PROBE}() naked noinline nounwind {{
  call void asm sideeffect "pushq %rcx
    pushq %rax
    leaq 24(%rsp), %rcx
  1:
    cmpq $$4096, %rax
    jbe 2f
    subq $$4096, %rcx
    orl $$0, (%rcx)
    subq $$4096, %rax
    jmp 1b
  2:
    subq %rax, %rcx
    orl $$0, (%rcx)
    popq %rax
    popq %rcx
    retq", ""()
  unreachable
}}
"""


def probes(triple: str) -> bool:
    """Whether functions with large frames call the function of :func:`probe_text` on a system."""
    return triple.startswith("x86_64-") and "-windows" in triple


def probe_attribute() -> str:
    """What is said about every function that may need it."""
    return f'"probe-stack"="{PROBE}"'


def probe_text() -> str:
    """The function, visible: an internal one is not linked in, as nothing refers to it before frames are laid out."""
    return _TEXT
