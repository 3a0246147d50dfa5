"""Routines that read and write states as safetensors files, and the table that tells them what a state holds.

The format: eight bytes of length, a JSON object of that length, then the bytes of all arrays. In the object each array
has ``dtype``, ``shape`` and ``data_offsets``, and ``__metadata__`` has texts. What is read is checked more strictly than
by the format's own library: arrays stand in the object in the order of their bytes, as all writers put them, names are
compared as they are spelled, and nobody may add entries of his own.

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
    """A byte, or -1 behind the end."""
    if at < end:
        return load_u8(p, at)
    return -1


def space(p: Ptr, at: I64, end: I64) -> I64:
    """Behind white space."""
    while at < end:
        c = load_u8(p, at)
        if c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09:
            break
        at += 1
    return at


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
        if c < ZERO or c > NINE:
            break
        value = 10 * value + (c - ZERO)
        digits += 1
        at += 1
        if digits > 18:
            return -1
    if digits == 0 or (first == ZERO and digits > 1):
        return -1
    store_i64(out, 0, value)
    return at


def after(p: Ptr, at: I64, end: I64, c: I64) -> I64:
    """Behind a character and the white space around it; -1 if another one stands there."""
    at = space(p, at, end)
    if byte(p, at, end) != c:
        return -1
    return space(p, at + 1, end)


def numbers(p: Ptr, at: I64, end: I64, wanted: Ptr, first: I64, count: I64, out: Ptr) -> I64:
    """Behind a list of numbers; -1 if there is none.

    ``out`` takes 1 where they are ``count`` words of a table from ``first`` on, else 0. With a ``count`` of -2 there
    must be two of them, which go to ``out`` instead.
    """
    value = stack(1)
    equal = 1
    n = 0
    at = after(p, at, end, OPEN_LIST)
    if at < 0:
        return -1
    if byte(p, at, end) != CLOSE_LIST:
        while True:
            at = number(p, at, end, value)
            if at < 0:
                return -1
            if count == -2:
                if n > 1:
                    return -1
                store_i64(out, 8 * n, load_i64(value, 0))
            elif n >= count or word(wanted, first + n) != load_i64(value, 0):
                equal = 0
            n += 1
            at = space(p, at, end)
            if byte(p, at, end) != COMMA:
                break
            at = space(p, at + 1, end)
    if byte(p, at, end) != CLOSE_LIST:
        return -1
    if count == -2:
        if n != 2:
            return -1
    else:
        if n != count:
            equal = 0
        store_i64(out, 0, equal)
    return at + 1


def texts(p: Ptr, at: I64, end: I64) -> I64:
    """Behind an object whose values are strings; -1 if there is none."""
    at = after(p, at, end, OPEN)
    if at < 0:
        return -1
    if byte(p, at, end) == CLOSE:
        return at + 1
    while True:
        at = string(p, at, end)
        if at < 0:
            return -1
        at = after(p, at, end, COLON)
        if at < 0:
            return -1
        at = string(p, at, end)
        if at < 0:
            return -1
        at = space(p, at, end)
        if byte(p, at, end) != COMMA:
            break
        at = space(p, at + 1, end)
    if byte(p, at, end) != CLOSE:
        return -1
    return at + 1


def array(p: Ptr, at: I64, end: I64, table: Ptr, text: Ptr, entry: I64, out: Ptr) -> I64:
    """Behind what is said of an array; -1 if it is not whole.

    ``out`` takes where its bytes begin and end, then whether type and sizes are those of an entry of the table.
    """
    seen = 0
    fits = 1
    equal = stack(1)
    at = after(p, at, end, OPEN)
    if at < 0:
        return -1
    while True:
        name = at + 1
        at = string(p, at, end)
        if at < 0:
            return -1
        length = at - 1 - name
        at = after(p, at, end, COLON)
        if at < 0:
            return -1
        part = 0
        if same(p, name, length, DTYPE_NAME, 0, 5) == 1:
            part = DTYPE
            name = at + 1
            at = string(p, at, end)
            if at < 0:
                return -1
            if same(p, name, at - 1 - name, text, word(table, entry + 2), word(table, entry + 3)) == 0:
                fits = 0
        elif same(p, name, length, SHAPE_NAME, 0, 5) == 1:
            part = SHAPE
            at = numbers(p, at, end, table, word(table, entry + 5), word(table, entry + 4), equal)
            if at < 0:
                return -1
            fits = fits & load_i64(equal, 0)
        elif same(p, name, length, OFFSETS_NAME, 0, 12) == 1:
            part = OFFSETS
            at = numbers(p, at, end, table, 0, -2, out)
            if at < 0:
                return -1
        if part == 0 or seen & part != 0:
            return -1
        seen = seen | part
        at = space(p, at, end)
        if byte(p, at, end) != COMMA:
            break
        at = space(p, at + 1, end)
    if byte(p, at, end) != CLOSE or seen != ALL:
        return -1
    store_i64(out, 16, fits)
    return at + 1


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


def scan(image: Ptr, end: I64, data: I64, table: Ptr, text: Ptr, values: Ptr, copying: I64) -> I64:
    """Check a file of which the object ends at ``end`` and ``data`` bytes follow; or take over what was checked."""
    out = stack(3)
    seen = stack(128)
    i = 0
    while i < 128:
        store_i64(seen, 8 * i, 0)
        i += 1
    covered = 0
    found = 0
    foreign = 0
    metadata = 0
    at = after(image, 8, end, OPEN)
    if at < 0:
        return FILE
    if byte(image, at, end) != CLOSE:
        while True:
            name = at + 1
            at = string(image, at, end)
            if at < 0:
                return FILE
            length = at - 1 - name
            at = after(image, at, end, COLON)
            if at < 0:
                return FILE
            if same(image, name, length, METADATA, 0, METADATA_LENGTH) == 1:
                at = texts(image, at, end)
                metadata += 1
                if at < 0 or metadata > 1:
                    return FILE
            else:
                index = lookup(image, name, length, table, text)
                entry = ENTRIES + 8 * (index if index > 0 else 0)
                at = array(image, at, end, table, text, entry, out)
                if at < 0 or load_i64(out, 0) != covered or load_i64(out, 8) < covered or load_i64(out, 8) > data:
                    return FILE
                covered = load_i64(out, 8)
                if index == -2:
                    foreign = 1
                if index >= 0:
                    size = covered - load_i64(out, 0)
                    bits = word(seen, index >> 6)
                    bit = 1 << (index & 63)
                    if bits & bit != 0 or load_i64(out, 16) == 0 or size != word(table, entry + 7):
                        foreign = 1
                    store_i64(seen, 8 * (index >> 6), bits | bit)
                    found += 1
                    if copying == 1:
                        source = behind(image, end + load_i64(out, 0))
                        copy_bytes(behind(values, word(table, entry + 6)), source, size)
            at = space(image, at, end)
            if byte(image, at, end) != COMMA:
                break
            at = space(image, at + 1, end)
    if byte(image, at, end) != CLOSE or space(image, at + 1, end) != end or covered != data:
        return FILE
    if foreign != 0 or found != word(table, 0):
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
    numbers,
    texts,
    array,
    lookup,
    copy_bytes,
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
