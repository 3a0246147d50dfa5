"""Reads of a library what it is: for ELF, Windows's, macOS's and WebAssembly's files, without running any of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sigmagraph.errors import FileFormatError

_MOST = 1 << 16  # entries of any table; what artifacts have is far less
_LONGEST = 1 << 12  # bytes of a name


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """What a library says of itself.

    Attributes:
        kind: ``elf``, ``pe``, ``macho``, ``wasm``, or ``object`` for an object file, which is not linked yet.
        machine: ``x86_64``, ``aarch64``, ``riscv64``, ``riscv32``, ``arm``, ``wasm32`` or a number.
        exports: the names that it offers, as C spells them, sorted.
        needed: the libraries that it cannot be loaded without, in order.
        undefined: the names that others have to offer, sorted.
    """

    kind: str
    machine: str
    exports: tuple[str, ...]
    needed: tuple[str, ...]
    undefined: tuple[str, ...]


def inspect_library(data: bytes) -> LibraryFile:
    """What a library says of itself.

    Raises:
        FileFormatError: it is of no known format, or damaged.
    """
    readers = {b"\x7fELF": _elf, b"\xcf\xfa\xed\xfe": _macho, b"\0asm": _wasm}
    reader = readers.get(data[:4]) or (_pe if data[:2] == b"MZ" else _coff if data[:2] == b"\x64\x86" else None)
    if reader is None:
        raise FileFormatError("this is no library", expected="ELF, PE, Mach-O or WebAssembly", got=repr(data[:4]))
    return reader(_Reader(data))


def _damaged(what: str) -> FileFormatError:
    return FileFormatError("the library is damaged", got=what)


class _Reader:
    """The bytes, with bounds."""

    def __init__(self, data: bytes, order: str = "<") -> None:
        self.data = data
        self.order = order

    def take(self, form: str, at: int) -> tuple[int, ...]:
        """Numbers at a place."""
        form = self.order + form
        if at < 0 or at + struct.calcsize(form) > len(self.data):
            raise _damaged(f"it ends before byte {at}")
        return struct.unpack_from(form, self.data, at)

    def table(self, form: str, at: int, count: int, step: int) -> Iterator[tuple[int, ...]]:
        """Records one behind the other."""
        if not 0 <= count <= _MOST or step < struct.calcsize(self.order + form):
            raise _damaged(f"a table of {count} records of {step} bytes")
        return (self.take(form, at + k * step) for k in range(count))

    def text(self, at: int, end: int | None = None) -> str:
        """The name that begins at a place and ends by a zero."""
        stop = min(at + _LONGEST, len(self.data) if end is None else end)
        stop = self.data.find(b"\0", at, stop) if at >= 0 else -1
        if stop < 0:
            raise _damaged(f"a name at byte {at} does not end")
        return self.data[at:stop].decode("utf-8", "replace")


# -- ELF: System V Application Binary Interface, chapters 4 and 5

_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 40: "arm", 3: "i686"}
_SYMTAB, _DYNSYM, _DYNAMIC = 2, 11, 6


def _elf(file: _Reader) -> LibraryFile:
    wide, order = file.take("BB", 4)
    if wide not in (1, 2) or order != 1:
        raise _damaged(f"class {wide}, order {order}")
    kind, machine = file.take("HH", 16)
    if kind not in (1, 3):
        raise FileFormatError("this is no library", expected="a shared or relocatable ELF file", got=f"type {kind}")
    (start,) = file.take("Q", 40) if wide == 2 else file.take("I", 32)
    step, count = file.take("HH", 58 if wide == 2 else 46)
    form = "IIQQQQIIQQ" if wide == 2 else "IIIIIIIIII"
    sections = list(file.table(form, start, count, step))
    symbols = _first(sections, _SYMTAB if kind == 1 else _DYNSYM)
    known = [known for section in symbols for known in _elf_symbols(file, section, sections, wide == 2)]
    dynamic = [] if kind == 1 else _first(sections, _DYNAMIC)
    needed = [name for section in dynamic for name in _elf_needed(file, section, sections, wide == 2)]
    exports, undefined = ([name for name, defined in known if defined is wanted] for wanted in (True, False))
    name = _ELF_MACHINES.get(machine, str(machine)) if machine != 243 else "riscv64" if wide == 2 else "riscv32"
    return _library("object" if kind == 1 else "elf", name, exports, needed, undefined)


def _first(sections: Sequence[tuple[int, ...]], kind: int) -> list[tuple[int, ...]]:
    """The section of a kind, if there is one; there are never two."""
    return [section for section in sections if section[1] == kind][:1]


def _strings(section: Sequence[int], sections: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Where the names of a section's entries begin and end."""
    if section[6] >= len(sections):
        raise _damaged(f"there is no section {section[6]}")
    strings = sections[section[6]]
    return strings[4], strings[4] + strings[5]


def _elf_symbols(
    file: _Reader, section: Sequence[int], sections: Sequence[Sequence[int]], wide: bool
) -> Iterator[tuple[str, bool]]:
    """Names that others can see, and whether they are defined."""
    size = 24 if wide else 16
    names, end = _strings(section, sections)
    for record in file.table("IBBHQQ" if wide else "IIIBBH", section[4], section[5] // size, size):
        name, info, other, place = (record[k] for k in ((0, 1, 2, 3) if wide else (0, 3, 4, 5)))
        if info >> 4 in (1, 2) and other & 3 in (0, 3) and name:  # global or weak, and not hidden
            yield file.text(names + name, end), place != 0


def _elf_needed(file: _Reader, section: Sequence[int], sections: Sequence[Sequence[int]], wide: bool) -> Iterator[str]:
    names, end = _strings(section, sections)
    size = 16 if wide else 8
    for tag, value in file.table("QQ" if wide else "II", section[4], section[5] // size, size):
        if tag == 1:
            yield file.text(names + value, end)
        if tag == 0:
            return


# -- PE: Microsoft's "PE Format"

_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64"}


def _pe(file: _Reader) -> LibraryFile:
    (at,) = file.take("I", 60)
    if file.data[at : at + 4] != b"PE\0\0":
        raise _damaged("there is no header")
    machine, count = file.take("HH", at + 4)
    optional, flags = file.take("HH", at + 20)
    (magic,) = file.take("H", at + 24)
    if magic != 0x20B or not flags & 0x2000:
        raise FileFormatError("this is no library", expected="a 64-bit DLL", got=f"magic {magic:x}, flags {flags:x}")
    sections = list(file.table("8x4I", at + 24 + optional, count, 40))
    directories = at + 24 + 112
    exports = _pe_exports(file, sections, file.take("II", directories)[0])
    needed = _pe_imports(file, sections, file.take("II", directories + 8)[0])
    return _library("pe", _PE_MACHINES.get(machine, str(machine)), exports, needed, [])


def _place(sections: Sequence[Sequence[int]], address: int) -> int:
    """Where in the file an address is."""
    for _, begin, size, place in sections:
        if begin <= address < begin + size:
            return place + address - begin
    raise _damaged(f"nothing lies at address {address}")


def _pe_exports(file: _Reader, sections: Sequence[Sequence[int]], directory: int) -> Iterator[str]:
    if directory:
        count, _, names, _ = file.take("4I", _place(sections, directory) + 24)
        if count:
            for (name,) in file.table("I", _place(sections, names), count, 4):
                yield file.text(_place(sections, name))


def _pe_imports(file: _Reader, sections: Sequence[Sequence[int]], directory: int) -> Iterator[str]:
    if directory:
        for record in file.table("5I", _place(sections, directory), _MOST, 20):
            if not any(record):
                return
            yield file.text(_place(sections, record[3]))


def _coff(file: _Reader) -> LibraryFile:
    """An object file for Windows."""
    machine, _, _, symbols, count = file.take("HHIII", 0)
    strings = symbols + 18 * count
    exports: list[str] = []
    undefined: list[str] = []
    skip = 0
    for number, (head, offset, _, place, _, storage, more) in enumerate(file.table("IIIhHBB", symbols, count, 18)):
        if skip:
            skip -= 1
            continue
        skip = more
        if storage == 2:
            at = symbols + 18 * number
            name = file.text(strings + offset) if head == 0 else file.data[at : at + 8].rstrip(b"\0").decode("latin-1")
            (exports if place > 0 else undefined).append(name)
    return _library("object", _PE_MACHINES.get(machine, str(machine)), exports, [], undefined)


# -- Mach-O: <mach-o/loader.h> and <mach-o/nlist.h>

_MACHO_MACHINES = {0x0100000C: "aarch64", 0x01000007: "x86_64"}
_LOADS = (0x0C, 0x80000018, 0x8000001F)  # plain, weak, passed on
_SYMBOLS = 2
_TRIES = {0x22: 40, 0x80000022: 40, 0x80000033: 8}  # commands that say at some of their bytes where the exports are


def _macho(file: _Reader) -> LibraryFile:
    machine, _, kind, count, _ = file.take("5I", 4)
    if kind not in (1, 6):
        raise FileFormatError("this is no library", expected="a Mach-O dylib or object", got=f"type {kind}")
    if count > _MOST:
        raise _damaged(f"{count} commands")
    needed: list[str] = []
    table: tuple[int, ...] = (0, 0, 0, 0)
    trie: tuple[int, ...] = (0, 0)
    at = 32
    for _ in range(count):
        command, size = file.take("II", at)
        if size < 8:
            raise _damaged("a command without a size")
        if command in _LOADS:
            needed.append(file.text(at + file.take("I", at + 8)[0], at + size))
        if command == _SYMBOLS:
            table = file.take("4I", at + 8)
        if command in _TRIES:
            trie = file.take("II", at + _TRIES[command])
        at += size
    name = _MACHO_MACHINES.get(machine, str(machine))
    known = list(_macho_symbols(file, *table))
    symbols, undefined = ([name for name, defined in known if defined is wanted] for wanted in (True, False))
    if kind == 1:
        return _library("object", name, symbols, needed, undefined)
    return _library("macho", name, list(_macho_exports(file, *trie)), needed, undefined)


def _macho_exports(file: _Reader, begin: int, size: int) -> Iterator[str]:
    """The names in the tree that the loader looks them up in: each edge has a part of them."""
    data = file.data[begin : begin + size]
    if len(data) < size:
        raise _damaged("the names do not end")
    nodes = [("", 0)] if size else []
    for _ in range(_MOST):
        if not nodes:
            return
        name, at = nodes.pop()
        if len(name) > _LONGEST:
            break
        cursor = _Cursor(data, at)
        here = cursor.number()
        if here:
            yield name.removeprefix("_")
        cursor.at += here
        for _ in range(cursor.byte()):
            part = _Reader(data).text(cursor.at)
            cursor.at += len(part.encode()) + 1
            nodes.append((name + part, cursor.number()))
    raise _damaged("the names go round in a circle")


def _macho_symbols(file: _Reader, at: int, count: int, names: int, size: int) -> Iterator[tuple[str, bool]]:
    """External symbols, as C spells them, and whether they are defined."""
    for name, kind, _, _, _ in file.table("IBBHQ", at, count, 16):
        if kind & 1 and not kind & 0xF0:  # external, neither private nor for debuggers
            yield file.text(names + name, names + size).removeprefix("_"), kind & 0x0E != 0


# -- WebAssembly: the core specification, chapter 5 (binary format)


def _wasm(file: _Reader) -> LibraryFile:
    if file.data[4:8] != b"\1\0\0\0":
        raise FileFormatError("this is no library", expected="WebAssembly 1", got=repr(file.data[4:8]))
    cursor = _Cursor(file.data, 8)
    exports: list[str] = []
    undefined: list[str] = []
    linked = True
    while cursor.at < len(file.data):
        section, size = cursor.byte(), cursor.number()
        inner = _Cursor(file.data, cursor.at, cursor.at + size)
        if inner.end > len(file.data):
            raise _damaged("a section does not end")
        if section == 0 and inner.name() == "linking":
            linked = False
        if section == 2:
            undefined += _wasm_imports(inner)
        if section == 7:
            exports += _wasm_exports(inner)
        cursor.at += size
    return _library("wasm" if linked else "object", "wasm32", exports, [], undefined)


def _wasm_imports(cursor: _Cursor) -> Iterator[str]:
    for _ in range(cursor.count()):
        module, name, kind = cursor.name(), cursor.name(), cursor.byte()
        if kind == 1:
            cursor.byte()
        if kind in (1, 2):
            limits = cursor.byte()
            cursor.number()
            if limits & 1:
                cursor.number()
        elif kind == 3:
            cursor.byte()
            cursor.byte()
        else:
            cursor.number()
        yield f"{module}.{name}"


def _wasm_exports(cursor: _Cursor) -> Iterator[str]:
    for _ in range(cursor.count()):
        yield cursor.name()
        cursor.byte()
        cursor.number()


class _Cursor:
    """A place in a module that moves on."""

    def __init__(self, data: bytes, at: int, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def byte(self) -> int:
        if self.at >= self.end:
            raise _damaged("a section ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """An unsigned LEB128."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise _damaged("a number that does not end")

    def count(self) -> int:
        value = self.number()
        if value > _MOST:
            raise _damaged(f"{value} entries")
        return value

    def name(self) -> str:
        size = self.number()
        if self.at + size > self.end:
            raise _damaged("a name that does not end")
        self.at += size
        return self.data[self.at - size : self.at].decode("utf-8", "replace")


def _library(
    kind: str, machine: str, exports: Iterable[str], needed: Iterable[str], undefined: Iterable[str]
) -> LibraryFile:
    return LibraryFile(kind, machine, tuple(sorted(exports)), tuple(needed), tuple(sorted(undefined)))
