"""Functions with large frames touch every page of them on Windows, by a function of the object's own."""

from __future__ import annotations

import ctypes
import mmap
import platform

import numpy as np
import pytest

from sigmagraph.artifact.formats import inspect_library
from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.codegen.llvm.frames import probe_attribute, probe_text, probes
from sigmagraph.codegen.llvm.generation import module_text
from sigmagraph.codegen.llvm.linked import Group, compile_linked
from sigmagraph.options import Target

WINDOWS = processor(Target(triple="x86_64-windows-gnu"))
PAGE = 4096
LARGE = """
define i64 @NAME(i64 %n, i64 %m) #0 {
  %frame = alloca [9000 x i64], align 16
  call void @fill.NAME(ptr %frame)
  %place = getelementptr i64, ptr %frame, i64 %n
  %there = load volatile i64, ptr %place
  %sum = add i64 %there, %m
  ret i64 %sum
}
define internal void @fill.NAME(ptr %frame) #0 {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %more, %next ]
  %place = getelementptr i64, ptr %frame, i64 %i
  store volatile i64 %i, ptr %place
  %more = add i64 %i, 1
  %some = icmp ult i64 %more, 9000
  br i1 %some, label %next, label %done
done:
  ret void
}
"""
# The stack pointer is that of another memory for the time of the call.
TOUCH = """
define i64 @touch(ptr %top, i64 %size) #0 {
  %rax = call i64 asm sideeffect "movq %rsp, %rbx
    movq $1, %rsp
    callq stack.probe
    movq %rbx, %rsp", "={rax},r,{rax},~{rbx},~{memory},~{flags}"(ptr %top, i64 %size)
  ret i64 %rax
}
"""
runs_here = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux", reason="x86-64 Linux, whose pages can be asked for"
)


def test_objects_for_windows_need_nothing() -> None:
    f, g = (module_text(LARGE.replace("NAME", name), {}, WINDOWS.attributes) for name in "fg")
    whole = compile_linked([Group([f], ["f"]), Group([g], ["g"])], ["f", "g"], WINDOWS)
    for code, exports in ((compile_module(f, WINDOWS).object, ("f",)), (whole, ("f", "g"))):
        found = inspect_library(code)
        assert (found.exports, found.undefined) == (exports, ())
        assert b"stack.probe" in code


def test_other_systems_have_no_need_of_it() -> None:
    assert probes(WINDOWS.triple)
    for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu", "wasm32", "aarch64-macos"):
        assert "probe" not in processor(Target(triple=triple)).attributes


@runs_here
def test_every_page_is_touched_and_registers_stay() -> None:
    here = processor(Target())
    text = LARGE.replace("NAME", "f") + TOUCH + probe_text()
    code = compile_module(module_text(text, {}, f"{here.attributes} {probe_attribute()}"), here, listing=True)
    assert "callq\tstack.probe" in code.assembly
    library = Loaded(pack([code.object]), ("f", "touch"), here, "frames")
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    assert [call(library.address("f"))(n, 10) for n in (0, 1, 4500, 8999)] == [10, 11, 4510, 9009]
    touch = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(library.address("touch"))
    for size in (PAGE, PAGE + 8, 3 * PAGE, 9 * PAGE + 800, 20 * PAGE - 16):
        memory = mmap.mmap(-1, 32 * PAGE)
        start = np.frombuffer(memory, np.uint8).ctypes.data
        top = start + 30 * PAGE
        assert touch(top, size) == size
        resident = (ctypes.c_ubyte * 32)()
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(32 * PAGE), resident) == 0
        lowest = (top - size - start) // PAGE
        assert [n for n in range(30) if resident[n] & 1] == list(range(lowest, 30))
