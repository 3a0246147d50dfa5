"""What machine code of GPUs says of itself: registers, shared memory and stack of every kernel, read from the ELF."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sigmagraph.errors import FileFormatError

_HEADER = struct.Struct("<4sBBB9xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_MACHINE = 190  # EM_CUDA
_NO_BITS = 8  # a section that has a size, but nothing in the file
_ENTRY = 0x10  # in a symbol's st_other: a kernel
# Records of .nv.info: a byte for the form, a byte for the attribute, 16 bits: the value, or the length of what follows.
_SIZED = 4
_FRAME_SIZE, _MIN_STACK_SIZE, _REGISTERS, _BARRIERS = 0x11, 0x12, 0x2F, 0x4C
_RESERVED = 1024  # bytes of each block that the system keeps from sm_90 on; linked in front of a kernel's own
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_FUNCTION = re.compile(r"Function properties for (\S+)")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a kernel takes of a multiprocessor.

    Attributes:
        symbol: the kernel's name.
        registers: of a thread.
        shared: bytes of static shared memory of a block; what a launch asks for comes on top.
        local: bytes of a thread's own frame in local memory: arrays that are indexed, and spilled registers.
        spill_stores, spill_loads: bytes of instructions that spill registers, as the assembler counts them.
        stack: bytes of local memory of a thread, with the functions that the kernel calls.
        barriers: of a block.
    """

    symbol: str
    registers: int
    shared: int
    local: int
    spill_stores: int
    spill_loads: int
    stack: int
    barriers: int = 0


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int


def read_resources(image: bytes, log: str = "") -> tuple[Resources, ...]:
    """What the kernels of a cubin take, by name.

    Args:
        image: the cubin.
        log: what ``ptxas -v`` said while it made it: only there are spilled bytes told.

    Raises:
        FileFormatError: the bytes are not machine code of a GPU.
    """
    try:
        found = list(_kernels(image))
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise FileFormatError("the bytes are not machine code of a GPU", got=repr(error)) from error
    spills = _spills(log)
    return tuple(
        replace(kernel, spill_stores=stores, spill_loads=loads)
        for kernel in sorted(found, key=lambda kernel: kernel.symbol)
        for stores, loads in (spills.get(kernel.symbol, (0, 0)),)
    )


def _kernels(image: bytes) -> Iterator[Resources]:
    sections = _sections(image)
    by_name = {section.name: section for section in sections}
    symbols = _symbols(image, sections, by_name[".symtab"])
    general = {
        (attribute, index): value
        for attribute, payload in _records(image, by_name[".nv.info"])
        if isinstance(payload, bytes) and len(payload) == 8
        for index, value in (struct.unpack("<II", payload),)
    }
    reserved = _RESERVED if ".nv.shared.reserved.0" in by_name else 0
    for index, name in symbols:
        own = dict(_records(image, by_name[f".nv.info.{name}"]))
        shared = by_name.get(f".nv.shared.{name}")
        barriers = own.get(_BARRIERS, 0)
        yield Resources(
            name,
            registers=general[_REGISTERS, index],
            shared=max(0, shared.size - reserved) if shared else 0,
            local=general.get((_FRAME_SIZE, index), 0),
            spill_stores=0,
            spill_loads=0,
            stack=general.get((_MIN_STACK_SIZE, index), 0),
            barriers=barriers & 0xFF if isinstance(barriers, int) else 0,
        )


def _sections(image: bytes) -> list[_Section]:
    magic, wide, order, *_, machine, _v, _e, _p, start, _f, _hs, _ps, _pn, size, count, names = _HEADER.unpack_from(
        image
    )
    if (magic, wide, order, machine) != (b"\x7fELF", 2, 1, _MACHINE):
        raise ValueError(f"ELF of machine {machine}" if magic == b"\x7fELF" else "no ELF")
    rows = [_SECTION.unpack_from(image, start + number * size) for number in range(count)]
    table = rows[names][4]
    return [_Section(_text(image, table + row[0]), row[1], row[4], row[5], row[6]) for row in rows]


def _symbols(image: bytes, sections: list[_Section], table: _Section) -> Iterator[tuple[int, str]]:
    """Number and name of all kernels."""
    names = sections[table.link]
    for number in range(table.size // _SYMBOL.size):
        name, _info, other, *_ = _SYMBOL.unpack_from(image, table.offset + number * _SYMBOL.size)
        if other & _ENTRY:
            yield number, _text(image, names.offset + name)


def _records(image: bytes, section: _Section) -> Iterator[tuple[int, int | bytes]]:
    if section.kind == _NO_BITS:
        raise ValueError(f"{section.name} is empty")
    place, end = section.offset, section.offset + section.size
    while place < end:
        form, attribute, value = struct.unpack_from("<BBH", image, place)
        place += 4
        if form == _SIZED:
            yield attribute, image[place : place + value]
            place += value
        else:
            yield attribute, value


def _text(image: bytes, start: int) -> str:
    return image[start : image.index(b"\0", start)].decode("ascii")


def _spills(log: str) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    name = ""
    for line in log.splitlines():
        if function := _FUNCTION.search(line):
            name = function[1]
        elif spill := _SPILLS.search(line):
            found[name] = (int(spill[1]), int(spill[2]))
    return found
