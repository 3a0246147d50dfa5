"""The function that copies bytes in a program, so that it needs none of a C library.

It takes any two places, also such that overlap, as ``memmove`` does: a host may hand in the same memory twice. Forwards
it goes 128 bytes at a time, in the widest vectors that there are. x86-64 copies what is large by its string
instruction, which alone does not read the memory that it is going to overwrite.
"""

from __future__ import annotations

from sigmagraph.codegen.llvm.compile import Processor

COPY = "copy.bytes"


def copy_text(processor: Processor) -> str:
    """The function ``copy.bytes(to, from, size)``."""
    return _TEXT.replace("{large}", _STRING if processor.triple.startswith("x86_64") else _NO_STRING)


_TEXT = """\
define internal void @copy.bytes(ptr %to, ptr %from, i64 %size) #0 "no-builtins" {
entry:
  %t = ptrtoint ptr %to to i64
  %f = ptrtoint ptr %from to i64
  %apart = sub i64 %t, %f
  %free = icmp uge i64 %apart, %size
  %some = icmp uge i64 %size, 16
  %vectors = and i1 %free, %some
  br i1 %vectors, label %forwards, label %few
few:
  br i1 %free, label %byte, label %back
byte:
  %b = phi i64 [ 0, %few ], [ %b.next, %byte.do ]
  %b.more = icmp ult i64 %b, %size
  br i1 %b.more, label %byte.do, label %done
byte.do:
  %b.from = getelementptr i8, ptr %from, i64 %b
  %b.to = getelementptr i8, ptr %to, i64 %b
  %b.a = load i8, ptr %b.from, align 1
  store i8 %b.a, ptr %b.to, align 1
  %b.next = add i64 %b, 1
  br label %byte
forwards:
  %end = sub i64 %size, 16
  %end.from = getelementptr i8, ptr %from, i64 %end
  %end.to = getelementptr i8, ptr %to, i64 %end
  %end.a = load <4 x i32>, ptr %end.from, align 1
{large}
  %many = and i64 %size, -128
  br label %wide
wide:
  %w = phi i64 [ 0, %stepwise ], [ %w.next, %wide.do ]
  %w.more = icmp ult i64 %w, %many
  br i1 %w.more, label %wide.do, label %narrow
wide.do:
  %w.from = getelementptr i8, ptr %from, i64 %w
  %w.from2 = getelementptr i8, ptr %w.from, i64 64
  %w.to = getelementptr i8, ptr %to, i64 %w
  %w.to2 = getelementptr i8, ptr %w.to, i64 64
  %w.a = load <16 x i32>, ptr %w.from, align 1
  %w.b = load <16 x i32>, ptr %w.from2, align 1
  store <16 x i32> %w.a, ptr %w.to, align 1
  store <16 x i32> %w.b, ptr %w.to2, align 1
  %w.next = add i64 %w, 128
  br label %wide
narrow:
  %v = phi i64 [ %many, %wide ], [ %v.next, %narrow.do ]
  %v.more = icmp ult i64 %v, %end
  br i1 %v.more, label %narrow.do, label %rest
narrow.do:
  %v.from = getelementptr i8, ptr %from, i64 %v
  %v.to = getelementptr i8, ptr %to, i64 %v
  %v.a = load <4 x i32>, ptr %v.from, align 1
  store <4 x i32> %v.a, ptr %v.to, align 1
  %v.next = add i64 %v, 16
  br label %narrow
rest:
  store <4 x i32> %end.a, ptr %end.to, align 1
  br label %done
back:
  %n = phi i64 [ %size, %few ], [ %n.next, %back.do ]
  %n.more = icmp uge i64 %n, 8
  br i1 %n.more, label %back.do, label %last
back.do:
  %n.next = sub i64 %n, 8
  %n.from = getelementptr i8, ptr %from, i64 %n.next
  %n.to = getelementptr i8, ptr %to, i64 %n.next
  %n.a = load i64, ptr %n.from, align 1
  store i64 %n.a, ptr %n.to, align 1
  br label %back
last:
  %l = phi i64 [ %n, %back ], [ %l.next, %last.do ]
  %l.more = icmp ne i64 %l, 0
  br i1 %l.more, label %last.do, label %done
last.do:
  %l.next = sub i64 %l, 1
  %l.from = getelementptr i8, ptr %from, i64 %l.next
  %l.to = getelementptr i8, ptr %to, i64 %l.next
  %l.a = load i8, ptr %l.from, align 1
  store i8 %l.a, ptr %l.to, align 1
  br label %last
done:
  ret void
}
"""

_NO_STRING = """\
  br label %stepwise
stepwise:"""

_STRING = """\
  %large = icmp uge i64 %size, 8192
  br i1 %large, label %string, label %stepwise
string:
  %words = lshr i64 %size, 3
  %moved = call { ptr, ptr, i64 } asm sideeffect "rep movsq",
    "={di},={si},={cx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}"(ptr %to, ptr %from, i64 %words)
  br label %rest
stepwise:"""
