"""Writes the functions of a library that deal with states, options and texts, as LLVM IR.

The text below is one module with places for what differs: ``WORD`` is the integer of a pointer's size, ``NAME`` what
symbols begin with. Internal functions have a dot in their names. See :mod:`sigmagraph.ir.interface` for the fields of a
state's head, and :mod:`.calls` for those of options.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from sigmagraph.codegen.library.content import Content
from sigmagraph.codegen.library.parts import Layout, Part
from sigmagraph.codegen.llvm.library.calls import own_name
from sigmagraph.codegen.llvm.library.options import options_text, thread_memory
from sigmagraph.codegen.llvm.library.selftest import selftest_text
from sigmagraph.codegen.llvm.native.state_file import state_table
from sigmagraph.codegen.llvm.pool import POOL_BYTES
from sigmagraph.ir.interface import ABI, OWN_ERRORS, STATE_HEAD, STATUS_TEXTS, Interface, Status

_COMMON = """
define i32 @NAME_abi_version() #0 {
  ret i32 ABI
}

define WORD @NAME_state_size() #0 {
  ret WORD STATE_SIZE
}

define WORD @NAME_state_file_size() #0 {
  ret WORD FILE_SIZE
}

define internal ptr @aligned(ptr %at, i64 %size) #0 {
  %bits = ptrtoint ptr %at to i64
  %down = sub i64 0, %bits
  %mask = sub i64 %size, 1
  %gap = and i64 %down, %mask
  %up = getelementptr i8, ptr %at, i64 %gap
  ret ptr %up
}

define internal ptr @state.values(ptr %state) #0 {
  %shift.p = getelementptr i8, ptr %state, i64 8
  %shift = load i32, ptr %shift.p
  %wide = zext i32 %shift to i64
  %body = getelementptr i8, ptr %state, i64 HEAD
  %values = getelementptr i8, ptr %body, i64 %wide
  ret ptr %values
}

define internal i32 @state.place(ptr %state) #0 {
  %here = icmp ne ptr %state, null
  br i1 %here, label %look, label %missing
missing:
  ret i32 NULL
look:
  %bits = ptrtoint ptr %state to i64
  %low = and i64 %bits, 7
  %even = icmp eq i64 %low, 0
  %status = select i1 %even, i32 0, i32 ALIGNMENT
  ret i32 %status
}

define internal i32 @state.check(ptr %state) #0 {
  %placed = call i32 @state.place(ptr %state)
  %good = icmp eq i32 %placed, 0
  br i1 %good, label %look, label %bad
bad:
  ret i32 %placed
look:
  %shift.p = getelementptr i8, ptr %state, i64 8
  %level.p = getelementptr i8, ptr %state, i64 12
  %model = load i64, ptr %state
  %shift = load i32, ptr %shift.p
  %level = load i32, ptr %level.p
  %same = icmp eq i64 %model, MODEL_NUMBER
  %rest = and i32 %shift, -57
  %small = icmp eq i32 %rest, 0
  %known = icmp ult i32 %level, LEVELS
  %and = and i1 %same, %small
  %all = and i1 %and, %known
  %status = select i1 %all, i32 0, i32 STATE
  ret i32 %status
}

define internal void @state.begin(ptr %state, i32 %shift, i32 %level) #0 {
  %shift.p = getelementptr i8, ptr %state, i64 8
  %level.p = getelementptr i8, ptr %state, i64 12
  call void @zero(ptr %state, i64 HEAD)
  store i32 %shift, ptr %shift.p
  store i32 %level, ptr %level.p
  store i64 MODEL_NUMBER, ptr %state
  ret void
}

define internal i32 @state.shift(ptr %state) #0 {
  %body = getelementptr i8, ptr %state, i64 HEAD
  %bits = ptrtoint ptr %body to i64
  %down = sub i64 0, %bits
  %gap = and i64 %down, 63
  %shift = trunc i64 %gap to i32
  ret i32 %shift
}

define internal void @zero(ptr %at, i64 %bytes) #0 {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %bytes
  br i1 %more, label %body, label %end
body:
  %p = getelementptr i8, ptr %at, i64 %i
  store i64 0, ptr %p
  %next = add i64 %i, 8
  br label %head
end:
  ret void
}

define internal void @copy(ptr %to, ptr %from, i64 %bytes) #0 {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %bytes
  br i1 %more, label %body, label %end
body:
  %source = getelementptr i8, ptr %from, i64 %i
  %target = getelementptr i8, ptr %to, i64 %i
  %word = load i64, ptr %source
  store i64 %word, ptr %target
  %next = add i64 %i, 8
  br label %head
end:
  ret void
}

define signext i32 @NAME_state_prepare(ptr %state) #0 {
  %status = call i32 @state.check(ptr %state)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %do, label %bad
bad:
  ret i32 %status
do:
  %values = call ptr @state.values(ptr %state)
  %level.p = getelementptr i8, ptr %state, i64 12
  %level = load i32, ptr %level.p
  call void @state.keep(ptr %values, i32 %level)
  %prepared = getelementptr i8, ptr %state, i64 16
  store i64 1, ptr %prepared
  ret i32 0
}

define signext i32 @NAME_state_read(ptr %state, ptr %bytes, WORD %size) #0 {
  %placed = call i32 @state.place(ptr %state)
  %good = icmp eq i32 %placed, 0
  br i1 %good, label %next, label %bad
bad:
  ret i32 %placed
next:
  %here = icmp ne ptr %bytes, null
  br i1 %here, label %look, label %missing
missing:
  ret i32 NULL
look:
  %level = call i32 @level()
  %runs = icmp sge i32 %level, 0
  br i1 %runs, label %read, label %lacking
lacking:
  ret i32 PROCESSOR
read:
  %shift = call i32 @state.shift(ptr %state)
  %wide = zext i32 %shift to i64
  %body = getelementptr i8, ptr %state, i64 HEAD
  %values = getelementptr i8, ptr %body, i64 %wide
  %length = LENGTH
  %status = call i32 @state_read(ptr %bytes, i64 %length, ptr @state.table, ptr @state.text, ptr %values)
  %whole = icmp eq i32 %status, 0
  br i1 %whole, label %do, label %broken
broken:
  ret i32 %status
do:
  call void @state.begin(ptr %state, i32 %shift, i32 %level)
  %prepared = call i32 @NAME_state_prepare(ptr %state)
  ret i32 %prepared
}

define signext i32 @NAME_state_write(ptr %state, ptr %bytes, WORD %size) #0 {
  %status = call i32 @state.check(ptr %state)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %next, label %bad
bad:
  ret i32 %status
next:
  %here = icmp ne ptr %bytes, null
  br i1 %here, label %do, label %missing
missing:
  ret i32 NULL
do:
  %values = call ptr @state.values(ptr %state)
  %length = LENGTH
  %written = call i32 @state_write(ptr @state.table, ptr @state.text, ptr %values, ptr %bytes, i64 %length)
  ret i32 %written
}

define ptr @NAME_info_json() #0 {
  ret ptr @info
}

define ptr @NAME_error(i32 %status) #0 {
entry:
  br label %head
head:
  %n = phi i64 [ 0, %entry ], [ %next, %other ]
  %more = icmp slt i64 %n, STATUSES
  br i1 %more, label %look, label %unknown
look:
  %number.p = getelementptr i32, ptr @error.numbers, i64 %n
  %number = load i32, ptr %number.p
  %same = icmp eq i32 %number, %status
  br i1 %same, label %found, label %other
other:
  %next = add i64 %n, 1
  br label %head
found:
  br label %unknown
unknown:
  %at = phi i64 [ STATUSES, %head ], [ %n, %found ]
  %offset.p = getelementptr i32, ptr @error.offsets, i64 %at
  %offset = load i32, ptr %offset.p
  %wide = zext i32 %offset to i64
  %text = getelementptr i8, ptr @error.texts, i64 %wide
  ret ptr %text
}
"""

_INIT = """
define signext i32 @NAME_state_init(ptr %state) #0 {
  %placed = call i32 @state.place(ptr %state)
  %good = icmp eq i32 %placed, 0
  br i1 %good, label %do, label %bad
bad:
  ret i32 %placed
do:
  %level = call i32 @level()
  %runs = icmp sge i32 %level, 0
  br i1 %runs, label %set, label %lacking
lacking:
  ret i32 PROCESSOR
set:
  %shift = call i32 @state.shift(ptr %state)
  call void @state.begin(ptr %state, i32 %shift, i32 %level)
  %values = call ptr @state.values(ptr %state)
  call void @zero(ptr %values, i64 STORED)
COPIES
  %prepared = call i32 @NAME_state_prepare(ptr %state)
  ret i32 %prepared
}
"""

_NO_INIT = """
define signext i32 @NAME_state_init(ptr %state) #0 {
  ret i32 WEIGHTS
}
"""


def state_text(
    interface: Interface,
    layout: Layout,
    parts: Sequence[Part],
    content: Content,
    word: int,
    declarations: dict[str, str],
) -> tuple[str, dict[bytes, bytes]]:
    """The functions, and the contents of large constants by what stands in their place in the object file.

    Args:
        interface: of the library.
        layout: where everything lies.
        parts: the programs.
        content: of constants.
        word: bits of a pointer.
        declarations: takes up what the functions call, by name.
    """
    contents: dict[bytes, bytes] = {}
    copies, constants = _initial(interface, content.values, contents) if interface.embedded else ("", "")
    text = _COMMON + (_INIT if interface.embedded else _NO_INIT)
    text += options_text(interface.triple, interface.threads, declarations)
    selftest, places = selftest_text(interface, content.trials)
    end = interface.stored[-1].offset + interface.stored[-1].bytes if interface.stored else 0
    file_size = len(content.file_head) + sum(stored.bytes for stored in interface.stored)
    memory = thread_memory(interface.threads)
    places |= {
        "NAME_": f"{interface.name}_",
        "ABI": str(ABI),
        "STATE_SIZE": str(interface.state_size),
        "FILE_SIZE": str(file_size),
        "HEAD": str(STATE_HEAD),
        "MODEL_NUMBER": str(_signed(interface.model)),
        "LEVELS": str(len(interface.levels)),
        "STORED": str(-(-end // 8) * 8),
        "OPTIONS_SIZE": str(5 * word // 8),
        "ARENA_BYTES": "zext i32 %told to i64" if word < 64 else "add i64 %told, 0",
        "LENGTH": "zext i32 %size to i64" if word < 64 else "add i64 %size, 0",
        "STATUSES": str(len(STATUS_TEXTS) + len(interface.own_errors)),
        "WORD": f"i{word}",
        "COPIES": copies,
        "COUNT": str(interface.threads),
        "THREADS_SIZE": str(memory),
        "POOL_MEMORY": str(memory - 64),
        "POOL_BYTES": str(POOL_BYTES),
    }
    places = {status.name: str(int(status)) for status in Status} | places
    tables = places.pop("CONSTANTS")
    own = [tables, _keep(parts, layout), _errors(interface), _string("info", content.info), constants]
    return "\n".join([filled(text + selftest, places), *own, _state_table(interface, content.file_head)]), contents


def _state_table(interface: Interface, file_head: bytes) -> str:
    words, text = state_table(interface, file_head)
    numbers = ", ".join(f"i64 {word}" for word in words)
    return (
        f"@state.table = internal constant [{len(words)} x i64] [{numbers}]\n"
        f'@state.text = internal constant [{len(text)} x i8] c"{escaped(text)}", align 8\n'
    )


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text in which words in capitals are replaced."""
    names = "|".join(sorted(places, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z_])({names})(?![A-Z_])", lambda m: places[m[1]], text)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _initial(interface: Interface, values: Mapping[str, bytes], contents: dict[bytes, bytes]) -> tuple[str, str]:
    """How ``state_init`` copies constants, and the constants; what is zero need not be copied."""
    copies, constants = [], []
    for number, stored in enumerate(interface.stored):
        data = values[stored.name]
        if not any(data):
            continue
        padded = data + bytes(-len(data) % 8)
        constants.append(_placeholder(f"value{number}", padded, contents))
        at = f"%value{number} = getelementptr i8, ptr %values, i64 {stored.offset}"
        copies += [f"  {at}", f"  call void @copy(ptr %value{number}, ptr @value{number}, i64 {len(padded)})"]
    return "\n".join(copies), "\n".join(constants)


def _placeholder(name: str, data: bytes, contents: dict[bytes, bytes]) -> str:
    """A constant whose content is put into the object file: as text it would be three times as large."""
    mark = hashlib.sha256(name.encode() + data).digest()
    if len(data) <= len(mark):
        return f'@{name} = internal constant [{len(data)} x i8] c"{escaped(data)}", align 64'
    contents[mark] = data
    rest = len(data) - len(mark)
    type = f"<{{ [{len(mark)} x i8], [{rest} x i8] }}>"
    head = f'[{len(mark)} x i8] c"{escaped(mark)}"'
    return f"@{name} = internal constant {type} <{{ {head}, [{rest} x i8] zeroinitializer }}>, align 64"


def escaped(data: bytes) -> str:
    """Bytes as they stand in a constant."""
    return "".join(f"\\{b:02X}" for b in data)


def _string(name: str, text: str) -> str:
    data = text.encode() + b"\0"
    return f'@{name} = internal constant [{len(data)} x i8] c"{escaped(data)}"\n'


def _errors(interface: Interface) -> str:
    """All texts one behind the other, the number of each, and where it begins; last the one for other numbers."""
    numbered = {int(status): text for status, text in STATUS_TEXTS.items()}
    numbered |= dict(enumerate(interface.own_errors, OWN_ERRORS))
    blob, offsets = b"", []
    for text in (*numbered.values(), "unknown error"):
        offsets.append(len(blob))
        blob += text.encode() + b"\0"
    return "\n".join(
        [
            f'@error.texts = internal constant [{len(blob)} x i8] c"{escaped(blob)}"',
            f"@error.numbers = internal constant [{len(numbered)} x i32] [{', '.join(f'i32 {n}' for n in numbered)}]",
            f"@error.offsets = internal constant [{len(offsets)} x i32] [{', '.join(f'i32 {n}' for n in offsets)}]\n",
        ]
    )


def _keep(parts: Sequence[Part], layout: Layout) -> str:
    """``state.keep``: make all that is kept, for the level of the state."""
    levels = len(layout.placed[0]) if layout.placed else 1
    lines = ["define internal void @state.keep(ptr %values, i32 %level) #0 {"]
    cases = " ".join(f"i32 {n}, label %level{n}" for n in range(1, levels))
    lines.append(f"  switch i32 %level, label %level0 [ {cases} ]")
    for level in range(levels):
        lines.append(f"level{level}:")
        for part, placed in zip(parts, layout.placed, strict=True):
            if placed[level].program.ahead:
                lines.append(f"  call void @{own_name(part.name)}.prepare{level}(ptr %values)")
        lines.append("  ret void")
    return "\n".join([*lines, "}\n"])
