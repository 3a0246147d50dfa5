"""The call of a program from Python, as LLVM IR: arrays are looked at where they lie, in a few nanoseconds each.

A call of a small program takes longer in Python than in the program. What is the same as at the last call, which is
nearly always everything but the addresses of the elements, is compared here, and the addresses are copied into the
tables that the entry point takes. See :mod:`sigmagraph.runtime.frame` for the fields.
"""

from __future__ import annotations

from sigmagraph.codegen.llvm.archive import pack
from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.options import Target

SYMBOL = "sg_call"

# Fields of a frame: 0 entry, 8 arena, 16 params, 24 dims, 32 inputs, 40 outputs, 48 pool, 56 number of inputs,
# 64 number of outputs, 72 ranges of memory in which no input may begin: low, high ..., 80 their number,
# 88 what is expected of each input: type, dtype, flags, rank, sizes ...
# Fields of an array, by Python's and NumPy's binary interface: 8 type, 16 data, 24 rank, 32 sizes, 56 dtype, 64 flags.
# Fields of a list: 24 items.
_TEXT = """
define i32 @sg_call(ptr %frame, ptr %arrays, ptr %results) {
entry:
  %inputs.p = getelementptr i8, ptr %frame, i64 32
  %outputs.p = getelementptr i8, ptr %frame, i64 40
  %in.p = getelementptr i8, ptr %frame, i64 56
  %out.p = getelementptr i8, ptr %frame, i64 64
  %ranges.p = getelementptr i8, ptr %frame, i64 72
  %range.count.p = getelementptr i8, ptr %frame, i64 80
  %expected.p = getelementptr i8, ptr %frame, i64 88
  %inputs = load ptr, ptr %inputs.p
  %outputs = load ptr, ptr %outputs.p
  %in = load i64, ptr %in.p
  %out = load i64, ptr %out.p
  %ranges = load ptr, ptr %ranges.p
  %range.count = load i64, ptr %range.count.p
  %first = load ptr, ptr %expected.p
  %arrays.p = getelementptr i8, ptr %arrays, i64 24
  %array.items = load ptr, ptr %arrays.p
  %results.p = getelementptr i8, ptr %results, i64 24
  %result.items = load ptr, ptr %results.p
  br label %input
input:
  %n = phi i64 [ 0, %entry ], [ %n.next, %good ]
  %want = phi ptr [ %first, %entry ], [ %want.next, %good ]
  %more = icmp slt i64 %n, %in
  br i1 %more, label %look, label %output
look:
  %item.p = getelementptr ptr, ptr %array.items, i64 %n
  %item = load ptr, ptr %item.p
  %type.p = getelementptr i8, ptr %item, i64 8
  %type = load i64, ptr %type.p
  %want.type = load i64, ptr %want
  %same.type = icmp eq i64 %type, %want.type
  br i1 %same.type, label %array, label %other
array:
  %data.p = getelementptr i8, ptr %item, i64 16
  %rank.p = getelementptr i8, ptr %item, i64 24
  %sizes.p = getelementptr i8, ptr %item, i64 32
  %dtype.p = getelementptr i8, ptr %item, i64 56
  %flags.p = getelementptr i8, ptr %item, i64 64
  %want.dtype.p = getelementptr i8, ptr %want, i64 8
  %want.flags.p = getelementptr i8, ptr %want, i64 16
  %want.rank.p = getelementptr i8, ptr %want, i64 24
  %want.sizes = getelementptr i8, ptr %want, i64 32
  %data = load i64, ptr %data.p
  %rank.32 = load i32, ptr %rank.p
  %rank = sext i32 %rank.32 to i64
  %sizes = load ptr, ptr %sizes.p
  %dtype = load i64, ptr %dtype.p
  %flags.32 = load i32, ptr %flags.p
  %flags = sext i32 %flags.32 to i64
  %want.dtype = load i64, ptr %want.dtype.p
  %want.flags = load i64, ptr %want.flags.p
  %want.rank = load i64, ptr %want.rank.p
  %flags.set = and i64 %flags, %want.flags
  %same.dtype = icmp eq i64 %dtype, %want.dtype
  %same.flags = icmp eq i64 %flags.set, %want.flags
  %same.rank = icmp eq i64 %rank, %want.rank
  %and.0 = and i1 %same.dtype, %same.flags
  %and.1 = and i1 %and.0, %same.rank
  br i1 %and.1, label %range, label %other
range:
  %r = phi i64 [ 0, %array ], [ %r.next, %inside ]
  %unseen = icmp slt i64 %r, %range.count
  br i1 %unseen, label %inside, label %size
inside:
  %low.index = shl i64 %r, 1
  %high.index = or i64 %low.index, 1
  %low.p = getelementptr i64, ptr %ranges, i64 %low.index
  %high.p = getelementptr i64, ptr %ranges, i64 %high.index
  %low = load i64, ptr %low.p
  %high = load i64, ptr %high.p
  %from = icmp uge i64 %data, %low
  %before = icmp ult i64 %data, %high
  %within = and i1 %from, %before
  %r.next = add i64 %r, 1
  br i1 %within, label %other, label %range
size:
  %k = phi i64 [ 0, %range ], [ %k.next, %equal ]
  %left = icmp slt i64 %k, %rank
  br i1 %left, label %compare, label %good
compare:
  %have.p = getelementptr i64, ptr %sizes, i64 %k
  %wish.p = getelementptr i64, ptr %want.sizes, i64 %k
  %have = load i64, ptr %have.p
  %wish = load i64, ptr %wish.p
  %same.size = icmp eq i64 %have, %wish
  br i1 %same.size, label %equal, label %other
equal:
  %k.next = add i64 %k, 1
  br label %size
good:
  %slot = getelementptr i64, ptr %inputs, i64 %n
  store i64 %data, ptr %slot
  %n.next = add i64 %n, 1
  %want.next = getelementptr i64, ptr %want.sizes, i64 %rank
  br label %input
output:
  %m = phi i64 [ 0, %input ], [ %m.next, %take ]
  %rest = icmp slt i64 %m, %out
  br i1 %rest, label %take, label %run
take:
  %result.p = getelementptr ptr, ptr %result.items, i64 %m
  %result = load ptr, ptr %result.p
  %result.data.p = getelementptr i8, ptr %result, i64 16
  %result.data = load i64, ptr %result.data.p
  %place = getelementptr i64, ptr %outputs, i64 %m
  store i64 %result.data, ptr %place
  %m.next = add i64 %m, 1
  br label %output
run:
  %entry.f = load ptr, ptr %frame
  %arena.p = getelementptr i8, ptr %frame, i64 8
  %params.p = getelementptr i8, ptr %frame, i64 16
  %dims.p = getelementptr i8, ptr %frame, i64 24
  %pool.p = getelementptr i8, ptr %frame, i64 48
  %arena = load ptr, ptr %arena.p
  %params = load ptr, ptr %params.p
  %dims = load ptr, ptr %dims.p
  %pool = load ptr, ptr %pool.p
  %status = call i32 %entry.f(ptr %arena, ptr %params, ptr %dims, ptr %inputs, ptr %outputs, ptr %pool)
  ret i32 %status
other:
  ret i32 -1
}
"""


class CallerLibrary:
    """The loaded function (see :class:`sigmagraph.runtime.frame.CallerCode`)."""

    def __init__(self, code: bytes) -> None:
        self._code = Loaded(code, (SYMBOL,), processor(Target()), "caller")
        self.address = self._code.address(SYMBOL)


def compile_caller() -> bytes:
    """Object code of the function for the machine at hand."""
    return pack([compile_module(_TEXT, processor(Target())).object])
