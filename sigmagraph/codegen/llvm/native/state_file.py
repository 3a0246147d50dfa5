"""Routines that read and write states as safetensors files, and the table that tells them what a state holds.

The format: eight bytes of length, a JSON object of that length, then the bytes of all arrays. In the object each
array has ``dtype``, ``shape`` and ``data_offsets``, and ``__metadata__`` has texts. What is read is checked more
strictly than by the format's own library: arrays stand in the object in the order of their bytes, as all writers put
them, names are compared as they are spelled, and nobody may add entries of his own.

The table is one of words: 0 number of stored values, 1 and 2 where in the text the beginning of a file stands and how
long it is, 3 number of ignored prefixes, 4 where their entries begin in the table, 5 bytes of all values; from 6 on an
entry of 8 words for each value: where its name stands in the text and how long it is, the same of its element type,
number of axes, where its sizes begin in the table, where it lies behind the state's head, its bytes.
"""

from __future__ import annotations

from sigmagraph.codegen.llvm.native.memory import (
    I32,
    I64,
    Ptr,
    behind,
    constant,
    load_i64,
    load_u8,
    pointer_bits,
    stack,
    store_i64,
    store_u8,
)
from sigmagraph.dtypes import DType
from sigmagraph.errors import CompileError
from sigmagraph.ir.interface import Interface, Status

MOST_STORED = 8192  # a bit for each is kept on the stack
FILE = int(Status.FILE)
MODEL = int(Status.MODEL)
SIZE = int(Status.SIZE)
ENTRIES = 6
DTYPE = 1
SHAPE = 2
OFFSETS = 4
ALL = 7
HEAD_LIMIT = 100_000_000  # of the format's own library
DONE = 1 << 40  # is added to a place behind which there are no more items
# Spellings.
QUOTE = 0x22
COMMA = 0x2C
COLON = 0x3A
ESCAPE = 0x5C
OPEN_LIST = 0x5B
CLOSE_LIST = 0x5D
OPEN = 0x7B
CLOSE = 0x7D
ZERO = 0x30
NINE = 0x39
HEXADECIMAL = 0x75
ESCAPED = constant(b'"\\/bfnrt')
METADATA = constant(b"__metadata__")
METADATA_LENGTH = 12
DTYPE_NAME = constant(b"dtype")
SHAPE_NAME = constant(b"shape")
OFFSETS_NAME = constant(b"data_offsets")


def word(table: Ptr, number: I64) -> I64:
    """A word of a table."""
    return load_i64(table, 8 * number)


def byte(p: Ptr, at: I64, end: I64) -> I64:
    """A byte, or -1 where there is none: behind the end, or at -1, which stands for what is broken from here on."""
    if 0 <= at < end:
        return load_u8(p, at)
    return -1


def space(p: Ptr, at: I64, end: I64) -> I64:
    """Behind white space."""
    while True:
        c = byte(p, at, end)
        if c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09:
            return at
        at += 1


def same(a: Ptr, a_at: I64, a_length: I64, b: Ptr, b_at: I64, b_length: I64) -> I64:
    """1 where two texts are equal, else 0."""
    if a_length != b_length:
        return 0
    return begins(a, a_at, b, b_at, b_length)


def begins(a: Ptr, a_at: I64, b: Ptr, b_at: I64, length: I64) -> I64:
    """1 where so many bytes are equal, else 0."""
    i = 0
    while i < length:
        if load_u8(a, a_at + i) != load_u8(b, b_at + i):
            return 0
        i += 1
    return 1


def hexadecimal(c: I64) -> I64:
    """1 where a character is a hexadecimal digit, else 0."""
    if ZERO <= c <= NINE or 0x41 <= c <= 0x46 or 0x61 <= c <= 0x66:
        return 1
    return 0


def string(p: Ptr, at: I64, end: I64) -> I64:
    """Behind a string that begins at a place; -1 if none does. What is within it lies between the quotes."""
    if byte(p, at, end) != QUOTE:
        return -1
    at += 1
    while at < end:
        c = load_u8(p, at)
        at += 1
        if c == QUOTE:
            return at
        if c < 0x20:
            return -1
        if c == ESCAPE:
            at = escape(p, at, end)
            if at < 0:
                return -1
    return -1


def escape(p: Ptr, at: I64, end: I64) -> I64:
    """Behind what follows a backslash; -1 if that means nothing."""
    c = byte(p, at, end)
    i = 0
    if c == HEXADECIMAL:
        while i < 4:
            i += 1
            if hexadecimal(byte(p, at + i, end)) == 0:
                return -1
        return at + 5
    while i < 8:
        if load_u8(ESCAPED, i) == c:
            return at + 1
        i += 1
    return -1


def number(p: Ptr, at: I64, end: I64, out: Ptr) -> I64:
    """Behind a whole number without a sign, which goes to ``out``; -1 if there is none, or one of over 18 digits."""
    value = 0
    digits = 0
    first = byte(p, at, end)
    while True:
        c = byte(p, at, end)
        if c < ZERO or c > NINE or digits > 18:
            break
        value = 10 * value + (c - ZERO)
        digits += 1
        at += 1
    if digits == 0 or digits > 18 or (first == ZERO and digits > 1):
        return -1
    store_i64(out, 0, value)
    return at


def after(p: Ptr, at: I64, end: I64, c: I64) -> I64:
    """Behind a character and the white space around it; -1 if another one stands there."""
    at = space(p, at, end)
    if byte(p, at, end) != c:
        return -1
    return space(p, at + 1, end)


def opened(p: Ptr, at: I64, end: I64, first: I64, last: I64) -> I64:
    """At the first item between two brackets; DONE more than where one stands that is empty; -1 if it is broken."""
    at = after(p, at, end, first)
    if at >= 0 and byte(p, at, end) == last:
        return DONE + at + 1
    return at


def following(p: Ptr, at: I64, end: I64, last: I64) -> I64:
    """At the item that follows one behind which we are; DONE more than behind the last one; -1 if it is broken."""
    at = space(p, at, end)
    c = byte(p, at, end)
    if c == COMMA:
        return space(p, at + 1, end)
    if c == last:
        return DONE + at + 1
    return -1


def closed(at: I64) -> I64:
    """Where we are when the items are done; -1 if they are broken."""
    if at < DONE:
        return -1
    return at - DONE


def shape(p: Ptr, at: I64, end: I64, table: Ptr, entry: I64, out: Ptr) -> I64:
    """Behind a list of numbers; ``out`` takes 1 where they are the sizes of an entry of the table, else 0."""
    value = stack(1)
    equal = 1
    n = 0
    rank = word(table, entry + 4)
    at = opened(p, at, end, OPEN_LIST, CLOSE_LIST)
    while 0 <= at < DONE:
        at = number(p, at, end, value)
        if at >= 0 and (n >= rank or word(table, word(table, entry + 5) + n) != load_i64(value, 0)):
            equal = 0
        n += 1
        at = following(p, at, end, CLOSE_LIST)
    store_i64(out, 0, equal if n == rank else 0)
    return closed(at)


def pair(p: Ptr, at: I64, end: I64, out: Ptr) -> I64:
    """Behind a list of two numbers, which go to ``out``; -1 if there is none."""
    at = number(p, after(p, at, end, OPEN_LIST), end, out)
    at = number(p, after(p, at, end, COMMA), end, behind(out, 8))
    at = space(p, at, end)
    if byte(p, at, end) != CLOSE_LIST:
        return -1
    return at + 1


def texts(p: Ptr, at: I64, end: I64) -> I64:
    """Behind an object whose values are strings; -1 if there is none."""
    at = opened(p, at, end, OPEN, CLOSE)
    while 0 <= at < DONE:
        at = string(p, after(p, string(p, at, end), end, COLON), end)
        at = following(p, at, end, CLOSE)
    return closed(at)


def part(p: Ptr, at: I64, end: I64, table: Ptr, text: Ptr, entry: I64, out: Ptr) -> I64:
    """Behind one of the three things that are said of an array; -1 if it is another one, or was said before."""
    name = at + 1
    at = string(p, at, end)
    length = at - 1 - name
    at = after(p, at, end, COLON)
    if at < 0:
        return -1
    kind = 0
    equal = stack(1)
    store_i64(equal, 0, 1)
    if same(p, name, length, DTYPE_NAME, 0, 5) == 1:
        kind = DTYPE
        name = at + 1
        at = string(p, at, end)
        store_i64(equal, 0, same(p, name, at - 1 - name, text, word(table, entry + 2), word(table, entry + 3)))
    elif same(p, name, length, SHAPE_NAME, 0, 5) == 1:
        kind = SHAPE
        at = shape(p, at, end, table, entry, equal)
    elif same(p, name, length, OFFSETS_NAME, 0, 12) == 1:
        kind = OFFSETS
        at = pair(p, at, end, out)
    seen = word(out, 3)
    if kind == 0 or seen & kind != 0:
        return -1
    store_i64(out, 16, word(out, 2) & load_i64(equal, 0))
    store_i64(out, 24, seen | kind)
    return at


def array(p: Ptr, at: I64, end: I64, table: Ptr, text: Ptr, entry: I64, out: Ptr) -> I64:
    """Behind what is said of an array; -1 if it is not whole.

    ``out``, four words, takes where its bytes begin and end, then whether it is of the type and the sizes of an entry
    of the table.
    """
    store_i64(out, 16, 1)
    store_i64(out, 24, 0)
    at = opened(p, at, end, OPEN, CLOSE)
    while 0 <= at < DONE:
        at = following(p, part(p, at, end, table, text, entry, out), end, CLOSE)
    if word(out, 3) != ALL:
        return -1
    return closed(at)


def lookup(p: Ptr, name: I64, length: I64, table: Ptr, text: Ptr) -> I64:
    """The number of a stored value by its name, -1 for one that is ignored, -2 for one that is unknown."""
    i = 0
    while i < word(table, 0):
        entry = ENTRIES + 8 * i
        if same(p, name, length, text, word(table, entry), word(table, entry + 1)) == 1:
            return i
        i += 1
    i = 0
    while i < word(table, 3):
        entry = word(table, 4) + 2 * i
        if length >= word(table, entry + 1) and begins(p, name, text, word(table, entry), word(table, entry + 1)) == 1:
            return -1
        i += 1
    return -2


def copy_bytes(target: Ptr, source: Ptr, count: I64) -> None:
    """Copy bytes to where they do not overlap."""
    i = 0
    if (pointer_bits(target) | pointer_bits(source)) & 7 == 0:
        while i + 8 <= count:
            store_i64(target, i, load_i64(source, i))
            i += 8
    while i < count:
        store_u8(target, i, load_u8(source, i))
        i += 1


def take(image: Ptr, at: I64, end: I64, index: I64, table: Ptr, text: Ptr, values: Ptr, course: Ptr) -> I64:
    """Behind what is said of an array that is the stored value of a number; -1 if it is not whole.

    ``course`` has what was found so far, see :func:`scan`.
    """
    out = stack(4)
    entry = ENTRIES + 8 * (index if index > 0 else 0)  # noqa: FURB136  # the subset has no max
    at = array(image, at, end, table, text, entry, out)
    begin = word(out, 0)
    last = word(out, 1)
    if at < 0 or begin != word(course, 0) or last < begin or last > word(course, 4):
        return -1
    store_i64(course, 0, last)
    if index == -2:
        store_i64(course, 16, 1)
    if index < 0:
        return at
    bits = word(course, 8 + (index >> 6))
    bit = 1 << (index & 63)
    if bits & bit != 0 or word(out, 2) == 0 or last - begin != word(table, entry + 7):
        store_i64(course, 16, 1)
    elif word(course, 5) == 1:
        copy_bytes(behind(values, word(table, entry + 6)), behind(image, end + begin), last - begin)
    store_i64(course, 64 + 8 * (index >> 6), bits | bit)
    store_i64(course, 8, word(course, 1) + 1)
    return at


def item(image: Ptr, at: I64, end: I64, table: Ptr, text: Ptr, values: Ptr, course: Ptr) -> I64:
    """Behind a name and what it names; -1 if that is broken."""
    name = at + 1
    at = string(image, at, end)
    length = at - 1 - name
    at = after(image, at, end, COLON)
    if at < 0:
        return -1
    if same(image, name, length, METADATA, 0, METADATA_LENGTH) == 1:
        if word(course, 3) == 1:
            return -1
        store_i64(course, 24, 1)
        return texts(image, at, end)
    return take(image, at, end, lookup(image, name, length, table, text), table, text, values, course)


def scan(image: Ptr, end: I64, data: I64, table: Ptr, text: Ptr, values: Ptr, copying: I64) -> I64:
    """Check a file of which the object ends at ``end`` and ``data`` bytes follow; or take over what was checked.

    What was found so far stands in words: 0 bytes of the arrays, 1 number of stored values, 2 whether something belongs
    to another model, 3 whether there were texts; then 4 ``data``, 5 ``copying``, and from 8 on a bit for each value.
    """
    course = stack(136)
    i = 0
    while i < 136:
        store_i64(course, 8 * i, 0)
        i += 1
    store_i64(course, 32, data)
    store_i64(course, 40, copying)
    at = opened(image, 8, end, OPEN, CLOSE)
    while 0 <= at < DONE:
        at = following(image, item(image, at, end, table, text, values, course), end, CLOSE)
    if at < 0 or space(image, closed(at), end) != end or word(course, 0) != data:
        return FILE
    if word(course, 2) != 0 or word(course, 1) != word(table, 0):
        return MODEL
    return 0


def state_read(image: Ptr, size: I64, table: Ptr, text: Ptr, values: Ptr) -> I32:
    """Take the values of a state from a file; where that cannot be, they stay as they were."""
    if size < 8:
        return FILE
    length = 0
    i = 7
    while i >= 0:
        if length > HEAD_LIMIT:
            return FILE
        length = (length << 8) | load_u8(image, i)
        i -= 1
    if length > HEAD_LIMIT or length > size - 8:
        return FILE
    status = scan(image, 8 + length, size - 8 - length, table, text, values, 0)
    if status != 0:
        return status
    return scan(image, 8 + length, size - 8 - length, table, text, values, 1)


def state_write(table: Ptr, text: Ptr, values: Ptr, out: Ptr, size: I64) -> I32:
    """Write the values of a state as a file."""
    at = word(table, 2)
    if size < at + word(table, 5):
        return SIZE
    copy_bytes(out, behind(text, word(table, 1)), at)
    i = 0
    while i < word(table, 0):
        entry = ENTRIES + 8 * i
        count = word(table, entry + 7)
        copy_bytes(behind(out, at), behind(values, word(table, entry + 6)), count)
        at += count
        i += 1
    return 0


STATE_ROUTINES = (
    word,
    byte,
    space,
    same,
    begins,
    hexadecimal,
    string,
    escape,
    number,
    after,
    opened,
    following,
    closed,
    shape,
    pair,
    texts,
    part,
    array,
    lookup,
    copy_bytes,
    take,
    item,
    scan,
    state_read,
    state_write,
)


def state_table(interface: Interface, file_head: bytes) -> tuple[list[int], bytes]:
    """The table of a state and its text.

    Args:
        interface: says what the state holds.
        file_head: what its files begin with, up to the bytes of the first value.

    Raises:
        CompileError: the state holds too many values.
    """
    stored = interface.stored
    if len(stored) > MOST_STORED:
        raise CompileError("a state holds too many values", expected=f"at most {MOST_STORED}", got=len(stored))
    text = bytearray(file_head)

    def at(data: bytes) -> tuple[int, int]:
        text.extend(data)
        return len(text) - len(data), len(data)

    sizes_at = ENTRIES + 8 * len(stored)
    entries: list[int] = []
    sizes: list[int] = []
    for value in stored:
        place = (len(value.shape), sizes_at + len(sizes), value.offset, value.bytes)
        entries += [*at(_spelled(value.name)), *at(_type_name(value.dtype)), *place]
        sizes += value.shape
    ignored = [number for prefix in interface.ignored for number in at(_spelled(prefix))]
    total = sum(value.bytes for value in stored)
    head = [len(stored), 0, len(file_head), len(interface.ignored), sizes_at + len(sizes), total]
    return [*head, *entries, *sizes, *ignored], bytes(text)


def _spelled(name: str) -> bytes:
    """A name as it stands in JSON between the quotes, as the format's library spells it."""
    import json

    return json.dumps(name, ensure_ascii=False)[1:-1].encode()


def _type_name(dtype: DType) -> bytes:
    return str(dtype).upper().encode()
